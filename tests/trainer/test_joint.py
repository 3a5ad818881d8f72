"""Body and face network trained together: how heads are cut out, where gradients flow, and the way to a subject."""

import json
import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from engines.files import sha256
from realtime.frame import Rgb
from realtime.pose.measure import HeadBox, head_box
from realtime.render import crop_head
from realtime.subject import load_subject
from realtime.video import read_video
from tests.support.commands import DATA, assert_refused, chosen, command, command_here
from tests.support.numbers import floats
from tests.support.tiny_training import SMALL, TRAINING
from trainer.config import Machine, TrainConfig
from trainer.footage.prepared import Footage
from trainer.networks.patches import from_bytes, to_bytes
from trainer.training.body import BodyStage
from trainer.training.chain_sampler import sample_chains
from trainer.training.checkpoint import load_checkpoint
from trainer.training.distributed import Fabric, assemble
from trainer.training.face import FaceStage, Heads, crop_heads
from trainer.training.joint import JointStage

CONFIG = replace(TRAINING, steps=4, face_steps=4, joint_steps=8, window_px=64, references=True, face=SMALL)


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return assemble(Machine(accelerator="cpu"), CONFIG.batch)


@pytest.fixture(scope="module")
def footage(toy_run: Path) -> Footage:
    return Footage(toy_run / "data", references=True)


@pytest.fixture(scope="module")
def frame() -> Rgb:
    return next(iter(read_video(DATA / "alice_clip.mp4")))[0]


@given(floats(-20, 1300), floats(-20, 740), floats(20, 200), st.sampled_from([32, 64, 96]))
def test_heads_are_cut_out_as_live(frame: Rgb, x: float, y: float, side: float, patch_px: int) -> None:
    head = HeadBox(x, y, side)
    live = crop_head(frame, head, patch_px).astype(int)
    picture = from_bytes(torch.from_numpy(frame).permute(2, 0, 1)[None])
    ours = to_bytes(crop_heads(picture, [head], patch_px))[0].permute(1, 2, 0).numpy()
    # OpenCV rounds places to 1/32 of a pixel, which counts where the picture is steep.
    assert np.abs(live - ours).mean() < 0.5
    assert np.abs(live - ours).max() <= 10


def test_every_picture_has_its_own_head() -> None:
    torch.manual_seed(0)
    pictures, heads = torch.rand(2, 3, 40, 60), [HeadBox(20, 20, 16), HeadBox(41, 9, 24)]
    both = crop_heads(pictures, heads, 32)
    assert both.shape == (2, 3, 32, 32)
    for row in range(2):
        assert torch.equal(both[row : row + 1], crop_heads(pictures[row : row + 1], heads[row : row + 1], 32))


def test_the_plan_knows_the_heads_that_are_whole(footage: Footage) -> None:
    config = replace(CONFIG, window_px=32, zoom_out=0.5)
    segments = list(islice(sample_chains([footage], config)[0], 300))
    found = [segment for segment in segments if segment.head]
    assert 20 < len(found) < 280
    for segment in found:
        pose, head, window = footage.poses[segment.start + CONFIG.unroll - 1], segment.head, segment.window
        assert pose
        assert head
        there = head_box(pose)
        assert (head.x / window.k + window.x, head.y / window.k + window.y) == pytest.approx(
            (there.x, there.y), abs=1e-3
        )
        assert head.side_px == pytest.approx(there.side_px * window.k)
        assert 0 <= head.x - head.side_px / 2 < head.x + head.side_px / 2 <= window.width, "she is in the middle"


def begun(footage: Footage, fabric: Fabric, config: TrainConfig = CONFIG) -> JointStage:
    stage = JointStage(footage, config, fabric)
    stage.initialize_from(BodyStage(footage, config, fabric).state_dict(), face(config, fabric).state_dict())
    # At first the residual is zero and nothing is known of the head.
    nn.init.normal_(stage.face_trainer.network.get_parameter("trunk.head.weight"), std=0.1)
    return stage


def face(config: TrainConfig, fabric: Fabric) -> FaceStage:
    patches = [torch.zeros(4, 3, 32, 32, dtype=torch.uint8) for _ in range(3)]
    return FaceStage(Heads(*patches), Heads(*patches), config, fabric)


def gradient(network: nn.Module) -> float:
    return sum(float(weight.grad.abs().sum()) for weight in network.parameters() if weight.grad is not None)


def test_the_losses_on_the_head_reach_both(footage: Footage, fabric: Fabric) -> None:
    stage = begun(footage, fabric)
    _, batch, pictures = stage.body.roll_out()
    stage.close()
    assert any(batch.heads)
    losses = stage._face_losses(batch, pictures)
    assert losses.generator.keys() == {"l1", "vgg", "gan", "fm"}
    assert losses.discriminator.keys() == {"d"}
    for name in losses.generator:
        for network in (stage.body.generator, stage.face_trainer.network):
            network.zero_grad()
        fabric.backward(losses.generator[name], retain_graph=True)
        assert gradient(stage.body.generator) > 0, name
        assert gradient(stage.face_trainer.network) > 0, name


def test_without_a_head_nothing_counts(footage: Footage, fabric: Fabric) -> None:
    stage = begun(footage, fabric)
    _, batch, pictures = stage.body.roll_out()
    stage.close()
    losses = stage._face_losses(replace(batch, heads=[None, None]), pictures)
    assert not any(loss.detach() for loss in (*losses.generator.values(), *losses.discriminator.values()))
    stage.body.generator.zero_grad()
    fabric.backward(losses.total)
    assert gradient(stage.body.generator) == 0


