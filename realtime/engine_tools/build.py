"""`engines build`: a subject's engines for this machine, checked on the subject's clips; or plans for other GPUs."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from engines.backends import Auto, BackendName, Precision, int8_graph, known_backend
from engines.build import build_engine
from engines.cache import Cache, Cached
from engines.choose import candidates
from engines.errors import UserError
from engines.load import load_engine
from engines.nvidia.load import BUILD_S, PLAN, build_ahead
from engines.onnx_check import check_graph
from engines.parity import Parity
from realtime.subject import Subject
from realtime.subject_clips import FILE, SubjectClips, load_clips


def build_subject(
    subject: Subject, *, backend: Auto | BackendName, precision: Auto | Precision, threads: int, cache: Cache
) -> None:
    """Build whatever is wanted and possible here, and check its parity; prints a table, and one line of JSON.

    Raises:
        UserError: nothing of it is possible, or none of it holds.
    """
    for graph in subject.graphs:
        check_graph(graph)
    choices = candidates(subject.graphs, backend, precision)
    if load_clips(subject.folder) is None:
        raise UserError(f"{subject.folder} has no {FILE}, the clips to check engines on: export the subject again.")
    rollouts = SubjectClips.of(subject).rollouts(*(load_engine(graph, threads=threads) for graph in subject.graphs))
    table = Table(
        "backend", "precision", "network", "worst step, dB", "of a chain", title=f"{subject.manifest.name}'s engines"
    )
    rows: list[dict[str, str | float]] = []
    refused = ""
    for choice in choices:
        for graph in subject.graphs:
            name = f"{subject.manifest.name}/{graph.stem}"
            try:
                built = build_engine(
                    graph,
                    name=name,
                    backend=choice.backend,
                    precision=choice.precision,
                    threads=threads,
                    rollout=rollouts[graph.stem],
                    cache=cache,
                )
            except UserError as error:
                refused = str(error)
                table.add_row(*choice, graph.stem, f"[red]{refused}")
                continue
            found_db = {name: built.entry.metrics[name] for name in Parity._fields}
            rows.append({**choice._asdict(), "network": graph.stem, **found_db})
            table.add_row(*choice, graph.stem, *map(str, found_db.values()))
    if not rows:
        raise UserError(refused)
    Console().print(table)
    if not int8_graph(subject.generator).is_file() and precision == "auto":
        print("No int8: the subject was exported without it. Export it again with `trainer export`.")
    print(msgspec.json.encode({"rows": rows}).decode())


def build_plans(subject: Subject, *, precision: Precision, targets: Sequence[str] | None, cache: Cache) -> None:
    """Build TensorRT-RTX plans for other people's GPUs, of all networks; prints a table, and one line of JSON.

    Args:
        subject: whose networks.
        precision: "f16" or "f32".
        targets: generations of GPUs; None: all.
        cache: where the plans are kept, or are already.

    Raises:
        UserError: TensorRT-RTX is not installed, or knows no such precision or target.
    """
    offered = known_backend("tensorrt-rtx").precisions
    if precision not in offered:
        raise UserError(f"--precision must be one of {', '.join(offered)} for tensorrt-rtx, not {precision}.")
    rows = []
    table = Table("network", "for", "MiB", "built in s", title=f"{subject.manifest.name} on tensorrt-rtx, {precision}")
    for graph in subject.graphs:
        built = _build_plan(graph, f"{subject.manifest.name}/{graph.stem}", precision, targets, cache)
        file, key = built.folder / PLAN, built.entry.key
        mib, build_s = round(file.stat().st_size / 2**20, 1), built.entry.metrics[BUILD_S]
        row = {"network": graph.stem, "targets": key.device.split(), "mib": mib, "build_s": build_s, "file": str(file)}
        rows.append(row)
        table.add_row(graph.stem, key.device, str(mib), str(build_s))
    Console().print(table)
    print(msgspec.json.encode({"backend": "tensorrt-rtx", "precision": precision, "rows": rows}).decode())


def _build_plan(graph: Path, name: str, precision: Precision, targets: Sequence[str] | None, cache: Cache) -> Cached:
    with Progress(transient=True) as progress:
        task = progress.add_task(f"Building {graph.stem}")

        def show(phase: str, done: int, total: int) -> None:
            progress.update(task, description=phase, completed=done, total=total)

        return build_ahead(graph, name=name, precision=precision, targets=targets, cache=cache, progress=show)
