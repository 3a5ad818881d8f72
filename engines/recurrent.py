"""Recurrent networks: what is new goes in, the output comes out, and the past stays where the network runs.

packed  uint8 [1, h, w, 3c] = new | new before | output before     or     [1, h, w, 2c] = new | output before
output  uint8 [1, h, w, c]
"""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engines.engine import Engine

Bytes = NDArray[np.uint8]


class Chain(Protocol):
    """A recurrent network that keeps its own past. Belongs to one thread at a time."""

    @property
    def entering(self) -> Bytes:
        """[1, h, w, c]: write what is new here before `run`. Always the same array."""

    @property
    def output(self) -> Bytes:
        """[1, h, w, c]: the last run's output, until the next one. Always the same array."""

    def restart(self, entered: Bytes, output: Bytes) -> None:
        """Forget the past: go on as if `entered` had just come out as `output`, both [1, h, w, c]."""

    def run(self) -> None:
        """Compute `output` from `entering` and the past."""


@runtime_checkable
class DeviceEngine(Engine, Protocol):
    """An engine with memory of its own, beside the host's.

    `run` copies every input there and every output back; a `chain` copies only what is new and the output.
    """

    replay: bool
    """Whether a run is replayed as one recorded graph, or enqueued piece by piece."""

    def upload(self) -> None:
        """Copy the inputs to the device, and wait for it."""

    def download(self) -> None:
        """Copy the outputs to the host, and wait for it."""

    def used_bytes(self) -> int:
        """The device memory that is in use, by anybody."""

    def chain(self) -> Chain:
        """A chain on the device. From then on use either the chain or the engine."""


class ChannelCopy(NamedTuple):
    """After each run c channels go from one place to channel `target` of packed: what was new becomes the past."""

    from_output: bool
    """From the output; else from the first channels of packed."""
    target: int


def channel_copies(packed: tuple[int, ...], output: tuple[int, ...]) -> list[ChannelCopy]:
    """What has to move after a run, in order, for the shapes of packed and output."""
    c = output[-1]
    known = packed[:-1] == output[:-1] and packed[-1] in (2 * c, 3 * c)
    assert known, f"packed {packed} and output {output} are no recurrent network"
    past = [ChannelCopy(from_output=False, target=c)] if packed[-1] == 3 * c else []
    return [*past, ChannelCopy(from_output=True, target=packed[-1] - c)]


def chain_of(engine: Engine) -> Chain:
    """A chain of any engine with the input "packed" and one output: on its device if it has one."""
    return engine.chain() if isinstance(engine, DeviceEngine) else HostChain(engine)


class HostChain:
    """A `Chain` of any engine, with the past in the engine's own input buffer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        packed = engine.inputs["packed"]
        (self.output,) = engine.outputs.values()
        c = self.output.shape[-1]
        self.entering = packed[..., :c]
        self._past = [
            (
                _whole(packed[..., move.target : move.target + c]),
                _whole(self.output if move.from_output else self.entering),
            )
            for move in channel_copies(packed.shape, self.output.shape)
        ]

    def restart(self, entered: Bytes, output: Bytes) -> None:
        """Forget the past: go on as if `entered` had just come out as `output`."""
        self.entering[...] = entered
        self.output[...] = output
        self._remember()

    def run(self) -> None:
        """Compute `output` from `entering` and the past."""
        self._engine.run()
        self._remember()

    def _remember(self) -> None:
        for target, source in self._past:
            target[...] = source


def _whole(channels: Bytes) -> NDArray[np.void]:
    """The c channels of a position as one item: copied at once, not byte by byte."""
    return channels.view(f"V{channels.shape[-1]}")
