"""The sound of what is shown: encoded once, as Opus, for all who listen, and no sooner than its picture."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from statistics import median

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from numpy.typing import NDArray

RATE_HZ, CHANNELS = 48_000, 2
"""Of all sound here; Opus knows no other clock in RTP (RFC 7587, section 4.1)."""
TIME_BASE = Fraction(1, RATE_HZ)
PACKET_SAMPLES = 960
"""20 ms."""
BITRATE_BPS = 96_000
TOLERANCE_S = 0.03
"""Times of sound that follows may be off by so much: devices and networks are not punctual, their samples are."""
MOST_SILENCE_S = 1.0
"""Gaps up to this are filled with silence; after a longer one sound begins anew."""
USUAL_DELAY_S, MOST_DELAY_S = 0.1, 3.0
DELAYS = 30
"""So many of the newest pictures tell how long sound waits."""
BACKLOG = 250
"""Most packets that wait for their time: five seconds."""
HEARD_S = 2.0
"""So long after the last of it there still is sound."""
_POLL_S = 0.2
LOG = logging.getLogger(__name__)

Pcm = NDArray[np.int16]
"""N 2: samples at 48 kHz, left and right."""


@dataclass(frozen=True, slots=True)
class Samples:
    """A piece of sound, as it was taken."""

    pcm: Pcm
    captured_at_s: float
    """`time.perf_counter()` at the first sample."""


Hear = Callable[[Samples], object]
"""Takes the pieces of a sound in their order, and returns at once."""


@dataclass(frozen=True, slots=True)
class SoundPacket:
    """20 ms of Opus."""

    data: bytes
    pts: int
    """Of its first sample: `time.perf_counter()` in 1/48000 s."""


class SharedSound:
    """Sound on its way to everybody who listens, whatever their number; nothing is encoded while nobody does.

    The caller owns the thread that executes `run`.
    """

    def __init__(self) -> None:
        self._delays_s = deque([USUAL_DELAY_S], maxlen=DELAYS)
        self._listeners: tuple[Callable[[SoundPacket], object], ...] = ()
        self._changed = threading.Condition()
        self._pieces, self._waiting = _Pieces(), deque[tuple[int, Pcm]](maxlen=BACKLOG)
        self._heard_at_s = -HEARD_S

    @property
    def heard(self) -> bool:
        """Whether there has been sound a moment ago."""
        return time.perf_counter() - self._heard_at_s < HEARD_S

    def picture_took(self, delay_s: float) -> None:
        """A picture was encoded so long after its capture: sound waits for as long as they usually take."""
        self._delays_s.append(delay_s)

    def put(self, samples: Samples) -> None:
        """Take what was captured; from any one thread."""
        self._heard_at_s = time.perf_counter()
        with self._changed:
            if self._listeners:
                self._waiting.extend(self._pieces.add(samples))
                self._changed.notify()

    def listen(self, hear: Callable[[SoundPacket], object]) -> None:
        """Call `hear` with every packet, in the encoding thread; from any thread."""
        with self._changed:
            self._listeners = (*self._listeners, hear)

    def forget(self, hear: Callable[[SoundPacket], object]) -> None:
        """Call it no more; from any thread."""
        with self._changed:
            self._listeners = tuple(each for each in self._listeners if each != hear)
            if not self._listeners:
                self._waiting.clear()
                self._pieces = _Pieces()

    def run(self, stop: threading.Event) -> None:
        """Encode until `stop` is set: the body of a thread. If that fails there is no more sound."""
        codec = open_opus()
        while not stop.is_set():
            due = self._next_due()
            if due is None:
                continue
            pts, pcm = due
            try:
                packets = codec.encode(_frame(pts, pcm))
            except av.error.FFmpegError as error:
                LOG.warning("Sound cannot be encoded (%s); everything else goes on.", error)
                return
            for packet in packets:
                for hear in self._listeners:
                    hear(SoundPacket(bytes(packet), pts))

    def _next_due(self) -> tuple[int, Pcm] | None:
        """Wait for the next packet's time, but not for long."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(_POLL_S)
                return None
            due_s = self._waiting[0][0] / RATE_HZ + min(median(self._delays_s.copy()), MOST_DELAY_S)
            left_s = due_s - time.perf_counter()
            if left_s <= 0:
                return self._waiting.popleft()
        time.sleep(min(left_s, _POLL_S))
        return None


class _Pieces:
    """Cuts sound into packets of one length that follow each other without gaps."""

    def __init__(self) -> None:
        self._held: Pcm = np.zeros((0, CHANNELS), np.int16)
        self._end: int | None = None
        """The pts that follows what came."""

    def add(self, samples: Samples) -> list[tuple[int, Pcm]]:
        """What has become whole, with its pts."""
        pcm, at = samples.pcm, round(samples.captured_at_s * RATE_HZ)
        assert pcm.ndim == 2, pcm.shape
        assert pcm.shape[1] == CHANNELS, pcm.shape
        gap = None if self._end is None else at - self._end
        if gap is None or self._end is None or gap > MOST_SILENCE_S * RATE_HZ:
            self._held, self._end = self._held[:0], at
        elif gap > TOLERANCE_S * RATE_HZ:
            pcm = np.concatenate([np.zeros((gap, CHANNELS), np.int16), pcm])
        elif gap < -TOLERANCE_S * RATE_HZ:
            pcm = pcm[-gap:]
        self._end += len(pcm)
        held = np.concatenate([self._held, pcm])
        first, whole = self._end - len(held), len(held) // PACKET_SAMPLES * PACKET_SAMPLES
        self._held = held[whole:]
        return [(first + at, held[at : at + PACKET_SAMPLES]) for at in range(0, whole, PACKET_SAMPLES)]


def open_opus() -> AudioCodecContext:
    """An encoder of Opus for packets of 20 ms, each of which it gives out at once."""
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, AudioCodecContext)
    set_opus(codec)
    return codec


def set_opus(codec: AudioCodecContext) -> None:
    """Let an encoder of Opus make what everybody is sent."""
    codec.sample_rate, codec.time_base = RATE_HZ, TIME_BASE
    codec.format, codec.layout = "s16", "stereo"
    codec.bit_rate = BITRATE_BPS
    codec.options = {"application": "audio", "frame_duration": "20"}


def silence() -> SoundPacket:
    """A packet of nothing."""
    (packet,) = open_opus().encode(_frame(0, np.zeros((PACKET_SAMPLES, CHANNELS), np.int16)))
    return SoundPacket(bytes(packet), 0)


def _frame(pts: int, pcm: Pcm) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm).reshape(1, -1), format="s16", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, pts, TIME_BASE
    return frame
