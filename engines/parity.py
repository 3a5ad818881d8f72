"""How near an engine is to a reference, the same network in f32 on another backend: step by step, and in a rollout.

A rollout feeds each engine its own outputs, which magnifies rounding wherever the network itself is undecided: two
right engines may differ for a while. The single steps, from the reference's past, show whether an engine is right; the
rollout shows whether the pictures still match.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engines.backends import Precision
from engines.engine import Bytes, Engine


def only_output(engine: Engine) -> Bytes:
    """The output of an engine that has one."""
    (output,) = engine.outputs.values()
    return output


@dataclass(frozen=True, slots=True)
class Rollout:
    """Frames to play through engines of one network."""

    play: Callable[[Engine], Iterator[Bytes]]
    """Runs an engine for every frame, with what it has put out before if the network is recurrent, and yields what
    people get to see: uint8, whole range."""
    picture: Callable[[Engine], Bytes] = only_output
    """What people get to see of the run that an engine has just made, from its inputs and outputs."""


FLOORS_DB: Mapping[Precision, float] = MappingProxyType({"f32": 60.0, "bf16": 40.0, "f16": 40.0, "int8": 34.0})
"""Least PSNR of the worst step against the reference's from the same past, by precision."""

CHAIN_FLOORS_DB: Mapping[Precision, float] = MappingProxyType({**FLOORS_DB, "f32": 40.0})
"""The same of the worst output of a rollout; right f32 engines were seen 48.7 dB apart."""

SAME_DB = 99.0
"""Stands for equal pictures."""


def psnr_db(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio of uint8 arrays in dB, at most `SAME_DB`."""
    assert one.shape == other.shape, f"{one.shape} against {other.shape}"
    assert one.dtype == other.dtype == np.uint8, f"want uint8, not {one.dtype} and {other.dtype}"
    error = float(np.square(one.astype(np.float32) - other).mean(dtype=np.float64))
    return min(SAME_DB, 10 * float(np.log10(255**2 / error))) if error else SAME_DB


class Parity(NamedTuple):
    """How near an engine is to its reference: PSNR of the worst output in dB."""

    step_db: float
    """Of single steps, each from the reference's past."""
    chain_db: float
    """Of a rollout, in which each is fed its own outputs."""

    def holds(self, precision: Precision) -> bool:
        """Whether both are near enough."""
        return self.step_db >= FLOORS_DB[precision] and self.chain_db >= CHAIN_FLOORS_DB[precision]


def measure_parity(reference: Engine, candidate: Engine, rollout: Rollout) -> Parity:
    """Play a rollout by the reference, whose pictures are kept, with the candidate beside it, then by that alone."""
    comparing = ComparingEngine(reference, candidate, rollout.picture)
    expected = [picture.copy() for picture in rollout.play(comparing)]
    chain_db = min(psnr_db(one, other) for one, other in zip(expected, rollout.play(candidate), strict=True))
    return Parity(comparing.worst_db, chain_db)


class ComparingEngine:
    """The reference as an engine that gives each of its inputs to a candidate, too, and compares the pictures.

    Both have one input; `picture` is as in `Rollout`.
    """

    def __init__(self, reference: Engine, candidate: Engine, picture: Callable[[Engine], Bytes] = only_output) -> None:
        self.inputs, self.outputs = reference.inputs, reference.outputs
        self.worst_db = SAME_DB
        """The lowest PSNR so far."""
        self._reference, self._candidate, self._picture = reference, candidate, picture

    def run(self) -> None:
        """Compute `outputs` from `inputs`, and compare."""
        (given,), (copied,) = self.inputs.values(), self._candidate.inputs.values()
        copied[...] = given
        self._reference.run()
        self._candidate.run()
        expected, found = self._picture(self._reference), self._picture(self._candidate)
        self.worst_db = min(self.worst_db, psnr_db(expected, found))


class RecordingEngine:
    """An engine that keeps a copy of its only input in every `every`-th run."""

    def __init__(self, engine: Engine, every: int = 1) -> None:
        self._engine, self._every, self._runs = engine, every, 0
        self.inputs, self.outputs = engine.inputs, engine.outputs
        (self._input,) = engine.inputs.values()
        self.recorded: list[NDArray[Any]] = []

    def run(self) -> None:
        """Compute `outputs` from `inputs`."""
        if self._runs % self._every == 0:
            self.recorded.append(self._input.copy())
        self._runs += 1
        self._engine.run()


def rollout_of(inputs: Sequence[NDArray[Any]]) -> Rollout:
    """The rollout of a network without a past, with one input and one output: it is given `inputs` one by one."""

    def play(engine: Engine) -> Iterator[Bytes]:
        (buffer,) = engine.inputs.values()
        for each in inputs:
            buffer[...] = each
            engine.run()
            yield only_output(engine)

    return Rollout(play)
