"""Choosing engines, and going on when one breaks."""

import errno
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from filelock import FileLock
from numpy.typing import NDArray

import engines.openvino
from engines.backends import FALLBACK_ORDER, Auto, BackendName, Precision, cpu_name, int8_graph
from engines.cache import Cache
from engines.choose import Choice, candidates, choose, trial
from engines.engine import BrokenOutputError, Engine, OutputGuard
from engines.errors import UserError
from engines.load import load_engine
from engines.openvino import read_model, save_model
from realtime.figure import Figure
from realtime.live.failover import FailoverRenderer
from realtime.live.opening import open_session
from realtime.live.source import FileSource
from realtime.render import Renderer
from realtime.subject import Subject, load_subject
from realtime.subject_clips import SubjectClips
from realtime.subject_engines import EngineConfig, choose_engines
from tests.support.commands import DATA
from tests.support.standing_pose import standing
from tests.support.subjects import poison, sign
from tests.support.waiting import HANG_S

INT8, BF16, F32 = (Choice("openvino", precision) for precision in ("int8", "bf16", "f32"))


@pytest.fixture
def toy(toy_subject: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    """A toy subject to break, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(toy_subject, tmp_path / "toy")
    return load_subject(str(tmp_path / "toy"))


def break_int8(subject: Subject, value: float = np.nan) -> None:
    poison(subject.generator, subject.folder / "broken.onnx", value)
    save_model(read_model(subject.folder / "broken.onnx"), int8_graph(subject.generator))
    (subject.folder / "broken.onnx").unlink()
    sign(subject.folder)


@pytest.mark.parametrize("name", ["generator.onnx", "face.onnx"])
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_damaged_graph_is_the_subjects_fault(toy: Subject, name: str, share: float) -> None:
    content = (toy.folder / name).read_bytes()
    (toy.folder / name).write_bytes(content[: round(share * len(content))])
    with pytest.raises(UserError, match=rf"{name} is broken .*: export or download the subject again"):
        choose_engines(load_subject(sign_again(toy)), EngineConfig(), print)


def sign_again(subject: Subject) -> str:
    sign(subject.folder)
    return str(subject.folder)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime", "torch"])
@pytest.mark.parametrize("content", [b"", bytes(range(256))])
def test_what_is_no_graph_is_refused(tmp_path: Path, backend: BackendName, content: bytes) -> None:
    (tmp_path / "face.onnx").write_bytes(content)
    with pytest.raises(UserError, match=r"face\.onnx"):
        load_engine(tmp_path / "face.onnx", backend=backend)


def test_the_chain_is_what_is_installed_in_order(toy: Subject) -> None:
    found = candidates(toy.graphs)
    names = [each.name for each in FALLBACK_ORDER]
    assert [each for each in found if each.backend == "openvino"] == [INT8, BF16, F32]
    assert [names.index(each.backend) for each in found] == sorted(names.index(each.backend) for each in found)
    assert candidates(toy.graphs, "auto", "bf16") == [BF16]


@pytest.mark.parametrize(
    ("backend", "precision", "words"),
    [
        ("torch", "int8", "torch has no int8: choose --precision f32"),
        ("openvino", "f16", "choose --precision int8 or bf16 or f32"),
        ("torch-tensorrt", "auto", r"pip install '.*\[torch-tensorrt\]'|NVIDIA GPU"),
    ],
)
def test_what_cannot_be_is_said(
    toy: Subject, backend: Auto | BackendName, precision: Auto | Precision, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        candidates(toy.graphs, backend, precision)


def test_measures_once_and_remembers(toy: Subject) -> None:
    said: list[str] = []
    config = EngineConfig(backend="openvino")
    first = choose_engines(toy, config, said.append)
    assert set(first[:3]) == {INT8, BF16, F32}
    assert len(said) == 2
    assert "toy runs on openvino" in said[1]
    assert choose_engines(toy, config, said.append) == first
    assert len(said) == 2
    (entry,) = (each.entry for each in Cache().entries())
    assert len(entry.metrics) == 3
    assert entry.key.device == cpu_name()
    break_int8(toy)
    choose_engines(toy, config, said.append)
    assert len(said) > 2, "other networks are measured anew"


def test_what_is_decided_is_not_measured(toy: Subject) -> None:
    said: list[str] = []
    first, *others = choose_engines(toy, EngineConfig(backend="openvino", precision="bf16"), said.append)
    assert (first, said) == (BF16, [])
    assert INT8 in others


def test_an_engine_that_differs_is_out(toy: Subject) -> None:
    break_int8(toy, 3.0)
    said: list[str] = []
    chosen = choose_engines(toy, EngineConfig(backend="openvino"), said.append)
    assert INT8 not in chosen
    assert any("Not openvino in int8: it is only" in line for line in said)


def test_nowhere_to_remember(toy: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    play = SubjectClips.of(toy).play
    assert choose(toy.graphs, lambda pair: play(*pair), name="toy", backend="openvino", say=str)


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def read_only(*_: object, **__: object) -> None:
    raise OSError(errno.EROFS, "Read-only file system", "x.lock")


@pytest.mark.parametrize(
    ("broken", "by", "words"),
    [
        ("engines.cache.tempfile.mkdtemp", full, "No space left"),
        ("engines.cache.Path.write_bytes", full, "No space left"),
        ("engines.cache.Cache._lock", read_only, "Read-only"),
    ],
)
def test_no_trouble_with_the_cache_keeps_from_playing(
    toy: Subject, broken: str, by: Callable[..., None], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    config = EngineConfig(backend="openvino")
    with monkeypatch.context() as trouble:
        trouble.setattr(broken, by)
        first = choose_engines(toy, config, said.append)
    assert set(first[:3]) == {INT8, BF16, F32}
    assert len([line for line in said if line.startswith("Finding out")]) == 1, "measured once"
    assert any(f"cannot be remembered ({words}" in line for line in said)
    said.clear()
    known = choose_engines(toy, config, said.append)
    with monkeypatch.context() as trouble:
        trouble.setattr("engines.cache.Cache._lock", read_only)
        assert choose_engines(toy, config, said.append) == known
    assert len([line for line in said if line.startswith("Finding out")]) == 1, "what is there can be read"


def test_another_process_that_holds_the_cache_is_not_waited_for(toy: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.choose.LOCK_S", 0.1)
    said: list[str] = []
    config = EngineConfig(backend="openvino")
    choose_engines(toy, config, said.append)
    (entry,) = Cache().entries()
    with FileLock(Cache().folder / f"{entry.entry.key.digest}.lock"):
        (entry.folder / "entry.json").unlink()
        assert choose_engines(toy, config, said.append)
    assert any("cannot be remembered" in line for line in said)


@pytest.mark.parametrize("metrics", [{}, {"abacus f32": 1.0}, {"openvino f32": -1.0}, {"openvino bf16": 1e400}])
def test_an_odd_entry_is_made_anew(toy: Subject, metrics: dict[str, float]) -> None:
    config = EngineConfig(backend="openvino")
    choose_engines(toy, config, str)
    (cached,) = Cache().entries()
    odd = msgspec.structs.replace(cached.entry, metrics=metrics)
    (cached.folder / "entry.json").write_bytes(msgspec.json.encode(odd))
    assert set(choose_engines(toy, config, str)[:3]) == {INT8, BF16, F32}


def test_what_was_measured_in_a_busy_moment_is_mended(toy: Subject) -> None:
    config = EngineConfig(backend="openvino")
    choose_engines(toy, config, str)
    (cached,) = Cache().entries()
    wrong = {"openvino f32": 0.001, "openvino bf16": 1000.0, "openvino int8": 2000.0}
    entry = msgspec.structs.replace(cached.entry, metrics=wrong)
    (cached.folder / "entry.json").write_bytes(msgspec.json.encode(entry))
    assert choose_engines(toy, config, str)[:3] == [F32, BF16, INT8], "remembered as it is"
    anew = choose_engines(toy, config, str, anew=True)
    (cached,) = Cache().entries()
    assert cached.entry.metrics.keys() == wrong.keys()
    assert max(cached.entry.metrics.values()) < 1000
    assert choose_engines(toy, config, str) == anew


def test_the_least_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something else keeps the machine busy for most of it."""
    now_s = [0.0]

    def play(_: Sequence[Engine]) -> Iterator[NDArray[np.uint8]]:
        for took_s in (0.9, 0.03, 0.0125, 0.3, 0.03):
            now_s[0] += took_s
            yield np.zeros(1, np.uint8)

    monkeypatch.setattr("engines.choose.time.perf_counter", lambda: now_s[0])
    monkeypatch.setattr("engines.choose.SLICE_S", 9)
    assert trial([], play)[1] == pytest.approx(12.5)


def test_an_engine_that_cannot_be_compiled_is_passed_over(toy: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_model = engines.openvino.compile_model

    def broken(model: Any, precision: Precision, threads: int) -> Any:
        if precision == "bf16":
            raise RuntimeError("Exception from src/core.cpp:84:\nThe primitive is not there.")
        return compile_model(model, precision, threads)

    monkeypatch.setattr(engines.openvino, "compile_model", broken)
    said: list[str] = []
    assert BF16 not in choose_engines(toy, EngineConfig(backend="openvino"), said.append)[:2]
    assert any(line.startswith("Not openvino in bf16") and "primitive is not there" in line for line in said)
    assert FailoverRenderer(toy, [BF16, F32], 1).choice == F32
    with pytest.raises(UserError, match="compute no pictures on any engine"):
        FailoverRenderer(toy, [BF16], 1)


def test_an_error_of_a_library_is_a_broken_picture(toy: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    player = FailoverRenderer(toy, [BF16, F32], 1)
    figure = toy.figure(standing(scale=0.5))
    good = player.step(figure)

    def out_of_memory(_: Figure) -> None:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(player._renderer, "step", out_of_memory)
    for _ in range(3):
        assert np.array_equal(player.step(figure), good)
    assert (player.choice, player.replaced) == (F32, 3)
    assert player.step(figure).shape == good.shape


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime", "torch"])
def test_nan_is_seen_in_the_bytes(toy: Subject, tmp_path: Path, backend: BackendName) -> None:
    poison(toy.generator, tmp_path / "nan.onnx", np.nan)
    renderer = Renderer(load_engine(tmp_path / "nan.onnx", backend=backend), None, toy.plate, atlas=toy.atlas)
    with pytest.raises(BrokenOutputError, match="1 of 48 channels"):
        renderer.step(Figure(toy.plate, None))


def test_channels_that_may_be_dark_are_no_faults() -> None:
    good = np.full((1, 16, 16, 48), 90, np.uint8)
    good[..., 7] = 0
    output = good.copy()
    guard = OutputGuard(output, good)
    guard.check()
    output[..., 8] = 255
    with pytest.raises(BrokenOutputError):
        guard.check()
    output[0, 0, 0, 8] = 254
    guard.check()


def test_one_colour_is_no_picture_unless_the_good_one_is_so() -> None:
    good = np.random.default_rng(0).integers(1, 255, (1, 16, 16, 48), np.uint8)
    output = good.copy()
    guard = OutputGuard(output, good)
    guard.check()
    output[...] = 128
    with pytest.raises(BrokenOutputError, match="all channels are constant"):
        guard.check()
    OutputGuard(output, output.copy()).check()
    OutputGuard(output).check()  # a residual may be nothing everywhere


def test_a_broken_engine_is_replaced_live(toy: Subject, caplog: pytest.LogCaptureFixture) -> None:
    break_int8(toy)
    player = FailoverRenderer(toy, [INT8, BF16, F32], 1)
    figure = toy.figure(standing(scale=0.5))
    for _ in range(3):
        assert np.array_equal(player.step(figure), toy.plate), "the last good picture is the plate"
    assert (player.choice, player.replaced) == (BF16, 3)
    assert [record.message for record in caplog.records] == [
        "openvino in int8 is broken (1 of 48 channels are 0 everywhere): openvino in bf16 takes over."
    ]
    picture = player.step(figure)
    assert not np.array_equal(picture, toy.plate)
    assert player.replaced == 3
    fresh = FailoverRenderer(toy, [BF16], 1)
    assert np.array_equal(picture, fresh.step(figure)), "the new engine begins a new chain"


def test_networks_that_no_engine_can_save(toy: Subject) -> None:
    poison(toy.generator, toy.generator, np.nan)
    player = FailoverRenderer(toy, [BF16, F32], 1)
    for _ in range(5):
        player.step(Figure(toy.plate, None))
    with pytest.raises(UserError, match="compute no pictures on any engine"):
        player.step(Figure(toy.plate, None))
    assert player.replaced == 6


def test_a_session_goes_on(toy: Subject) -> None:
    break_int8(toy)
    subject = load_subject(str(toy.folder))
    config = EngineConfig(backend="openvino", precision="int8", threads=1)
    session = open_session(subject, FileSource(DATA / "bob_clip.mp4", loop=False), config, always=True)
    session.start()
    assert session.wait(2 * HANG_S)
    session.stop()
    assert session.renderer.choice.precision != "int8"
    assert session.info()["replaced"] == session.renderer.replaced == 3
    assert session.meter.count("render") > 5


def test_half_an_installation_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise OSError('libonnx.so: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("onnxruntime", "engines.onnxruntime"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    graph = load_subject("alice").generator
    with pytest.raises(UserError, match=r"onnxruntime backend cannot be loaded \(libonnx.so.*pip install"):
        load_engine(graph, backend="onnxruntime", precision="f32", threads=1)
