"""One person over time, and that everything which follows somebody through a video does it by `PoseTrack`."""

import importlib.util
from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from engines.errors import UserError
from realtime.frame import Frame, Rgb
from realtime.live.calibrate import calibrate
from realtime.live.pipeline import STAGES, PosePipeline
from realtime.live.source import FileSource
from realtime.meter import Meter
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.economy import Economy
from realtime.pose.fill_missing import FillConfig
from realtime.pose.pose import Pose
from realtime.pose.skeleton import K
from realtime.pose.track import PoseTrack, TrackedPose
from realtime.pose_tools.annotate import report_poses
from realtime.subject import load_subject
from realtime.subject_engines import EngineConfig
from realtime.video_writer import VideoWriter
from tests.support.commands import assert_refused, command
from tests.support.footage_files import paint, swaying, textured
from tests.support.scripted import ScriptedRenderer
from tests.support.standing_pose import standing
from trainer.detector.commands import tracked_frames
from trainer.evaluation.playback import VideoPlayback, VideoSpan
from trainer.footage.analyse import analyse_footage
from trainer.footage.crop import Framing
from trainer.footage.scan import scan
from trainer.footage.source import constant_rate, open_footage

MEDIAPIPE = PoseConfig(estimator="mediapipe")
FRAMES, SIDE_PX = 12, 256
BLACK = np.zeros((8, 8, 3), np.uint8)


class Scripted:
    """Sees what it is told to see, frame after frame; `switch` makes it go over to somebody else."""

    def __init__(self, *poses: Pose | None, switch_at: int = -1) -> None:
        self.track_id, self.resets, self.asked = 0, 0, 0
        self._poses, self._switch_at, self._number = poses, switch_at, 0

    def estimate(self, rgb: Rgb) -> Pose | None:
        self.track_id += self._number == self._switch_at
        self._number += 1
        return self._poses[(self._number - 1) % len(self._poses)]

    def reset(self) -> None:
        self.resets += 1

    def next_person(self) -> None:
        self.asked += 1

    def economize(self, economy: Economy) -> None: ...


def follow(track: PoseTrack, count: int) -> list[TrackedPose]:
    return [track.step(BLACK, number / 30) for number in range(count)]


def test_what_is_seen_stays_raw_and_what_is_drawn_is_filled_and_smoothed() -> None:
    first, moved = standing(), standing(x=4)
    tracked = follow(PoseTrack(Scripted(first, moved, None)), 3)
    assert [each.seen for each in tracked] == [first, moved, None]
    assert tracked[0].pose is not None
    assert np.array_equal(tracked[0].pose.xy, first.xy)
    assert tracked[1].pose is not None
    assert 0 < np.abs(tracked[1].pose.xy - first.xy).max() < 4, "smoothed"
    assert tracked[2].pose is not None, "held"
    assert tracked[2].pose.confidence.max() < 1, "and fading"


def test_poses_from_elsewhere_are_followed_alike() -> None:
    poses = [standing(), standing(x=4), None, standing(x=6)]
    seen, elsewhere = follow(PoseTrack(Scripted(*poses)), 4), PoseTrack()
    for number, (pose, want) in enumerate(zip(poses, seen, strict=True)):
        got = elsewhere.step_seen(pose, number / 30)
        assert got.pose is not None
        assert want.pose is not None
        assert np.array_equal(got.pose.xy, want.pose.xy)
        assert np.array_equal(got.pose.confidence, want.pose.confidence)


@pytest.mark.parametrize("switch_at", [-1, 2])
def test_somebody_else_is_not_glided_to(switch_at: int) -> None:
    one, other = standing(), standing(x=40)
    tracked = follow(PoseTrack(Scripted(one, one, other, other, switch_at=switch_at)), 4)
    assert [each.new_person for each in tracked] == [False, False, switch_at == 2, False]
    assert tracked[2].pose is not None
    assert np.array_equal(tracked[2].pose.xy, other.xy) is (switch_at == 2)


def test_a_switch_counts_once_somebody_is_there() -> None:
    tracked = follow(PoseTrack(Scripted(standing(), None, standing(x=40), switch_at=1)), 3)
    assert [each.new_person for each in tracked] == [False, False, True]
    assert tracked[1].pose is not None, "held until then"


def test_reset_and_next_person_reach_the_estimator() -> None:
    estimator = Scripted(standing(), standing(x=40))
    track = PoseTrack(estimator)
    follow(track, 1)
    track.reset()
    track.next_person()
    assert (estimator.resets, estimator.asked) == (1, 1)
    after = track.step(BLACK, 1 / 30).pose
    assert after is not None
    assert np.array_equal(after.xy, standing(x=40).xy)


