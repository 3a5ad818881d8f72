"""What an engine is (a network with named inputs and outputs in fixed buffers), and how to see that one is broken."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Size = tuple[int, int]
"""Height and width of a picture as its network sees it, in positions."""
Box = tuple[slice, slice]
"""Rows and columns of positions."""
GUARD_SAMPLES = 24
"""Positions that `OutputGuard` looks at along either side; 20 microseconds in all."""


class Engine(Protocol):
    """A network ready to run on this machine.

    Write into `inputs`, call `run`, read `outputs`: the arrays are allocated once and stay the same objects,
    so a step allocates nothing. `outputs` hold the last run's values until the next one.
    An engine belongs to one thread at a time.
    """

    @property
    def inputs(self) -> Mapping[str, NDArray[Any]]:
        """The input buffers by name; shapes and dtypes are the graph's own."""

    @property
    def outputs(self) -> Mapping[str, NDArray[Any]]:
        """The output buffers by name."""

    def run(self) -> None:
        """Compute `outputs` from `inputs`."""


class WindowEngine(Engine, Protocol):
    """A network that computes a window of its picture."""

    def place(self, row: int, column: int) -> None:
        """Say where in the whole picture the window begins; what the graph knows of every position depends on it."""


def cut_constants(whole: Mapping[str, NDArray[Any]], inputs: Mapping[str, NDArray[Any]], row: int, column: int) -> None:
    """Fill inputs, 1 h w c each, from what a graph knows of every position of the whole picture, 1 H W c."""
    for name, values in whole.items():
        _, height, width, _ = inputs[name].shape
        inputs[name][...] = values[:, row : row + height, column : column + width]


class BrokenOutputError(ArithmeticError):
    """A network has computed what is no picture."""


class OutputGuard:
    """Finds NaN and infinity in an engine's output, which are 0 or 255 once they are uint8, and one colour everywhere.

    A NaN in the last layer makes one channel 0 everywhere or 255 everywhere, an earlier one makes all of them so.
    OpenVINO's ReLU turns NaN into 0, which looks like any other wrong picture: only `engines.parity` finds that.

    Args:
        output: uint8 [1, h, w, c], an engine's buffer.
        good: an output that is known to be good: channels that are 0 or 255 in it may be so, and it is not all of one
            colour. None: no channel may be 0 or 255, but all may be constant.
    """

    def __init__(self, output: Bytes, good: Bytes | None = None) -> None:
        self._output, self._good = output, good

    def check(self, box: Box = (slice(None), slice(None))) -> None:
        """Look at the output's box: rows and columns; all of it by default.

        Raises:
            BrokenOutputError: a channel is 0 everywhere or 255 everywhere, or all are constant and should not be.
        """
        sample = _sample(self._output[0][box])
        broken = _saturated(sample)
        if self._good is not None:
            good = _sample(self._good[0][box])
            broken &= ~_saturated(good)
            if _flat(sample) and not _flat(good):
                raise BrokenOutputError("all channels are constant")
        if broken.any():
            raise BrokenOutputError(
                f"{broken.sum()} of {broken.size} channels are {sample[0, 0][broken][0]} everywhere"
            )


def _sample(output: Bytes) -> Bytes:
    step_y, step_x = (max(1, side // GUARD_SAMPLES) for side in output.shape[:2])
    return output[::step_y, ::step_x]


def _flat(sample: Bytes) -> bool:
    return bool((sample == sample[0, 0]).all())


def _saturated(sample: Bytes) -> NDArray[np.bool_]:
    """bool [c]: the channels of [h, w, c] that are 0 everywhere or 255 everywhere."""
    flat = sample.reshape(-1, sample.shape[-1])
    return np.asarray((flat.max(0) == 0) | (flat.min(0) == 255))
