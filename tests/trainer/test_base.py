"""The generator that comes with the package, of many people: where it comes from, and what is made of it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from engines.backends import int8_graph
from engines.errors import UserError
from realtime.patches import PATCH
from realtime.subject import load_subject
from realtime.subject_engines import EngineConfig
from tests.support.commands import DATA, assert_refused, chosen, command, command_here
from tests.support.tiny_training import TRAINING
from trainer.config import ExportConfig, Machine, TrainConfig
from trainer.evaluation.playback import PlaybackChain
from trainer.export.subject import export_untrained
from trainer.footage.prepared import Footage
from trainer.networks.load import build_generator, load_base
from trainer.networks.patches import from_bytes
from trainer.training.body import BodyStage
from trainer.training.dataset import Loader
from trainer.training.distributed import assemble


def test_an_instant_subject(toy_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(toy_run / "data", run / "data")
    place: list[str | Path] = ["--name", "quick", "--run", run, "--out", tmp_path]
    done = command_here("trainer", "fit", DATA / "alice_clip.mp4", "--size", "64", *place, "--instant")
    assert done.returncode == 0, done.stdout + done.stderr
    subject = load_subject(str(tmp_path / "quick"))
    assert subject.graphs == (subject.generator,)
    assert subject.atlas
    assert subject.manifest.consent.pictures
    assert "contains pictures" in done.stdout
    assert (subject.manifest.training.steps, subject.manifest.training.face_steps) == (0, 0)
    assert int8_graph(subject.generator).is_file() == ("int8 holds" in done.stdout)
    assert not (run / "config.json").exists(), "it can still be trained with any settings"
    built = command("engines", "build", str(tmp_path / "quick"), "--backend", "openvino", "--precision", "f32")
    assert built.returncode == 0, built.stdout + built.stderr

    footage = Footage(toy_run / "data")
    index = next(index for index, pose in enumerate(footage.poses) if pose)
    chain = PlaybackChain(subject, EngineConfig(backend="openvino", precision="f32"))
    figure = subject.figure(footage.poses[index])
    shown, truth = chain.step(figure.rgb, figure.pose).astype(float), footage.reader().read(index)
    assert np.abs(shown - truth).mean() < 0.9 * np.abs(subject.plate.astype(float) - truth).mean()


def test_no_instant_subject_where_the_camera_moved(toy_run: Path, tmp_path: Path) -> None:
    data = tmp_path / "run" / "data"
    shutil.copytree(toy_run / "data", data)
    about = json.loads((data / "prepare.json").read_text())
    (data / "prepare.json").write_text(json.dumps({**about, "static": False}))
    with pytest.raises(UserError, match="a camera that stood still"):
        export_untrained(tmp_path / "run", ExportConfig(name="quick", out=tmp_path))
    assert not (tmp_path / "quick").exists()


def test_instant_and_trained_at_once(tmp_path: Path) -> None:
    place: list[str | Path] = ["--name", "quick", "--out", tmp_path]
    refused = command_here("trainer", "fit", DATA / "alice_clip.mp4", *place, "--instant", "--steps", "100")
    assert_refused(refused, "--instant trains nothing", "--steps")


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "../elsewhere"])
def test_what_is_no_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="without slashes"):
        ExportConfig(name=name, out=tmp_path)


def test_training_starts_with_it_where_it_has_the_shape(toy_run: Path) -> None:
    live, fabric = TrainConfig(), assemble(Machine(accelerator="cpu"), 2)
    base = build_generator(live.generator, background=True, references=True)
    assert load_base(base)
    config = replace(TRAINING, references=True, generator=live.generator)
    body = BodyStage(Footage(toy_run / "data", references=True), config, fabric)
    assert not same_weights(body.generator, base)
    body.initialize_pretrained()
    assert same_weights(body.generator, base)
    assert same_weights(body.ema.module, base)
    assert not load_base(build_generator(TRAINING.generator, background=True, references=True))


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(*pair) for pair in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.fixture
def greenhouse(toy_run: Path, tmp_path: Path) -> Path:
    """The toy run's footage before another background."""
    run = tmp_path / "greenhouse"
    shutil.copytree(toy_run / "data", run / "data")
    assert cv2.imwrite(str(run / "data" / "plate.png"), np.full((64, 64, 3), (0, 200, 0), np.uint8))
    return run


def test_chains_of_several_people(toy_run: Path, greenhouse: Path) -> None:
    config = replace(TRAINING, part_dropout=0.0, keypoint_noise=0.0)
    loader = Loader([Footage(run / "data") for run in (toy_run, greenhouse)], config, 0)
    batches = [loader.next() for _ in range(2)]
    loader.close()
    green = from_bytes(torch.tensor([0, 200, 0], dtype=torch.uint8))[:, None, None]
    for batch in batches:
        for chain, plate in zip(batch.chains, batch.plate, strict=True):
            assert bool((plate == green).all()) == (chain % 2 == 1)


def test_a_run_of_several_people_without_a_face_network(
    toy_run: Path, greenhouse: Path, toy_flags: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(toy_run / "data", run / "data")
    flags = [*toy_flags, *chosen(face_steps=0, more_runs=greenhouse)]
    trained = command_here("trainer", "train", run, *flags)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    exported = command_here("trainer", "export", run, "--name", "bare", "--out", tmp_path)
    assert exported.returncode == 0, exported.stdout + exported.stderr
    subject = load_subject(str(tmp_path / "bare"))
    assert subject.face is None
    verified = command("engines", "verify", str(subject.folder), "--backend", "onnxruntime", "--timed", "5")
    assert "face" not in verified.stdout, verified.stdout + verified.stderr
    assert '"passed":true' in verified.stdout, verified.stdout + verified.stderr


def test_runs_that_cannot_be_trained_on_together(
    toy_run: Path, greenhouse: Path, toy_flags: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(toy_run / "data", run / "data")
    about = json.loads((greenhouse / "data" / "prepare.json").read_text())
    (greenhouse / "data" / "prepare.json").write_text(json.dumps({**about, "width_px": 64 + 8 * PATCH}))
    refused = command_here("trainer", "train", run, *toy_flags, *chosen(more_runs=greenhouse))
    assert_refused(refused, "greenhouse", "another size")
    missing = command_here("trainer", "train", run, *toy_flags, *chosen(more_runs=tmp_path / "my run"))
    assert_refused(missing, "no prepared footage", f"`trainer prepare VIDEO --out '{tmp_path / 'my run'}'`")
