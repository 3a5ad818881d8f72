"""Frames and sound that come by themselves: of a stream by URL, or of a pipe."""

import logging
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from realtime.fetch import is_url, public_name, refusal
from realtime.frame import Frame, Rgb
from realtime.live.camera import REOPEN_S
from realtime.live.pace import Pace
from realtime.sound import PcmResampler
from realtime.video import as_shown, picture_track, sound_track
from server.sound import Hear, Samples
from server.steady_offset import SteadyOffset

OPEN_S, SILENCE_S = 5.0, 2.0
"""How long a stream may take to open, and may be silent, before it counts as gone."""
LEAP_S = 1.0
"""A larger change of when pictures come is one of the stream's clock."""
FAR_S = 3.0
"""Sound that would be so far from now is of a clock that no picture is known of yet."""
SEGMENTED = frozenset({"hls", "dash"})
"""Formats that come some seconds at a time: their pictures are shown in their own time."""
LOG = logging.getLogger(__name__)


class StreamSource:
    """Frames that come by themselves: a stream by URL, which is opened again whenever it ends, or a pipe, which is not.

    Its sound counts from when the pictures of the same time have come.

    Args:
        address: an URL (RTSP, HTTP, ...), or the path of a named pipe.
        reopen: whether to open it again when it ends.

    Raises:
        UserError: it cannot be opened.
    """

    def __init__(self, address: str, *, reopen: bool) -> None:
        self.name, self.address, self.reopens = public_name(address), address, reopen
        self.has_sound = False
        """Whether there is any sound, or was when it was opened last."""
        self._closed, self._pace = threading.Event(), Pace()
        self._hear: Hear | None = None
        try:
            self._pictures: Generator[Rgb, None, None] | None = self._open()
        except (OSError, av.error.FFmpegError) as error:
            raise refusal(address, error) from error
        self._number, self._last_s = 0, 0.0

    def listen(self, hear: Hear) -> None:
        """Hand over the sound, in the thread that reads."""
        self._hear = hear

    def read(self) -> Frame | None:
        """Wait for the next frame; None once the source was closed, or a pipe has ended."""
        while not self._closed.is_set():
            rgb = self._next()
            if rgb is not None:
                self._number += 1
                return Frame(rgb=rgb, captured_at_s=time.perf_counter(), number=self._number - 1)
            if not self.reopens:
                return None
            if self._pictures is not None:
                LOG.warning("%s gives no pictures. Waiting for it.", self.name)
                self._pictures = None
            if not self._closed.wait(REOPEN_S):
                with suppress(OSError, av.error.FFmpegError):
                    self._pictures = self._open()
        if self._pictures is not None:
            self._pictures.close()
        return None

    def close(self) -> None:
        """Let `read` end, which closes what is open."""
        self._closed.set()
        self._pace.close()

    def _next(self) -> Rgb | None:
        if self._pictures is None:
            return None
        try:
            return next(self._pictures, None)
        except (OSError, av.error.FFmpegError):
            return None

    def _open(self) -> Generator[Rgb, None, None]:
        options = {"rtsp_transport": "tcp", "flags": "low_delay"}
        address = self.address if is_url(self.address) else f"file:{self.address}"
        container = av.open(address, options=options, timeout=(OPEN_S, SILENCE_S))
        pictures = picture_track(container)
        if pictures is None:
            container.close()
            raise OSError("it has no picture")
        sound = sound_track(container, pictures)
        self.has_sound = sound is not None
        return self._play(container, pictures, sound)

    def _play(
        self, container: av.container.InputContainer, pictures: av.VideoStream, sound: AudioStream | None
    ) -> Generator[Rgb, None, None]:
        """The pictures; what is to be heard between them is handed over. Damaged packets are left out."""
        clock, resampler = _Clock(), PcmResampler()
        with container:
            for frame in _frames(container, [pictures] if sound is None else [pictures, sound]):
                if isinstance(frame, av.VideoFrame):
                    if container.format.name in SEGMENTED and frame.time is not None:
                        self._wait(frame.time)
                    clock.see(frame.time)
                    yield as_shown(frame, pictures.sample_aspect_ratio)
                elif self._hear is not None and clock.runs:
                    for pcm, at_s in resampler.resample(frame):
                        captured_at_s = clock.captured_at_s(at_s)
                        if abs(captured_at_s - time.perf_counter()) < FAR_S:
                            self._hear(Samples(pcm, captured_at_s))

    def _wait(self, at_s: float) -> None:
        """Wait until a picture is due; after a leap of the stream's clock it is so at once."""
        if abs(at_s - self._last_s) > LEAP_S:
            self._pace.restart()
        self._last_s = at_s
        self._pace.wait(at_s)


def _frames(
    container: av.container.InputContainer, tracks: Sequence[av.VideoStream | AudioStream]
) -> Iterator[av.VideoFrame | AudioFrame]:
    """What can be decoded of some tracks, as it comes."""
    for packet in container.demux(list(tracks)):
        with suppress(av.error.FFmpegError):
            yield from (frame for frame in packet.decode() if isinstance(frame, av.VideoFrame | AudioFrame))


class _Clock:
    """When something of a stream has come, or would have if it were a picture."""

    def __init__(self) -> None:
        self._offset = SteadyOffset()

    @property
    def runs(self) -> bool:
        """Whether there has been a picture that has a time."""
        return self._offset.known

    def see(self, at_s: float | None) -> None:
        """A picture has come."""
        if at_s is None:
            return
        offset_s = time.perf_counter() - at_s
        if self.runs and abs(offset_s - self._offset.value_s) > LEAP_S:
            self._offset.clear()
        self._offset.add(offset_s)

    def captured_at_s(self, at_s: float) -> float:
        """The time of the stream's clock by `time.perf_counter()`."""
        return at_s + self._offset.value_s
