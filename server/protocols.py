"""What the server needs of the pictures that it sends: pixels and time."""

from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray


class Picture(Protocol):
    """One picture on its way to the viewers."""

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """H W 3, RGB, 0..255."""
        ...

    @property
    def captured_at_s(self) -> float:
        """`time.perf_counter()` at capture."""
        ...


P = TypeVar("P", bound=Picture)
P_co = TypeVar("P_co", bound=Picture, covariant=True)


class Slot(Protocol[P_co]):
    """A one-place hand-over whose newest value wins."""

    def take(self, timeout_s: float) -> P_co | None:
        """Take the newest picture, waiting at most `timeout_s`; None when nothing came."""
        ...
