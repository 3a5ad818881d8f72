"""The footage, a video or a folder of pictures, and which of its pictures make a constant rate."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engines.errors import UserError
from realtime.fetch import fetch, is_url
from realtime.frame import Rgb
from realtime.pictures import PICTURES_FPS, PictureFolder
from realtime.video import count_frames, film_length_s, frame_rate, read_video

LOG = logging.getLogger(__name__)
COMMON_FPS = tuple(
    float(Fraction(k * n, d)) for k in (1, 2, 4) for n, d in ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1))
)
WANTED_FPS, LEAST_FPS = 30.0, 23.5
"""Rate that faster footage is thinned to, and the lowest that thinning may lead to."""


class FootageSource(Protocol):
    """Footage: its pictures and their times."""

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def frames(self) -> int:
        """How many pictures there are, roughly; 0 if unknown."""

    @property
    def fps(self) -> float:
        """Pictures per second, roughly."""

    @property
    def length_s(self) -> float:
        """How long it is, before any picture is decoded; 0 if unknown."""

    @property
    def size_bytes(self) -> int:
        """Its size on the disk."""

    @property
    def stems(self) -> Sequence[str]:
        """The pictures' file names without suffixes; none of a video's."""

    def read(self, start_s: float = 0.0) -> Iterator[tuple[Rgb, float]]:
        """Every picture, uint8 [H, W, 3] RGB, from `start_s` seconds on, and its time in seconds."""


class VideoFile:
    """A video that PyAV can read.

    Raises:
        UserError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.frames = path, count_frames(path)
        self.stems: Sequence[str] = ()
        self.size_bytes = path.stat().st_size

    @cached_property
    def fps(self) -> float:
        """Pictures per second, on average."""
        return frame_rate(self.path)

    @cached_property
    def length_s(self) -> float:
        """How long it is, by the times of its packets."""
        return film_length_s(self.path)

    def read(self, start_s: float = 0.0) -> Iterator[tuple[Rgb, float]]:
        """Every picture from `start_s` on and its time."""
        return read_video(self.path, start_s)


def open_footage(video: str, fps: float | None, run: Path) -> FootageSource:
    """Open a video, a stream, or a folder of pictures that were taken at `fps`, by default 30.

    Args:
        video: a path or an URL; what is found there is fetched into the run, once.
        fps: pictures per second of a folder.
        run: the run's folder.

    Raises:
        UserError: it cannot be opened, or a rate is given for a video.
    """
    path = fetch(video, run / "fetched" / sha256(video.encode()).hexdigest()[:8]) if is_url(video) else Path(video)
    if path.is_dir():
        folder = PictureFolder(path, fps or PICTURES_FPS)
        for note in folder.notes:
            LOG.warning(note)
        return folder
    if fps is not None:
        raise UserError(f"fps is for folders of pictures: {path} has times of its own.")
    return VideoFile(path)


@dataclass(frozen=True, slots=True)
class Timing:
    """Which pictures of footage are used so that they have a constant rate."""

    source_fps: float
    constant: bool
    """Whether the source keeps to that rate."""
    fps: float
    """Rate of the used pictures."""
    picked: NDArray[np.intp]
    """Numbers of the used pictures, in order; in a variable rate one may be used several times."""


def constant_rate(times_s: NDArray[np.float64]) -> Timing:
    """Choose pictures with a constant rate of about 30 fps.

    Of fast footage that is every n-th picture; of a variable rate, the picture nearest to each point of a regular grid.

    Args:
        times_s: when the pictures were taken, N, in order.
    """
    count = len(times_s)
    if count < 2 or times_s[-1] <= times_s[0]:
        return Timing(WANTED_FPS, True, WANTED_FPS, np.arange(count))
    fps = (count - 1) / float(times_s[-1] - times_s[0])
    constant = bool(np.abs(times_s - times_s[0] - np.arange(count) / fps).max() < 0.5 / fps)
    if not constant:
        # Not the mean: a camera that skips pictures in the dark skips pictures of its usual rate.
        steps_s = np.diff(times_s)
        usual_s = float(np.median(steps_s[steps_s > 0]))
        fps = 1 / float(steps_s[(steps_s > 0.7 * usual_s) & (steps_s < 1.3 * usual_s)].mean())
    common_fps = min(COMMON_FPS, key=lambda each: abs(each - fps))
    # Times rounded to milliseconds shift the rate of a short film by a little.
    near_fps = 0.1 * fps / count if constant else 0.3
    source_fps = common_fps if abs(common_fps - fps) < near_fps else fps
    every = min(
        (n for n in range(1, 64) if n == 1 or source_fps / n >= LEAST_FPS),
        key=lambda n: abs(source_fps / n - WANTED_FPS),
    )
    fps = source_fps / every
    if constant:
        return Timing(source_fps, True, fps, np.arange(0, count, every))
    grid = np.arange(times_s[0], times_s[-1] + 1e-6, 1 / fps)
    middles = (times_s[1:] + times_s[:-1]) / 2
    return Timing(source_fps, False, fps, np.searchsorted(middles, grid))
