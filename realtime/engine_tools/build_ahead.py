"""`engines build --backend tensorrt-rtx`: a subject's plans for other people's GPUs, built where there is none."""

from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from engines.backends import Precision, known_backend
from engines.cache import Cache, Cached
from engines.errors import UserError
from engines.nvidia.load import BUILD_S, PLAN, build_ahead
from realtime.subject import Subject


def build_plans(subject: Subject, *, precision: Precision, targets: tuple[str, ...], cache: Cache) -> None:
    """Build the plans of both networks unless the cache has them; prints a table, and one line of JSON."""
    offered = known_backend("tensorrt-rtx").precisions
    if precision not in offered:
        raise UserError(f"--precision must be one of {', '.join(offered)} for tensorrt-rtx, not {precision}.")
    rows = []
    table = Table("network", "for", "MiB", "built in s", title=f"{subject.manifest.name} on tensorrt-rtx, {precision}")
    for graph in (subject.generator, subject.face):
        built = _build(graph, f"{subject.manifest.name}/{graph.stem}", precision, targets, cache)
        file = built.folder / PLAN
        mib, build_s = round(file.stat().st_size / 2**20, 1), built.entry.metrics[BUILD_S]
        rows.append({"network": graph.stem, "targets": targets, "mib": mib, "build_s": build_s, "file": str(file)})
        table.add_row(graph.stem, " ".join(targets), str(mib), str(build_s))
    Console().print(table)
    print(msgspec.json.encode({"backend": "tensorrt-rtx", "precision": precision, "rows": rows}).decode())


def _build(graph: Path, name: str, precision: Precision, targets: tuple[str, ...], cache: Cache) -> Cached:
    with Progress(transient=True) as progress:
        task = progress.add_task(f"Building {graph.stem}")

        def show(phase: str, done: int, total: int) -> None:
            progress.update(task, description=phase, completed=done, total=total)

        return build_ahead(graph, name=name, precision=precision, targets=targets, cache=cache, progress=show)
