"""`engines build`: a subject's engines for this machine, each proven on the subject's own moves."""

import msgspec
from rich.console import Console
from rich.table import Table

from engines.backends import Auto, BackendName, Precision, quantized
from engines.build import build_engine
from engines.cache import Cache
from engines.check import check_graph
from engines.choose import candidates
from engines.errors import UserError
from engines.load import load_engine
from engines.parity import Parity
from realtime.rollout import FILE, RollOut, load_clips
from realtime.subject import Subject


def build_subject(
    subject: Subject, *, backend: Auto | BackendName, precision: Auto | Precision, threads: int, cache: Cache
) -> None:
    """Build and prove whatever is wanted and possible here; prints a table, and one line of JSON.

    Raises:
        UserError: nothing of it is possible, or none of it holds.
    """
    for graph in subject.graphs:
        check_graph(graph)
    choices = candidates(subject.graphs, backend, precision)
    if load_clips(subject.folder) is None:
        raise UserError(f"{subject.folder} has no {FILE}, the moves to prove engines on: export the subject again.")
    generator, face = (load_engine(graph, threads=threads) for graph in subject.graphs)
    drives = RollOut.of(subject).drives(generator, face)
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
                    drive=drives[graph.stem],
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
    if not quantized(subject.generator).is_file() and precision == "auto":
        print("No int8: the subject was exported without it. Export it again with `trainer export`.")
    print(msgspec.json.encode({"rows": rows}).decode())
