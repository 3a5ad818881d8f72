"""The loop through the public command: killed, full, diverged, damaged, and on two processes."""

import json
import math
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from realtime.pictures import write_picture
from realtime.video import count_frames
from tests.support.commands import DATA, assert_refused, chosen, command, command_here, command_signalled
from tests.support.footage_files import paint, swaying, textured, write_labels
from trainer.footage.prepared import load_prepared
from trainer.training.checkpoint import load_checkpoint

BeginRun = Callable[[], Path]


@pytest.fixture
def begin_run(toy_run: Path, tmp_path: Path) -> BeginRun:
    """Makes run folders with footage and nothing else."""

    def begin() -> Path:
        run = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        shutil.copytree(toy_run / "data", run / "data")
        return run

    return begin


def rows(run: Path, stage: str = "body") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / f"{stage}.jsonl").read_text().splitlines()]


def steps(run: Path, stage: str = "body") -> list[str]:
    return sorted(path.stem for path in (run / "checkpoints").glob(f"{stage}_0*.pt"))


def test_killed_at_any_time_it_goes_on_to_the_bit(toy_run: Path, toy_flags: list[str], begin_run: BeginRun) -> None:
    run = begin_run()
    arguments = ["trainer", "train", str(run), *toy_flags, *chosen(save_minutes=0)]
    killed = command_signalled(*arguments, number=signal.SIGKILL, when_written="body_00000002.pt")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (run / "checkpoints" / "body_best.pt").exists(), "it was killed half-way"
    with (run / "body.jsonl").open("a") as file:
        file.write('{"step": 3, "l1')  # as if killed while writing
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    for stage in ("body", "face"):
        assert (run / f"{stage}.jsonl").read_bytes() == (toy_run / f"{stage}.jsonl").read_bytes()
    assert steps(run) == ["body_00000002", "body_00000003", "body_00000004"], "the last three"


def test_a_full_disk_loses_nothing(toy_run: Path, toy_flags: list[str], begin_run: BeginRun) -> None:
    run = begin_run()
    (run / "checkpoints").mkdir()
    third = run / "checkpoints" / "body_00000003.pt"
    flags = [*toy_flags, *chosen(face_steps=0)]
    refused = command("trainer", "train", run, *flags, *chosen(save_minutes=0), disk_full_at=third)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert f"no space for the training's files in {run} (No space left on device)" in refused.stderr
    assert steps(run) == ["body_00000000", "body_00000001", "body_00000002"]
    assert not list(run.rglob("*.new"))
    done = command("trainer", "train", run, *flags)
    assert done.returncode == 0, done.stderr
    assert (run / "body.jsonl").read_bytes() == (toy_run / "body.jsonl").read_bytes()


def test_a_full_disk_ends_all_processes(toy_flags: list[str], begin_run: BeginRun) -> None:
    run = begin_run()
    (run / "checkpoints").mkdir()
    first = run / "checkpoints" / "body_00000001.pt"
    done = command("trainer", "train", run, *toy_flags, "--devices", "2", *chosen(save_minutes=0), disk_full_at=first)
    assert_refused(done, f"no space for the training's files in {run}")
    assert steps(run) == ["body_00000000"]


