"""Engines beside f32: all of them on the bundled networks, int8 from the export, and what is refused."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.backends import Precision, int8_graph
from engines.build import build_engine, check_parity
from engines.cache import Cache
from engines.choose import Choice, candidates
from engines.engine import Engine
from engines.errors import UserError
from engines.load import load_engine
from engines.onnx_check import check_graph
from engines.openvino import read_model, save_model
from engines.parity import SAME_DB, RecordingEngine, Rollout, measure_parity, psnr_db, rollout_of
from realtime.subject import Subject, load_subject
from realtime.subject_clips import CLIP_FRAMES, CLIPS, SubjectClips, choose_clips, load_clips
from tests.support.commands import assert_refused, command
from tests.support.standing_pose import standing
from tests.support.subjects import poison, sign

CHOICES = [choice for choice in candidates(load_subject("alice").graphs) if choice != ("openvino", "f32")]


@pytest.fixture(scope="module")
def clips() -> SubjectClips:
    subject = load_subject("alice")
    return SubjectClips(
        [standing(scale=1.1, x=150.0 + 10 * step) for step in range(4)], subject.style, subject.plate, subject.atlas
    )


@pytest.fixture
def toy(toy_subject: Path) -> Subject:
    return load_subject(str(toy_subject))


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_every_engine_plays_the_bundled_subject_as_f32_does(choice: Choice, clips: SubjectClips) -> None:
    backend, precision = choice
    subject = load_subject("alice")
    references = [load_engine(graph, threads=2) for graph in subject.graphs]
    for graph, rollout in zip(subject.graphs, clips.rollouts(*references).values(), strict=True):
        found = check_parity(graph, name=graph.stem, backend=backend, precision=precision, threads=2, rollout=rollout)
        assert found.holds(precision)


def test_the_export_brings_int8_that_holds(toy: Subject) -> None:
    generator, face = (load_engine(graph) for graph in toy.graphs)
    rollouts = SubjectClips.of(toy).rollouts(generator, face)
    for graph in toy.graphs:
        assert int8_graph(graph).name in toy.manifest.files
        assert int8_graph(graph).with_suffix(".bin").name in toy.manifest.files
        operations = [each.get_type_name() for each in read_model(int8_graph(graph)).get_ops()]
        assert operations.count("FakeQuantize") > 8
        int8, f32 = (load_engine(graph, precision=kind) for kind in ("int8", "f32"))
        for ours, theirs in ((int8.inputs, f32.inputs), (int8.outputs, f32.outputs)):
            assert {name: (each.shape, each.dtype) for name, each in ours.items()} == {
                name: (each.shape, each.dtype) for name, each in theirs.items()
            }
        found = check_parity(
            graph, name="toy", backend="openvino", precision="int8", threads=1, rollout=rollouts[graph.stem]
        )
        assert found.holds("int8")


def test_int8_leaves_the_last_layer_in_float(toy: Subject) -> None:
    operations = read_model(int8_graph(toy.generator)).get_ordered_ops()
    names = [each.get_type_name() for each in operations]
    last = len(names) - 1 - names[::-1].index("Convolution")
    assert "FakeQuantize" not in names[last:]
    assert "FakeQuantize" in names[:last]


def test_clips_are_spread_over_the_footage() -> None:
    nobody = [None] * 100
    footage = [*nobody, *(standing(x=float(step)) for step in range(1000)), *nobody]
    clips = choose_clips(footage)
    assert len(clips) == CLIPS * CLIP_FRAMES
    assert all(clips)
    assert clips[0] is footage[120]
    assert choose_clips(footage[:50]) == nobody[:50]


def test_a_subject_without_clips_and_without_int8(toy_subject: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(toy_subject, bare, ignore=shutil.ignore_patterns("*.int8.*", "clips.npz"))
    sign(bare)
    subject = load_subject(str(bare))
    assert load_clips(bare) is None
    assert not [each for each in candidates(subject.graphs) if each.precision == "int8"]
    with pytest.raises(UserError, match="bare has no int8 networks"):
        candidates(subject.graphs, "auto", "int8")
    with pytest.raises(UserError, match=r"no int8 graph.*export"):
        load_engine(subject.generator, precision="int8")
    assert_refused(command("engines", "build", bare), "no clips.npz", "export")


def test_recorded_inputs(toy: Subject) -> None:
    recorder = RecordingEngine(load_engine(toy.graphs[1]), every=2)
    inputs = [np.full_like(recorder.inputs["packed"], value) for value in range(5)]
    outputs = [each.copy() for each in rollout_of(inputs).play(recorder)]
    assert [int(each.flat[0]) for each in recorder.recorded] == [0, 2, 4]
    assert psnr_db(outputs[0], outputs[0]) == SAME_DB
    assert measure_parity(load_engine(toy.graphs[1]), load_engine(toy.graphs[1]), rollout_of(inputs)) == (
        SAME_DB,
        SAME_DB,
    )


def test_the_gate_refuses_a_wrong_engine_and_keeps_nothing(toy: Subject, tmp_path: Path) -> None:
    graph = tmp_path / "generator.onnx"
    graph.write_bytes(toy.generator.read_bytes())
    poison(graph, tmp_path / "wrong.onnx", 3.0)
    save_model(read_model(tmp_path / "wrong.onnx"), int8_graph(graph))
    cache = Cache(tmp_path / "cache")

    def build(precision: Precision) -> dict[str, float]:
        return dict(
            build_engine(
                graph,
                name="toy/generator",
                backend="openvino",
                precision=precision,
                threads=1,
                rollout=Rollout(SubjectClips.of(toy).play),
                cache=cache,
            ).entry.metrics
        )

    with pytest.raises(UserError, match=r"toy/generator on openvino in int8 is only .* dB .* 34 are needed"):
        build("int8")
    assert cache.entries() == []
    assert min(build("f32").values()) > 60
    assert [each.entry.metrics for each in cache.entries()] == [build("f32")]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_found(toy: Subject, tmp_path: Path, value: float) -> None:
    check_graph(toy.generator)
    poison(toy.generator, tmp_path / "generator.onnx", value)
    with pytest.raises(UserError, match="not finite"):
        check_graph(tmp_path / "generator.onnx")
    (tmp_path / "generator.onnx").write_bytes(b"no graph")
    with pytest.raises(UserError, match="broken"):
        check_graph(tmp_path / "generator.onnx")


PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from engines.load import load_engine
from engines.openvino import quantize
graph = Path(sys.argv[1])
engine = load_engine(graph, backend="onnxruntime")
engine.run()
print(quantize(graph, [np.zeros_like(engine.inputs["packed"])]).name)
"""


