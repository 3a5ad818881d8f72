"""`engines bench`: a table of what runs a step how fast, against the paper's generator in torch."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import track
from rich.table import Table

from engines.bench import baseline, bench
from engines.choose import candidates


def bench_graphs(graphs: Sequence[Path], *, title: str, threads: Sequence[int], runs: int, beside_paper: bool) -> None:
    """Measure one run of every graph in all ways that this machine has; prints a table, and one line of JSON."""
    choices = candidates(graphs)
    rows = list(
        track(
            bench(graphs, choices, threads, runs=runs),
            description="Measuring",
            total=len(choices) * len(threads),
            transient=True,
        )
    )
    if beside_paper and (row := baseline(max(threads))):
        rows.append(row)
    table = Table("backend", "precision", "threads", "p50 ms", "p95 ms", "GMAC/s", "% of peak", title=title)
    for row in rows:
        metrics = (row.threads, row.ms.p50, row.ms.p95, row.gmacs, row.peak_percent)
        table.add_row(row.backend, row.precision, *("" if each is None else str(each) for each in metrics))
    Console().print(table)
    print(msgspec.json.encode({"rows": rows}).decode())
