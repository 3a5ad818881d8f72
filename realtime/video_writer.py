"""Write films: RGB pictures at their times, and the sound."""

import math
from collections.abc import Mapping
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np

from engines.files import replace_file
from realtime.frame import Rgb
from realtime.sound import Sound

TICK = Fraction(1, 120_000)
"""Seconds, of the clock of what is written: a frame lasts whole ticks at all usual rates, 24 to 60/1.001 included."""


class VideoWriter:
    """Writes pictures to an H.264 file; the file appears under its name only when it is whole.

    Args:
        path: an .mp4 file.
        fps: frames per second.
        crf: x264's quality, lower is better.
        gop: frames between key frames.
        pix_fmt: "yuv420p" plays everywhere, "yuv444p" keeps the colours at full resolution.
        most_bit_s: bits per second that are never exceeded for long, whatever the quality; 0 leaves it open.
        sound: what is heard with the pictures; see `open_sound`.
        comment: what the file says of itself.
    """

    def __init__(
        self,
        path: Path,
        fps: float,
        *,
        crf: int = 18,
        gop: int = 60,
        pix_fmt: str = "yuv420p",
        most_bit_s: int = 0,
        sound: Sound | None = None,
        comment: str = "",
    ) -> None:
        self._path, self._sound, self._comment = path, sound, comment
        self._fps = Fraction(fps).limit_denominator(1001)
        self._options: Mapping[str, str] = {"crf": str(crf), "preset": "veryfast", "g": str(gop)}
        if most_bit_s:
            self._options = {**self._options, "maxrate": str(most_bit_s), "bufsize": str(2 * most_bit_s)}
        self._pix_fmt = pix_fmt
        self._stream: av.VideoStream | None = None
        self._written, self._ticks = 0, -1

    def write(self, rgb: Rgb, at_s: float | None = None) -> None:
        """Append a picture, uint8 [H, W, 3] with even sides; all of one size.

        Args:
            rgb: the picture.
            at_s: when it is shown, later than the one before; by default the next frame at the file's rate.
        """
        stream = self._stream or self._begin(rgb)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        due_s = self._written / self._fps if at_s is None else at_s
        self._written, self._ticks = self._written + 1, max(self._ticks + 1, round(due_s / TICK))
        frame.pts, frame.time_base = self._ticks, TICK
        self._container.mux(stream.encode(frame))
        if self._sound is not None:
            self._container.mux(list(self._sound.until(float(due_s))))

    def _begin(self, rgb: Rgb) -> av.VideoStream:
        stream = self._container.add_stream("libx264", rate=self._fps, options=dict(self._options))
        stream.height, stream.width = rgb.shape[:2]
        stream.pix_fmt, stream.codec_context.time_base = self._pix_fmt, TICK
        if self._comment:
            self._container.metadata["comment"] = self._comment
        if self._sound is not None:
            self._sound.join(self._container)
        self._stream = stream
        return stream

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
            if self._sound is not None:
                self._container.mux(list(self._sound.until(math.inf)))
