"""Persistent chains: what a step sees, what it hands on, and that a resumed run goes on to the bit."""

import json
import shutil
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engines.errors import UserError
from realtime.pose.pose import Pose
from realtime.references.choose import Chooser, ChosenReference
from realtime.video import read_video
from tests.support.standing_pose import standing
from tests.support.tiny_training import TRAINING
from trainer.config import Machine
from trainer.footage.prepared import Footage
from trainer.networks.patches import to_bytes
from trainer.training.augment import disturb
from trainer.training.body import BodyStage
from trainer.training.chain_reader import SHADOW_REACH, within_reach
from trainer.training.chain_sampler import sample_chains, start_probabilities
from trainer.training.dataset import Loader
from trainer.training.distributed import Fabric, assemble

CONFIG = replace(TRAINING, steps=12, warmup_steps=2, part_dropout=0, keypoint_noise=0, motion_blur=0, zoom_out=0)


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return assemble(Machine(accelerator="cpu"), CONFIG.batch)


@pytest.fixture(scope="module")
def footage(toy_run: Path) -> Footage:
    return Footage(toy_run / "data")


def test_plans_play_onwards_and_start_anew(footage: Footage) -> None:
    segments = list(islice(sample_chains([footage], CONFIG)[0], 400))
    assert segments[0].restart
    for before, after in pairwise(segments):
        if not after.restart:
            assert after.start == before.start + CONFIG.unroll
            assert after.window == before.window
        assert 0 <= after.start <= footage.first_held_out - CONFIG.unroll
        assert after.window.x % 4 == after.window.y % 4 == 0
    assert 60 < sum(segment.restart for segment in segments) < 160
    assert segments == list(islice(sample_chains([footage], CONFIG)[0], 400))
    assert segments != list(islice(sample_chains([footage], CONFIG)[1], 400))


def test_held_out_footage_is_never_trained_on(footage: Footage) -> None:
    plan = sample_chains([footage], replace(CONFIG, mean_chain_frames=10**9))[0]
    assert max(segment.start for segment in islice(plan, 300)) + CONFIG.unroll <= footage.first_held_out
    assert footage.first_held_out == round(0.85 * len(footage.poses))


def test_rarely_filmed_turns_are_seen_oftener() -> None:
    front, back = standing(), standing()
    back = Pose(back.xy * np.array([-1, 1], np.float32), -back.depth, back.confidence)
    poses = [front] * 90 + [back] * 9 + [None]
    for even, shares in ((0.0, (0.9, 0.09, 0.01)), (1.0, (1 / 3, 1 / 3, 1 / 3)), (0.5, (0.703, 0.222, 0.074))):
        chances = start_probabilities(poses, even)
        found = chances[:90].sum(), chances[90:99].sum(), chances[99:].sum()
        assert found == pytest.approx(shares, abs=1e-3)


def test_batches_hold_what_the_plan_says(footage: Footage) -> None:
    loader = Loader([footage], CONFIG, 0)
    plans = sample_chains([footage], CONFIG)
    reader = footage.reader()
    for step in range(4):
        batch = loader.next()
        assert batch.chains == [(2 * step) % 4, (2 * step + 1) % 4]
        for row, chain in enumerate(batch.chains):
            segment = next(plans[chain])
            assert bool(batch.restart[row]) == segment.restart
            window = segment.window.part
            for frame in range(CONFIG.unroll):
                truth, figure = (
                    to_bytes(part[frame, row]).permute(1, 2, 0).numpy() for part in (batch.truths, batch.figures)
                )
                near = within_reach(
                    reader.read(segment.start + frame)[window], figure, footage.plate[window], 0, SHADOW_REACH * 64
                )
                assert np.array_equal(truth, near)
                assert np.array_equal(figure, footage.figure(segment.start + frame).rgb[window])
    loader.close()
    reader.close()


def test_a_later_start_sees_the_same_batches(footage: Footage) -> None:
    one, two = Loader([footage], CONFIG, 0), Loader([footage], CONFIG, 3)
    for _ in range(3):
        one.next()
    for _ in range(3):
        a, b = one.next(), two.next()
        assert torch.equal(a.truths, b.truths)
        assert torch.equal(a.restart, b.restart)
        assert a.focus == b.focus
    one.close()
    two.close()


def test_processes_read_the_same_as_the_thread(toy_run: Path) -> None:
    footage, config = Footage(toy_run / "data", references=True), replace(CONFIG, references=True)
    one, two = Loader([footage], config, 1), Loader([footage], config, 1, processes=2)
    for _ in range(4):
        a, b = one.next(), two.next()
        assert a.parts
        assert b.parts
        for ours, theirs in ((a.figures, b.figures), (a.truths, b.truths), *zip(a.parts[1], b.parts[1], strict=True)):
            assert torch.equal(ours, theirs)
    one.close()
    two.close()


def test_what_a_process_cannot_read_is_raised_here(footage: Footage, toy_run: Path, tmp_path: Path) -> None:
    shutil.copytree(toy_run / "data", tmp_path / "data")
    footage = Footage(tmp_path / "data")
    (tmp_path / "data" / "frames.mp4").unlink()
    loader = Loader([footage], CONFIG, 0, processes=1)
    with pytest.raises(UserError, match=r"frames\.mp4 is damaged or missing"):
        loader.next()
    loader.close()


def test_pictures_are_read_in_any_order(footage: Footage, toy_run: Path) -> None:
    pictures = [rgb for rgb, _ in read_video(toy_run / "data" / "frames.mp4")]
    reader = footage.reader()
    for index in (0, 1, 2, 77, 78, 5, 149, 3, 12, 11):
        assert np.array_equal(reader.read(index), pictures[index]), index
    with pytest.raises(UserError, match=r"frames\.mp4 is damaged"):
        reader.read(len(pictures))
    reader.close()


