"""Read films: RGB pictures, upright, their times, and the sound.

A film is a video file, or a folder of pictures (`realtime.pictures`).
"""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import TypeAlias, TypeVar

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideData
from av.stream import Disposition

from engines.errors import UserError
from realtime import hdr
from realtime.fetch import public_name
from realtime.frame import Rgb
from realtime.pictures import PICTURES_FPS, PictureFolder
from realtime.sound import Pcm, Sound

LOG = logging.getLogger(__name__)
STILL = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
ORDER_ONLY = ("avi", "h264", "hevc", "m4v")
"""Formats that tell the order of frames but not when they are shown."""
GAP_S, GAP_STEPS = 60.0, 20
"""A film's clock that goes on by more seconds, and by more usual steps, has leapt: nobody waits for so long."""
LEAST_SIDE_PX = 2
"""In narrower or lower pictures there is nothing to see."""
Packet: TypeAlias = "av.Packet[av.VideoStream]"
AnyStream = TypeVar("AnyStream", av.VideoStream, av.AudioStream)


@contextmanager
def opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """A video file and its track of pictures.

    Raises:
        UserError: it cannot be opened, or has none.
    """
    try:
        container = av.open(f"file:{path}")  # the prefix keeps "12:30.mp4" from being taken for a protocol
    except (OSError, av.error.FFmpegError) as error:
        raise UserError(f"The video {path} cannot be opened: {_reason(path, error)}.") from error
    with container:
        stream = picture_track(container)
        if stream is None:
            raise UserError(f"The file {path} has no video in it: give a video file.")
        stream.thread_type = "AUTO"
        yield container, stream


def _reason(path: Path, error: OSError | av.error.FFmpegError) -> str:
    """Why a file cannot be opened."""
    if not path.exists():
        return "there is no such file"
    if path.is_file() and not path.stat().st_size:
        return "it is empty"
    if isinstance(error, av.error.InvalidDataError):
        return "it is no video, or not whole: copy it again"
    return f"{error.strerror or error}".lower()


def picture_track(container: av.container.InputContainer) -> av.VideoStream | None:
    """The largest track of moving pictures: covers and previews are tracks, too."""
    tracks = [track for track in container.streams.video if track.width and not track.disposition & STILL]
    return max(tracks, key=lambda track: track.width * track.height, default=None)


def sound_track(container: av.container.InputContainer, pictures: av.VideoStream) -> av.AudioStream | None:
    """The sound that belongs to a track of pictures, if there is any that can be decoded."""
    track = container.streams.best("audio", related=pictures)
    if not isinstance(track, av.AudioStream):
        return None
    if track.codec_context is not None and track.channels and track.rate:
        return track
    LOG.warning("The sound of %s is of an unknown kind: it is left out.", public_name(container.name))
    return None


def count_frames(path: Path) -> int:
    """How many pictures the film says it has, or an estimate from its length; 0 when it does not tell.

    Raises:
        UserError: it cannot be opened.
    """
    if path.is_dir():
        return PictureFolder(path).frames
    with opened(path) as (container, stream):
        if stream.frames:
            return int(stream.frames)
        return round(_length_s(container, stream) * float(stream.average_rate or 0))


def frame_rate(path: Path) -> float:
    """Pictures per second on average over the whole film, by the times of its packets, or as it says if it has no two.

    Raises:
        UserError: it cannot be opened.
    """
    if path.is_dir():
        return PICTURES_FPS
    times_s, _ = _packet_times_s(path)
    if len(times_s) > 1 and times_s[-1] > 0:
        return (len(times_s) - 1) / times_s[-1]
    with opened(path) as (_, stream):
        return _told_rate(stream)


def film_length_s(path: Path) -> float:
    """How long a film is, from the times of its packets, whatever it says of itself; 0 when these tell nothing.

    Its last picture is shown for as long as one usually is.

    Raises:
        UserError: it cannot be opened.
    """
    times_s, usual_s = _packet_times_s(path)
    return round(times_s[-1] + usual_s, 6) if times_s else 0.0  # sums of binary fractions fall short of whole seconds


def _packet_times_s(path: Path) -> tuple[list[float], float]:
    """When the pictures of a film are shown, in order, the first at 0, and after how long the next one usually follows.

    All as its packets say, without being decoded.
    """
    runs, last = [list[float]()], None
    with opened(path) as (container, stream):
        base, told_s = float(stream.time_base or 0), 1 / _told_rate(stream)
        for packet in _packets(container, stream):
            if packet.dts is not None:
                if last is not None and packet.dts < last:
                    runs.append([])  # the clock begins anew
                last = packet.dts
            time = packet.pts if packet.pts is not None else packet.dts
            if time is not None:
                runs[-1].append(time * base)
    steps_s = [np.diff(np.sort(run)) for run in runs if run]
    if not steps_s:
        return [], told_s
    usual_s = float(np.median(np.concatenate(steps_s))) if any(map(len, steps_s)) else told_s
    steps = np.concatenate([np.concatenate([[usual_s], each]) for each in steps_s])[1:]
    steps[steps > _most_gap_s(usual_s)] = usual_s
    return [0.0, *np.cumsum(steps).tolist()], usual_s


