"""Missed keypoints and missed people."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.pose.fill_missing import FillConfig, Filler
from realtime.pose.measure import stature_px
from realtime.pose.pose import Pose
from realtime.pose.skeleton import FACE, INDEX, LEFT_HAND, RIGHT_HAND, K
from realtime.pose.track import PoseTrack
from tests.support.numbers import floats
from tests.support.standing_pose import standing

HAND = INDEX["left_hand_middle_4"]


def without(pose: Pose, *missing: int | slice) -> Pose:
    """As an estimator reports it: confidence 0, and (0, 0)."""
    xy, confidence = pose.xy.copy(), pose.confidence.copy()
    for part in missing:
        xy[part], confidence[part] = 0, 0
    return replace(pose, xy=xy, confidence=confidence)


def test_a_complete_pose_passes_unchanged() -> None:
    filler = Filler()
    for i in range(3):
        pose = standing(x=2.0 * i)
        filled = filler.fill(pose, i / 30)
        assert filled is not None
        assert np.array_equal(filled.xy, pose.xy)
        assert np.array_equal(filled.confidence, pose.confidence)


@settings(max_examples=50)
@given(
    missing=st.lists(st.sets(st.integers(0, K - 1)), min_size=2, max_size=8),
    speed=floats(-300, 300),
    fps=st.sampled_from([24, 30, 60, 120]),
)
def test_a_limb_never_flies_away(missing: list[set[int]], speed: float, fps: int) -> None:
    """Whatever is missed, even in the first frame, every keypoint stays on the body, and moves no faster than it."""
    track = PoseTrack()
    for i, lost in enumerate(missing):
        pose = standing(x=200 + speed * i / fps, y=150)
        shown = track.step_seen(without(pose, *lost), i / fps).pose
        assert shown is not None
        size_px = 1.3 * stature_px(pose) + abs(speed) / fps
        if len(lost) < 100:
            assert np.abs(shown.xy - pose.xy.mean(axis=0)).max() < size_px


@pytest.mark.parametrize("part", [LEFT_HAND, RIGHT_HAND, FACE])
def test_a_missed_part_moves_with_its_joint_and_fades(part: slice) -> None:
    filler, confidences = Filler(), []
    filler.fill(standing(), 0.0)
    for i in range(1, 13):
        pose = standing(x=3.0 * i)
        filled = filler.fill(without(pose, part), i / 30)
        assert filled is not None
        assert np.allclose(filled.xy, pose.xy, atol=1e-3)
        confidences.append(filled.confidence[part.start])
    steps = np.diff([1.0, *confidences])
    assert (steps <= 0).all()
    assert steps.min() > -0.12, "it fades, it does not vanish"
    assert confidences[3] > 0.5, "drawn in full after 0.13 s"
    assert confidences[-1] == 0, "gone after 0.4 s"


def test_a_missed_hand_turns_with_its_forearm() -> None:
    filler = Filler()
    pose = standing()
    wrist, elbow = INDEX["left_wrist"], INDEX["left_elbow"]
    filler.fill(pose, 0.0)
    turn = np.array([[0, 1], [-1, 0]], np.float32)
    xy = pose.xy.copy()
    arm = [wrist, *range(LEFT_HAND.start, LEFT_HAND.stop)]
    xy[arm] = xy[elbow] + (xy[arm] - xy[elbow]) @ turn
    filled = filler.fill(without(Pose(xy, pose.depth, pose.confidence), LEFT_HAND), 1 / 30)
    assert filled is not None
    assert np.allclose(filled.xy, xy, atol=1e-3)


@pytest.mark.parametrize("fps", [24, 30, 60, 120])
def test_hands_that_come_and_go_do_not_flicker(fps: int) -> None:
    """Found in 80 % of the frames at random, as on real footage."""
    rng, track, shown = np.random.default_rng(1), PoseTrack(), []
    for i in range(4 * fps):
        pose = standing(x=20 * np.sin(i / fps))
        drawn = track.step_seen(pose if rng.random() < 0.8 else without(pose, LEFT_HAND), i / fps).pose
        assert drawn is not None
        shown.append(drawn)
    confidence = np.array([pose.confidence[HAND] for pose in shown])
    assert confidence.min() > 0.5, "always drawn in full"
    moves_px = np.abs(np.diff([pose.xy[HAND, 0] for pose in shown]))
    assert moves_px.max() < 3 * 20 / fps


def test_what_is_seen_in_one_frame_only_hardly_shows() -> None:
    filler = Filler()
    filler.fill(None, 0.0)
    ghost = filler.fill(standing(), 1 / 30)
    assert ghost is not None
    assert ghost.confidence.max() < 0.25


def test_a_lost_person_stays_for_a_moment_then_fades_then_is_gone() -> None:
    filler, config, pose = Filler(), FillConfig(), standing()
    filler.fill(pose, 0.0)
    for at_s in np.arange(1, 60) / 30:
        held = filler.fill(None, float(at_s))
        if at_s >= config.lost_s:
            assert held is None
        else:
            assert held is not None
            assert np.array_equal(held.xy, pose.xy)
            assert held.confidence.max() == pytest.approx(1 - at_s / config.lost_s, abs=1e-4)


def test_whoever_comes_back_starts_cleanly() -> None:
    track, elsewhere = PoseTrack(), standing(x=300)
    track.step_seen(standing(), 0.0)
    for i in range(1, 45):
        track.step_seen(None, i / 30)
    back = track.step_seen(elsewhere, 1.5).pose
    assert back is not None
    assert np.array_equal(back.xy, elsewhere.xy)
    settled = [track.step_seen(elsewhere, 1.5 + i / 30).pose for i in range(1, 6)][-1]
    assert settled is not None
    assert np.array_equal(settled.confidence, elsewhere.confidence)


def test_a_person_missed_for_a_few_frames_is_held() -> None:
    track = PoseTrack()
    track.step_seen(standing(), 0.0)
    for i in range(1, 8):
        held = track.step_seen(None, i / 30).pose
        assert held is not None
        assert held.confidence.min() > 0.5


def test_a_pause_or_a_step_back_in_time_is_a_new_start() -> None:
    for later_s in (5.0, -1.0):
        filler, pose = Filler(), standing(x=50)
        filler.fill(standing(), 0.0)
        assert filler.fill(None, later_s) is None
        filler.reset()
        filler.fill(standing(), 0.0)
        again = filler.fill(pose, later_s)
        assert again is not None
        assert np.array_equal(again.confidence, pose.confidence)


def test_impossible_times_are_refused() -> None:
    with pytest.raises(ValueError, match="fade_s"):
        FillConfig(fade_s=0)
