"""`trainer prepare` on all kinds of footage, through its command; labels save the time of finding the person."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime.frame import Rgb
from realtime.pose.archive import load_poses
from realtime.pose.skeleton import INDEX
from realtime.video import count_frames, read_video
from tests.support.commands import DATA, assert_refused, command, command_here, command_signalled
from tests.support.footage_files import paint, swaying, textured, write_film, write_labels
from tests.support.streams import numbered_picture, read_number
from trainer.config import TrainConfig
from trainer.footage.prepared import Footage, Prepared, load_prepared


def prepare(video: Path, labels: Path | None, run: Path, *flags: str, size: str = "256") -> Prepared:
    labelled: list[str | Path] = [] if labels is None else ["--openpose", labels]
    done = command_here("trainer", "prepare", video, "--out", run, "--size", size, *labelled, *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (run / "report.html").exists()
    return load_prepared(run / "data")


def numbers(run: Path) -> list[int]:
    return [read_number(rgb) for rgb, _ in read_video(run / "data" / "frames.mp4")]


@pytest.mark.parametrize(
    ("name", "codec", "fps", "every"),
    [("fast.mp4", "libx264", 120, 4), ("fast.webm", "libvpx", 60, 2), ("film.mkv", "libx264", 24, 1)],
)
def test_any_rate_and_container(name: str, codec: str, fps: int, every: int, tmp_path: Path) -> None:
    count = round(3.2 * fps)
    video = write_film(tmp_path / name, [numbered_picture(i) for i in range(count)], 1 / fps, codec=codec)
    moves = swaying(count, scale=1.8)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "fit.json").write_text("{}")
    about = prepare(video, write_labels(tmp_path / "labels", moves), tmp_path / "run")
    assert not (tmp_path / "run" / "fit.json").exists(), "it is of another film"
    assert (about.fps, about.source_fps, about.frames) == (fps / every, fps, -(-count // every))
    assert numbers(tmp_path / "run") == list(range(0, count, every))
    nose = INDEX["nose"]
    for pose, true in zip(load_poses(tmp_path / "run" / "data" / "poses.npz"), moves[::every], strict=True):
        assert pose is not None
        assert np.abs(pose.xy[nose] - true.xy[nose]).max() < 6, "smoothed, but of this very moment"
    assert not (tmp_path / "run" / "data" / "scanned").exists()


def test_a_variable_rate(tmp_path: Path) -> None:
    kept = [i for i in range(150) if not 60 <= i < 120 or i % 2 == 0]  # the camera halves its rate for two seconds
    film = [numbered_picture(i) for i in kept]
    video = write_film(tmp_path / "phone.mkv", film, [i / 30 for i in kept], codec="ffv1")
    moves = swaying(150, scale=1.8)
    about = prepare(video, write_labels(tmp_path / "labels", [moves[i] for i in kept]), tmp_path / "run")
    assert (about.fps, about.frames) == (30, 150)
    assert np.abs(np.array(numbers(tmp_path / "run")) - np.arange(150)).max() <= 1


def test_what_fits_already_is_kept_as_it_is(tmp_path: Path) -> None:
    video = write_film(tmp_path / "plain.mp4", [numbered_picture(i) for i in range(100)], 1 / 30)
    prepare(video, write_labels(tmp_path / "labels", swaying(100, scale=1.8)), tmp_path / "run")
    frames = tmp_path / "run" / "data" / "frames.mp4"
    assert frames.stat().st_size <= video.stat().st_size + 2000
    for (ours, _), (theirs, _) in zip(read_video(frames), read_video(video), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.fixture
def wide(tmp_path: Path) -> tuple[Path, Path]:
    """Somebody on the right side of a wide picture of odd size, and their labels."""
    moves, room = swaying(100, x=330, y=10, scale=1.5), textured(601, 241)
    video = write_film(tmp_path / "wide.mkv", [paint(room, move) for move in moves], 1 / 30, codec="ffv1")
    return video, write_labels(tmp_path / "labels", moves)


def test_the_crop_goes_where_the_person_is(wide: tuple[Path, Path], tmp_path: Path) -> None:
    about = prepare(*wide, tmp_path / "run", size="128")
    assert about.crop is not None
    x, y, width, height = about.crop
    assert (y, width, height) == (0, 241, 241)
    assert abs(x + width / 2 - (330 + 1.5 * 64)) < 12
    poses = load_poses(tmp_path / "run" / "data" / "poses.npz")
    assert all(pose is not None and 0 < pose.xy[INDEX["nose"], 0] < 128 for pose in poses)
    plate = Footage(tmp_path / "run" / "data").plate
    room = cv2.resize(textured(601, 241)[:, x : x + width], (128, 128), interpolation=cv2.INTER_AREA)
    assert about.static
    assert np.median(np.abs(plate.astype(int) - room)) < 6


def test_a_chosen_crop(wide: tuple[Path, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    about = prepare(*wide, run, "--crop", "320,10,220,220", size="64")
    assert about.crop == (320, 10, 220, 220)
    arguments: list[str | Path] = [
        "prepare",
        wide[0],
        "--out",
        run,
        "--openpose",
        wide[1],
        "--size",
        "64",
        "--crop",
    ]
    assert_refused(command_here("trainer", *arguments, "500,0,200,200"), "601x241", "inside")
    assert_refused(command_here("trainer", *arguments, "300,0,200,100"), "350,0,100,100")
    assert_refused(
        command_here("trainer", *arguments, "0,0,64,64"), "in the used part, 0,0,64,64, for 0.0 s of", "--crop"
    )
    assert_refused(command_here("trainer", *arguments, "left"), "X,Y,WIDTH,HEIGHT", "left")


def test_a_camera_that_moves_has_no_plate(tmp_path: Path) -> None:
    moves, room = swaying(100, scale=1.8), textured(400, 256)
    pictures = [paint(np.ascontiguousarray(room[:, i : i + 256]), move) for i, move in enumerate(moves)]
    video = write_film(tmp_path / "pan.mp4", pictures, 1 / 30)
    run = tmp_path / "run"
    about = prepare(video, write_labels(tmp_path / "labels", moves), run, size="64")
    assert not about.static
    assert (Footage(run / "data").plate == 128).all()
    assert "tripod" in (run / "report.html").read_text()
    config = TrainConfig().for_footage(about.size_px, static=about.static)
    assert not config.background
    assert (config.mask_weight, config.window_px, config.perceptual_px) == (0, 64, 64)
    assert count_frames(run / "data" / "frames.mp4") == 100


def test_pictures_labelled_with_openpose(tmp_path: Path) -> None:
    """The paper's layout: a folder of pictures, a folder of OpenPose's files."""
    folder, moves = tmp_path / "train_img", swaying(80, scale=1.8)
    folder.mkdir()
    for number, move in enumerate(moves):
        cv2.imwrite(str(folder / f"frame{number:06d}.png"), paint(textured(256, 256), move)[:, :, ::-1])
    labels, run = write_labels(tmp_path / "train_openpose", moves), tmp_path / "run"
    about = prepare(folder, labels, run, "--fps", "24", size="64")
    assert (about.video, about.fps, about.frames, about.figure_style) == ("train_img", 24, 80, "edn")
    footage = Footage(run / "data")
    reader = footage.reader()
    assert np.abs(reader.read(70).astype(int) - cv2.resize(paint(textured(256, 256), moves[70]), (64, 64))).mean() < 12
    assert (footage.figure(0).rgb[0, 0] == footage.style.blank).all()
    reader.close()


def test_a_killed_look_goes_on(tmp_path: Path) -> None:
    clip = [rgb for rgb, _ in read_video(DATA / "alice_clip.mp4")][:100:2]
    video, run = write_film(tmp_path / "slow.mp4", clip, 1 / 15), tmp_path / "run"
    first = run / "data" / "scanned" / "000000.npz"
    look: list[str | Path] = ["trainer", "prepare", video, "--out", run, "--only-report"]
    killed = command_signalled(*look, number=signal.SIGKILL, when_written=first.name)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (run / "report.html").exists()
    written = first.stat().st_mtime_ns
    done = command(*look)
    assert done.returncode == 0, done.stderr
    assert first.stat().st_mtime_ns == written, "what was done is not done again"
    assert not (run / "data" / "prepare.json").exists()
    about = prepare(video, None, run, size="64")
    assert (about.frames, about.seen) == (50, 50)
    noses = np.stack([pose.xy[0] for pose in load_poses(run / "data" / "poses.npz") if pose])
    assert np.linalg.norm(np.diff(noses, axis=0), axis=1).max() < 6, "nobody jumps where it went on"


def test_a_stopped_look_says_what_is_kept(tmp_path: Path) -> None:
    video, run = DATA / "alice_clip.mp4", tmp_path / "run"
    stopped = command_signalled("trainer", "prepare", video, "--out", run, number=signal.SIGINT, when_written="*.npz")
    assert stopped.returncode == 130
    assert stopped.stderr == f"trainer: stopped. What was done is kept in {run}; the same command goes on from there.\n"


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    program = "from trainer.cli import main; main(); print(open('/proc/self/status').read())"
    peaks_kb = []
    for count in (300, 800):  # at 300 the pictures kept for the plate are as many as they ever are
        moves, room = swaying(count, x=150, scale=1.8), textured(640, 360)
        video = write_film(tmp_path / f"{count}.mp4", (paint(room, move) for move in moves), 1 / 30)
        labels = write_labels(tmp_path / f"labels{count}", moves)
        flags: list[str | Path] = ["--out", tmp_path / f"run{count}", "--openpose", labels, "--size", "64"]
        done = subprocess.run(
            [sys.executable, "-c", program, "prepare", video, *flags], capture_output=True, text=True, check=True
        )
        peaks_kb.append(int(re.findall(r"VmHWM:\s+(\d+) kB", done.stdout)[0]))
    grown_kb = peaks_kb[1] - peaks_kb[0]
    assert grown_kb < 500 * 640 * 360 * 3 / 1024 / 6, f"500 pictures more, {grown_kb} kB more"


def test_footage_that_cannot_be_used(tmp_path: Path) -> None:
    room: Rgb = textured(256, 256)
    video = write_film(tmp_path / "v.mp4", [room] * 100, 1 / 30)
    small = swaying(100, x=100, y=100, scale=0.3, by_px=4)
    footless = swaying(100, scale=1.8)
    for pose in footless:
        pose.confidence[[INDEX["left_ankle"], INDEX["right_ankle"]]] = 0
    for name, poses, words in (
        ("nobody", [None] * 100, ["nobody was found"]),
        ("short", [*swaying(50, scale=1.8), *[None] * 50], ["for 1.7 s", "3 s are the least"]),
        ("small", small, ["too small", "--crop"]),
        ("footless", footless, ["feet are never seen"]),
    ):
        labels, run = write_labels(tmp_path / name, poses), tmp_path / f"run_{name}"
        refused = command_here("trainer", "prepare", video, "--out", run, "--size", "64", "--openpose", labels)
        assert_refused(refused, "v.mp4", "report.html", *words)
        assert "cannot be used" in (run / "report.html").read_text()
        assert not list((run / "data").glob("*")), "nothing is half-written"


def test_a_report_on_footage_that_cannot_be_used_is_written_as_asked(tmp_path: Path) -> None:
    video = write_film(tmp_path / "v.mp4", [textured(256, 256)] * 20, 1 / 30)
    labels, run = write_labels(tmp_path / "nobody", [None] * 20), tmp_path / "run"
    done = command_here(
        "trainer", "prepare", video, "--out", run, "--size", "64", "--openpose", labels, "--only-report"
    )
    assert done.returncode == 0, done.stderr
    assert "It cannot be used: nobody was found" in done.stdout
    assert "cannot be used" in (run / "report.html").read_text()


@pytest.mark.parametrize(("pictures", "long"), [(80, "2.67 s"), (89, "2.97 s"), (1, "0.01 s")])
def test_footage_that_is_too_short_is_refused_before_it_is_looked_at(tmp_path: Path, pictures: int, long: str) -> None:
    video, run = write_film(tmp_path / "v.mp4", [textured(64, 64)] * pictures, 1 / 30), tmp_path / "run"
    words = "v.mp4", f"{long} long", "3 s are the least"
    assert_refused(command_here("trainer", "prepare", video, "--out", run), *words)
    assert_refused(command_here("trainer", "fit", video, "--name", "eva", "--run", run), *words)
    assert not run.exists()


def test_a_report_for_people(wide: tuple[Path, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = command_here("trainer", "prepare", wide[0], "--out", run, "--openpose", wide[1], "--only-report")
    assert done.returncode == 0, done.stderr
    assert "Turn around more" in done.stdout
    assert "20 s seen from the left" in " ".join(done.stdout.split())
    html = (run / "report.html").read_text()
    assert html.count("data:image/jpeg") == 12 + 4
    assert "src=" in html
    assert not any(f'{name}="http' in html for name in ("src", "href"))
    assert json.loads((run / "data" / "scanned" / "about.json").read_text())["path"] == str(wide[0])
