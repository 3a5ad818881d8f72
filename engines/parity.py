"""Proof that an engine computes what the graph says: rolled out beside its f32 twin, each fed its own outputs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.engine import Engine

Drive = Callable[[Engine], Iterator[NDArray[np.uint8]]]
"""Plays the same material through any engine, feeding back what it feeds back, and yields every output (uint8, whole
range)."""

FLOORS_DB: Mapping[str, float] = MappingProxyType({"f32": 60.0, "bf16": 40.0, "f16": 40.0, "int8": 34.0})
"""Least PSNR of the worst output against the f32 twin, by precision."""

SAME_DB = 99.0
"""Stands for equal pictures."""


def psnr_db(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio of uint8 arrays in dB, at most `SAME_DB`."""
    error = float(np.square(one.astype(np.float32) - other).mean())
    return min(SAME_DB, 10 * float(np.log10(255**2 / error))) if error else SAME_DB


def parity_db(reference: Engine, candidate: Engine, drive: Drive) -> float:
    """PSNR of the worst output of the whole drive."""
    return min(psnr_db(one, other) for one, other in zip(drive(reference), drive(candidate), strict=True))


class Recorder:
    """An engine that keeps what it was given: copies of the only input of every `every`-th run."""

    def __init__(self, engine: Engine, every: int = 1) -> None:
        self._engine, self._every, self._runs = engine, every, 0
        self.inputs, self.outputs = engine.inputs, engine.outputs
        (self._input,) = engine.inputs.values()
        self.seen: list[NDArray[Any]] = []

    def run(self) -> None:
        """Compute `outputs` from `inputs`."""
        if self._runs % self._every == 0:
            self.seen.append(self._input.copy())
        self._runs += 1
        self._engine.run()


def replay(inputs: Sequence[NDArray[Any]]) -> Drive:
    """A drive of a network without a past, with one input and one output."""

    def drive(engine: Engine) -> Iterator[NDArray[np.uint8]]:
        (entering,), (output,) = engine.inputs.values(), engine.outputs.values()
        for each in inputs:
            entering[...] = each
            engine.run()
            yield output

    return drive
