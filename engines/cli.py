"""`engines`: look at networks and how this machine runs them."""

import time
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from engines.errors import UserError
from engines.load import load_engine


def bench(
    graph: Annotated[Positional[Path], tyro.conf.arg(metavar="GRAPH")], /, threads: int = 1, runs: int = 30
) -> None:
    """Measure one network in every precision.

    Args:
        graph: an .onnx file, e.g. a subject's generator.onnx.
        threads: cores that a run may use.
        runs: measured runs of each.
    """
    if runs < 1 or threads < 1:
        raise UserError("--runs and --threads must be at least 1.")
    rows = []
    table = Table("backend", "precision", "p50 ms", "p95 ms", title=graph.name)
    for precision in ("f32", "bf16"):
        engine = load_engine(graph, precision=precision, threads=threads)
        engine.run()  # the first run is a cold one
        durations_ms = []
        for _ in range(runs):
            begun_at_s = time.perf_counter()
            engine.run()
            durations_ms.append((time.perf_counter() - begun_at_s) * 1000)
        p50, p95 = (round(float(value), 2) for value in np.percentile(durations_ms, (50, 95)))
        rows.append({"backend": "openvino", "precision": precision, "threads": threads, "ms": {"p50": p50, "p95": p95}})
        table.add_row("openvino", precision, str(p50), str(p95))
    Console().print(table)
    print(msgspec.json.encode({"rows": rows}).decode())
