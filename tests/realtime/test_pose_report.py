"""`realtime pose`, as its users run it."""

import errno
import json
import re
from pathlib import Path

import numpy as np
import pytest

from engines.errors import UserError
from realtime.pose.measure import stature_px
from realtime.pose.pose import Pose
from realtime.pose.quality import FINGERTIPS, JOINTS, Truth
from realtime.pose.skeleton import BODY_NAMES, INDEX, LEFT_HAND, K
from realtime.pose_tools.annotate import report_poses
from realtime.pose_tools.report import compare_with_truth, report_track
from realtime.video import count_frames, read_video
from realtime.video_writer import VideoWriter
from tests.support.commands import DATA, assert_refused, command, command_here
from tests.support.footage_files import write_film
from tests.support.standing_pose import standing

CLIP = DATA / "bob_clip.mp4"


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What another program saw in the clip serves as the truth."""
    path = tmp_path_factory.mktemp("truth") / "truth.npz"
    with np.load(DATA / "landmarks.npz") as seen:
        body = seen["bob_clip_body"]
    there = np.isfinite(body[:, :, 0])
    xy = np.where(there[..., None], body[..., :2], 0).astype(np.float32)
    np.savez(path, names=np.array(BODY_NAMES), xy=xy, visibility=np.where(there, 2, 0).astype(np.uint8))
    return path


def test_a_video_and_a_report_to_look_at(truth: Path, tmp_path: Path) -> None:
    out = tmp_path / "seen"
    done = command(
        "realtime", "pose", CLIP, "--out", out, "--truth", truth, "--start-s", "3", "--end-s", "5", "--pose", "own"
    )
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["frames"] == last["seen"] == 60
    assert last["rate"] == 1
    assert last["longest_gap_s"] == 0
    assert set(last["parts"]) == {"left hand", "right hand", "face"}
    assert 0 < last["jitter_px"]["smooth"] < last["jitter_px"]["raw"] < 3
    raw, smooth = last["truth"]["raw"], last["truth"]["smooth"]
    assert raw["rate"] == 1
    assert raw["error_percent"] < 0.5, "our tracker and the library agree"
    assert smooth["error_percent"] < 2
    assert -10 <= raw["lag_ms"] <= smooth["lag_ms"] < 20
    assert sorted(path.name for path in out.iterdir()) == ["pose.mp4", "report.html"]
    assert count_frames(out / "pose.mp4") == 60
    (first, _), (plain, _) = next(read_video(out / "pose.mp4")), next(read_video(CLIP))
    assert first.shape == plain.shape
    html = (out / "report.html").read_text()
    assert html.count("<svg") == 3
    assert html.count("data:image/jpeg") == 6
    assert not re.search(r'(src|href)="(?!data:)', html), "nothing is loaded from outside"


@pytest.mark.parametrize("name", ["pose.mp4", "report.html"])
def test_nothing_is_overwritten_unasked(name: str, tmp_path: Path) -> None:
    arguments = (
        "realtime",
        "pose",
        CLIP,
        "--out",
        tmp_path,
        "--start-s",
        "4",
        "--end-s",
        "4.2",
        "--pose-parts",
        "body",
    )
    (tmp_path / name).write_text("mine")
    assert_refused(command_here(*arguments), name, "there already", "--replace")
    assert_refused(command_here(*arguments[:4], tmp_path / name), name, "a folder")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"
    done = command_here(*arguments, "--replace")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pose.mp4", "report.html"]
    assert (tmp_path / name).stat().st_size > 1000


def test_who_walks_in_late_leaves_a_gap(tmp_path: Path) -> None:
    done = command("realtime", "pose", CLIP, "--out", tmp_path, "--end-s", "1", "--pose-parts", "body")
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert 0 < last["seen"] < last["frames"] == 30
    assert last["longest_gap_s"] == pytest.approx((last["frames"] - last["seen"]) / 30, abs=1e-3)
    assert f"a person in {last['seen']} of them" in done.stdout


def test_a_few_frames_have_no_figures() -> None:
    pose = standing()
    for count in (1, 3):
        few = report_track("few.mp4", [pose] * count, [pose] * count, 30.0, None)
        assert (few.seen, few.rate, few.confidence, few.parts, few.jitter_px) == (count, 1, None, {}, {})
        assert "Too few frames" in few.lines()[1]
        assert few.lines()[-1].startswith("! The person is in too few frames in a row")
    enough = report_track("enough.mp4", [pose] * 30, [pose] * 30, 30.0, None)
    assert enough.parts.keys() == {"left hand", "right hand", "face"}
    assert enough.jitter_px["raw"] == pytest.approx(0, abs=0.01)


def test_nobody_in_the_video(tmp_path: Path) -> None:
    room = tmp_path / "room.mp4"
    with VideoWriter(room, 30) as writer:
        for _ in range(8):
            writer.write(np.full((97 // 2 * 2, 128, 3), (90, 110, 130), np.uint8))
    done = command("realtime", "pose", room, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["rate"] == last["seen"] == 0
    assert last["longest_gap_s"] == pytest.approx(8 / 30, abs=1e-3)
    assert last["confidence"] is None
    assert "Nobody" in last["warnings"][0]


def test_mistakes_get_one_sentence(truth: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for arguments, words in (
        (["no.mp4"], ["There is no video", "no.mp4"]),
        ([CLIP, "--start-s", "3", "--end-s", "2"], ["--end-s"]),
        ([CLIP, "--start-s", "99"], ["--start-s", "99"]),
        ([CLIP, "--truth", CLIP], ["bob_clip.mp4 holds no exact joints: give an .npz"]),
        ([CLIP, "--truth", "no.npz"], ["There is no no.npz: check the path."]),
    ):
        assert_refused(command_here("realtime", "pose", *arguments, "--out", out), *words)
    assert not list(tmp_path.rglob("*.*")), "nothing is half-written"
    short = tmp_path / "short.npz"
    with np.load(truth) as rows:
        np.savez(short, names=rows["names"], xy=rows["xy"][:10])
    refused = command_here("realtime", "pose", CLIP, "--truth", short, "--end-s", "1", "--out", out)
    assert_refused(refused, "short.npz", "10 rows")


def test_a_point_is_no_picture(tmp_path: Path) -> None:
    point = write_film(tmp_path / "point.mkv", [np.zeros((1, 1, 3), np.uint8)] * 3, 1 / 30, codec="ffv1")
    for name, out in (("pose", tmp_path / "new" / "out"), ("render", tmp_path / "out.mp4")):
        refused = command_here("realtime", name, point, "--out", out)
        assert_refused(refused, "point.mkv is 1x1: there is nothing to see in it")
    assert [path.name for path in tmp_path.iterdir()] == ["point.mkv"], "nothing is half-written"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_no_empty_folder_is_left_unless_it_was_there(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("realtime.pose_tools.annotate._record", fail)
    (tmp_path / "mine").mkdir()
    for out in (tmp_path / "new", tmp_path / "mine", tmp_path / "mine" / "deep" / "new"):
        with pytest.raises((KeyboardInterrupt, UserError)):
            report_poses(CLIP, out, truth=None, start_s=0, end_s=1)
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


def test_a_constant_offset_is_told_from_scatter_and_hands_are_measured_where_they_are_visible() -> None:
    rng = np.random.default_rng(2)
    still = standing()
    poses = [
        Pose(still.xy + rng.normal(0, 1, (K, 2)).astype(np.float32), still.depth, still.confidence) for _ in range(60)
    ]
    without_left = still.confidence.copy()
    without_left[LEFT_HAND] = 0
    poses[:15] = [Pose(pose.xy, pose.depth, without_left) for pose in poses[:15]]
    joints, tips = [INDEX[name] for name in JOINTS], [INDEX[name] for name in FINGERTIPS]
    shift = np.array([9, -4], np.float32)
    truth = Truth(
        JOINTS, np.stack([still.xy[joints] + shift] * 60), np.ones((60, len(JOINTS)), bool), np.ones(60, bool),
        np.stack([still.xy[tips]] * 60), np.repeat([[True] * 5 + [False] * 5], 60, axis=0),
    )  # fmt: skip
    report = compare_with_truth(truth, poses, 30)
    percent = 100 / stature_px(still)
    assert report.error_percent == pytest.approx(np.hypot(*shift) * percent, rel=0.05)
    assert report.scatter_percent == pytest.approx(np.sqrt(np.pi / 2) * percent, rel=0.1), "of noise of 1 px"
    assert report.hands_rate == pytest.approx(45 / 60)
    assert report.fingertips_percent == pytest.approx(np.sqrt(np.pi / 2) * percent, rel=0.15)