def test_the_chain_carries_its_own_output_on(footage: Footage, fabric: Fabric) -> None:
    stage = BodyStage(footage, replace(CONFIG, batch=4), fabric)
    stage.step()
    carried = stage.state_dict()["chains"]["pictures"].clone()
    assert not carried.requires_grad
    assert carried.abs().sum() > 0
    seen = []
    stage.generator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().float()))
    stage.step()
    stage.close()
    assert len(seen) == CONFIG.unroll
    restarted = (seen[0][:, 48:96] == -1).flatten(1).all(dim=1)
    exact = (seen[0][:, 96:] == carried).flatten(1).all(dim=1)
    assert (exact | restarted).any()


@pytest.mark.parametrize("references", [False, True])
def test_a_resumed_run_goes_on_to_the_bit(toy_run: Path, fabric: Fabric, tmp_path: Path, *, references: bool) -> None:
    footage, config = Footage(toy_run / "data", references=references), replace(CONFIG, references=references)
    whole = BodyStage(footage, config, fabric)
    losses = [whole.step() for _ in range(10)]
    whole.close()
    first = BodyStage(footage, config, fabric)
    for _ in range(5):
        first.step()
    torch.save(first.state_dict(), tmp_path / "half.pt")
    first.close()
    second = BodyStage(footage, config, fabric)
    second.load_state_dict(torch.load(tmp_path / "half.pt", weights_only=True))
    assert [second.step() for _ in range(5)] == losses[5:]
    second.close()


def test_chains_begin_after_a_blank_figure(toy_run: Path, fabric: Fabric, tmp_path: Path) -> None:
    shutil.copytree(toy_run / "data", tmp_path / "data")
    about = json.loads((tmp_path / "data" / "prepare.json").read_bytes())
    (tmp_path / "data" / "prepare.json").write_text(json.dumps(about | {"figure_style": "edn"}))
    stage = BodyStage(Footage(tmp_path / "data"), CONFIG, fabric)
    seen = []
    stage.generator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().float()))
    stage.step()
    stage.close()
    assert (seen[0][:, 48:96] == 1).all()
    assert (seen[0][:, :48] == 1).float().mean() > 0.5


def test_held_out_chains_begin_anew_while_nobody_is_there(toy_run: Path, fabric: Fabric) -> None:
    """As the live renderer does."""
    footage = Footage(toy_run / "data")
    stage = BodyStage(footage, CONFIG, fabric)
    seen = footage.first_held_out
    assert footage.poses[seen : seen + 4].count(None) == 0
    footage.poses[seen + 1] = None
    left = [picture for *_, picture in stage.play_held_out(4)]
    footage.poses[seen] = None
    nobody_before = [picture for *_, picture in stage.play_held_out(4)]
    assert not torch.equal(left[0], nobody_before[0])
    for one, other in zip(left[1:], nobody_before[1:], strict=True):
        assert torch.equal(one, other), "nothing is left of who was there before"


def test_held_out_chains_are_shown_no_neighbours(
    toy_run: Path, fabric: Fabric, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in training and at export: references near in time are nearly the frame that they help to render."""
    footage = Footage(toy_run / "data", references=True)
    stage = BodyStage(footage, replace(CONFIG, references=True), fabric)
    shown: list[int] = []
    choose = Chooser.step

    def step(chooser: Chooser, *arguments: Any, **options: Any) -> dict[str, ChosenReference]:
        chosen = choose(chooser, *arguments, **options)
        shown.extend(each.reference.frame for each in chosen.values())
        return chosen

    monkeypatch.setattr(Chooser, "step", step)
    for index, *_ in stage.play_held_out(4):
        assert index - max(shown) >= footage.apart == 45
        shown.clear()


def test_disturbing_spoils_some_pictures_and_keeps_most() -> None:
    picture, plate = torch.zeros(400, 48, 8, 8), torch.ones(400, 48, 8, 8)
    spoilt = disturb(picture, plate, 0.4, torch.Generator().manual_seed(0))
    kinds = [(part == 1).all() for part in spoilt], [(part == 0).all() for part in spoilt]
    lost, kept = (sum(map(bool, kind)) / 400 for kind in kinds)
    assert 0.05 < lost < 0.15
    assert 0.5 < kept < 0.7
    assert spoilt.abs().max() <= 1


def test_learns(footage: Footage, fabric: Fabric) -> None:
    stage = BodyStage(footage, replace(CONFIG, steps=60, warmup_steps=1000, learning_rate=3e-3), fabric)
    losses = [stage.step()["l1"] for _ in range(40)]
    stage.close()
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5]), losses


def test_without_time_every_frame_begins_anew(footage: Footage, fabric: Fabric) -> None:
    stage = BodyStage(footage, replace(CONFIG, temporal=False, feedback_noise=0), fabric)
    seen = []
    stage.generator.register_forward_pre_hook(lambda _, inputs: seen.append((inputs[0][:, 48:].detach(), inputs[1])))
    for _ in range(4):
        stage.step()
    stage.close()
    for past, plate in seen:
        assert (past[:, :48] == -1).all()
        assert torch.equal(past[:, 48:], plate)


def test_far_from_the_figure_there_is_only_the_room() -> None:
    truth, plate = np.full((64, 64, 3), 200, np.uint8), np.zeros((64, 64, 3), np.uint8)
    figure = np.zeros((64, 64, 3), np.uint8)
    assert not within_reach(truth, figure, plate, 0, 20.0).any(), "nobody"
    figure[32, 32] = 255
    seen = within_reach(truth, figure, plate, 0, 20.0)
    assert (seen[32, 17:48] == 200).all()
    assert (seen[32, :12] == 0).all()
    assert 0 < seen[32, 14, 0] < 200
