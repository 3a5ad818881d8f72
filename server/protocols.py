"""What the server needs of the pictures that it sends and receives: pixels and time."""

from dataclasses import dataclass
from typing import Protocol, TypeVar

import av
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


@dataclass(frozen=True, slots=True)
class ReceivedPicture:
    """A publisher's picture, decoded."""

    frame: av.VideoFrame
    received_at_s: float
    """`time.perf_counter()` when it was decoded."""


class Inlet(Protocol):
    """Where a publisher's pictures go: a one-place hand-over whose newest value wins."""

    def put(self, value: ReceivedPicture) -> object:
        """Take a picture and return at once."""
        ...
