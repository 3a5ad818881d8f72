"""One encoder for all viewers: pictures come from a slot, packets go to every subscription."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, get_args

from server.encoder import CodecName, LiveEncoder, Packet, Rung
from server.loop_handover import LoopHandover
from server.protocols import P, Picture, Slot
from server.subscription import BACKLOG, NumberedPacket, Rendition, Subscription

RUNGS = (
    Rung(bitrate_bps=2_500_000),
    Rung(bitrate_bps=1_000_000, scale=2 / 3),
    Rung(bitrate_bps=400_000, scale=1 / 2),
)
"""Of the main picture; none costs anything while nobody watches it."""
CODECS: tuple[CodecName, ...] = get_args(CodecName)
KEYFRAME_SPACING_S = 0.3
"""Least time between key frames that viewers ask for; requests in between share the next one."""

_POLL_S = 0.2
_WINDOW_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStats:
    """A stream's counts since it started, and rates over the last second."""

    encoded_frames: int = 0
    """Pictures, however many renditions there were of each."""
    keyframes: int = 0
    encoded_bytes: int = 0
    """Of all renditions together."""
    fps: float = 0.0
    bitrate_bps: float = 0.0
    """Of all renditions together."""
    encode_ms: float = 0.0
    """Mean time to convert and encode one picture, in all renditions."""


class SharedStream(Generic[P]):
    """A named video stream, encoded once in every rendition that is watched, whatever the number of viewers.

    The caller owns the thread that executes `run`; viewers come and go on the event loop. Pictures of odd height
    or width lose their last row or column; a change of size restarts the encoder at a key frame.
    """

    def __init__(
        self,
        name: str,
        slot: Slot[P],
        *,
        fps: int = 30,
        rungs: Sequence[Rung] = RUNGS,
        always: bool = False,
        on_encoded: Callable[[P, float], None] | None = None,
    ) -> None:
        """Prepare the stream; nothing is encoded before `run`.

        `fps` is what the encoder budgets its bits for, `rungs` are the sizes and rates, best first, `always` encodes
        the best one even when nobody watches. `on_encoded` is called in the encoding thread with each picture from the
        slot, once it is encoded, and the seconds that took.
        """
        self.name = name
        self.rungs = tuple(rungs)
        self._slot = slot
        self._always = always
        self._on_encoded = on_encoded
        self._subscriptions: tuple[Subscription, ...] = ()  # replaced on the loop, read by the encoding thread
        self._renderings = {
            Rendition(codec, number): _Rendering(codec, rung, fps)
            for codec in CODECS
            for number, rung in enumerate(self.rungs)
        }
        self._handover = LoopHandover(self._fan_out, most=BACKLOG)
        self._stats = StreamStats()

    @property
    def stats(self) -> StreamStats:
        """The newest stats; safe from any thread."""
        return self._stats

    @property
    def viewers(self) -> int:
        """How many watch at this moment."""
        return len(self._subscriptions)

    @property
    def viewers_by_rendition(self) -> Mapping[Rendition, int]:
        """How many watch what."""
        return Counter(each.rendition for each in self._subscriptions)

    def bitrate_bps(self, rendition: Rendition) -> float:
        """What has been encoded of a rendition over the last second."""
        return self._renderings[rendition].bitrate_bps

    def subscribe(self, codec: CodecName = "VP8") -> Subscription:
        """Start to receive packets; on the event loop only, and on the same loop for all viewers at a time."""
        self._handover.attach()
        subscription = Subscription(Rendition(codec, 0), self._request_keyframe)
        self._subscriptions = (*self._subscriptions, subscription)
        subscription.request_keyframe()  # after it joined, or the key frame might pass it by
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop to receive packets; on the event loop only."""
        self._subscriptions = tuple(each for each in self._subscriptions if each is not subscription)

    def run(self, stop: threading.Event) -> None:
        """Encode until `stop` is set: the body of a thread. Errors of the slot or the encoder reach the caller."""
        window = _Window(self._stats)
        last: P | None = None
        while not stop.is_set():
            picture = self._slot.take(_POLL_S)
            self._stats = window.stats()
            last = picture if picture is not None else last
            if last is None:
                continue
            begun_at_s = time.perf_counter()
            encoded = self._encode(last, begun_at_s, fresh=picture is not None)
            ended_at_s = time.perf_counter()
            if not encoded:
                continue
            if self._subscriptions:
                self._handover.put(encoded)
            window.add([each.packet for each in encoded.values()], ended_at_s - begun_at_s)
            if picture is not None and self._on_encoded is not None:
                self._on_encoded(picture, ended_at_s - begun_at_s)

    def _request_keyframe(self, rendition: Rendition) -> None:
        self._renderings[rendition].keyframe_wanted = True

    def _encode(self, picture: Picture, now_s: float, *, fresh: bool) -> dict[Rendition, NumberedPacket]:
        """The picture in every rendition that is wanted.

        A viewer that comes while the source stands still gets its last picture, stamped with the present time.
        """
        wanted = {rendition for each in self._subscriptions for rendition in each.wanted}
        if self._always:
            wanted.add(Rendition("VP8", 0))
        at_s = picture.captured_at_s if fresh else now_s
        encoded: dict[Rendition, NumberedPacket] = {}
        for rendition in sorted(wanted):
            packet = self._renderings[rendition].encode(picture, at_s, now_s, fresh=fresh)
            if packet is not None:
                encoded[rendition] = packet
        return encoded

    def _fan_out(self, picture: Mapping[Rendition, NumberedPacket]) -> None:
        for subscription in self._subscriptions:
            subscription.offer(picture)


class _Rendering:
    """Encodes one rendition. All but the request for key frames belongs to the encoding thread."""

    def __init__(self, codec: CodecName, rung: Rung, fps: int) -> None:
        self._encoder = LiveEncoder(codec, rung, fps=fps)
        self.keyframe_wanted = False
        self.bitrate_bps = 0.0
        self._number = self._bytes = 0
        self._keyframe_at_s = self._since_s = -KEYFRAME_SPACING_S

    def encode(self, picture: Picture, at_s: float, now_s: float, *, fresh: bool) -> NumberedPacket | None:
        """None for a picture that was encoded before, unless a key frame of it is wanted."""
        key = self.keyframe_wanted and now_s - self._keyframe_at_s >= KEYFRAME_SPACING_S
        if not fresh and not key:
            return None
        if key:
            self.keyframe_wanted, self._keyframe_at_s = False, now_s
        packets = self._encoder.encode(picture.rgb, at_s, key=key)
        assert len(packets) <= 1, "it holds nothing back"
        self._measure(packets, now_s)
        self._number += len(packets)
        return NumberedPacket(self._number - 1, packets[0]) if packets else None

    def _measure(self, packets: list[Packet], now_s: float) -> None:
        if now_s - self._since_s >= _WINDOW_S:
            length_s, self._since_s = now_s - self._since_s, now_s
            self.bitrate_bps, self._bytes = self._bytes * 8 / length_s, 0
        self._bytes += sum(packet.size for packet in packets)


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
            encoded_bytes=self._stats.encoded_bytes + self._bytes,
            fps=self._frames / length_s,
            bitrate_bps=self._bytes * 8 / length_s,
            encode_ms=1000 * self._busy_s / max(self._frames, 1),
        )
        self._frames = self._keyframes = self._bytes = 0
        self._busy_s, self._since_s = 0.0, now_s
        return self._stats
