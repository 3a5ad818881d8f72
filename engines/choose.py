"""Choose what runs a set of networks on this machine: by a short measurement on first use, which is remembered."""

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from engines.backends import FALLBACK_ORDER, Auto, BackendName, Precision, cpu_name, int8_graph, known_backend
from engines.cache import Cache, Key
from engines.engine import BrokenOutputError, Bytes, Engine, Size, WindowEngine
from engines.errors import UserError
from engines.files import sha256
from engines.load import has_windows, load_engine, load_window
from engines.onnx_check import check_graph
from engines.parity import FLOORS_DB, psnr_db
from engines.windowed import WindowedEngine

FAILURES = UserError, BrokenOutputError, RuntimeError
"""What is raised by an engine that does not work on this machine."""
FRAMES = 8
SLICE_S = 0.7
"""A candidate plays so many outputs, or as many as fit in that time: too few for a chain to magnify rounding."""

LOCK_S = 10.0
"""How long another process may take that measures the same; then it is measured here, too."""

Play = Callable[[Sequence[Engine]], Iterator[NDArray[Any]]]
"""Plays some frames through the engines of all graphs, in their order, and yields the outputs, uint8."""


class Choice(NamedTuple):
    """A backend with a precision."""

    backend: BackendName
    precision: Precision

    def load(self, graph: Path, threads: int) -> Engine:
        """The engine of a graph; see `load_engine`."""
        return load_engine(graph, backend=self.backend, precision=self.precision, threads=threads)

    def load_windowed(self, graph: Path, threads: int, windows: Sequence[Size], outside: Bytes) -> Engine:
        """The engine of a graph that can also compute windows of these sizes, where graph and backend have windows."""
        whole = self.load(graph, threads)
        if not windows or not has_windows(graph, self.backend, self.precision):
            return whole

        def load(window: Size) -> WindowEngine:
            return load_window(graph, window, backend=self.backend, precision=self.precision, threads=threads)

        return WindowedEngine(whole, load, windows, outside)

    def __str__(self) -> str:
        return f"{self.backend} in {self.precision}"


def candidates(
    graphs: Sequence[Path], backend: Auto | BackendName = "auto", precision: Auto | Precision = "auto"
) -> list[Choice]:
    """What can be tried here, in the order in which one falls back to the next.

    Args:
        graphs: ONNX files; int8 needs the int8 graphs of all.
        backend, precision: what is wanted, or "auto".

    Raises:
        UserError: there is nothing.
    """
    int8 = all(int8_graph(graph).is_file() for graph in graphs)
    found = [
        Choice(each.name, kind)
        for each in FALLBACK_ORDER
        if each.usable and backend in ("auto", each.name)
        for kind in each.precisions
        if precision in ("auto", kind) and (int8 or kind != "int8")
    ]
    if not found:
        raise UserError(_why_nothing(graphs, backend, precision))
    return found


def choose(
    graphs: Sequence[Path],
    play: Play,
    *,
    name: str,
    backend: Auto | BackendName = "auto",
    precision: Auto | Precision = "auto",
    threads: int = 1,
    anew: bool = False,
    say: Callable[[str], object],
) -> list[Choice]:
    """What to run the graphs with, best first; the others are to fall back to.

    What is left to choose is measured once, for at most about seven seconds, and remembered in the user's cache as long
    as neither graphs nor versions nor machine change. What differs from OpenVINO's f32 by more than its precision
    allows is left out.

    Args:
        graphs: ONNX files.
        play: plays some frames.
        name: of the graphs, for people.
        backend, precision: what is wanted, or "auto".
        threads: cores that one run may use.
        anew: forget what is remembered.
        say: called with a sentence before and after the measurement.

    Raises:
        UserError: nothing can be tried, or nothing works.
    """
    wanted = candidates(graphs, backend, precision)
    others = [each for each in candidates(graphs) if each not in wanted]
    tried = [each for each in wanted if each.backend != "torch"]  # eager, so never the fastest
    if len(tried) < 2:
        return wanted + others

    def measure() -> dict[str, float]:
        say(f"Finding out what runs {name} fastest on this machine (once, a few seconds).")
        found = _measure(graphs, play, tried, threads, say)
        if not found:
            raise UserError(f"Nothing that is installed here runs {name} as it should: see `engines doctor`.")
        best = min(found, key=found.__getitem__)
        say(f"{name} runs on {best}, {found[best]} ms a picture.")
        return {" ".join(each): ms for each, ms in found.items()}

    known = set() if anew else {" ".join(each) for each in tried}
    metrics = _remembered(_key(graphs, tried, threads), name, known, measure, say)
    ranked = sorted((each for each in tried if " ".join(each) in metrics), key=lambda each: metrics[" ".join(each)])
    return ranked + [each for each in wanted + others if each not in tried]


