"""One viewer's queue of a stream's packets: of limited length, and beginning at a key frame."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from server.encoder import CodecName, Packet

BACKLOG = 15
"""Most pictures that wait for one viewer, and on the way to the event loop: half a second at 30 fps."""

PATIENCE = 2 * BACKLOG
"""Pictures after which a key frame is asked for again."""


class Rendition(NamedTuple):
    """A form in which a stream is sent."""

    codec: CodecName
    rung: int
    """Counts from 0, the best one."""


@dataclass(frozen=True, slots=True)
class NumberedPacket:
    """A packet and its place in its rendition; a gap in the numbers means that something was dropped."""

    number: int
    packet: Packet


class Subscription:
    """Gives one viewer packets that it can decode in order. Lives on the event loop.

    Args:
        rendition: what the viewer gets at first.
        request_keyframe: asks for one of a rendition.
    """

    def __init__(self, rendition: Rendition, request_keyframe: Callable[[Rendition], None]) -> None:
        self._rendition, self._request_keyframe = rendition, request_keyframe
        self._awaited: Rendition | None = None
        self._queue: asyncio.Queue[Packet] = asyncio.Queue(BACKLOG)
        self._next_number: int | None = None  # None: only a key frame will do
        self._lagging = False
        self._waited = 0
        self._skips = 0

    @property
    def rendition(self) -> Rendition:
        """What the viewer gets now."""
        return self._rendition

    @property
    def wanted(self) -> tuple[Rendition, ...]:
        """What has to be encoded for this viewer; safe from any thread."""
        awaited = self._awaited  # once: the event loop may change it meanwhile
        return (self._rendition,) if awaited is None else (self._rendition, awaited)

    @property
    def skips(self) -> int:
        """How many times this viewer lagged, or packets were missing, and a new key frame was awaited."""
        return self._skips

    @property
    def waiting(self) -> int:
        """How many packets wait to be taken, at most `BACKLOG`."""
        return self._queue.qsize()

    def request_keyframe(self) -> None:
        """Make one of the next pictures a key frame."""
        self._request_keyframe(self._rendition)

    def move(self, rung: int) -> None:
        """Go over to another rung, at its next key frame; until then the present one goes on."""
        there = Rendition(self._rendition.codec, rung)
        self._awaited = None if there == self._rendition else there
        if self._awaited is not None:
            self._request_keyframe(there)

    def offer(self, picture: Mapping[Rendition, NumberedPacket]) -> None:
        """Queue the next picture, given in every rendition, if this viewer can decode it after those it was given."""
        awaited = picture.get(self._awaited) if self._awaited is not None else None
        if self._awaited is not None and awaited is not None and awaited.packet.is_keyframe:
            self._rendition, self._awaited = self._awaited, None
        numbered = picture.get(self._rendition)
        if numbered is not None:
            self._offer(numbered)
        self._insist()

    def _insist(self) -> None:
        """Ask again for a key frame that does not come: it may have been dropped on the way to the event loop."""
        missing = self._awaited or (self._rendition if self._next_number is None and not self._lagging else None)
        self._waited = 0 if missing is None else self._waited + 1
        if missing is not None and self._waited % PATIENCE == 0:
            self._request_keyframe(missing)

    def _offer(self, numbered: NumberedPacket) -> None:
        if not numbered.packet.is_keyframe and numbered.number != self._next_number:
            if self._next_number is not None:
                self._skip_to_keyframe()
                self.request_keyframe()
            return
        if self._queue.full():
            self._skip_to_keyframe()
            # It asks for a key frame when it takes again: a stalled viewer must cost the others none.
            self._lagging = True
            return
        self._queue.put_nowait(numbered.packet)
        self._next_number = numbered.number + 1

    async def next(self) -> Packet:
        """Take the next packet, waiting for it."""
        if self._lagging:
            self._lagging = False
            if self._next_number is None:
                self.request_keyframe()
        return await self._queue.get()

    def _skip_to_keyframe(self) -> None:
        while not self._queue.empty():
            self._queue.get_nowait()
        self._next_number = None
        self._skips += 1
