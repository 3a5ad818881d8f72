"""Checks of an engine on the device that it runs on: parity, latency, memory, endurance. For every backend.

The same frames go through the engine and its f32 reference: from the reference's past, and each fed its own outputs.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import msgspec
import numpy as np

from engines.backends import Precision
from engines.engine import Bytes, Engine
from engines.errors import UserError
from engines.parity import CHAIN_FLOORS_DB, FLOORS_DB, ComparingEngine, Parity, only_output, psnr_db
from engines.recurrent import DeviceEngine, RecurrentEngine, make_recurrent

LEAK_BYTES = 16 << 20
"""Growth over `VerifyConfig.steps` steps that counts as a leak."""
WARM_UP_STEPS = 50
"""Steps until caches are full and memory may not grow any more."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one check."""

    name: str
    passed: bool
    metrics: Mapping[str, float | str]


@dataclass(frozen=True, kw_only=True)
class ReferenceFrames:
    """What a recurrent network is given, over and over; see `engines.recurrent`."""

    inputs: Sequence[Bytes]
    """In order: uint8 [1, h, w, c] each."""
    previous_input: Bytes
    """The one before the first."""
    previous_output: Bytes
    """The output that every chain starts from."""


@dataclass(frozen=True, kw_only=True)
class VerifyConfig:
    """How long to check."""

    timed: int = 300
    """Steps that are timed."""
    steps: int = 1000
    """Steps over which memory must not grow."""
    long_steps: int = 10_000
    """Steps of the endurance chain."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                option = field.name.replace("_", "-")
                raise UserError(f"--{option} must be at least 1, not {getattr(self, field.name)}.")


def verify(
    engine: Engine,
    reference: Engine,
    frames: ReferenceFrames,
    *,
    precision: Precision,
    config: VerifyConfig,
    picture: Callable[[Engine], Bytes] = only_output,
) -> Iterator[Check]:
    """All checks of a recurrent network, one after the other.

    Args:
        engine: what is checked.
        reference: the same network in f32 on another backend.
        frames: what both are given.
        precision: the engine's, which decides how near the reference it has to be.
        config: how long.
        picture: what people get to see of a run, as in `engines.parity.Rollout`.
    """
    comparing = ComparingEngine(reference, engine, picture)
    expected = _pictures(make_recurrent(comparing), frames, lambda: picture(reference))
    recurrent = make_recurrent(engine)
    chain_db = min(map(psnr_db, expected, _pictures(recurrent, frames, lambda: picture(engine))))
    found = _outputs(recurrent, frames)
    parity = Parity(comparing.worst_db, chain_db)
    floors = {"step_floor_db": FLOORS_DB[precision], "chain_floor_db": CHAIN_FLOORS_DB[precision]}
    yield _check("parity", parity.holds(precision), **parity._asdict(), **floors)
    yield _check("latency", True, **_percentiles_ms(lambda: _step(recurrent, frames, 0), config.timed))
    if isinstance(engine, DeviceEngine):
        yield from _verify_device(engine, recurrent, found, frames, config)
    yield _verify_memory(engine, recurrent, frames, config.steps)
    yield _verify_endurance(recurrent, frames, config.long_steps)


def verify_once(
    name: str, engine: Engine, reference: Engine, inputs: Sequence[Bytes], *, precision: Precision
) -> Check:
    """Parity of a network without a past, on inputs of the shape of its only input."""
    worst_db = min(psnr_db(_answer(engine, each), _answer(reference, each)) for each in inputs)
    return _check(
        f"parity of {name}", worst_db >= FLOORS_DB[precision], worst_db=worst_db, floor_db=FLOORS_DB[precision]
    )


def durations_ms(work: Callable[[], object], runs: int) -> list[float]:
    """Milliseconds of each run, after two that warm up."""
    work()
    work()
    durations = []
    for _ in range(runs):
        begun_at_s = time.perf_counter()
        work()
        durations.append((time.perf_counter() - begun_at_s) * 1000)
    return durations


def host_bytes() -> int:
    """This process's resident memory; 0 where the system does not tell."""
    info = Path("/proc/self/statm")
    return int(info.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if info.is_file() else 0


def _verify_device(
    engine: DeviceEngine,
    recurrent: RecurrentEngine,
    found: Sequence[Bytes],
    frames: ReferenceFrames,
    config: VerifyConfig,
) -> Iterator[Check]:
    """The ways to run it that must give the outputs `found`, and what they and the copies cost."""
    with _replay(engine, False):
        yield _same("piece by piece as replayed", _outputs(recurrent, frames), found)
        timings = _percentiles_ms(lambda: _step(recurrent, frames, 0), config.timed)
        yield _check("latency piece by piece", True, **timings)
    through_host = _outputs(make_recurrent(engine, on_host=True), frames)
    yield _same("state on the host as on the device", through_host, found)
    copies = {"to_device": engine.upload, "to_host": engine.download}
    metrics = {
        f"{name}_{key}": value
        for name, copy in copies.items()
        for key, value in _percentiles_ms(copy, config.timed).items()
    }
    yield _check("copies of all inputs and outputs", True, **metrics)


def _verify_memory(engine: Engine, recurrent: RecurrentEngine, frames: ReferenceFrames, steps: int) -> Check:
    def used() -> tuple[int, int]:
        return host_bytes(), engine.used_bytes() if isinstance(engine, DeviceEngine) else 0

    for number in range(min(steps, WARM_UP_STEPS)):
        _step(recurrent, frames, number)
    before = used()
    for number in range(steps):
        _step(recurrent, frames, number)
    host, device = (after - begun for begun, after in zip(before, used(), strict=True))
    metrics = {"host_mib": host / 2**20, "device_mib": device / 2**20, "steps": float(steps)}
    return _check("memory does not grow", max(host, device) < LEAK_BYTES, **metrics)


def _verify_endurance(recurrent: RecurrentEngine, frames: ReferenceFrames, steps: int) -> Check:
    """No output of a long chain is lost; how near the last outputs are to the first ones is told, not judged."""
    recurrent.reset(frames.previous_input, frames.previous_output)
    lost = 0
    first: list[Bytes] = []
    drift_db = np.inf
    for number in range(steps):
        output = _step(recurrent, frames, number)
        lost += int(output.min() == output.max())  # what NaN becomes in uint8: one colour everywhere
        if number < len(frames.inputs):
            first.append(output.copy())
        elif number >= steps - len(frames.inputs):
            drift_db = min(drift_db, psnr_db(first[number % len(frames.inputs)], output))
    metrics = {"steps": float(steps), "lost": float(lost)}
    return _check("long chain", not lost, **metrics, **({"last_to_first_db": drift_db} if drift_db < np.inf else {}))


def _outputs(recurrent: RecurrentEngine, frames: ReferenceFrames) -> list[Bytes]:
    return _pictures(recurrent, frames, lambda: recurrent.output)


def _pictures(recurrent: RecurrentEngine, frames: ReferenceFrames, picture: Callable[[], Bytes]) -> list[Bytes]:
    recurrent.reset(frames.previous_input, frames.previous_output)
    found = []
    for number in range(len(frames.inputs)):
        _step(recurrent, frames, number)
        found.append(picture().copy())
    return found


def _step(recurrent: RecurrentEngine, frames: ReferenceFrames, number: int) -> Bytes:
    recurrent.input[...] = frames.inputs[number % len(frames.inputs)]
    recurrent.run()
    return recurrent.output


def _answer(engine: Engine, given: Bytes) -> Bytes:
    (buffer,), (output,) = engine.inputs.values(), engine.outputs.values()
    buffer[...] = given
    engine.run()
    return np.asarray(output, np.uint8).copy()


@contextmanager
def _replay(engine: DeviceEngine, on: bool) -> Iterator[None]:
    before, engine.replay = engine.replay, on
    try:
        yield
    finally:
        engine.replay = before


def _percentiles_ms(work: Callable[[], object], runs: int) -> dict[str, float]:
    p50, p95 = np.percentile(durations_ms(work, runs), (50, 95))
    return {"p50_ms": float(p50), "p95_ms": float(p95)}


def _same(name: str, one: Sequence[Bytes], other: Sequence[Bytes]) -> Check:
    different = sum(not np.array_equal(*pair) for pair in zip(one, other, strict=True))
    return _check(name, not different, different_frames=float(different), frames=float(len(one)))


def _check(name: str, passed: bool, **metrics: float) -> Check:
    return Check(name=name, passed=bool(passed), metrics={key: round(value, 3) for key, value in metrics.items()})
