"""Tell by its bytes that a network has computed nothing: NaN and infinity come out as 0 or 255.

A channel that is 0 everywhere, or 255 everywhere, is what a NaN in the last layer leaves of it, and a NaN before that
leaves all of them so. Bytes hold no NaN, so nothing of it stays in what is fed back. OpenVINO's ReLU turns NaN into 0:
there the picture goes wrong without a sign, which the parity gate is for.
"""

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
SAMPLES = 24
"""Places looked at along either side; 20 microseconds."""


class BrokenOutputError(ArithmeticError):
    """A network's output is no picture."""


class Guard:
    """Watches an output buffer.

    Args:
        output: uint8 [1, h, w, c], an engine's.
        start: an output that is known to be good, or None: channels that are dark or bright everywhere in it may be.
    """

    def __init__(self, output: Bytes, start: Bytes | None = None) -> None:
        step = tuple(max(1, side // SAMPLES) for side in output.shape[1:3])
        self._sample = output[0, :: step[0], :: step[1]]
        self._allowed = _dead(start[0, :: step[0], :: step[1]]) if start is not None else False

    def check(self) -> None:
        """Look at the output.

        Raises:
            BrokenOutputError: the network has computed NaN or infinity.
        """
        dead = _dead(self._sample) & ~np.asarray(self._allowed)
        if dead.any():
            raise BrokenOutputError(
                f"{dead.sum()} of {dead.size} channels are {self._sample[0, 0][dead][0]} everywhere"
            )


def _dead(sample: Bytes) -> NDArray[np.bool_]:
    """Which channels are 0 everywhere or 255 everywhere."""
    flat = sample.reshape(-1, sample.shape[-1])
    return np.asarray((flat.max(0) == 0) | (flat.min(0) == 255))