def test_a_damaged_checkpoint_is_passed_over(toy_run: Path, toy_flags: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(toy_run, run)
    newest = run / "checkpoints" / "face_00000002.pt"
    newest.write_bytes(newest.read_bytes()[:-1000])
    done = command("trainer", "train", run, *toy_flags)
    assert done.returncode == 0, done.stderr
    assert "is damaged. It is passed over" in " ".join(done.stderr.split())
    assert (run / "face.jsonl").read_bytes() == (toy_run / "face.jsonl").read_bytes()
    assert load_checkpoint(newest)["step"] == 2


def test_what_is_not_finite_never_reaches_the_weights(toy_flags: list[str], begin_run: BeginRun) -> None:
    run = begin_run()
    # Without warm-up the discriminators have learnt already when the generator's loss overflows.
    refused = command("trainer", "train", run, *toy_flags, *chosen(l1_weight="1e39", warmup_steps=0))
    assert refused.returncode == 2
    words = " ".join((refused.stdout + refused.stderr).split())
    assert "Traceback" not in words
    for rate in ("0.5", "0.25", "0.125"):
        assert f"going on from step 0 with {rate} of the rate" in words
    assert "trainer: The training of the body diverged at step 1 (loss inf" in words
    assert "begin anew with a lower learning_rate" in words
    state = load_checkpoint(run / "checkpoints" / "body_00000000.pt")
    assert all(torch.isfinite(weight).all() for weight in state["network"].values())
    assert not rows(run)


def test_two_processes_learn_as_one(toy_flags: list[str], begin_run: BeginRun) -> None:
    runs = []
    for devices in ("1", "2"):
        run = begin_run()
        flags = [*toy_flags, *chosen(chains=4, warmup_steps=0, precision="f32", keep=9, face_steps=0)]
        done = command("trainer", "train", run, *flags, "--devices", devices, *chosen(save_minutes=0))
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("Finished") == 1
        runs.append(run)
    one, two = (rows(run) for run in runs)
    assert one[0].keys() >= {"l1", "vgg", "gan", "fm", "d", "image gan", "image d", "hand"}
    # One row for before the first update, one for after: then Adam magnifies what rounding did to tiny gradients.
    for name, value in one[0].items():
        assert two[0][name] == pytest.approx(value, rel=1e-4), name
    for name, value in one[1].items():
        assert two[1][name] == pytest.approx(value, rel=5e-3), name
    states = [load_checkpoint(run / "checkpoints" / "body_00000001.pt") for run in runs]
    # Adam's first moment after one step is half the gradient, clipped after it was averaged. The generator was judged
    # by discriminators that had made a step of theirs.
    for part, error in (("discriminator", 1e-5), ("image_discriminator", 1e-5), ("generator", 5e-3)):
        ours, theirs = (first_moments({**state["losses"], "generator": state}[part]) for state in states)
        assert ours.norm() > 0
        assert (ours - theirs).norm() < error * ours.norm(), part
    for name in ("figures", "pictures"):
        one, two = (state["chains"][name] for state in states)
        assert torch.allclose(one, two, atol=1e-4), "chains of both processes"


def first_moments(trained: dict[str, Any]) -> torch.Tensor:
    return torch.cat([part["exp_avg"].flatten() for part in trained["optimizer"]["state"].values()])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([*chosen(batch=3, chains=3), "--devices", "2"], ["3 and 8", "2 processes"]),
        ([*chosen(chains=3), "--devices", "2"], ["chains", "multiple of batch, 2"]),
        (chosen(keep=0), ["keep", "from 1 to"]),
    ],
)
def test_what_cannot_be_shared(flags: list[str], words: list[str], toy_flags: list[str], begin_run: BeginRun) -> None:
    """Whichever process finds out, it is said once."""
    assert_refused(command("trainer", "train", begin_run(), *toy_flags, *flags), *words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_no_gpu(toy_flags: list[str], begin_run: BeginRun) -> None:
    refused = command_here("trainer", "train", begin_run(), *toy_flags, *chosen(accelerator="cuda"))
    assert_refused(refused, "--set accelerator=cpu")


def test_the_best_is_what_is_exported(toy_run: Path) -> None:
    last = rows(toy_run)[-1]
    assert math.isfinite(last["chain_distance"])
    state = load_checkpoint(toy_run / "checkpoints" / "body_best.pt")
    assert (state["loop"]["rollbacks"], state["loop"]["best"]) == (0, last["chain_distance"])
    assert (toy_run / "checkpoints" / "body_best.pt").samefile(toy_run / "checkpoints" / "body_00000004.pt")


def test_previews_and_curves(toy_run: Path) -> None:
    assert count_frames(toy_run / "previews" / "body_000004.mp4") == 27, "all of the held-out footage"
    for stage in ("body", "face"):
        assert len(list((toy_run / "tensorboard" / stage).iterdir())) == 1


def fit(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return command("trainer", "fit", DATA / "alice_clip.mp4", "--name", "toy", "--size", "64", *arguments)


def test_fit_pictures(toy_flags: list[str], tmp_path: Path) -> None:
    """It is as far as preparing them that they differ from a video."""
    folder, moves = tmp_path / "pictures", swaying(100, x=100, scale=1.5)
    folder.mkdir()
    for number, move in enumerate(moves):
        write_picture(folder / f"{number}.png", paint(textured(360, 240), move))
    run, labels = tmp_path / "run", write_labels(tmp_path / "labels", moves)
    places: list[str | Path] = ["--run", run, "--out", tmp_path / "subjects", "--openpose", labels]
    arguments: list[str | Path] = ["trainer", "fit", folder, "--name", "toy", "--size", "64", *places, *toy_flags]
    assert_refused(command(*arguments, "--crop", "200,0,200,200"), "--crop 200,0,200,200", "360x240")
    done = command(*arguments, "--crop", "80,0,240,240", *chosen(fps=25, batch=3, chains=3), "--devices", "2")
    assert done.returncode == 2
    assert "cannot be shared" in done.stderr, "all but the training"
    assert done.stdout.startswith("pictures, 4 s, becomes the subject toy:")
    about = load_prepared(run / "data")
    assert (about.video, about.crop, about.fps) == ("pictures", (80, 0, 240, 240), 25)
    assert (about.source_px, about.figure_style) == ((360, 240), "edn"), "as `prepare` has it"
    assert_refused(command(*arguments, "--crop", "81,0,239,239", *chosen(fps=25)), "other settings", "fit.json")
    assert_refused(command("trainer", "fit", DATA / "alice_clip.mp4", "--name", "toy", *chosen(fps=25)), "fps is for")


def test_fit(toy_run: Path, toy_flags: list[str], tmp_path: Path) -> None:
    places: list[str | Path] = ["--run", tmp_path / "run", "--out", tmp_path / "subjects"]
    assert_refused(fit(*places, "--name", "../toy"), "without slashes")
    done = fit(*places, *toy_flags)
    assert done.returncode == 0, done.stderr
    first, *_, last, notice = done.stdout.splitlines()
    assert first == "alice_clip.mp4, 6 s, becomes the subject toy:"
    subject = tmp_path / "subjects" / "toy"
    assert last == f"Subject toy is in {subject}. Next: realtime run --subject {subject}"
    assert "contains pictures of the person" in notice
    assert rows(tmp_path / "run") == rows(toy_run), "the same as step by step"
    written = (subject / "subject.json").stat().st_mtime_ns
    assert_refused(fit(*places, *toy_flags, "--size", "96"), "other settings", "fit.json")
    assert_refused(fit(*places, *toy_flags, *chosen(seed=1)), "other settings", "config.json")
    again = fit(*places, *toy_flags)
    assert again.returncode == 0, again.stderr
    assert "180 frames, done" in again.stdout
    assert again.stdout.splitlines()[-2] == last
    assert (subject / "subject.json").stat().st_mtime_ns == written, "nothing was done twice"
