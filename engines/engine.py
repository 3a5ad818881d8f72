"""What an engine is: a network with named inputs and outputs in fixed buffers."""

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray


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
