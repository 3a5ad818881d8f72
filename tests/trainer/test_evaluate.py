"""`trainer evaluate` and `trainer detector` as a user runs them."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from msgspec import convert, structs

from engines.errors import UserError
from realtime.frame import Rgb
from realtime.subject import load_subject, write_manifest
from realtime.subject_engines import EngineConfig
from realtime.video import read_video
from realtime.video_writer import VideoWriter
from tests.support.commands import DATA, assert_refused, command, command_here
from tests.support.standing_pose import standing
from trainer.detector.classifier import (
    BODY_PX,
    FACE_PX,
    ClipFeatures,
    PairFeatures,
    Pairs,
    accuracy,
    load_detector,
    make_pairs,
    train_detector,
    whole_clips,
)
from trainer.detector.commands import make_detector, run_detector
from trainer.evaluation.evaluate import Evaluation, evaluate, record
from trainer.evaluation.playback import PlaybackChain, VideoPlayback, VideoSpan
from trainer.networks.efficientnet import EFFICIENTNET_WEIGHTS

CLIP = DATA / "alice_clip.mp4"
DRIVER = DATA / "bob_clip.mp4"
SIDE_PX = load_subject("alice").manifest.width_px


def as_trained(square: Rgb) -> Rgb:
    how = cv2.INTER_AREA if len(square) > SIDE_PX else cv2.INTER_CUBIC
    return cv2.resize(square, (SIDE_PX, SIDE_PX), interpolation=how).astype(np.uint8)


def test_evaluate_on_the_truth_and_with_a_driver(tmp_path: Path) -> None:
    part = ["--start-s", "1", "--end-s", "1.8", "--every", "8", "--drift-frames", "24", "--ablation"]
    done = command("trainer", "evaluate", "--video", CLIP, "--driver", DRIVER, *part, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["size"] == SIDE_PX
    assert result.keys() >= {"body", "face", "pose_distance", "missed", "flicker", "drift"}
    for crop in ("body", "face"):
        assert 0.5 < result[crop]["ssim"] < 1
        assert 15 < result[crop]["psnr"] < 40
        assert 0 < result[crop]["lpips_like"] < 0.2
    assert 0.1 < result["pose_distance"] < 5
    assert (result["frames"], result["measured"], result["drift_frames"]) == (24, 2, 24)
    alone, temporal, face = (result["ablation"][name] for name in ("frame by frame", "+ temporal", "+ face"))
    assert face["body"] == result["body"]
    assert temporal["face"] != face["face"], "the face network does something"
    assert temporal["body"] != alone["body"], "the memory does something"
    driven = result["driver"]
    assert driven["body"] is driven["face"] is driven["drift"] is None
    assert driven["pose_distance"] > 0
    assert driven["flicker"] > 0
    for name, frames in (("alice_alice_clip.mp4", 24), ("alice_bob_clip_driver.mp4", 24)):
        pictures = list(read_video(tmp_path / name))
        assert len(pictures) == frames
        assert pictures[0][0].shape == (SIDE_PX, 3 * SIDE_PX, 3)
    assert "Ablation" in done.stdout


@pytest.mark.parametrize("name", ["alice_alice_clip.mp4", "alice_bob_clip_driver.mp4"])
def test_videos_to_look_at_are_not_overwritten_unasked(name: str, tmp_path: Path) -> None:
    """Nothing is measured before that is known of both."""
    (tmp_path / name).write_text("mine")
    both: list[str | Path] = ["--video", CLIP, "--driver", DRIVER, "--end-s", "0.3", "--drift-frames", "0"]
    refused = command_here("trainer", "evaluate", *both, "--out", tmp_path)
    assert_refused(refused, f"{name} is there already", "--replace")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"
    part: list[str | Path] = ["--start-s", "3", "--end-s", "3.3", "--every", "3", "--drift-frames", "0"]
    done = command_here("trainer", "evaluate", *both[:4], *part, "--out", tmp_path, "--replace")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / name).stat().st_size > 1000


@pytest.fixture
def aside(tmp_path: Path) -> tuple[Path, Path]:
    """Alice at the right side of a wide video, and a copy of the subject that was trained on that part."""
    video, folder = tmp_path / "wide.mp4", tmp_path / "alice"
    with VideoWriter(video, 30) as writer:
        for rgb, at_s in read_video(CLIP):
            if at_s < 4.5:
                writer.write(np.hstack([rgb[:, ::-1] // 4, rgb]))
    shutil.copytree(load_subject("alice").folder, folder)
    manifest = load_subject(str(folder)).manifest
    training = structs.replace(manifest.training, footage_px=(1024, 512), crop=(512, 0, 512, 512))
    write_manifest(folder, structs.replace(manifest, training=training))
    return video, folder


def test_a_person_aside_is_measured_where_it_was_trained(aside: tuple[Path, Path], tmp_path: Path) -> None:
    video, folder = aside
    short: list[str | Path] = ["--end-s", "0.4", "--drift-frames", "0", "--out", tmp_path]
    short += ["--backend", "openvino", "--precision", "f32"]
    done = command_here("trainer", "evaluate", "--subject", folder, "--video", video, "--record", *short)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    plain = VideoPlayback(load_subject("alice"), CLIP, VideoSpan(end_s=0.4), EngineConfig(), self_driven=True)
    shown, _ = next(read_video(tmp_path / "alice_wide.mp4"))
    assert np.abs(next(plain.play()).footage.astype(int) - shown[:, :SIDE_PX]).mean() < 4
    assert result["body"]["ssim"] > 0.5
    metrics = load_subject(str(folder)).manifest.training.metrics
    assert metrics
    assert metrics["body"] == result["body"]
    assert (metrics["pose_distance"], metrics["video"]) == (result["pose_distance"], "wide.mp4")
    assert metrics["engine"] == result["engine"] == "openvino in f32"
    assert "drift" not in metrics, "it was not measured"
    subject = load_subject(str(folder))
    changed = replace(subject, manifest=structs.replace(subject.manifest, files={}))
    with pytest.raises(UserError, match="changed while it was evaluated"):
        record(changed, convert(result, Evaluation))


def test_other_framings(aside: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    video, folder = aside
    subject, part = load_subject(str(folder)), VideoSpan(end_s=0.1)
    box = (400, 0, 400, 400)
    chosen = VideoPlayback(subject, video, part, EngineConfig(), self_driven=True, box=box)
    assert np.array_equal(next(chosen.play()).footage, as_trained(next(read_video(video))[0][:400, 400:800]))
    assert not caplog.text
    VideoPlayback(subject, CLIP, part, EngineConfig(), self_driven=True)
    assert "alice_clip.mp4 is 512x512, but alice was trained on 1024x512: its middle is used" in caplog.text
    arguments: list[str | Path] = ["evaluate", "--subject", folder, "--out", tmp_path / "out"]
    assert_refused(
        command_here("trainer", *arguments, "--video", video, "--crop", "600,0,512,512"), "--crop", "1024x512"
    )
    assert_refused(command_here("trainer", *arguments, "--driver", DRIVER, "--record"), "--record", "--video")


def test_bundled_subjects_keep_their_figures_unless_their_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes them gives the path."""
    bundled = tmp_path / "bundled"
    shutil.copytree(load_subject("alice").folder, bundled / "alice")
    monkeypatch.setattr("realtime.subject.BUNDLED", bundled)
    monkeypatch.setattr("trainer.evaluate_cli.BUNDLED", bundled)
    short: list[str | Path] = ["--video", CLIP, "--record", "--end-s", "0.3", "--drift-frames", "0"]
    short += ["--out", tmp_path / "out", "--every", "3"]
    manifest = bundled / "alice" / "subject.json"
    before = manifest.read_bytes()
    refused = command_here("trainer", "evaluate", "--subject", "alice", *short)
    assert_refused(refused, str(bundled / "alice"), "comes with bodydouble", "give the copy's path")
    assert manifest.read_bytes() == before
    assert not (tmp_path / "out").exists()
    done = command_here("trainer", "evaluate", "--subject", bundled / "alice", *short)
    assert done.returncode == 0, done.stderr
    assert manifest.read_bytes() != before