def test_neither_nncf_nor_onnx_runtime_leaves_an_identity(toy: Subject, tmp_path: Path) -> None:
    home, graph = tmp_path / "home", tmp_path / "face.onnx"
    home.mkdir()
    graph.write_bytes(toy.graphs[1].read_bytes())
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "XDG_CACHE_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, graph],
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"HOME": str(home), "CUDA_HOME": "/usr"},
        cwd=Path(__file__).parents[2],
    )
    assert "CUDA" not in done.stderr, "it warns of what is not wanted"
    assert done.stdout == "face.int8.xml\n", done.stdout + done.stderr
    assert not list(home.rglob("*"))


class Doubling:
    """Makes everything twice as large, but may round one value up: in a chain that doubles every time, too."""

    def __init__(self, rounding: int) -> None:
        self.inputs, self.outputs = ({name: np.zeros((8, 8, 3), np.uint8)} for name in ("packed", "picture"))
        self._rounding = rounding

    def run(self) -> None:
        self.outputs["picture"][...] = 2 * self.inputs["packed"]
        self.outputs["picture"][0, 0, 0] += self._rounding


def in_a_chain(engine: Engine) -> Iterator[NDArray[np.uint8]]:
    engine.inputs["packed"][...] = 0
    for _ in range(5):
        engine.run()
        yield engine.outputs["picture"]
        engine.inputs["packed"][...] = engine.outputs["picture"]


def test_what_a_chain_makes_of_rounding_is_no_fault() -> None:
    found = measure_parity(Doubling(0), Doubling(1), Rollout(in_a_chain))
    assert found.step_db == pytest.approx(20 * np.log10(255) + 10 * np.log10(192))
    assert found.chain_db == pytest.approx(found.step_db - 20 * np.log10(31))
    assert found.holds("f32")
    assert not measure_parity(Doubling(0), Doubling(9), Rollout(in_a_chain)).holds("f32"), "a step is wrong"
    assert not found._replace(chain_db=39).holds("f32"), "it shows something else"


def test_all_outputs_are_compared() -> None:
    lengths = iter((3, 2))

    def shorter(engine: Engine) -> Iterator[NDArray[np.uint8]]:
        for _ in range(next(lengths)):
            engine.run()
            yield engine.outputs["picture"]

    with pytest.raises(ValueError, match="shorter"):
        measure_parity(Doubling(0), Doubling(0), Rollout(shorter))
