"""Build an engine, prove it, and keep the proof beside it."""

from pathlib import Path

from engines.backends import BackendName, Precision, known_backend
from engines.cache import Cache, Cached
from engines.cache_key import engine_key
from engines.errors import UserError
from engines.load import load_engine
from engines.output_guard import BrokenOutputError
from engines.parity import CHAIN_FLOORS_DB, FLOORS_DB, Parity, Rollout, parity


def build_engine(
    graph: Path, *, name: str, backend: BackendName, precision: Precision, threads: int, drive: Rollout, cache: Cache
) -> Cached:
    """Build an engine and roll it out beside OpenVINO's f32, unless the cache has both engine and proof.

    Args:
        graph: ONNX file.
        name: for people, e.g. "alice/generator".
        backend, precision, threads: as for `load_engine`.
        drive: plays the calibration material.
        cache: where the engine (if its backend has something to keep) and the proof are kept.

    Raises:
        UserError: it cannot be built, or differs too much from its f32 twin; then it is not kept.
    """
    if known_backend(backend).device == "cuda":
        from engines.nvidia.load import build_here

        built = build_here(graph, name=name, backend=backend, precision=precision, cache=cache)
    else:  # compiled in a tenth of a second whenever it is loaded: there is nothing to keep but the proof
        built = cache.get_or_build(engine_key(graph, backend, precision), name, lambda _: {})
    if built.entry.metrics.keys() >= set(Parity._fields):
        return built
    try:
        found = prove(graph, name=name, backend=backend, precision=precision, threads=threads, drive=drive)
    except UserError:
        cache.drop(built)
        raise
    return cache.note(built, {name: round(value, 1) for name, value in found._asdict().items()})


def prove(
    graph: Path, *, name: str, backend: BackendName, precision: Precision, threads: int, drive: Rollout
) -> Parity:
    """How near an engine is to OpenVINO's f32; see `build_engine`.

    Raises:
        UserError: not near enough for its precision.
    """
    twin = load_engine(graph, threads=threads)
    candidate = load_engine(graph, backend=backend, precision=precision, threads=threads)
    try:
        found = parity(twin, candidate, drive)
    except BrokenOutputError as error:
        raise UserError(f"{name} on {backend} in {precision} computes no pictures: {error}.") from error
    if not found.holds(precision):
        raise UserError(
            f"{name} on {backend} in {precision} is only {found.step_db:.1f} dB a step and {found.chain_db:.1f} dB in "
            f"a chain from its f32 twin, {FLOORS_DB[precision]:g} and {CHAIN_FLOORS_DB[precision]:g} are needed: "
            "use another precision or backend."
        )
    return found
