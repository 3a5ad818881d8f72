"""`realtime calibrate`, and the profiles that it keeps."""

import io
import itertools
from itertools import islice
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from rich.console import Console

from engines.errors import UserError
from realtime.frame import Frame, Rgb
from realtime.live.calibrate import CALIBRATION_S, CALIBRATION_STEPS, Calibration, calibrate, calibrate_film
from realtime.live.openpose_source import PosedFrame
from realtime.live.performer_profile import Profile, load_profile, profiles_folder, save_profile
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.normalization.motion_range import MotionRange, Stand
from realtime.video import read_video
from realtime.video_writer import VideoWriter
from tests.support.commands import DATA, assert_refused, command, command_here
from tests.support.scripted import ScriptedSource
from tests.support.standing_pose import standing

MOTION = MotionRange(far_ankle=400, near_ankle=460, far_stature=250, near_stature=350, middle=480, reach=20)
PROFILE = Profile(width_px=960, height_px=540, motion=MOTION)


@pytest.fixture(autouse=True)
def data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path


def steps(video: Path, near: float) -> Path:
    """bob, who comes nearer and goes away again: one picture of him, larger and smaller about the horizon."""
    picture, _ = next(islice(read_video(DATA / "bob_clip.mp4"), 120, None))
    height, width, _ = picture.shape
    with VideoWriter(video, 15) as writer:
        for i in range(15 * 3):
            k = 1 + (near - 1) * np.sin(2 * np.pi * i / 22.5)
            about = np.array([[k, 0, (1 - k) * width / 2], [0, k, (1 - k) * height / 2]])
            writer.write(np.asarray(cv2.warpAffine(picture, about, (width, height)), np.uint8))
    return video


def test_a_film_is_measured_and_the_profile_is_kept(tmp_path: Path) -> None:
    done = command("realtime", "calibrate", "bob", "--source", steps(tmp_path / "steps.mp4", 1.12))
    assert done.returncode == 0, done.stderr
    assert "realtime run --performer bob" in done.stdout
    profile = load_profile("bob")
    ratio = profile.motion.near_stature / profile.motion.far_stature
    assert ratio == pytest.approx(1.12 / 0.88, rel=0.08)
    assert [path.name for path in profiles_folder().iterdir()] == ["bob.json"]


def test_without_a_camera_nobody_is_taken_for_the_performer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.live.camera.has_camera", lambda: False)
    assert_refused(command_here("realtime", "calibrate", "maria"), "no camera", "--source bob")
    assert not profiles_folder().exists()


def test_a_performer_is_guided(tmp_path: Path) -> None:
    pictures = [rgb for rgb, _ in read_video(steps(tmp_path / "steps.mp4", 1.12))]
    source = ScriptedSource(itertools.cycle(pictures), fps=10)
    profile = calibrate(source, Console(file=io.StringIO()), PoseConfig(pose_parts="body"))
    assert profile.motion.near_stature / profile.motion.far_stature > 1.1


def test_a_film_in_which_nobody_stands(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "empty.mp4", 30) as writer:
        for _ in range(5):
            writer.write(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(UserError, match="with both feet in the picture"):
        calibrate_film(tmp_path / "empty.mp4")


def test_the_clock_runs_only_while_the_feet_are_seen() -> None:
    calibration, hints = Calibration(), []
    for i in range(1000):
        if calibration.done:
            break
        hints.append(calibration.hint)
        calibration.add(Stand(400 + i % 90, 250 + i % 90, 300) if i % 2 else None, i / 30)
    assert list(dict.fromkeys(hints)) == [part.hint for part in CALIBRATION_STEPS]
    assert i / 30 == pytest.approx(2 * CALIBRATION_S, rel=0.05)
    assert calibration.profile((640, 480)).motion.near_ankle > calibration.profile((640, 480)).motion.far_ankle


def test_who_does_not_move_is_told_so() -> None:
    calibration = Calibration()
    for i in range(200):
        calibration.add(Stand(400 + i % 2, 250 - i % 2, 300), i / 30)
    with pytest.raises(UserError, match="calibrate again"):
        calibration.profile((640, 480))


def test_profiles_survive_another_resolution_but_not_another_shape() -> None:
    save_profile("eve", PROFILE)
    assert load_profile("eve") == PROFILE
    assert PROFILE.range_in((960, 540)) == MOTION
    half = PROFILE.range_in((480, 270))
    assert half is not None
    assert half.near_stature == 175
    assert PROFILE.range_in((640, 480)) is None


@pytest.mark.parametrize("name", ["../eve", "", ".hidden", "a/b"])
def test_names_that_no_file_can_have(name: str) -> None:
    with pytest.raises(UserError, match="cannot be called"):
        save_profile(name, PROFILE)
    assert_refused(command("realtime", "calibrate", name, "--source", "bob"), "cannot be called")


def test_an_unknown_performer_is_told_which_exist() -> None:
    save_profile("eve", PROFILE)
    assert_refused(command("realtime", "run", "--source", "bob", "--performer", "adam"), "adam", "eve", "calibrate")


@pytest.mark.parametrize(
    "text",
    [b"{", msgspec.json.encode({**msgspec.to_builtins(PROFILE), "surprise": 1}),
     msgspec.json.encode(msgspec.structs.replace(PROFILE, format=2)),
     msgspec.json.encode(Profile(width_px=9, height_px=9, motion=MOTION.scaled(0)))],
)  # fmt: skip
def test_a_damaged_profile_is_refused(text: bytes) -> None:
    save_profile("eve", PROFILE).write_bytes(text)
    with pytest.raises(UserError, match=r"eve\.json.*realtime calibrate eve"):
        load_profile("eve")


def test_recorded_poses_calibrate_without_a_look_at_their_drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    pose = standing()
    picture: Rgb = np.zeros((8, 8, 3), np.uint8)
    frames = (PosedFrame(rgb=picture, captured_at_s=i / 10, number=i, pose=pose) for i in range(10_000))
    seen = list[Frame | None]()

    class Poses(ScriptedSource):
        def read(self) -> Frame | None:
            seen.append(next(frames, None))
            return seen[-1]

    monkeypatch.setattr("realtime.pose.track.PoseTrack.step", lambda *_: pytest.fail("there is nobody in drawings"))
    with pytest.raises(UserError, match="hardly came nearer"):
        calibrate(Poses([]), Console(file=io.StringIO()))
    assert len(seen) > 10
