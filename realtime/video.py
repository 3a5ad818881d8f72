"""Read and write video files: RGB pictures and their times."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np

from engines.errors import UserError
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
    """Yield every picture (uint8 [H, W, 3], RGB) and its time in seconds, from `start_s` seconds on.

    Raises:
        UserError: the file cannot be opened or breaks off in the middle.
    """
    with _opened(path) as (container, stream):
        rate = float(stream.average_rate or 30)
        number = 0
        try:
            for number, frame in enumerate(container.decode(stream)):
                at_s = number / rate if frame.time is None else float(frame.time)
                if at_s < start_s:
                    continue
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), at_s
        except av.error.FFmpegError as error:
            raise UserError(f"The video {path} is damaged after {number / rate:.1f} s: {error.strerror}.") from error


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
    """

    def __init__(self, path: Path, fps: float, *, crf: int = 18, gop: int = 60, pix_fmt: str = "yuv420p") -> None:
        self._path = path
        self._draft = path.with_suffix(f".new{path.suffix}")
        self._container = av.open(str(self._draft), "w")
        self._fps = Fraction(fps).limit_denominator(1001)
        self._options: Mapping[str, str] = {"crf": str(crf), "preset": "veryfast", "g": str(gop)}
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
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._stream is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()
        if kind is None:
            self._draft.replace(self._path)
        else:
            self._draft.unlink(missing_ok=True)
