"""Build an engine, prove it, and keep the proof beside it."""

from pathlib import Path

from engines.backends import known_backend
from engines.cache import Cache, Cached
from engines.errors import UserError
from engines.guard import BrokenOutputError
from engines.keys import engine_key
from engines.load import load_engine
from engines.parity import FLOORS_DB, Drive, parity_db

PARITY = "parity_db"
"""Name of the figure in the cache's entry."""


def build_engine(
    graph: Path, *, name: str, backend: str, precision: str, threads: int, drive: Drive, cache: Cache
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
        from engines.nvidia import build_here

        built = build_here(graph, name=name, backend=backend, precision=precision, cache=cache)
    else:  # compiled in a tenth of a second whenever it is loaded: there is nothing to keep but the proof
        built = cache.get_or_build(engine_key(graph, backend, precision), name, lambda _: {})
    if PARITY in built.entry.figures:
        return built
    try:
        found_db = prove(graph, name=name, backend=backend, precision=precision, threads=threads, drive=drive)
    except UserError:
        cache.drop(built)
        raise
    return cache.note(built, {PARITY: round(found_db, 1)})


def prove(graph: Path, *, name: str, backend: str, precision: str, threads: int, drive: Drive) -> float:
    """PSNR in dB of an engine's worst output against OpenVINO's f32; see `build_engine`.

    Raises:
        UserError: it is below the floor of its precision.
    """
    twin = load_engine(graph, threads=threads)
    candidate = load_engine(graph, backend=backend, precision=precision, threads=threads)
    try:
        found_db = parity_db(twin, candidate, drive)
    except BrokenOutputError as error:
        raise UserError(f"{name} on {backend} in {precision} computes no pictures: {error}.") from error
    if found_db < FLOORS_DB[precision]:
        raise UserError(
            f"{name} on {backend} in {precision} is only {found_db:.1f} dB from its f32 twin, "
            f"{FLOORS_DB[precision]:g} are needed: use another precision or backend."
        )
    return found_db
