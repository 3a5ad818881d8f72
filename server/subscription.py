"""One viewer's queue of a stream's packets: of limited length, and beginning at a key frame."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from server.vp8 import Packet

BACKLOG = 15
"""Most packets that wait for one viewer, and on the way to the event loop: half a second at 30 fps."""


@dataclass(frozen=True, slots=True)
class NumberedPacket:
    """A packet and its place in the stream; a gap in the numbers means that something was dropped."""

    number: int
    packet: Packet


class Subscription:
    """Gives one viewer packets that it can decode in order. Lives on the event loop."""

    def __init__(self, request_keyframe: Callable[[], None]) -> None:
        self._request_keyframe = request_keyframe
        self._queue: asyncio.Queue[Packet] = asyncio.Queue(BACKLOG)
        self._next_number: int | None = None  # None: only a key frame will do
        self._lagging = False
        self._skips = 0

    @property
    def skips(self) -> int:
        """How many times this viewer lagged, or packets were missing, and a new key frame was awaited."""
        return self._skips

    @property
    def waiting(self) -> int:
        """How many packets wait to be taken, at most `BACKLOG`."""
        return self._queue.qsize()

    def offer(self, numbered: NumberedPacket) -> None:
        """Queue the packet if this viewer can decode it after those it was given."""
        if not numbered.packet.is_keyframe and numbered.number != self._next_number:
            if self._next_number is not None:
                self._skip_to_keyframe()
                self._request_keyframe()
            return
        if self._queue.full():
            self._skip_to_keyframe()
            self._lagging = (
                True  # it asks for a key frame when it takes again: a stalled viewer must cost the others none
            )
            return
        self._queue.put_nowait(numbered.packet)
        self._next_number = numbered.number + 1

    async def next(self) -> Packet:
        """Take the next packet, waiting for it."""
        if self._lagging:
            self._lagging = False
            if self._next_number is None:
                self._request_keyframe()
        return await self._queue.get()

    def _skip_to_keyframe(self) -> None:
        while not self._queue.empty():
            self._queue.get_nowait()
        self._next_number = None
        self._skips += 1
