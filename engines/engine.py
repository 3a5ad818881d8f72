"""What an engine is (a network with named inputs and outputs in fixed buffers), and how to see that one is broken."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
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


class BrokenOutputError(ArithmeticError):
    """A network has computed NaN or infinity."""


class OutputGuard:
    """Finds NaN and infinity in an engine's output, which are 0 or 255 once they are uint8.

    A NaN in the last layer makes one channel 0 everywhere or 255 everywhere, an earlier one makes all of them so.
    OpenVINO's ReLU turns NaN into 0, which looks like any other wrong picture: only `engines.parity` finds that.

    Args:
        output: uint8 [1, h, w, c], an engine's buffer.
        good: an output that is known to be good: channels that are constant in it may be constant. None: none may.
    """

    def __init__(self, output: Bytes, good: Bytes | None = None) -> None:
        step_y, step_x = (max(1, side // GUARD_SAMPLES) for side in output.shape[1:3])
        self._sample = output[0, ::step_y, ::step_x]
        self._allowed = _saturated(good[0, ::step_y, ::step_x]) if good is not None else False

    def check(self) -> None:
        """Look at the output.

        Raises:
            BrokenOutputError: a channel is 0 everywhere or 255 everywhere.
        """
        broken = _saturated(self._sample) & ~np.asarray(self._allowed)
        if broken.any():
            raise BrokenOutputError(
                f"{broken.sum()} of {broken.size} channels are {self._sample[0, 0][broken][0]} everywhere"
            )


def _saturated(sample: Bytes) -> NDArray[np.bool_]:
    """bool [c]: the channels of [h, w, c] that are 0 everywhere or 255 everywhere."""
    flat = sample.reshape(-1, sample.shape[-1])
    return np.asarray((flat.max(0) == 0) | (flat.min(0) == 255))