def _most_gap_s(usual_s: float) -> float:
    """Longer without a picture is a leap of the clock, where one usually follows after so many seconds."""
    return max(GAP_S, GAP_STEPS * usual_s)


def read_video(
    path: Path, start_s: float = 0.0, *, note: Callable[[str], object] = LOG.warning
) -> Iterator[tuple[Rgb, float]]:
    """Yield the pictures (uint8 [H, W, 3], RGB) and their times in seconds from the first one, from `start_s` on.

    They are as a player shows them: in order, upright, with square pixels, in the colours of an ordinary display.
    Damaged pictures are left out.

    Args:
        path: the file, or the folder.
        start_s: when to begin.
        note: told in a sentence what had to be left out or converted.

    Raises:
        UserError: the file cannot be opened, or nothing in it can be decoded.
    """
    if path.is_dir():
        folder = PictureFolder(path)
        for about in folder.notes:
            note(about)
        yield from folder.read(start_s)
        return
    matrix = _orientation(path, path.stat().st_mtime_ns if path.exists() else 0)
    with opened(path) as (container, stream):
        clock, colours, shown = _Clock(stream), None, 0
        if start_s > 0 and clock.seeks:
            with suppress(av.error.FFmpegError):  # some formats cannot seek: they are read from the beginning
                container.seek(round((start_s + clock.begin_s) * av.time_base))
        decoder = _Decoder(container, stream)
        for frame in decoder.frames():
            at_s = clock.time_s(frame, damaged=decoder.damaged)
            if at_s >= start_s:
                if shown == 0 and (colours := hdr.name_of(frame)):
                    note(f"The video {path} is {colours}: its pictures are converted for an ordinary display.")
                shown += 1
                yield as_shown(frame, stream.sample_aspect_ratio, matrix), at_s
        if not shown and start_s == 0:
            raise UserError(f"The video {path} is damaged: none of its pictures can be decoded.")
        for what in _losses(decoder, clock, _length_s(container, stream)):
            note(f"The video {path}: {what}.")


def read_visible(path: Path) -> Iterator[tuple[Rgb, float]]:
    """The pictures as `read_video` yields them, as long as there can be anything to see in them.

    Raises:
        UserError: the film cannot be read, or a picture of it is less than two pixels wide or high.
    """
    for rgb, at_s in read_video(path):
        if min(rgb.shape[:2]) < LEAST_SIDE_PX:
            raise UserError(f"The video {path} is {rgb.shape[1]}x{rgb.shape[0]}: there is nothing to see in it.")
        yield rgb, at_s


@contextmanager
def open_sound(path: Path) -> Iterator[Sound | None]:
    """The sound of a film, counted from its first picture as in `read_video`; None if it has none.

    Raises:
        UserError: it cannot be opened.
    """
    if path.is_dir():
        yield None
        return
    with opened(path) as (container, pictures):
        track = sound_track(container, pictures)
        yield None if track is None else Sound(track, _packets(container, track), _begin_s(pictures))


def has_sound(path: Path) -> bool:
    """Whether there is sound in a film that can be read."""
    with open_sound(path) as sound:
        return sound is not None


def read_sound(path: Path) -> Generator[tuple[Pcm, float], None, None]:
    """Yield the sound of a film (int16 [N, 2], 48 kHz) piece by piece, and the time of each piece's first sample.

    Times are in seconds from the first picture, as in `read_video`. There is nothing if it has none.

    Raises:
        UserError: it cannot be opened.
    """
    with open_sound(path) as sound:
        if sound is not None:
            yield from sound.samples()


def _begin_s(stream: av.VideoStream) -> float:
    """What the file's clock says at the first picture."""
    return float((stream.start_time or 0) * (stream.time_base or 0))


def _losses(decoder: "_Decoder", clock: "_Clock", length_s: float) -> Iterator[str]:
    """What of a video that was read to its end could not be shown."""
    if decoder.damaged:
        many = "1 damaged picture is" if decoder.damaged == 1 else f"{decoder.damaged} damaged pictures are"
        yield f"{many} left out, from {decoder.damaged_at_s:.1f} s on"
    if clock.leaps:
        yield f"its clock leaps {'once' if clock.leaps == 1 else f'{clock.leaps} times'}: the time between is left out"
    elif clock.last_s < min(0.95 * length_s, length_s - 0.5):
        yield f"it breaks off after {clock.last_s:.1f} of {length_s:.1f} s"


