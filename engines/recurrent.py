"""Recurrent networks: the new input goes in, the output comes out, and both stay where the network runs as its past.

packed  uint8 [1, h, w, 3c] = input | previous input | previous output    or    [1, h, w, 2c] = input | previous output
output  uint8 [1, h, w, c]

Where the past is moved before it goes in, of a network with references:

packed  uint8 [1, h, w, n + 48] = new input | moved past, the last 48 channels of the new input are the moved parts
output  uint8 [1, h, w, 96] = paint 48 | mask 16 | keep 16 | copy 16, of which the picture is blended, 48
"""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engines.engine import Bytes, Engine


class RecurrentEngine(Protocol):
    """A recurrent network that keeps its own past. Belongs to one thread at a time."""

    @property
    def input(self) -> Bytes:
        """[1, h, w, c]: write the new input here before `run`. Always the same array."""

    @property
    def output(self) -> Bytes:
        """[1, h, w, c]: the last run's output, until the next one. Always the same array."""

    def reset(self, previous_input: Bytes, previous_output: Bytes) -> None:
        """Replace the past by these, both [1, h, w, c]."""

    def run(self) -> None:
        """Compute `output` from `input` and the past."""


@runtime_checkable
class DeviceEngine(Engine, Protocol):
    """An engine with memory of its own, beside the host's.

    `run` copies every input there and every output back; its `recurrent` engine copies only the new input and the
    output.
    """

    replay: bool
    """Whether a run is replayed as one recorded CUDA graph, or enqueued piece by piece."""

    def upload(self) -> None:
        """Copy the inputs to the device, and wait for it."""

    def download(self) -> None:
        """Copy the outputs to the host, and wait for it."""

    def used_bytes(self) -> int:
        """The device memory that is in use, by all programs."""

    def recurrent(self) -> RecurrentEngine:
        """The same network with its past on the device. From then on use either it or the engine."""


class MovingRecurrentEngine(Protocol):
    """A network with references that keeps its own past and moves it. Belongs to one thread at a time."""

    @property
    def input(self) -> Bytes:
        """[1, h, w, n]: write the new input here before `run`. Always the same array."""

    @property
    def flow(self) -> NDArray[np.float32]:
        """[1, h, w, 2]: write here where the past is fetched from, offsets in pixels, x and y. Always the same."""

    @property
    def picture(self) -> Bytes:
        """[1, h, w, 48]: the last run's picture, until the next one. Always the same array."""

    def reset(self, picture: Bytes) -> None:
        """Replace the past by this, [1, h, w, 48]."""

    def run(self) -> None:
        """Compute `picture`, and the engine's own output, from `input`, `flow` and the past."""


@runtime_checkable
class MovingEngine(DeviceEngine, Protocol):
    """A `DeviceEngine` that can also move the past of a network with references where it is."""

    def moving(self, plate: Bytes) -> MovingRecurrentEngine:
        """The same network with its past on the device, over a plate [1, h, w, 48]; use either it or the engine."""


class ChannelCopy(NamedTuple):
    """After each run c channels are copied to channel `target` of packed: the present becomes the past."""

    from_output: bool
    """From the output; else from the first channels of packed, the input."""
    target: int


def channel_copies(packed: tuple[int, ...], output: tuple[int, ...]) -> list[ChannelCopy]:
    """What to copy after a run, in order, for the shapes of packed and output."""
    c = output[-1]
    assert is_recurrent(packed, output), f"packed {packed} and output {output} are no recurrent network"
    previous_input = [ChannelCopy(from_output=False, target=c)] if packed[-1] == 3 * c else []
    return [*previous_input, ChannelCopy(from_output=True, target=packed[-1] - c)]


def is_recurrent(packed: tuple[int, ...], output: tuple[int, ...]) -> bool:
    """Whether the shapes are those of a recurrent network; else all of the input is new in every run."""
    return packed[:-1] == output[:-1] and packed[-1] in (2 * output[-1], 3 * output[-1])


def make_recurrent(engine: Engine, *, on_host: bool = False) -> RecurrentEngine:
    """The recurrent engine of any engine with the input "packed" and one output.

    Args:
        engine: with the input "packed" and one output.
        on_host: keep the past on the host even where the engine has a device.
    """
    (output,) = engine.outputs.values()
    if not is_recurrent(engine.inputs["packed"].shape, output.shape):
        return StatelessEngine(engine)
    if isinstance(engine, DeviceEngine) and not on_host:
        return engine.recurrent()
    return HostRecurrentEngine(engine)


class StatelessEngine:
    """A network without a past as a `RecurrentEngine`: whoever runs it keeps the past, and writes it to the input."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.input = engine.inputs["packed"]
        (self.output,) = engine.outputs.values()

    def reset(self, previous_input: Bytes, previous_output: Bytes) -> None:
        """There is nothing to replace."""

    def run(self) -> None:
        """Compute `output` from `input`."""
        self._engine.run()


class HostRecurrentEngine:
    """A `RecurrentEngine` of any engine, with the past in the engine's own input buffer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        packed = engine.inputs["packed"]
        (self.output,) = engine.outputs.values()
        c = self.output.shape[-1]
        self.input = packed[..., :c]
        self._copies = [
            (
                _as_items(packed[..., copy.target : copy.target + c]),
                _as_items(self.output if copy.from_output else self.input),
            )
            for copy in channel_copies(packed.shape, self.output.shape)
        ]

    def reset(self, previous_input: Bytes, previous_output: Bytes) -> None:
        """Replace the past by these, both [1, h, w, c]."""
        self.input[...] = previous_input
        self.output[...] = previous_output
        self._remember()

    def run(self) -> None:
        """Compute `output` from `input` and the past."""
        self._engine.run()
        self._remember()

    def _remember(self) -> None:
        for target, source in self._copies:
            target[...] = source


def _as_items(channels: Bytes) -> NDArray[np.void]:
    """The c channels of a position as one item, which numpy copies at once instead of byte by byte."""
    return channels.view(f"V{channels.shape[-1]}")
