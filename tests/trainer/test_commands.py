"""From footage to a subject to a picture, at toy size, through the public commands."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.errors import UserError
from engines.load import load_engine
from realtime.figure import Figure
from realtime.pose.archive import load_poses
from realtime.pose.figure.limbs import draw
from realtime.pose.skeleton import INDEX
from realtime.render import Renderer
from realtime.subject import load_subject
from realtime.video_writer import VideoWriter
from tests.support.commands import DATA, assert_refused, chosen, command, command_here
from tests.support.openpose_files import write_frame
from tests.support.standing_pose import standing
from trainer.export.subject import _replaced
from trainer.run_folder import alone_in


def test_the_run_leaves_pictures_to_look_at(toy_run: Path) -> None:
    for name in ("previews/body_000004.jpg", "previews/face_000002.mp4", "data/plate.png"):
        assert (toy_run / name).stat().st_size > 500
    rows = [json.loads(line) for line in (toy_run / "body.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 4
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1].keys() >= {"l1", "vgg", "gan", "fm", "d", "mask", "chain_db", "chain_distance"}


def test_the_subject_renders(toy_subject: Path) -> None:
    subject = load_subject(str(toy_subject))
    training = subject.manifest.training
    assert (training.steps, training.video, training.generator) == (4, "alice_clip.mp4", "compact 16,16,16 x 1,1,2")
    assert (training.footage_px, training.crop) == ((512, 512), (0, 0, 512, 512))
    assert training.hours
    assert 0 < training.hours < 1
    assert training.machine
    assert "CPU core" in training.machine
    assert subject.manifest.consent.licence == "CC0-1.0"
    generator, face = (load_engine(graph) for graph in (subject.generator, subject.graphs[1]))
    renderer = Renderer(generator, face, subject.plate, atlas=subject.atlas)
    pose = standing(scale=0.5)
    pictures = [renderer.step(Figure(draw(pose, 64), pose)) for _ in range(3)]
    assert pictures[0].shape == (64, 64, 3)
    assert not np.array_equal(pictures[0], subject.plate), "the person is nowhere"
    empty = renderer.step(Figure(draw(None, 64), None))
    assert not np.array_equal(empty, pictures[-1])


def test_training_again_says_that_it_is_finished(toy_run: Path, toy_flags: list[str]) -> None:
    done = command_here("trainer", "train", toy_run, *toy_flags)
    assert done.returncode == 0, done.stderr
    assert "Finished" in done.stdout


def test_other_settings_are_refused(toy_run: Path, toy_flags: list[str]) -> None:
    assert_refused(command_here("trainer", "train", toy_run, *toy_flags, *chosen(seed=1)), "other settings")


def test_settings_with_a_mistake_can_be_mended(toy_run: Path, toy_flags: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(toy_run / "data", run / "data")
    refused = command_here("trainer", "train", run, *toy_flags, *chosen(vgg19=tmp_path / "no.pth"))
    assert_refused(refused, "no.pth")
    done = command_here("trainer", "train", run, *toy_flags)
    assert done.returncode == 0, done.stderr


def test_export_replaces_a_subject_but_nothing_else(toy_run: Path, toy_subject: Path, tmp_path: Path) -> None:
    copy = tmp_path / "toy"
    again: list[str | Path] = ["export", toy_run, "--name", "toy", "--out", tmp_path]
    shutil.copytree(toy_subject, copy)
    shutil.copytree(copy, tmp_path / ".toy.old")  # as an export that is killed may leave it
    assert command_here("trainer", *again).returncode == 0, "it came of this run"
    assert load_subject(str(copy)).manifest.name == "toy"
    assert not (tmp_path / ".toy.old").exists()
    (copy / "generator.onnx").write_bytes(b"of another run")
    assert_refused(command_here("trainer", *again), "There is a subject toy", "--replace")
    assert (copy / "generator.onnx").read_bytes() == b"of another run"
    assert command_here("trainer", *again, "--replace").returncode == 0
    assert load_subject(str(copy)).manifest.name == "toy"
    assert_refused(command_here("trainer", "export", toy_run, "--name", "alice"), "alice is a subject of this program")
    (tmp_path / "precious").mkdir()
    refused = command_here("trainer", "export", toy_run, "--name", "precious", "--out", tmp_path)
    assert_refused(refused, "precious", "not a subject")


@pytest.mark.parametrize("person", ["main", "nearest", "left", "right", "2"])
@pytest.mark.parametrize("words", [["export", "run"], ["fit", "eva.mp4"]])
def test_whom_to_follow_is_nobodys_name(words: list[str], person: str) -> None:
    """Elsewhere --person says who is followed."""
    refused = command_here("trainer", *words, "--name", "eva", "--person", person)
    assert_refused(refused, f"--person is the name of who is shown and agreed, not {person!r}")


def test_two_exports_of_one_name_write_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".toy.17.new").mkdir()
    os.utime(tmp_path / ".toy.17.new", (0, 0))  # of one that was killed long ago
    with _replaced(tmp_path / "toy") as first:
        (first / "subject.json").write_text("first")
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: 18)
            with _replaced(tmp_path / "toy") as second:
                (second / "subject.json").write_text("second")
        assert (tmp_path / "toy" / "subject.json").read_text() == "second"
    assert (tmp_path / "toy" / "subject.json").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_a_name_that_leads_elsewhere(toy_run: Path, tmp_path: Path) -> None:
    refused = command_here("trainer", "export", toy_run, "--name", "../elsewhere", "--out", tmp_path / "subjects")
    assert_refused(refused, "../elsewhere", "without slashes")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "run"
    refused = command("trainer", "prepare", DATA / "alice_clip.mp4", "--out", out, "--size", "64")
    assert_refused(refused, str(tmp_path / "file"), "cannot be written")


def test_export_of_an_unfinished_run(toy_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(toy_run, run)
    (run / "checkpoints" / "face_00000002.pt").unlink()
    assert_refused(
        command_here("trainer", "export", run, "--name", "x", "--out", tmp_path), "not trained", "trainer train"
    )
    assert not (tmp_path / "x").exists()


@pytest.fixture
def empty_room(tmp_path: Path) -> Path:
    path, rng = tmp_path / "room.mp4", np.random.default_rng(0)
    room = np.full((96, 128, 3), (90, 110, 130), np.uint8)
    with VideoWriter(path, 30) as writer:
        for _ in range(100):
            writer.write(np.clip(room + rng.normal(0, 2, room.shape), 0, 255).astype(np.uint8))
    return path


def test_nobody_in_the_video(empty_room: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    refused = command_here("trainer", "prepare", empty_room, "--out", out, "--size", "64")
    assert_refused(refused, "nobody was found", "room.mp4")
    assert [path.name for path in out.rglob("*.*")] == ["report.html"], "nothing is half-written"


@pytest.fixture
def labels(toy_run: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "openpose"
    folder.mkdir()
    for number, pose in enumerate(load_poses(toy_run / "data" / "poses.npz")):
        write_frame(folder / f"alice_{number:012d}_keypoints.json", pose)
    return folder


def test_footage_that_openpose_has_labelled(toy_run: Path, labels: Path, toy_flags: list[str], tmp_path: Path) -> None:
    video, run = toy_run / "data" / "frames.mp4", tmp_path / "run"
    flags: list[str | Path] = ["--size", "64", "--openpose", labels, "--figure", "edn"]
    done = command_here("trainer", "prepare", video, "--out", run, *flags)
    assert done.returncode == 0, done.stderr
    ours, theirs = (load_poses(folder / "data" / "poses.npz") for folder in (toy_run, run))
    nose = INDEX["nose"]
    for one, two in zip(ours, theirs, strict=True):
        assert one
        assert two
        assert np.abs(one.xy[nose] - two.xy[nose]).max() < 1.5, "smoothed twice, so not the same"
    without_face = [*toy_flags, *chosen(face_steps=0)]
    assert command_here("trainer", "train", run, *without_face).returncode == 0
    done = command_here("trainer", "export", run, "--name", "drawn", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    subject = load_subject(str(tmp_path / "drawn"))
    assert (subject.manifest.figure_style, subject.manifest.figure_version) == ("edn", 1)
    about = json.loads((run / "data" / "prepare.json").read_bytes())
    (run / "data" / "prepare.json").write_text(json.dumps(about | {"figure_version": 2}))
    assert_refused(command_here("trainer", "train", run, *without_face), "version 2", "train again")


def test_labels_of_another_video(toy_run: Path, labels: Path, tmp_path: Path) -> None:
    video, out = toy_run / "data" / "frames.mp4", tmp_path / "run"
    prepare: list[str | Path] = ["prepare", video, "--out", out, "--size", "64", "--openpose", labels]
    files = sorted(labels.iterdir())
    for file in files[-2:]:
        file.unlink()
    assert_refused(command_here("trainer", *prepare), "178 frames", "180", "run OpenPose on this very video")
    files[7].write_text("{")
    assert_refused(command_here("trainer", *prepare), files[7].name, "truncated")
    assert not list(out.rglob("*.*")), "nothing is half-written"


def test_labels_with_a_frame_less(toy_run: Path, labels: Path, tmp_path: Path) -> None:
    sorted(labels.iterdir())[-1].unlink()
    video, out = toy_run / "data" / "frames.mp4", tmp_path / "run"
    done = command("trainer", "prepare", video, "--out", out, "--size", "64", "--openpose", labels)
    assert done.returncode == 0, done.stderr
    assert "has poses for 179 frames, but" in " ".join(done.stderr.split())
    assert len(load_poses(out / "data" / "poses.npz")) == 180


def test_a_missing_and_an_unreadable_video(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert_refused(command("trainer", "prepare", tmp_path / "no.mp4", "--out", out), "no.mp4", "There is no")
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(bytes(range(256)) * 20)
    assert_refused(command("trainer", "prepare", noise, "--out", out), "noise.mp4", "cannot be opened")
    assert not out.exists()


def test_a_size_the_networks_cannot_take(tmp_path: Path) -> None:
    refused = command_here("trainer", "prepare", DATA / "alice_clip.mp4", "--out", tmp_path / "run", "--size", "100")
    assert_refused(refused, "multiples of 32", "not 100")
    refused = command_here("trainer", "prepare", DATA / "alice_clip.mp4", "--out", tmp_path / "run", "--size", "big")
    assert_refused(refused, "--size", "1024x512", "big")


def test_training_without_footage(tmp_path: Path) -> None:
    assert_refused(command_here("trainer", "train", tmp_path), f"trainer prepare VIDEO --out {tmp_path}`")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flags", [[], ["--only-report"]])
def test_preparing_a_trained_run_again(toy_run: Path, flags: list[str]) -> None:
    kept = toy_run / "data" / "prepare.json", toy_run / "report.html"
    before = [file.stat().st_mtime_ns for file in kept]
    refused = command_here("trainer", "prepare", DATA / "bob_clip.mp4", "--out", toy_run, "--size", "64", *flags)
    assert_refused(refused, "was trained", "another folder")
    assert [file.stat().st_mtime_ns for file in kept] == before
    assert not (toy_run / "data" / "scanned").exists()


def test_a_report_on_another_film_than_the_prepared_one(toy_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(toy_run / "data", run / "data")
    (run / "report.html").write_text("on alice")
    look: list[str | Path] = ["trainer", "prepare", "--out", run, "--size", "64", "--only-report"]
    refused = command_here(*look, DATA / "bob_clip.mp4")
    assert_refused(refused, "prepared from alice_clip.mp4", "another folder")
    assert (run / "report.html").read_text() == "on alice"
    assert not (run / "data" / "scanned").exists()
    done = command_here(*look, DATA / "alice_clip.mp4")
    assert done.returncode == 0, done.stderr
    assert (run / "report.html").read_text() != "on alice"


def test_training_starts_from_another_run(toy_run: Path, toy_flags: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(toy_run / "data", run / "data")
    flags = [*toy_flags[2:], "--steps", "1", *chosen(learning_rate=0.0, ema_decay=0.0, face_steps=0)]
    assert command_here("trainer", "train", run, *flags, "--start-from", toy_run).returncode == 0
    ours, theirs = (
        torch.load(each / "checkpoints" / "body_best.pt", weights_only=True)["network"] for each in (run, toy_run)
    )
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items() if name.endswith("weight"))
    finished = command_here("trainer", "train", run, *flags, "--start-from", tmp_path / "deleted")
    assert "Finished" in finished.stdout, "weights that are trained on need no others"


def test_nothing_fits_of_another_run(toy_run: Path, toy_flags: list[str], tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(toy_run / "data", run / "data")
    (other / "checkpoints").mkdir(parents=True)
    state = torch.load(toy_run / "checkpoints" / "body_best.pt", weights_only=True)
    torch.save({**state, "network": {}}, other / "checkpoints" / "body_best.pt")
    assert_refused(command_here("trainer", "train", run, *toy_flags, "--start-from", other), "Nothing of", "fits")


def test_a_damaged_checkpoint(toy_run: Path, toy_flags: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(toy_run, run)
    for path in (run / "checkpoints").glob("body_0*.pt"):
        path.write_bytes(path.read_bytes()[:1000])
    refused = command_here("trainer", "train", run, *toy_flags)
    assert refused.returncode == 2
    assert "body_*.pt are damaged" in refused.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", ["prepare.json", "poses.npz", "frames.mp4", "plate.png", "atlas.npz"])
@pytest.mark.parametrize("share", [0, 0.5])
def test_damaged_footage(toy_run: Path, toy_flags: list[str], tmp_path: Path, name: str, share: float) -> None:
    run = tmp_path / "run"
    shutil.copytree(toy_run / "data", run / "data")
    content = (run / "data" / name).read_bytes()
    (run / "data" / name).write_bytes(content[: round(share * len(content))])
    references = "true" if name == "atlas.npz" else "false"
    refused = command_here("trainer", "train", run, *toy_flags, *chosen(references=references))
    assert_refused(refused, f"{name} is ", "damaged", "bring it back from a copy, or prepare the video in a new folder")


@pytest.mark.parametrize("program", ["realtime", "trainer", "engines"])
def test_help_teaches(program: str) -> None:
    done: subprocess.CompletedProcess[str] = command(program, "--help")
    assert done.returncode == 0
    assert "usage" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("prepare", DATA / "alice_clip.mp4", "--only-report", "--out"),
        ("fit", DATA / "alice_clip.mp4", "--name", "eva", "--instant", "--run"),
    ],
)
def test_one_command_at_a_time_works_in_a_run(tmp_path: Path, arguments: tuple[str | Path, ...]) -> None:
    run = tmp_path / "run"
    with alone_in(run):
        assert_refused(command_here("trainer", *arguments, run), str(run), "Another command")
        kept = [*run.iterdir()]
    assert kept == [run / ".lock"]


def test_training_waits_for_nobody_in_its_folder(toy_run: Path, toy_flags: list[str]) -> None:
    with alone_in(toy_run):
        assert_refused(command_here("trainer", "train", toy_run, *toy_flags), str(toy_run), "Another command")


def test_a_refused_command_leaves_no_folder(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(UserError), alone_in(run):
        raise UserError("The film shows nobody.")
    assert not run.exists()
