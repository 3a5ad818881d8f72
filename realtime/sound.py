"""The sound of a video: to be heard, or on its way into another one, copied where an .mp4 can carry it."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TypeAlias

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from numpy.typing import NDArray

COPIED = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"})
"""Codecs that players know in an .mp4; what is in another becomes AAC."""
RATE_HZ, BIT_S = 48_000, 192_000
"""Of the AAC."""
Pcm: TypeAlias = NDArray[np.int16]
Packet: TypeAlias = "av.Packet[AudioStream]"


class Sound:
    """A sound track, to be moved into one other file.

    Args:
        track: the sound.
        packets: all of it.
        begin_s: the time on its clock that the other file begins at; what ends before is left out.
    """

    def __init__(self, track: AudioStream, packets: Iterable[Packet], begin_s: float) -> None:
        self._track, self._packets, self._begin_s = track, packets, begin_s
        self.codec = track.codec_context.codec.canonical_name
        self._moved: Iterator[Packet] = iter(())
        self._next: Packet | None = None

    @property
    def copied(self) -> bool:
        """Whether it stays as it is."""
        return self.codec in COPIED

    def join(self, container: av.container.OutputContainer) -> None:
        """Add the track to the file; nothing may be written to that before."""
        if self.copied:
            self._moved = self._copy(container.add_stream_from_template(self._track))
        else:
            layout = "mono" if self._track.channels == 1 else "stereo"
            stream = container.add_stream("aac", rate=RATE_HZ, bit_rate=BIT_S, layout=layout)
            assert isinstance(stream, AudioStream)
            self._moved = self._encode(stream)
        self._next = next(self._moved, None)

    def until(self, end_s: float) -> Iterator[Packet]:
        """The packets that begin by then and were not taken yet, to be written."""
        while self._next is not None and float((self._next.pts or 0) * self._next.time_base) <= end_s:
            yield self._next
            self._next = next(self._moved, None)

    def samples(self) -> Iterator[tuple[Pcm, float]]:
        """All of it, decoded, as 16 bits [N, 2] at 48 kHz, and the time of each piece's first sample."""
        resampler = PcmResampler()
        for packet in self._timed():
            for frame in _decoded(packet):
                yield from resampler.resample(frame)

    def _copy(self, stream: AudioStream) -> Iterator[Packet]:
        for packet in self._timed():
            packet.stream = stream
            yield packet

    def _encode(self, stream: AudioStream) -> Iterator[Packet]:
        for packet in self._timed():
            for frame in _decoded(packet):
                yield from stream.encode(frame)
        yield from stream.encode(None)

    def _timed(self) -> Iterator[Packet]:
        """The packets on the other file's clock, which never runs backwards."""
        tick = self._track.time_base
        assert tick is not None
        shift, end, last = -round(self._begin_s / tick), 0, None
        for packet in self._packets:
            at = end if packet.pts is None else packet.pts + shift
            if last is not None and at <= last:  # the clock begins anew
                shift, at = shift + end - at, end
            packet.pts = packet.dts = last = at
            end = at + max(packet.duration or 0, 1)
            if end >= 0:
                yield packet


class PcmResampler:
    """Makes 16 bits [N, 2] at 48 kHz of one track's sound."""

    def __init__(self) -> None:
        self._kind, self._resampler = ("", "", 0), av.AudioResampler()

    def resample(self, frame: AudioFrame) -> Iterator[tuple[Pcm, float]]:
        """What there is by now, and the time of each piece's first sample."""
        kind = frame.format.name, frame.layout.name, frame.sample_rate
        if kind != self._kind:  # it may change on the way
            self._kind = kind
            self._resampler = av.AudioResampler(format="s16", layout="stereo", rate=RATE_HZ)
        for piece in self._resampler.resample(frame):
            yield np.asarray(piece.to_ndarray().reshape(-1, 2), np.int16), float(piece.time or 0.0)


def _decoded(packet: Packet) -> list[AudioFrame]:
    """The sound of a packet; none if it is damaged."""
    with suppress(av.error.FFmpegError):
        return packet.decode()
    return []