def _length_s(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """How long the file says it lasts; 0 when it does not tell."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    # What a container tells is when it ends, which is not how long it lasts if it begins late.
    return max(0.0, (container.duration or 0) / av.time_base - _begin_s(stream))


def _told_rate(stream: av.VideoStream) -> float:
    """Pictures per second as the stream says, and not its container if that knows no times; 30 if neither tells."""
    return float(stream.guessed_rate or 30)


class _Decoder:
    """Decodes what can be decoded, and counts what cannot."""

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream) -> None:
        self._container, self._stream = container, stream
        self.damaged, self.damaged_at_s = 0, 0.0

    def frames(self) -> Iterator[av.VideoFrame]:
        for packet in _packets(self._container, self._stream):
            try:
                yield from packet.decode()
            except av.error.FFmpegError:
                self._note(packet)
        with suppress(av.error.FFmpegError):
            yield from self._stream.codec_context.decode(None)  # what it still holds

    def _note(self, packet: Packet) -> None:
        if not self.damaged and packet.pts is not None and packet.time_base is not None:
            self.damaged_at_s = float((packet.pts - (self._stream.start_time or 0)) * packet.time_base)
        self.damaged += 1


def _packets(container: av.container.InputContainer, stream: AnyStream) -> "Iterator[av.Packet[AnyStream]]":
    """The packets up to the end of the file, or to where it breaks off."""
    with suppress(av.error.FFmpegError):
        for packet in container.demux(stream):
            if packet.size:
                yield packet


class _Clock:
    """When frames are shown, counted from the first, whatever the container says."""

    def __init__(self, stream: av.VideoStream) -> None:
        self._step_s, self._time_base = 1 / _told_rate(stream), stream.time_base
        self.begin_s = _begin_s(stream)
        container = stream.container
        assert container is not None
        # AVI knows the order of decoding only: with B-frames its times are wrong, but its rate is right.
        self.seeks = container.format.name not in ORDER_ONLY
        self.last_s, self._shift_s = -self._step_s, -self.begin_s
        self._damaged = self.leaps = 0
        """Damaged pictures so far, and leaps of the clock."""
        self._steps_s = deque[float](maxlen=GAP_STEPS)
        """The newest steps from picture to picture."""

    def time_s(self, frame: av.VideoFrame, *, damaged: int) -> float:
        """The frame's time; frames come in the order in which they are shown.

        Args:
            frame: the next one.
            damaged: how many before it could not be decoded; where frames are counted they have their time, too.
        """
        missed, self._damaged = damaged - self._damaged, damaged
        if not self.seeks or frame.pts is None or self._time_base is None:
            at_s = self.last_s + self._step_s * (1 + missed)
        else:
            at_s = float(frame.pts * self._time_base) + self._shift_s
            leapt = bool(self._steps_s) and at_s - self.last_s > _most_gap_s(median(self._steps_s))
            if at_s <= self.last_s or leapt:  # the clock begins anew
                self.leaps += leapt
                self._shift_s += self.last_s + self._step_s - at_s
                at_s = self.last_s + self._step_s
            if self.last_s >= 0:
                self._steps_s.append(at_s - self.last_s)
        self.last_s = at_s
        return at_s


@lru_cache(maxsize=16)
def _orientation(path: Path, _mtime_ns: int) -> bytes | None:
    """How the pictures are to be turned, from the first one.

    Once for each file: a frame and its side data hold each other and their decoder's threads, so they stay in memory.
    """
    with opened(path) as (container, stream):
        stream.thread_count = 1
        for frame in _Decoder(container, stream).frames():
            matrix = frame.side_data.get("DISPLAYMATRIX")
            return bytes(matrix) if isinstance(matrix, SideData) else None
    return None


def as_shown(frame: av.VideoFrame, aspect: Fraction | None, matrix: bytes | None = None) -> Rgb:
    """A picture as it is to be shown: in the colours of an ordinary display, with square pixels, and upright.

    Args:
        frame: the picture.
        aspect: a pixel's width by its height.
        matrix: phones film on their side, and say so in a matrix.
    """
    rgb = hdr.to_sdr(frame) if hdr.name_of(frame) else np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    if aspect and abs(aspect - 1) > 0.01:
        height, width, _ = rgb.shape
        rgb = np.asarray(cv2.resize(rgb, (round(width * aspect), height), interpolation=cv2.INTER_AREA), np.uint8)
    if matrix is None:
        return rgb
    # Rows: where the picture's x and y axis point to. Its turns are by right angles.
    (xx, xy), (yx, yy) = np.frombuffer(matrix, np.int32).reshape(3, 3)[:2, :2].tolist()
    if abs(xy) > abs(xx):
        rgb, xx, yy = rgb.transpose(1, 0, 2), yx, xy
    return np.ascontiguousarray(rgb[:: -1 if yy < 0 else 1, :: -1 if xx < 0 else 1])