def test_in_the_face_s_own_stage_pictures_are_given(fabric: Fabric) -> None:
    stage = face(CONFIG, fabric)
    assert not any(part.requires_grad for part in stage._take(stage._heads, torch.arange(2)))
    stage.step()
    assert gradient(stage.face_trainer.network) > 0


def test_both_move_and_keep_their_statistics(footage: Footage, fabric: Fabric) -> None:
    stage = begun(footage, fabric)
    networks = stage.body.generator, stage.face_trainer.network
    before = [{name: part.clone() for name, part in network.state_dict().items()} for network in networks]
    losses = stage.step()
    stage.close()
    assert losses.keys() >= {
        "l1",
        "gan",
        "d",
        "image d",
        "hand",
        "face l1",
        "face vgg",
        "face gan",
        "face fm",
        "face d",
    }
    for network, old in zip(networks, before, strict=True):
        changed = {name for name, part in network.state_dict().items() if not torch.equal(part, old[name])}
        assert changed
        assert not [name for name in changed if "running" in name]


def test_a_resumed_run_goes_on_to_the_bit(footage: Footage, fabric: Fabric, tmp_path: Path) -> None:
    whole = begun(footage, fabric)
    losses = [whole.step() for _ in range(2)]
    torch.save(whole.state_dict(), tmp_path / "half.pt")
    losses = [whole.step() for _ in range(2)]
    whole.close()
    second = JointStage(footage, CONFIG, fabric)
    second.load_state_dict(torch.load(tmp_path / "half.pt", weights_only=True))
    assert second.step_number == 2
    assert [second.step() for _ in range(2)] == losses
    second.close()
    shown: list[Rgb] = []
    score = second.validate(3, shown.append)
    assert len(shown) == 3
    assert shown[0].shape == (64, 3 * 64, 3)
    assert 0 < score.distance < 10
    bare: list[Rgb] = []
    second.body.validate(3, bare.append)
    mended = (shown[0] != bare[0]).any(axis=2)
    assert mended[:, 128:].any(), "the face network does something"
    assert not mended[:, :128].any()


TOGETHER = {"joint_steps": 2}
FLAGS = [*chosen(joint_steps=2, precision="f32", save_minutes=0), "--devices"]


def copied(toy_run: Path, folder: Path, settings: dict[str, int]) -> Path:
    """The toy run as if it had been begun with other settings, too."""
    run = folder / "run"
    shutil.copytree(toy_run, run)
    config = json.loads((run / "config.json").read_bytes())
    (run / "config.json").write_text(json.dumps(config | settings))
    return run


@pytest.fixture(scope="module")
def together(toy_run: Path, toy_flags: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy run, then both together."""
    run = copied(toy_run, tmp_path_factory.mktemp("together"), TOGETHER)
    done = command_here("trainer", "train", run, *toy_flags, *FLAGS, "1")
    assert done.returncode == 0, done.stderr
    return run


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "joint.jsonl").read_text().splitlines()]


def test_from_a_run_to_a_subject(together: Path, toy_run: Path, toy_subject: Path, tmp_path: Path) -> None:
    assert rows(together)[-1]["chain_distance"] > 0
    for path in ("previews/joint_000002.mp4", "checkpoints/joint_best.pt", "tensorboard/joint"):
        assert (together / path).exists(), path
    assert sha256(together / "generator.onnx") == sha256(toy_run / "generator.onnx"), "the face's source stays"
    done = command_here("trainer", "export", together, "--name", "toy", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    ours, alone = load_subject(str(tmp_path / "toy")).manifest, load_subject(str(toy_subject)).manifest
    assert (ours.training.steps, ours.training.face_steps) == (6, 4)
    assert ours.files["generator.onnx"] == sha256(together / "joint.onnx") != alone.files["generator.onnx"]
    assert ours.files["face.onnx"] != alone.files["face.onnx"]


def test_it_is_not_finished_before_the_last_stage(toy_run: Path, tmp_path: Path) -> None:
    run = copied(toy_run, tmp_path, TOGETHER)
    assert_refused(
        command_here("trainer", "export", run, "--name", "x", "--out", tmp_path), "not trained", "trainer train"
    )


def test_two_processes_learn_as_one(together: Path, toy_run: Path, toy_flags: list[str], tmp_path: Path) -> None:
    shared = copied(toy_run, tmp_path, TOGETHER)
    done = command("trainer", "train", shared, *toy_flags, *FLAGS, "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Finished") == 1
    for name, value in rows(together)[0].items():
        assert rows(shared)[0][name] == pytest.approx(value, rel=1e-4, abs=1e-7), name
    states = [load_checkpoint(run / "checkpoints" / "joint_00000001.pt") for run in (together, shared)]
    for part in ("body", "face"):
        ours, theirs = (
            torch.cat([moment["exp_avg"].flatten() for moment in state[part]["optimizer"]["state"].values()])
            for state in states
        )
        assert ours.norm() > 0
        assert (ours - theirs).norm() < 5e-3 * ours.norm(), part


def test_a_run_that_was_begun_before_the_setting_goes_on(toy_run: Path, toy_flags: list[str], tmp_path: Path) -> None:
    run = copied(toy_run, tmp_path, {})
    config = json.loads((run / "config.json").read_bytes())
    assert config.pop("joint_steps") == 0
    (run / "config.json").write_text(json.dumps(config))
    done = command_here("trainer", "train", run, *toy_flags)
    assert done.returncode == 0, done.stderr
    assert_refused(
        command_here("trainer", "train", run, *toy_flags, *chosen(joint_steps=1)), "other settings", "config.json"
    )
