"""One encoder for all viewers: pictures come from a slot, VP8 packets go to every subscription."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from server.protocols import P, Slot
from server.subscription import BACKLOG, NumberedPacket, Subscription
from server.vp8 import Packet, Vp8Encoder

KEYFRAME_SPACING_S = 0.3
"""Least time between key frames that viewers ask for; requests in between share the next one."""

_POLL_S = 0.2
_WINDOW_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStats:
    """A stream's counts since it started, and rates over the last second."""

    encoded_frames: int = 0
    keyframes: int = 0
    fps: float = 0.0
    bitrate_bps: float = 0.0
    encode_ms: float = 0.0
    """Mean time to convert and encode one picture."""


class SharedStream(Generic[P]):
    """A named video stream, encoded once whatever the number of viewers.

    The caller owns the thread that executes `run`; viewers come and go on the event loop. Pictures of odd height
    or width lose their last row or column; a change of size restarts the encoder at a key frame.
    """

    def __init__(
        self,
        name: str,
        slot: Slot[P],
        *,
        fps: int = 30,
        bitrate_bps: int = 2_500_000,
        width_px: int | None = None,
        always: bool = False,
        on_encoded: Callable[[P, float], None] | None = None,
    ) -> None:
        """Prepare the stream; nothing is encoded before `run`.

        `fps` is what the encoder budgets its bits for, wider pictures are shrunk to `width_px`, `always` encodes even
        when nobody watches. `on_encoded` is called in the encoding thread with each picture from the slot, once it is
        encoded, and the seconds that took.
        """
        self.name = name
        self._slot = slot
        self._fps = fps
        self._bitrate_bps = bitrate_bps
        self._width_px = width_px
        self._always = always
        self._on_encoded = on_encoded
        self._subscriptions: tuple[Subscription, ...] = ()  # replaced on the loop, read by the encoding thread
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outgoing: deque[NumberedPacket] = deque(maxlen=BACKLOG)  # so that a busy loop costs packets, not memory
        self._fan_out_is_due = False
        self._keyframe_wanted = False
        self._stats = StreamStats()

    @property
    def stats(self) -> StreamStats:
        """The newest stats; safe from any thread."""
        return self._stats

    @property
    def viewers(self) -> int:
        """How many watch at this moment."""
        return len(self._subscriptions)

    def request_keyframe(self) -> None:
        """Make one of the next pictures a key frame; safe from any thread."""
        self._keyframe_wanted = True

    def subscribe(self) -> Subscription:
        """Start to receive packets; on the event loop only, and on the same loop for all viewers at a time."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # what an earlier, ended loop was asked to do will never happen
            self._outgoing.clear()
            self._fan_out_is_due = False
            self._loop = loop
        subscription = Subscription(self.request_keyframe)
        self._subscriptions = (*self._subscriptions, subscription)
        self.request_keyframe()  # after it joined, or the key frame might pass it by
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop to receive packets; on the event loop only."""
        self._subscriptions = tuple(each for each in self._subscriptions if each is not subscription)

    def run(self, stop: threading.Event) -> None:
        """Encode until `stop` is set: the body of a thread. Errors of the slot or the encoder reach the caller."""
        encoder = Vp8Encoder(fps=self._fps, bitrate_bps=self._bitrate_bps, width_px=self._width_px)
        window = _Window(self._stats)
        last: P | None = None
        number = 0
        keyframe_at_s = -KEYFRAME_SPACING_S
        while not stop.is_set():
            picture = self._slot.take(_POLL_S)
            self._stats = window.stats()
            last = picture if picture is not None else last
            if last is None or not (self._always or self._subscriptions):
                continue
            begun_at_s = time.perf_counter()
            key = self._keyframe_wanted and begun_at_s - keyframe_at_s >= KEYFRAME_SPACING_S
            if picture is None and not key:
                continue
            if key:
                self._keyframe_wanted = False
                keyframe_at_s = begun_at_s
            # A viewer that comes while the source stands still gets its last picture, stamped with the present time.
            at_s = begun_at_s if picture is None else picture.captured_at_s
            packets = encoder.encode(last.rgb, at_s, key=key)
            ended_at_s = time.perf_counter()
            for packet in packets:
                self._send(NumberedPacket(number, packet))
                number += 1
            window.add(packets, ended_at_s - begun_at_s)
            if picture is not None and self._on_encoded is not None:
                self._on_encoded(picture, ended_at_s - begun_at_s)

    def _send(self, numbered: NumberedPacket) -> None:
        loop = self._loop
        if loop is None or not self._subscriptions:
            return
        # At most one call waits on the loop. It clears the flag before it empties the deque, so a packet that
        # finds the flag set is in the deque in time.
        self._outgoing.append(numbered)
        if self._fan_out_is_due:
            return
        self._fan_out_is_due = True
        try:
            loop.call_soon_threadsafe(self._fan_out)
        except RuntimeError:
            if not loop.is_closed():
                raise
            self._fan_out_is_due = False

    def _fan_out(self) -> None:
        self._fan_out_is_due = False
        while self._outgoing:
            numbered = self._outgoing.popleft()
            for subscription in self._subscriptions:
                subscription.offer(numbered)


class _Window:
    """Counts what is encoded, and makes rates of the counts once a second."""

    def __init__(self, stats: StreamStats) -> None:
        self._stats = stats
        self._frames = self._keyframes = self._bytes = 0
        self._busy_s = 0.0
        self._since_s = time.perf_counter()

    def add(self, packets: list[Packet], busy_s: float) -> None:
        self._frames += 1
        self._keyframes += any(packet.is_keyframe for packet in packets)
        self._bytes += sum(packet.size for packet in packets)
        self._busy_s += busy_s

    def stats(self) -> StreamStats:
        now_s = time.perf_counter()
        length_s = now_s - self._since_s
        if length_s < _WINDOW_S:
            return self._stats
        self._stats = StreamStats(
            encoded_frames=self._stats.encoded_frames + self._frames,
            keyframes=self._stats.keyframes + self._keyframes,
            fps=self._frames / length_s,
            bitrate_bps=self._bytes * 8 / length_s,
            encode_ms=1000 * self._busy_s / max(self._frames, 1),
        )
        self._frames = self._keyframes = self._bytes = 0
        self._busy_s, self._since_s = 0.0, now_s
        return self._stats