def _remembered(
    key: Key,
    name: str,
    known: Collection[str],
    measure: Callable[[], dict[str, float]],
    say: Callable[[str], object],
) -> Mapping[str, float]:
    """What `measure` returns, of this time or an earlier one: no trouble with the cache keeps anybody from playing.

    Args:
        key: what the measurement depends on.
        name: of the graphs, for people.
        known: names that a remembered measurement may have; one with others is forgotten. Empty: measure anew.
        measure: measures.
        say: told why the measurement cannot be remembered.
    """
    measured: dict[str, float] = {}

    def build(_folder: Path) -> dict[str, float]:
        measured.update(measure())
        return measured

    try:
        cache = Cache()
        found = cache.get(key)  # needs no lock, which cannot be had where nothing can be written
        if found is not None and _is_sound(found.entry.metrics, known):
            return found.entry.metrics
        if found is not None:
            cache.drop(found)
    except (OSError, UserError) as error:
        trouble: Exception = error
    else:
        try:
            return cache.get_or_build(key, name, build, wait_s=LOCK_S).entry.metrics
        except OSError as error:
            trouble = error
    reason = trouble.strerror if isinstance(trouble, OSError) and trouble.strerror else str(trouble)
    say(f"What is measured cannot be remembered ({reason.rstrip('.')}).")
    return measured or measure()


def _is_sound(metrics: Mapping[str, float], known: Collection[str]) -> bool:
    return bool(metrics) and all(name in known and 0 < ms < math.inf for name, ms in metrics.items())


def trial(engines: Sequence[Engine], play: Play) -> tuple[list[NDArray[Any]], float]:
    """The first outputs of a few engines, and the least milliseconds of those after the first.

    What else the machine does at the time makes some of them longer, and none shorter.
    """
    outputs: list[NDArray[Any]] = []
    durations_s: list[float] = []
    begun_at_s = time.perf_counter()
    for output in play(engines):
        durations_s.append(time.perf_counter() - begun_at_s)
        outputs.append(output.copy())
        if len(outputs) == FRAMES or (len(outputs) > 2 and sum(durations_s) > SLICE_S):
            break
        begun_at_s = time.perf_counter()
    return outputs, min(durations_s[1:]) * 1000


def _measure(
    graphs: Sequence[Path], play: Play, tried: Sequence[Choice], threads: int, say: Callable[[str], object]
) -> dict[Choice, float]:
    """Milliseconds of those that are right; of the fastest two the least of two trials, with the others between."""
    reference, expected = _reference(graphs, play, threads, say)
    found: dict[Choice, float] = {}
    for each in tried:
        try:
            outputs, ms = (
                expected if each == reference else trial([each.load(graph, threads) for graph in graphs], play)
            )
        except FAILURES as error:
            say(f"Not {each}: {_first_line(error)}")
            continue
        worst_db = min(psnr_db(*pair) for pair in zip(expected[0], outputs, strict=False))
        if worst_db < FLOORS_DB[each.precision]:
            say(f"Not {each}: it is only {worst_db:.1f} dB from f32, {FLOORS_DB[each.precision]:g} are needed.")
            continue
        found[each] = round(ms, 2)
    for each in sorted(found, key=found.__getitem__)[:2]:
        with suppress(*FAILURES):  # it has been right once: that counts
            _, ms = trial([each.load(graph, threads) for graph in graphs], play)
            found[each] = min(found[each], round(ms, 2))
    return found


def _reference(
    graphs: Sequence[Path], play: Play, threads: int, say: Callable[[str], object]
) -> tuple[Choice, tuple[list[NDArray[Any]], float]]:
    """What is right, by the first f32 that works here, and what it took.

    Raises:
        UserError: none works, or a graph is broken.
    """
    reasons: list[str] = []
    for each in (Choice("openvino", "f32"), Choice("onnxruntime", "f32"), Choice("torch", "f32")):
        if known_backend(each.backend).usable:
            try:
                return each, trial([each.load(graph, threads) for graph in graphs], play)
            except FAILURES as error:
                reasons.append(_first_line(error).rstrip("."))
                say(f"Not {each}: {reasons[-1]}.")
    for graph in graphs:
        check_graph(graph)
    why = f" ({reasons[0]})" if reasons else ""
    raise UserError(f"The networks run on nothing that is installed here{why}: see `engines doctor`.")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _key(graphs: Sequence[Path], tried: Sequence[Choice], threads: int) -> Key:
    files = [file for graph in graphs for file in (graph, int8_graph(graph), int8_graph(graph).with_suffix(".bin"))]
    versions = dict.fromkeys(known_backend(each.backend).versions for each in tried)
    return Key(
        graph=sha256(*(file for file in files if file.is_file())),
        backend="auto",
        versions=", ".join(versions),
        device=cpu_name(),
        precision="auto",
        options=f"{threads} threads: {', '.join(map(str, tried))}",
    )


def _why_nothing(graphs: Sequence[Path], backend: Auto | BackendName, precision: Auto | Precision) -> str:
    what = f"{precision} on {backend}" if precision != "auto" else backend
    if backend != "auto":
        known = known_backend(backend)
        if not known.installed:
            return f"The {backend} backend needs {known.module}: {known.install}."
        if not known.usable:
            return f"The {backend} backend needs an NVIDIA GPU and its driver: use --backend openvino."
        if precision not in ("auto", *known.precisions):
            return f"{backend} has no {precision}: choose --precision {' or '.join(known.precisions)}."
    if precision == "int8":
        return (
            f"{graphs[0].parent.name} has no int8 networks, for it was exported without: export it again with "
            "`trainer export`, or choose --precision bf16."
        )
    return f"Nothing that is installed here runs {what}: see `engines doctor`."
