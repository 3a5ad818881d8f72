"""Every check of an engine that needs the device it runs on: right, fast, steady. Any backend can be checked.

The same frames go through the engine and its f32 twin: from the twin's past, and each fed its own outputs.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from engines.backends import Precision
from engines.engine import Engine
from engines.parity import CHAIN_FLOORS_DB, FLOORS_DB, ComparingEngine, Parity, psnr_db
from engines.recurrent import Bytes, Chain, DeviceEngine, HostChain, chain_of

LEAK_BYTES = 16 << 20
"""Growth over `VerifyConfig.steps` steps that counts as a leak."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    name: str
    passed: bool
    metrics: Mapping[str, float | str]


@dataclass(frozen=True, kw_only=True)
class ReferenceFrames:
    """What is played, over and over: a recurrent network's own diet."""

    frames: Sequence[Bytes]
    """What enters, in order: uint8 [1, h, w, c] each."""
    blank: Bytes
    """What entered before the first."""
    first: Bytes
    """The output that every chain starts from."""


@dataclass(frozen=True, kw_only=True)
class VerifyConfig:
    """How long to look."""

    timed: int = 300
    steps: int = 1000
    """Steps over which memory must not grow."""
    long_steps: int = 10_000
    """Steps of the endurance chain."""

    def __post_init__(self) -> None:
        if min(self.timed, self.steps, self.long_steps) < 1:
            raise ValueError(f"each part must be at least one step, not {self}")


def verify(
    engine: Engine, twin: Engine, material: ReferenceFrames, *, precision: Precision, config: VerifyConfig
) -> Iterator[Check]:
    """All checks of a recurrent network, one after the other.

    Args:
        engine: what is checked.
        twin: the same network in f32 on another backend.
        material: the frames.
        precision: the engine's, which decides how near the twin it has to be.
        config: how long.
    """
    beside = ComparingEngine(twin, engine)
    expected = _played(HostChain(beside), material)
    chain = chain_of(engine)
    found = _played(chain, material)
    parity = Parity(beside.worst_db, min(map(psnr_db, expected, found)))
    floors = {"step_floor_db": FLOORS_DB[precision], "chain_floor_db": CHAIN_FLOORS_DB[precision]}
    yield _check("parity", parity.holds(precision), **parity._asdict(), **floors)
    yield _check("latency", True, **_percentiles_ms(lambda: _step(chain, material, 0), config.timed))
    if isinstance(engine, DeviceEngine):
        yield from _verify_device(engine, chain, found, material, config)
    yield _memory(engine, chain, material, config.steps)
    yield _endurance(chain, material, config.long_steps)


def verify_once(name: str, engine: Engine, twin: Engine, material: Sequence[Bytes], *, precision: Precision) -> Check:
    """Parity of a network without a past, on inputs in whatever its only input takes."""
    worst_db = min(psnr_db(_answer(engine, each), _answer(twin, each)) for each in material)
    return _check(
        f"parity of {name}", worst_db >= FLOORS_DB[precision], worst_db=worst_db, floor_db=FLOORS_DB[precision]
    )


def _verify_device(
    engine: DeviceEngine, chain: Chain, found: Sequence[Bytes], material: ReferenceFrames, config: VerifyConfig
) -> Iterator[Check]:
    with _replay(engine, False):
        yield _same("piece by piece as replayed", _played(chain, material), found)
        yield _check("latency piece by piece", True, **_percentiles_ms(lambda: _step(chain, material, 0), config.timed))
    through_host = _played(HostChain(engine), material)
    yield _same("state on the host as on the device", through_host, found)
    copies = {"to_device": engine.upload, "to_host": engine.download}
    metrics = {
        f"{name}_{key}": value
        for name, copy in copies.items()
        for key, value in _percentiles_ms(copy, config.timed).items()
    }
    yield _check("copies of all inputs and outputs", True, **metrics)


def _memory(engine: Engine, chain: Chain, material: ReferenceFrames, steps: int) -> Check:
    def used() -> tuple[int, int]:
        return host_bytes(), engine.used_bytes() if isinstance(engine, DeviceEngine) else 0

    for number in range(min(steps, 50)):  # caches fill
        _step(chain, material, number)
    before = used()
    for number in range(steps):
        _step(chain, material, number)
    host, device = (after - begun for begun, after in zip(before, used(), strict=True))
    metrics = {"host_mib": host / 2**20, "device_mib": device / 2**20, "steps": float(steps)}
    return _check("memory does not grow", max(host, device) < LEAK_BYTES, **metrics)


def _endurance(chain: Chain, material: ReferenceFrames, steps: int) -> Check:
    chain.restart(material.blank, material.first)
    lost = 0
    seen: list[Bytes] = []
    drift_db = np.inf
    for number in range(steps):
        output = _step(chain, material, number)
        lost += int(output.min() == output.max())  # what NaN becomes in uint8: one colour everywhere
        if number < len(material.frames):
            seen.append(output.copy())
        elif number >= steps - len(material.frames):
            drift_db = min(drift_db, psnr_db(seen[number % len(material.frames)], output))
    metrics = {"steps": float(steps), "lost": float(lost)}
    return _check("long chain", not lost, **metrics, **({"last_to_first_db": drift_db} if drift_db < np.inf else {}))


def _played(chain: Chain, material: ReferenceFrames) -> list[Bytes]:
    chain.restart(material.blank, material.first)
    return [_step(chain, material, number).copy() for number in range(len(material.frames))]


def _step(chain: Chain, material: ReferenceFrames, number: int) -> Bytes:
    chain.entering[...] = material.frames[number % len(material.frames)]
    chain.run()
    return chain.output


def _answer(engine: Engine, entering: Bytes) -> Bytes:
    (inputs,), (output,) = engine.inputs.values(), engine.outputs.values()
    inputs[...] = entering
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
    durations_ms = []
    work()
    for _ in range(runs):
        begun_at_s = time.perf_counter()
        work()
        durations_ms.append((time.perf_counter() - begun_at_s) * 1000)
    p50, p95 = np.percentile(durations_ms, (50, 95))
    return {"p50_ms": float(p50), "p95_ms": float(p95)}


def host_bytes() -> int:
    """This process's resident memory; 0 where the system does not tell."""
    info = Path("/proc/self/statm")
    return int(info.read_text().split()[1]) * 4096 if info.is_file() else 0


def _same(name: str, one: Sequence[Bytes], other: Sequence[Bytes]) -> Check:
    different = sum(not np.array_equal(*pair) for pair in zip(one, other, strict=True))
    return _check(name, not different, different_frames=float(different), frames=float(len(one)))


def _check(name: str, passed: bool, **metrics: float) -> Check:
    return Check(name=name, passed=bool(passed), metrics={key: round(value, 3) for key, value in metrics.items()})
