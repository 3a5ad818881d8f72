"""Time a step on backends, precisions and threads, beside the paper's generator and the processor's peak."""

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from engines.backends import Precision, known_backend
from engines.choose import Choice
from engines.errors import UserError
from engines.openvino import dense_convolution, gmac
from engines.verify import durations_ms


class Milliseconds(msgspec.Struct, frozen=True, kw_only=True):
    """Of one step."""

    p50: float
    p95: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One way to run one step."""

    backend: str
    precision: Precision
    threads: int
    ms: Milliseconds
    gmacs: float
    """Billions of multiply-accumulates per second."""
    peak_percent: float | None = None
    """Of what this processor reaches in a dense convolution of the same precision and threads."""


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """What a baseline's command prints, as JSON."""

    durations_ms: list[float]
    gmac: float
    """Billions of multiply-accumulates in one run."""


def bench(graphs: Sequence[Path], choices: Sequence[Choice], threads: Sequence[int], *, runs: int) -> Iterator[Row]:
    """Measure a step, which is one run of every graph, with random inputs.

    Raises:
        UserError: one of them does not load.
    """
    work = sum(map(gmac, graphs))
    for count in threads:
        peaks: dict[Precision, float] = {}
        for choice in choices:
            engines = [choice.load(graph, count) for graph in graphs]
            rng = np.random.default_rng(0)
            for buffer in (buffer for engine in engines for buffer in engine.inputs.values()):
                buffer[...] = rng.integers(0, 256, buffer.shape)
            found_ms = durations_ms(lambda engines=engines: [engine.run() for engine in engines], runs)  # type: ignore[misc]
            if known_backend(choice.backend).device == "cpu" and choice.precision not in peaks:
                peaks[choice.precision] = _peak_gmacs(choice.precision, count)
            yield _row(choice.backend, choice.precision, count, found_ms, work, peaks.get(choice.precision))


def bench_baseline(name: str, command: Sequence[str], threads: int) -> Row:
    """Measure in a process of its own what this package does not know.

    Args:
        name: takes the backend's place in the row.
        command: prints a `Baseline` in f32.
        threads: that it uses.

    Raises:
        UserError: it fails.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the caller's own
    if done.returncode:
        said = done.stderr.strip() or f"it ended with exit code {done.returncode}"
        raise UserError(f"The baseline does not run: {said.splitlines()[-1]}")
    found = msgspec.json.decode(done.stdout, type=Baseline)
    return _row(name, "f32", threads, found.durations_ms, found.gmac, None)


def _peak_gmacs(precision: Precision, threads: int) -> float:
    """Billions of multiply-accumulates per second, the best of a dozen runs."""
    run, work = dense_convolution(precision, threads)
    return work / min(durations_ms(run, runs=12)) * 1000


def _row(
    backend: str, precision: Precision, threads: int, found_ms: Sequence[float], work: float, peak: float | None
) -> Row:
    p50, p95 = (round(float(value), 2) for value in np.percentile(found_ms, (50, 95)))
    gmacs = work / p50 * 1000
    return Row(
        backend=backend,
        precision=precision,
        threads=threads,
        ms=Milliseconds(p50=p50, p95=p95),
        gmacs=round(gmacs, 1),
        peak_percent=None if peak is None else round(100 * gmacs / peak, 1),
    )