def test_a_bundled_performer_drives_by_name(tmp_path: Path) -> None:
    part: list[str | Path] = ["--start-s", "3", "--end-s", "3.3", "--every", "3", "--drift-frames", "0"]
    done = command_here("trainer", "evaluate", "--driver", "bob", *part, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["alice_bob_driver.mp4"]
    refused = command_here("trainer", "evaluate", "--driver", "rob", "--out", tmp_path)
    assert_refused(refused, "There is no video 'rob'", "bob")


def test_a_detector_looks_where_the_person_is(aside: tuple[Path, Path], tmp_path: Path) -> None:
    video, folder = aside
    about = make_detector(load_subject(str(folder)), [video], tmp_path / "alice.safetensors", EngineConfig())
    assert (about.footage_px, about.crop) == ((1024, 512), (512, 0, 512, 512))
    assert (about.training_clips, about.held_out_clips) == (2, 1), "the person is there in all seconds"
    assert run_detector(tmp_path / "alice.safetensors", video, EngineConfig()).clips


def test_the_side_by_side_shows_the_truth_first(tmp_path: Path) -> None:
    performance = VideoPlayback(load_subject("alice"), CLIP, VideoSpan(last_s=0.2), EngineConfig(), self_driven=True)
    shown = list(performance.play())
    assert len(shown) == performance.frames == 6
    last = list(read_video(CLIP))[-1][0]
    square = last[:, (last.shape[1] - last.shape[0]) // 2 :][:, : last.shape[0]]
    assert np.array_equal(shown[-1].footage, as_trained(square))
    again = performance.footage({0, 5})
    assert again.keys() == {0, 5}
    assert np.array_equal(again[5], shown[5].footage)


def test_a_chain_without_memory_forgets() -> None:
    subject = load_subject("alice")
    chain = PlaybackChain(subject, EngineConfig(), memory=False, face=False)
    pose = standing(scale=3)
    figure = subject.figure(pose).rgb
    first, second = (chain.step(figure, pose) for _ in range(2))
    assert np.array_equal(first, second)
    lasting = PlaybackChain(subject, EngineConfig(), face=False)
    assert np.array_equal(lasting.step(figure, pose), first)
    assert not np.array_equal(lasting.step(figure, pose), first)


def test_parts_that_are_not_there(tmp_path: Path) -> None:
    assert_refused(command_here("trainer", "evaluate", "--out", tmp_path / "out"), "--video", "--driver")
    late = command_here("trainer", "evaluate", "--out", tmp_path / "out", "--video", CLIP, "--start-s", "100")
    assert_refused(late, "alice_clip.mp4", "100 s", "another part")
    for wrong in ({"start_s": 2.0, "end_s": 1.0}, {"start_s": -1.0}, {"last_s": 0.0}, {"last_s": math.nan}):
        with pytest.raises(UserError, match="-s must be"):
            VideoSpan(**wrong)
    assert not list(tmp_path.rglob("*.mp4")), "nothing is half-written"


def test_a_part_too_short_to_measure(tmp_path: Path) -> None:
    performance = VideoPlayback(load_subject("alice"), CLIP, VideoSpan(end_s=0.1), EngineConfig(), self_driven=True)
    with pytest.raises(UserError, match=r"Nobody was measured in .*alice_clip.mp4"):
        evaluate(performance, tmp_path / "out.mp4", EngineConfig(), ablation=False, every=5, drift_frames=0)


@pytest.mark.parametrize(
    ("part", "span"),
    [
        (VideoSpan(), (0, float("inf"))),
        (VideoSpan(last_s=4), (6, float("inf"))),
        (VideoSpan(last_s=40), (0, float("inf"))),
        (VideoSpan(start_s=7, last_s=4, end_s=9), (7, 9)),
    ],
)
def test_spans(part: VideoSpan, span: tuple[float, float]) -> None:
    assert part.span_s(10) == span


def test_clips_are_unbroken() -> None:
    black, pose = np.zeros((64, 64, 3), np.uint8), standing(scale=0.5)
    present = [True] * 7 + [False] + [True] * 25
    clips = list(whole_clips((([black, black], pose if there else None) for there in present), fps=10.0))
    assert [first for first, _, _ in clips] == [8, 18]
    for _, versions, poses in clips:
        assert [len(version) for version in versions] == [10, 10]
        assert len(poses) == 10


@pytest.mark.parametrize(("height_px", "width_px"), [(256, 256), (256, 320), (320, 256)])
def test_only_the_person_is_classified(height_px: int, width_px: int) -> None:
    """Whatever lies away from the limbs leaves no trace, not even through the encoder's neighbourhood."""
    pose = standing(scale=2)
    rng = np.random.default_rng(0)
    person = np.zeros((height_px, width_px), np.uint8)
    cv2.rectangle(person, (50, 10), (206, 250), 1, -1)
    quiet = np.full((height_px, width_px, 3), 90, np.uint8)
    busy = np.where(person[:, :, None] > 0, quiet, rng.integers(0, 256, quiet.shape).astype(np.uint8))
    pairs = [make_pairs([picture] * 4, [pose] * 4, 30.0, 20) for picture in (quiet, busy)]
    assert pairs[0].bodies.shape == (2, 6, BODY_PX, BODY_PX)
    assert pairs[0].faces.shape == (2, 6, FACE_PX, FACE_PX)
    assert np.abs(pairs[0].bodies.astype(int) - pairs[1].bodies).mean() < 0.5
    corner = pairs[0].bodies[0, :, :8, :8]
    assert np.all(corner == 127), "away from the person it is grey"


def test_the_detector_separates_what_differs_and_nothing_else() -> None:
    torch.manual_seed(0)
    base = [torch.randn(15, 64) for _ in range(12)]
    told = [ClipFeatures(clip, clip + torch.tensor([0.0] * 63 + [2.0]) + 0.3 * torch.randn(15, 64)) for clip in base]
    alike = [ClipFeatures(clip, torch.randn(15, 64)) for clip in base]
    assert accuracy(train_detector(told[:8]), told[8:])[0] == 1
    assert 0.1 < accuracy(train_detector(alike[:8]), alike[8:])[1] < 0.9, "chance"


def test_features_see_changes() -> None:
    rng = np.random.default_rng(0)
    bodies = rng.integers(0, 256, (1, 3, BODY_PX, BODY_PX)).astype(np.uint8)
    faces = bodies[:, :, :FACE_PX, :FACE_PX]
    still = Pairs(np.concatenate([bodies, bodies], axis=1), np.concatenate([faces, faces], axis=1))
    moving = Pairs(np.concatenate([bodies[:, :, ::-1], bodies], axis=1), still.faces)
    a, b = (PairFeatures()(pairs)[0] for pairs in (still, moving))
    assert a.shape == (2 * 2 * (16 + 24 + 40 + 112 + 320),)
    changed = ~torch.isclose(a, b, rtol=1e-3, atol=1e-4)
    assert 400 < changed.sum() <= 512, "the body's changes, and neither what is there now nor the face"


def test_detector_train_and_run(tmp_path: Path) -> None:
    model = tmp_path / "models" / "alice.safetensors"
    model.parent.mkdir()
    model.write_text("an older one")
    done = command("trainer", "detector", "train", "--real", CLIP, "--out", model, "--replace")
    assert done.returncode == 0, done.stderr
    about = json.loads(done.stdout.splitlines()[-1])
    assert (about["subject"], about["size_px"]) == ("alice", [SIDE_PX, SIDE_PX])
    assert (about["training_clips"], about["held_out_clips"]) == (3, 2)
    assert "held-out clips" in done.stdout
    assert load_detector(model)[1].accuracy == about["accuracy"]

    subject = load_subject("alice")
    chain, real, fake = PlaybackChain(subject, EngineConfig()), tmp_path / "real.mp4", tmp_path / "fake.mp4"
    performance = VideoPlayback(subject, CLIP, VideoSpan(start_s=0.5, end_s=1.6), EngineConfig(), self_driven=True)
    with VideoWriter(real, performance.fps) as filmed, VideoWriter(fake, performance.fps) as rendered:
        for shown in performance.play():
            filmed.write(shown.footage)
            rendered.write(chain.step(shown.figure, shown.pose))
    done = command("trainer", "detector", "run", fake, "--model", model)
    assert done.returncode == 0, done.stderr
    verdict = json.loads(done.stdout.splitlines()[-1])
    assert len(verdict["clips"]) == 1
    assert run_detector(model, real, EngineConfig()).fake < 0.5 < verdict["fake"]


def test_a_detector_takes_no_other_files_place(tmp_path: Path) -> None:
    train: list[str | Path] = ["trainer", "detector", "train", "--real", CLIP, "--out"]
    for name, words in (
        ("film.mp4", ["must be a .safetensors", "film.mp4.safetensors"]),
        ("old.safetensors", ["old.safetensors is there already", "--replace"]),
    ):
        (tmp_path / name).write_text("mine")
        assert_refused(command_here(*train, tmp_path / name), *words)
        assert (tmp_path / name).read_text() == "mine"


def test_what_is_no_detector(tmp_path: Path) -> None:
    path = tmp_path / "no.safetensors"
    for content in (None, b"nothing", EFFICIENTNET_WEIGHTS.read_bytes()):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UserError, match=r"no.safetensors is not a detector .* make one with"):
            load_detector(path)


def test_too_little_footage_for_a_detector(tmp_path: Path) -> None:
    short = tmp_path / "short.mp4"
    with VideoWriter(short, 30) as writer:
        for rgb, at_s in read_video(CLIP):
            if at_s < 1.2:
                writer.write(rgb)
    with pytest.raises(UserError, match=r"short.mp4 has the person for 1 whole seconds only"):
        make_detector(load_subject("alice"), [short], tmp_path / "out.safetensors", EngineConfig())
    assert not (tmp_path / "out.safetensors").exists()
