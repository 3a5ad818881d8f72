"""Build an engine, check its parity, and keep the result beside it."""

from pathlib import Path

from engines.backends import BackendName, Precision, known_backend
from engines.cache import Cache, Cached, engine_key
from engines.engine import BrokenOutputError
from engines.errors import UserError
from engines.load import load_engine
from engines.parity import CHAIN_FLOORS_DB, FLOORS_DB, Parity, Rollout, measure_parity


def build_engine(
    graph: Path,
    *,
    name: str,
    backend: BackendName,
    precision: Precision,
    threads: int,
    rollout: Rollout,
    cache: Cache,
) -> Cached:
    """Build an engine and check its parity, unless the cache has both the engine and its parity.

    Args:
        graph: ONNX file.
        name: for people, e.g. "alice/generator".
        backend, precision, threads: as for `load_engine`.
        rollout: plays the calibration frames.
        cache: where the engine (if its backend has something to keep) and its parity are kept.

    Raises:
        UserError: it cannot be built, or differs too much from the f32 reference; then it is not kept.
    """
    if known_backend(backend).device == "cuda":
        from engines.nvidia.load import build_here

        built = build_here(graph, name=name, backend=backend, precision=precision, cache=cache)
    else:  # compiled in a tenth of a second whenever it is loaded: only its parity is worth keeping
        built = cache.get_or_build(engine_key(graph, backend, precision), name, lambda _: {})
    if built.entry.metrics.keys() >= set(Parity._fields):
        return built
    try:
        found = check_parity(graph, name=name, backend=backend, precision=precision, threads=threads, rollout=rollout)
    except UserError:
        cache.drop(built)
        raise
    return cache.note(built, {name: round(value, 1) for name, value in found._asdict().items()})


def check_parity(
    graph: Path, *, name: str, backend: BackendName, precision: Precision, threads: int, rollout: Rollout
) -> Parity:
    """How near an engine is to OpenVINO's f32; see `build_engine`.

    Raises:
        UserError: not near enough for its precision.
    """
    reference = load_engine(graph, threads=threads)
    candidate = load_engine(graph, backend=backend, precision=precision, threads=threads)
    try:
        found = measure_parity(reference, candidate, rollout)
    except BrokenOutputError as error:
        raise UserError(f"{name} on {backend} in {precision} computes no pictures: {error}.") from error
    if not found.holds(precision):
        raise UserError(
            f"{name} on {backend} in {precision} is only {found.step_db:.1f} dB a step and {found.chain_db:.1f} dB in "
            f"a chain from f32, {FLOORS_DB[precision]:g} and {CHAIN_FLOORS_DB[precision]:g} are needed: "
            "use another precision or backend."
        )
    return found
