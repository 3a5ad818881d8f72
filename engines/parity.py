"""Proof that an engine computes what the graph says: beside its f32 twin, step by step and rolled out.

A chain magnifies rounding wherever the network itself is undecided, so two right engines may part for a while. What a
step makes of the same past tells whether an engine is right; the chain tells whether it still shows the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engines.engine import Engine

Rollout = Callable[[Engine], Iterator[NDArray[np.uint8]]]
"""Plays the same material through any engine, feeding back what it feeds back, and yields every output (uint8, whole
range)."""

FLOORS_DB: Mapping[str, float] = MappingProxyType({"f32": 60.0, "bf16": 40.0, "f16": 40.0, "int8": 34.0})
"""Least PSNR of the worst step against the f32 twin's from the same past, by precision."""

CHAIN_FLOORS_DB: Mapping[str, float] = MappingProxyType({**FLOORS_DB, "f32": 40.0})
"""The same of the worst output where each is fed its own outputs; right f32 engines were seen 48.7 dB apart."""

SAME_DB = 99.0
"""Stands for equal pictures."""


def psnr_db(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio of uint8 arrays in dB, at most `SAME_DB`."""
    assert one.shape == other.shape, f"{one.shape} against {other.shape}"
    assert one.dtype == other.dtype == np.uint8, f"want uint8, not {one.dtype} and {other.dtype}"
    error = float(np.square(one.astype(np.float32) - other).mean(dtype=np.float64))
    return min(SAME_DB, 10 * float(np.log10(255**2 / error))) if error else SAME_DB


class Parity(NamedTuple):
    """How near an engine is to its f32 twin: PSNR of the worst output in dB."""

    step_db: float
    """Every step from the twin's past."""
    chain_db: float
    """Each fed its own outputs."""

    def holds(self, precision: str) -> bool:
        """Whether both are near enough."""
        return self.step_db >= FLOORS_DB[precision] and self.chain_db >= CHAIN_FLOORS_DB[precision]


def parity(reference: Engine, candidate: Engine, drive: Rollout) -> Parity:
    """Play the whole drive with both."""
    beside = ComparingEngine(reference, candidate)
    for _ in drive(beside):
        pass
    chain_db = min(psnr_db(one, other) for one, other in zip(drive(reference), drive(candidate), strict=True))
    return Parity(beside.worst_db, chain_db)


class ComparingEngine:
    """An engine that has another one, with one input and one output as it has, compute the same on the side."""

    def __init__(self, engine: Engine, other: Engine) -> None:
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self.worst_db = SAME_DB
        self._engine, self._other = engine, other

    def run(self) -> None:
        """Compute `outputs` from `inputs`."""
        (entering,), (entered,) = self.inputs.values(), self._other.inputs.values()
        entered[...] = entering
        self._engine.run()
        self._other.run()
        (one,), (other,) = self.outputs.values(), self._other.outputs.values()
        self.worst_db = min(self.worst_db, psnr_db(one, other))


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


def replay(inputs: Sequence[NDArray[Any]]) -> Rollout:
    """A drive of a network without a past, with one input and one output."""

    def drive(engine: Engine) -> Iterator[NDArray[np.uint8]]:
        (entering,), (output,) = engine.inputs.values(), engine.outputs.values()
        for each in inputs:
            entering[...] = each
            engine.run()
            yield output

    return drive
