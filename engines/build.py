"""Build an engine, prove it, and remember the proof beside it."""

from pathlib import Path

from engines.cache import Cache, Cached, Key
from engines.errors import UserError
from engines.keys import engine_key
from engines.load import load_engine
from engines.parity import FLOORS_DB, Drive, parity_db

PARITY = "parity_db"
"""Name of the figure in the cache's entry."""


def build_engine(
    graph: Path,
    *,
    name: str,
    backend: str,
    precision: str,
    threads: int,
    drive: Drive,
    cache: Cache,
    key: Key | None = None,
) -> Cached:
    """Build an engine unless the cache has it, and roll it out against OpenVINO's f32 on the calibration material.

    Args:
        graph: ONNX file.
        name: for people, e.g. "alice/generator".
        backend, precision, threads: as for `load_engine`.
        drive: plays the calibration material.
        cache: where the proof is kept (and the engine, if its backend has files to keep).
        key: the entry's key, `engine_key` of this processor if not given.

    Raises:
        UserError: it differs too much from its f32 twin.
    """

    def prove(_folder: Path) -> dict[str, float]:
        found_db = parity_db(
            load_engine(graph, threads=threads),
            load_engine(graph, backend=backend, precision=precision, threads=threads),
            drive,
        )
        if found_db < FLOORS_DB[precision]:
            raise UserError(
                f"{name} on {backend} in {precision} is only {found_db:.1f} dB from its f32 twin, "
                f"{FLOORS_DB[precision]:g} are needed: use another precision or backend."
            )
        return {PARITY: round(found_db, 1)}

    return cache.get_or_build(key or engine_key(graph, backend, precision), name, prove)
