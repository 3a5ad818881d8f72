"""`engines`: build, prove, check and measure how this machine runs a subject's networks."""

import os
import time

from tyro.conf import Positional

from engines.backends import Auto, BackendName, Precision
from engines.console import run_commands
from engines.errors import UserError
from realtime.engine_tools.verify import verify_subject

SPARE = max(1, (os.cpu_count() or 2) - 1)
"""One core is the pose's."""


def build(
    subject: Positional[str] = "alice",
    /,
    backend: Auto | BackendName = "auto",
    precision: Auto | Precision = "auto",
    target: str = "",
    threads: int = SPARE,
) -> None:
    """Build a subject's engines and prove each on the subject's own moves; one that is not true enough is refused.

    Args:
        subject: whose: a name, or the path of a subject's folder.
        backend: what will run them; auto is everything that this machine can run.
        precision: its arithmetic; auto is all that it has.
        target: with tensorrt-rtx: generations of GPUs, none of which has to be here, e.g. sm89,sm120, or all.
        threads: cores to prove them on.
    """
    from engines.cache import Cache
    from engines.nvidia.plan_header import TARGETS, check_targets
    from realtime.engine_tools.build import build_subject
    from realtime.engine_tools.build_ahead import build_plans
    from realtime.subject import load_subject

    if target:
        if backend != "tensorrt-rtx":
            raise UserError("--target is for --backend tensorrt-rtx: add that, or leave it out.")
        targets = TARGETS if target == "all" else check_targets(target.split(","))
        kind = "f16" if precision == "auto" else precision
        build_plans(load_subject(subject), precision=kind, targets=targets, cache=Cache())
        return
    build_subject(load_subject(subject), backend=backend, precision=precision, threads=threads, cache=Cache())


def list_engines() -> None:
    """Show what is in the cache: whose engines, how true they are, how large, and when they were last used."""
    from rich.console import Console
    from rich.table import Table

    from engines.cache import Cache
    from engines.parity import Parity

    cache = Cache()
    table = Table(
        "network", "backend", "precision", "for", "worst step, dB", "of a chain", "MiB", "used", title=str(cache.folder)
    )
    for each in cache.entries():
        key = each.entry.key
        proof = [each.entry.metrics.get(name, "") for name in Parity._fields]
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(each.used_at_s))
        table.add_row(
            each.entry.name, key.backend, key.precision, key.device, *map(str, proof), f"{each.size / 2**20:.1f}", used
        )
    Console().print(table)


def prune(limit_mib: int = 2048) -> None:
    """Delete what is broken in the cache, then what was not used for longest.

    Args:
        limit_mib: how much may stay; 0 empties it.
    """
    from engines.cache import Cache

    if limit_mib < 0:
        raise UserError(f"--limit-mib must be at least 0, not {limit_mib}.")
    cache = Cache()
    gone = cache.prune(limit_mib * 2**20)
    print(f"{len(gone)} deleted, {len(cache.entries())} left in {cache.folder}.")


def doctor(subject: Positional[str] = "alice", /, threads: int = SPARE, json: bool = False) -> None:
    """Say what runs on this machine, what is missing and how to get it, how fast it is, and what to choose.

    Args:
        subject: whose networks to measure with: a name, or the path of a subject's folder.
        threads: cores that they may use.
        json: print one line of JSON only.
    """
    import msgspec

    from realtime.engine_tools.doctor import examine, show
    from realtime.subject import load_subject

    report = examine(load_subject(subject), threads)
    if json:
        print(msgspec.json.encode(report).decode())
    else:
        show(report)


def bench(subject: Positional[str] = "alice", /, threads: tuple[int, ...] = (1,), runs: int = 30) -> None:
    """Measure a step (generator and face) on every backend in every precision, beside the paper's generator in torch.

    Args:
        subject: whose networks: a name, the path of a subject's folder, or an .onnx file to measure alone.
        threads: numbers of cores to try.
        runs: measured runs of each.
    """
    from pathlib import Path

    from realtime.engine_tools.bench import bench_graphs
    from realtime.subject import load_subject

    if runs < 1 or not threads or min(threads) < 1:
        raise UserError("--runs and --threads must be at least 1.")
    file = Path(subject)
    alone = file.suffix == ".onnx"
    graphs = (file,) if alone else load_subject(subject).graphs
    bench_graphs(graphs, title=subject, threads=threads, runs=runs, beside_paper=not alone)


def main() -> None:
    """Entry point."""
    run_commands(
        {
            "build": build,
            "list": list_engines,
            "prune": prune,
            "verify": verify_subject,
            "doctor": doctor,
            "bench": bench,
        },
        prog="engines",
        description="Build, prove, check and measure how this machine runs a subject's networks.",
    )


if __name__ == "__main__":
    main()
