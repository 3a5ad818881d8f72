"""Choose what runs a set of networks on this machine: by a short measurement on first use, which is remembered."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from engines.backends import FALLBACK_ORDER, cpu_name, known_backend, quantized
from engines.cache import Cache, Key
from engines.engine import Engine
from engines.errors import UserError
from engines.files import sha256
from engines.load import load_engine
from engines.output_guard import BrokenOutputError
from engines.parity import FLOORS_DB, psnr_db

AUTO = "auto"
FRAMES = 8
SLICE_S = 0.7
"""A candidate is played for so many outputs, or as long as that; a chain has no time to magnify its rounding."""

Play = Callable[[Sequence[Engine]], Iterator[NDArray[Any]]]
"""Plays some material through the engines of all graphs, in their order, and yields what comes out, as uint8."""


class Choice(NamedTuple):
    """A backend with a precision."""

    backend: str
    precision: str

    def load(self, graph: Path, threads: int) -> Engine:
        """The engine of a graph; see `load_engine`."""
        return load_engine(graph, backend=self.backend, precision=self.precision, threads=threads)

    def __str__(self) -> str:
        return f"{self.backend} in {self.precision}"


def candidates(graphs: Sequence[Path], backend: str = AUTO, precision: str = AUTO) -> list[Choice]:
    """What can be tried here, in the order in which one falls back to the next.

    Args:
        graphs: ONNX files; int8 needs the twins of all.
        backend, precision: what is wanted, or "auto".

    Raises:
        UserError: nothing.
    """
    int8 = all(quantized(graph).is_file() for graph in graphs)
    found = [
        Choice(each.name, kind)
        for each in FALLBACK_ORDER
        if each.usable and backend in (AUTO, each.name)
        for kind in each.precisions
        if precision in (AUTO, kind) and (int8 or kind != "int8")
    ]
    if not found:
        raise UserError(_why_nothing(graphs, backend, precision))
    return found


def choose(
    graphs: Sequence[Path],
    play: Play,
    *,
    name: str,
    backend: str = AUTO,
    precision: str = AUTO,
    threads: int = 1,
    say: Callable[[str], object],
) -> list[Choice]:
    """What to run the graphs with, best first; the others are what to fall back to.

    What is left to choose is measured once, for at most about five seconds, and remembered in the user's cache as long
    as neither graphs nor versions nor machine change. Whoever differs from OpenVINO's f32 by more than its precision
    may is out.

    Args:
        graphs: ONNX files.
        play: plays some material.
        name: of the whole, for people.
        backend, precision: what is wanted, or "auto".
        threads: cores that one run may use.
        say: told in a sentence that and what was measured.

    Raises:
        UserError: nothing can be tried, or nothing works.
    """
    wanted = candidates(graphs, backend, precision)
    others = [each for each in candidates(graphs) if each not in wanted]
    tried = [each for each in wanted if each.backend != "torch"]  # the twin is never the fastest
    if len(tried) < 2:
        return wanted + others

    def measure(_folder: Path) -> dict[str, float]:
        say(f"Finding out what runs {name} fastest on this machine (once, a few seconds).")
        metrics = {" ".join(each): ms for each, ms in _measure(graphs, play, tried, threads, say)}
        if not metrics:
            raise UserError(f"Nothing that is installed here runs {name} as it should: see `engines doctor {name}`.")
        best = min(metrics, key=metrics.__getitem__)
        say(f"{name} runs on {Choice(*best.split())}, {metrics[best]} ms a picture.")
        return metrics

    try:
        cache = Cache()
    except OSError:  # nowhere to remember it
        metrics = measure(Path())
    else:
        metrics = cache.get_or_build(_key(graphs, tried, threads), name, measure).entry.metrics
    ranked = [Choice(*each.split()) for each in sorted(metrics, key=metrics.__getitem__)]
    return ranked + [each for each in wanted + others if each not in tried]


def trial(engines: Sequence[Engine], play: Play) -> tuple[list[NDArray[Any]], float]:
    """The first outputs, and the median milliseconds of those after the first."""
    outputs: list[NDArray[Any]] = []
    durations_s: list[float] = []
    begun_at_s = time.perf_counter()
    for output in play(engines):
        durations_s.append(time.perf_counter() - begun_at_s)
        outputs.append(output.copy())
        if len(outputs) == FRAMES or (len(outputs) > 2 and sum(durations_s) > SLICE_S):
            break
        begun_at_s = time.perf_counter()
    return outputs, statistics.median(durations_s[1:]) * 1000


def _measure(
    graphs: Sequence[Path], play: Play, tried: Sequence[Choice], threads: int, say: Callable[[str], object]
) -> Iterator[tuple[Choice, float]]:
    twin = Choice("openvino", "f32")
    truth, twin_ms = trial([twin.load(graph, threads) for graph in graphs], play)
    for each in tried:
        try:
            outputs, ms = (
                (truth, twin_ms) if each == twin else trial([each.load(graph, threads) for graph in graphs], play)
            )
        except (UserError, BrokenOutputError) as error:
            say(f"Not {each}: {error}")
            continue
        worst_db = min(psnr_db(*pair) for pair in zip(truth, outputs, strict=False))
        if worst_db < FLOORS_DB[each.precision]:
            say(f"Not {each}: it is only {worst_db:.1f} dB from f32, {FLOORS_DB[each.precision]:g} are needed.")
            continue
        yield each, round(ms, 2)


def _key(graphs: Sequence[Path], tried: Sequence[Choice], threads: int) -> Key:
    files = [file for graph in graphs for file in (graph, quantized(graph), quantized(graph).with_suffix(".bin"))]
    versions = dict.fromkeys(known_backend(each.backend).versions for each in tried)
    return Key(
        graph=sha256(*(file for file in files if file.is_file())),
        backend=AUTO,
        versions=", ".join(versions),
        device=cpu_name(),
        precision=AUTO,
        options=f"{threads} threads: {', '.join(map(str, tried))}",
    )


def _why_nothing(graphs: Sequence[Path], backend: str, precision: str) -> str:
    what = f"{precision} on {backend}" if precision != AUTO else backend
    if backend != AUTO:
        known = known_backend(backend)
        if not known.installed:
            return f"The {backend} backend needs {known.module}: {known.install}."
        if not known.usable:
            return f"The {backend} backend needs an NVIDIA GPU and its driver: use --backend openvino."
        if precision not in (AUTO, *known.precisions):
            return f"{backend} has no {precision}: choose --precision {' or '.join(known.precisions)}."
    if precision == "int8":
        return (
            f"{graphs[0].parent.name} has no int8 networks, for it was exported without: export it again with "
            "`trainer export`, or choose --precision bf16."
        )
    return f"Nothing that is installed here runs {what}: see `engines doctor`."
