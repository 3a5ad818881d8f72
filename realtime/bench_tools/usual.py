"""The parts of the usual way, as tutorials put it together: Holistic, the paper's networks in torch, and aiortc.

A loop that does one after the other for every frame takes the sum of their times.
"""

import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import msgspec
import numpy as np
from aiortc.codecs.vpx import Vp8Encoder

from engines.errors import UserError
from engines.install import TRAIN, install_line
from realtime.frame import Rgb
from realtime.pose_tools.bench import HolisticProcess, Times, holistic_process

PAPER_STEP = "trainer.paper_step"
"""The module that times the paper's networks; it needs torch."""
FPS = 30


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a part of a frame's way takes in the mean."""

    ms: float
    core_ms: float
    """Of all cores together."""

    @classmethod
    def of(cls, times_s: Sequence[Times] | Times) -> "Cost":
        """The mean of at least one pair of seconds, of wall and of processor."""
        wall_ms, core_ms = 1000 * np.mean(times_s, axis=0)
        return cls(ms=round(float(wall_ms), 2), core_ms=round(float(core_ms), 2))

    @classmethod
    def total(cls, costs: Iterable["Cost"]) -> "Cost":
        """Of one after the other."""
        every = list(costs)
        return cls(ms=round(sum(each.ms for each in every), 2), core_ms=round(sum(each.core_ms for each in every), 2))


@contextmanager
def open_holistic(python: Path | None) -> Iterator[HolisticProcess | str]:
    """The library's Holistic by this Python, or by our own if it has the library; else how to install it.

    Raises:
        UserError: it does not run in `python`.
    """
    if python is None and importlib.util.find_spec("mediapipe"):
        python = Path(sys.executable)
    with holistic_process(python) as library:
        yield library or (
            f"{install_line('mediapipe')} (Python 3.11 or 3.12), or say where it is: --mediapipe-python PATH"
        )


def time_paper_step(size_px: tuple[int, int], threads: int) -> Cost | str:
    """What a step of the paper's networks takes for pictures of this width and height; else how to install torch.

    Raises:
        UserError: it fails.
    """
    if importlib.util.find_spec("torch") is None:
        return install_line(TRAIN)
    command = [sys.executable, "-m", PAPER_STEP, str(threads), *map(str, size_px)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    if done.returncode:
        said = done.stderr.strip() or f"it ended with exit code {done.returncode}"
        raise UserError(f"The paper's networks do not run here: {said.splitlines()[-1]}")
    return Cost.of(np.array(msgspec.json.decode(done.stdout, type=list[tuple[float, float]])))


class ViewerEncoder:
    """The encoder that aiortc has for every viewer of an ordinary track."""

    def __init__(self) -> None:
        self._encoder, self._number = Vp8Encoder(), 0

    def time(self, rgb: Rgb) -> Times:
        """Seconds of wall and of processor to encode a picture."""
        begun_at_s, busy_s = time.perf_counter(), time.process_time()
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        frame.pts, frame.time_base = self._number, Fraction(1, FPS)
        self._encoder.encode(frame)
        self._number += 1
        return np.array([time.perf_counter() - begun_at_s, time.process_time() - busy_s])
