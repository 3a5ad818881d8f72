"""Read and write video files (RGB pictures, upright, and their times), and write pictures."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideData

from engines.errors import UserError
from engines.files import replace_file, write_file
from realtime.frame import Rgb


@contextmanager
def _opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    try:
        container = av.open(str(path))
    except (OSError, av.error.FFmpegError) as error:
        reason = "there is no such file" if not path.exists() else f"{error.strerror or error}".lower()
        raise UserError(f"The video {path} cannot be opened: {reason}.") from error
    with container:
        if not container.streams.video:
            raise UserError(f"The file {path} has no video in it: give a video file.")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        yield container, stream


def count_frames(path: Path) -> int:
    """How many pictures the file says it has, or an estimate from its length; 0 when it does not tell.

    Raises:
        UserError: the file cannot be opened.
    """
    with _opened(path) as (container, stream):
        if stream.frames:
            return int(stream.frames)
        length_s = (container.duration or 0) / av.time_base
        return round(length_s * float(stream.average_rate or 0))


def read_video(path: Path, start_s: float = 0.0) -> Iterator[tuple[Rgb, float]]:
    """Yield the pictures (uint8 [H, W, 3], RGB) and their times in seconds, from `start_s` on.

    They are as a player shows them: turned upright, with square pixels.

    Raises:
        UserError: the file cannot be opened or breaks off in the middle.
    """
    with _opened(path) as (container, stream):
        rate = float(stream.average_rate or 30)
        if start_s > 0:
            with suppress(av.error.FFmpegError):  # some formats cannot seek: they are read from the beginning
                container.seek(round(start_s * av.time_base))
        number, matrix = 0, None
        try:
            for number, frame in enumerate(container.decode(stream)):
                if number == 0:  # once: a frame and its side data hold each other, so they would stay in memory
                    matrix = frame.side_data.get("DISPLAYMATRIX")
                at_s = number / rate if frame.time is None else float(frame.time)
                if at_s >= start_s:
                    rgb = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                    yield _as_shown(rgb, stream.sample_aspect_ratio, matrix), at_s
        except av.error.FFmpegError as error:
            raise UserError(f"The video {path} is damaged after {number / rate:.1f} s: {error.strerror}.") from error


def _as_shown(rgb: Rgb, aspect: Fraction | None, matrix: object) -> Rgb:
    """A picture as it is to be shown: phones film on their side, and say so in a matrix."""
    if aspect and abs(aspect - 1) > 0.01:
        height, width, _ = rgb.shape
        rgb = np.asarray(cv2.resize(rgb, (round(width * aspect), height), interpolation=cv2.INTER_AREA), np.uint8)
    if not isinstance(matrix, SideData):
        return rgb
    # Rows: where the picture's x and y axis point to. Its turns are by right angles.
    (xx, xy), (yx, yy) = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3)[:2, :2].tolist()
    if abs(xy) > abs(xx):
        rgb, xx, yy = rgb.transpose(1, 0, 2), yx, xy
    return np.ascontiguousarray(rgb[:: -1 if yy < 0 else 1, :: -1 if xx < 0 else 1])


def frame_rate(path: Path) -> float:
    """Frames per second, from the times of the first pictures: what the file itself says is often wrong.

    Raises:
        UserError: the file cannot be opened.
    """
    times = [at_s for (_, at_s), _ in zip(read_video(path), range(30), strict=False)]
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 30.0


class VideoWriter:
    """Writes pictures to an H.264 file; the file appears under its name only when it is whole.

    Args:
        path: an .mp4 file.
        fps: frames per second.
        crf: x264's quality, lower is better.
        gop: frames between key frames.
        pix_fmt: "yuv420p" plays everywhere, "yuv444p" keeps the colours at full resolution.
        most_bit_s: bits per second that are never exceeded for long, whatever the quality; 0 leaves it open.
    """

    def __init__(
        self, path: Path, fps: float, *, crf: int = 18, gop: int = 60, pix_fmt: str = "yuv420p", most_bit_s: int = 0
    ) -> None:
        self._path = path
        self._fps = Fraction(fps).limit_denominator(1001)
        self._options: Mapping[str, str] = {"crf": str(crf), "preset": "veryfast", "g": str(gop)}
        if most_bit_s:
            self._options = {**self._options, "maxrate": str(most_bit_s), "bufsize": str(2 * most_bit_s)}
        self._pix_fmt = pix_fmt
        self._stream: av.VideoStream | None = None

    def write(self, rgb: Rgb) -> None:
        """Append a picture, uint8 [H, W, 3] with even sides; all of one size."""
        if self._stream is None:
            self._stream = self._container.add_stream("libx264", rate=self._fps, options=dict(self._options))
            self._stream.height, self._stream.width = rgb.shape[:2]
            self._stream.pix_fmt = self._pix_fmt
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")))

    def __enter__(self) -> "VideoWriter":
        with ExitStack() as stack:
            file = stack.enter_context(replace_file(self._path))
            self._container = stack.enter_context(av.open(file.name, "w", format="mp4"))
            stack.push(self._finish)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def _finish(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._stream is not None:
            self._container.mux(self._stream.encode(None))


def write_picture(path: Path, rgb: Rgb) -> None:
    """Write a picture, uint8 [H, W, 3], whole or not at all, in the format that its name ends in."""
    _, data = cv2.imencode(path.suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    write_file(path, data.tobytes())