def test_how_long_it_holds_is_chosen() -> None:
    track = PoseTrack(Scripted(standing(), None), fill=FillConfig(lost_s=0.01))
    assert [each.pose is None for each in follow(track, 2)] == [False, True]


# Everything that follows somebody.

PERFORMANCE = [
    replace(pose, deviation=np.full(K, 0.1 + number, np.float32))
    for number, pose in enumerate(swaying(FRAMES, x=128, y=100))
]


def live(video: Path, out: Path) -> None:
    renderer = ScriptedRenderer()
    pipeline = PosePipeline(PoseTrack.of(MEDIAPIPE), renderer, Meter(*STAGES))
    source = FileSource(video, loop=False)
    while (frame := source.read()) is not None:
        pipeline.step(Frame(rgb=frame.rgb, captured_at_s=frame.number / 30, number=frame.number), renderer)


def calibration(video: Path, out: Path) -> None:
    with pytest.raises(UserError, match="ended before the calibration"):
        calibrate(FileSource(video, loop=False), Console(quiet=True), MEDIAPIPE)


def report(video: Path, out: Path) -> None:
    report_poses(video, out, MEDIAPIPE, truth=None, start_s=0, end_s=9)


def evaluation(video: Path, out: Path) -> None:
    subject = load_subject("alice")
    list(VideoPlayback(subject, video, VideoSpan(), EngineConfig(), MEDIAPIPE, self_driven=False).play())


def detector(video: Path, out: Path) -> None:
    list(tracked_frames(video, Framing((64, 64)), MEDIAPIPE, 1, ""))


def footage(video: Path, out: Path) -> None:
    source = open_footage(str(video), None, out)
    scanned = scan(source, lambda number, _: PERFORMANCE[number], out, by="script")
    analyse_footage("film", scanned, constant_rate(scanned.times_s), FRAMES, size_px=(64, 64), box=None)


@pytest.mark.parametrize("place", [live, calibration, report, evaluation, detector, footage])
def test_everything_follows_by_a_track_and_asks_for_the_chosen_estimator(
    place: Callable[[Path, Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, room = tmp_path / "film.mp4", textured(SIDE_PX * 2, SIDE_PX)
    with VideoWriter(video, 30) as writer:
        for pose in PERFORMANCE:
            writer.write(paint(room, pose))
    loaded, followed, step = list[PoseConfig](), list[Pose | None](), PoseTrack.step_seen

    def load(config: PoseConfig, *, threads: int) -> Scripted:
        loaded.append(config)
        return Scripted(*PERFORMANCE)

    def spy(self: PoseTrack, seen: Pose | None, at_s: float) -> TrackedPose:
        followed.append(seen)
        return step(self, seen, at_s)

    monkeypatch.setattr("realtime.pose.track.load_estimator", load)
    monkeypatch.setattr(PoseTrack, "step_seen", spy)
    place(video, tmp_path / "out")
    assert loaded == ([] if place is footage else [MEDIAPIPE])
    assert len(followed) == FRAMES
    for seen, pose in zip(followed, PERFORMANCE, strict=True):
        assert seen is not None
        for value, wanted in zip(astuple(seen), astuple(pose), strict=True):
            assert np.array_equal(value, wanted), "all that the estimator said arrives, how sure it is, too"


@pytest.mark.parametrize(
    "arguments",
    [
        ["realtime", "pose", "VIDEO"],
        ["realtime", "calibrate", "eve", "--source", "VIDEO"],
        ["realtime", "bench", "--source", "VIDEO"],
        ["realtime", "bench-pose", "--source", "VIDEO"],
        ["trainer", "evaluate", "--driver", "VIDEO"],
        ["trainer", "detector", "train", "--real", "VIDEO", "--out", "OUT"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_every_command_takes_the_library_and_says_how_to_install_it(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("mediapipe"):
        pytest.skip("it is installed here")
    monkeypatch.chdir(tmp_path)
    with VideoWriter(tmp_path / "film.mp4", 30) as writer:
        for _ in range(3):
            writer.write(np.full((64, 64, 3), 90, np.uint8))
    names = {"VIDEO": "film.mp4", "OUT": "out.safetensors"}
    done = command(*(names.get(argument, argument) for argument in arguments), "--pose", "mediapipe")
    assert_refused(done, "pip install '", "[mediapipe]'")
    assert not list(tmp_path.glob("*_pose"))
