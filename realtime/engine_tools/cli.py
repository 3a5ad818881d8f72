"""`engines`: build, verify and measure what runs a subject's networks on this machine."""

import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import tyro

from engines.backends import Auto, BackendName, Precision
from engines.console import run_commands, stopping_says
from engines.errors import UserError
from engines.values import SubjectArgument
from realtime.engine_tools.verify import verify_subject
from realtime.subject_engines import EngineConfig, check_threads

if TYPE_CHECKING:
    from engines.bench import Row

BASELINE = "trainer.baseline"
"""The module that times the paper's generator; it needs torch."""

EXAMPLES = {
    "build": "engines build alice --backend tensorrt-rtx --target sm89 sm120",
    "list": "engines list",
    "prune": "engines prune --limit-mib 500",
    "verify": "engines verify alice --backend openvino --precision int8",
    "doctor": "engines doctor alice",
    "bench": "engines bench alice --threads 1 2",
}


def build(
    subject: SubjectArgument = "alice",
    /,
    backend: Auto | BackendName = "auto",
    precision: Auto | Precision = "auto",
    target: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[GPU ...]")] = (),
    threads: int = EngineConfig.threads,
) -> None:
    """Build a subject's engines, and check on the subject's own clips that each is near enough to f32.

    Args:
        subject: whose: a name, or the path of a subject's folder.
        backend: what will run them; auto is everything that this machine can run.
        precision: its arithmetic; auto is all that it has.
        target: with tensorrt-rtx: generations of GPUs, none of which has to be here, e.g. sm89 sm120, or all.
        threads: cores to check them on.
    """
    from engines.cache import Cache
    from realtime.engine_tools.build import build_plans, build_subject
    from realtime.subject import load_subject

    check_threads(threads)
    if target and backend != "tensorrt-rtx":
        raise UserError("--target is for --backend tensorrt-rtx: add that, or leave it out.")
    with stopping_says(lambda: "The engines that are built are kept; the same command goes on with the others."):
        if target:
            targets = None if target == ("all",) else target
            kind: Precision = "f16" if precision == "auto" else precision
            build_plans(load_subject(subject), precision=kind, targets=targets, cache=Cache())
        else:
            build_subject(load_subject(subject), backend=backend, precision=precision, threads=threads, cache=Cache())


def list_engines() -> None:
    """Show what is in the cache, by device: each engine, its parity, its size, and when it was last used.

    Engines that differ only in what they were built for or by, versions or numbers of threads, have a row together.
    """
    from rich.console import Console
    from rich.table import Table

    from engines.cache import Cache, Cached
    from engines.parity import Parity

    cache = Cache()
    print(cache.folder)
    by_device: dict[str, dict[tuple[str, ...], list[Cached]]] = {}
    for each in cache.entries():
        key, metrics = each.entry.key, each.entry.metrics
        parity = (str(metrics.get(name, "")) for name in Parity._fields)
        alike = (each.entry.name, f"{key.backend} {key.precision}", *parity)
        by_device.setdefault(key.device, {}).setdefault(alike, []).append(each)
    for device, built in by_device.items():
        headers = ("network", "engine", "step", "chain", "MiB", "used")
        table = Table(*headers, title=device, caption="step, chain: PSNR beside f32, dB")
        for (name, *figures), ones in built.items():
            several = f" ({len(ones)})" if len(ones) > 1 else ""
            mib = sum(each.size_bytes for each in ones) / 2**20
            used = time.strftime("%Y-%m-%d", time.localtime(max(each.used_at_s for each in ones)))
            table.add_row(name + several, *figures, f"{mib:.1f}", used)
        Console().print(table)


def prune(limit_mib: int = 2048) -> None:
    """Delete what is damaged in the cache, then what was not used for longest.

    Args:
        limit_mib: how much may stay; 0 empties it.
    """
    from engines.cache import Cache

    if limit_mib < 0:
        raise UserError(f"--limit-mib must be at least 0, not {limit_mib}.")
    cache = Cache()
    gone = cache.prune(limit_mib * 2**20)
    print(f"{len(gone)} deleted, {len(cache.entries())} left in {cache.folder}.")


def doctor(subject: SubjectArgument = "alice", /, threads: int = EngineConfig.threads, json: bool = False) -> None:
    """Say what runs on this machine, what is missing and how to get it, how fast it is, and what to choose.

    Args:
        subject: whose networks to measure with: a name, or the path of a subject's folder.
        threads: cores that they may use.
        json: print one line of JSON only.
    """
    import msgspec

    from realtime.engine_tools.doctor import examine, show
    from realtime.subject import load_subject

    check_threads(threads)
    report = examine(load_subject(subject), threads)
    if json:
        print(msgspec.json.encode(report).decode())
    else:
        show(report)


def bench(subject: SubjectArgument = "alice", /, threads: tuple[int, ...] = (1,), runs: int = 30) -> None:
    """Measure a step (generator and face) on every backend in every precision, beside the paper's generator in torch.

    Args:
        subject: whose networks: a name, the path of a subject's folder, or an .onnx file to measure alone.
        threads: numbers of cores to try.
        runs: measured runs of each.
    """
    from pathlib import Path

    import msgspec
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    from engines.bench import bench as measure
    from engines.choose import candidates
    from realtime.subject import load_subject

    if runs < 1:
        raise UserError(f"--runs must be at least 1, not {runs}.")
    for count in threads or (0,):
        check_threads(count)
    alone = Path(subject).suffix == ".onnx"
    graphs = (Path(subject),) if alone else load_subject(subject).graphs
    choices = candidates(graphs)
    measured, total = measure(graphs, choices, threads, runs=runs), len(choices) * len(threads)
    rows = list(track(measured, description="Measuring", total=total, transient=True))
    if not alone and (row := bench_paper(max(threads))):
        rows.append(row)
    table = Table("backend", "precision", "threads", "p50 ms", "p95 ms", "GMAC/s", "% of peak", title=subject)
    for row in rows:
        peak = "" if row.peak_percent is None else str(row.peak_percent)
        table.add_row(row.backend, row.precision, *map(str, (row.threads, row.ms.p50, row.ms.p95, row.gmacs)), peak)
    Console().print(table)
    print(msgspec.json.encode({"rows": rows}).decode())


def bench_paper(threads: int) -> "Row | None":
    """Time the paper's global generator at 512x256 in eager torch; None without torch."""
    from engines.bench import bench_baseline

    if find_spec("torch") is None:
        return None
    return bench_baseline("torch (paper, 512x256)", [sys.executable, "-m", BASELINE, str(threads)], threads)


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
        description="Build, verify and measure what runs a subject's networks on this machine.",
        examples=EXAMPLES,
    )
