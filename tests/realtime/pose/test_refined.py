"""Refined poses against the exact joints of clips of people that no training saw."""

from functools import cache
from itertools import islice

import numpy as np
import pytest

from realtime.frame import Rgb
from realtime.pose.estimation.blazepose import Body, BodyTracker
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.estimator import PoseEstimator
from realtime.pose.estimation.refined_body import _held
from realtime.pose.estimation.refined_points import HAND_POINTS
from realtime.pose.estimation.refiner import Refiner
from realtime.pose.estimation.region import Region
from realtime.pose.pose import Pose
from realtime.pose.quality import load_truth
from realtime.pose.skeleton import BODY_NAMES, LEFT_HAND
from realtime.pose_tools.report import TruthReport, compare_with_truth
from realtime.video import read_video
from tests.support.commands import DATA

FRAMES = 150
PLAIN, FULL = PoseConfig(estimator="own"), PoseConfig()
FAST = PoseConfig(pose_effort="fast")
CLIPS = ("alice", "bob")


@cache
def clip(name: str) -> tuple[Rgb, ...]:
    return tuple(rgb for rgb, _ in islice(read_video(DATA / f"{name}_clip.mp4"), FRAMES))


@cache
def poses(name: str, config: PoseConfig) -> tuple[Pose | None, ...]:
    estimator = PoseEstimator(config=config)
    return tuple(map(estimator.estimate, clip(name)))


@cache
def report(name: str, config: PoseConfig) -> TruthReport:
    truth = load_truth(DATA / f"{name}_clip_joints.npz", FRAMES).rows(range(FRAMES))
    return compare_with_truth(truth, poses(name, config), 30)


@pytest.mark.parametrize("name", CLIPS)
def test_joints_are_truer_and_at_rest_steadier_than_unrefined(name: str) -> None:
    plain, refined = report(name, PLAIN), report(name, FULL)
    assert refined.rate >= plain.rate
    assert refined.error_percent < 0.7 * plain.error_percent
    assert refined.error_fast_percent < plain.error_fast_percent
    assert refined.jitter_percent < plain.jitter_percent
    assert refined.jitter_still_percent < 0.8 * plain.jitter_still_percent


@pytest.mark.parametrize("name", CLIPS)
def test_they_are_truer_even_when_the_large_networks_take_turns(name: str) -> None:
    plain, refined = report(name, PLAIN), report(name, FAST)
    assert refined.rate >= plain.rate
    assert refined.error_percent < 0.75 * plain.error_percent
    assert refined.error_fast_percent < plain.error_fast_percent
    assert refined.jitter_still_percent < 0.9 * plain.jitter_still_percent


@pytest.mark.parametrize("name", CLIPS)
def test_hands_are_found(name: str) -> None:
    plain, refined = report(name, PLAIN), report(name, FULL)
    assert refined.hands_rate is not None
    assert plain.hands_rate is not None
    assert refined.hands_rate >= max(0.95, plain.hands_rate)


def test_the_large_network_looks_in_turns_and_whenever_a_point_is_unsure(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, track = [], BodyTracker.track

    def counted(tracker: BodyTracker, rgba: Rgb) -> Body | None:
        looks.append(1)
        return track(tracker, rgba)

    monkeypatch.setattr(BodyTracker, "track", counted)
    estimator = PoseEstimator(config=PoseConfig(pose_effort="fast", pose_parts="body"))
    pictures = clip("alice")[:30]
    assert all(map(estimator.estimate, pictures))
    assert 10 <= len(looks) < 20
    looks.clear()
    assert estimator.estimate(np.zeros_like(pictures[0])) is None, "nothing is made up where nobody is"
    assert looks


def test_deviations_say_how_far_points_are_from_the_truth() -> None:
    truth = load_truth(DATA / "alice_clip_joints.npz", FRAMES)
    rows = [BODY_NAMES.index(name) for name in truth.names]
    seen = [(n, pose) for n, pose in enumerate(poses("alice", FULL)) if pose]
    error = np.array([np.abs(pose.xy[rows] - truth.xy[n]).mean(axis=1) for n, pose in seen])
    stated = np.array([pose.deviation[rows] for _, pose in seen])
    assert np.isfinite(stated).all()
    assert 0.3 < np.median(error / stated) < 3
    unsure = stated > np.quantile(stated, 0.8)
    assert error[unsure].mean() > 1.2 * error[~unsure].mean()


def test_a_right_hand_is_seen_as_the_mirrored_left_one() -> None:
    rgb = clip("alice")[0]
    pose = poses("alice", FULL)[0]
    assert pose is not None
    left = pose.xy[LEFT_HAND]
    x, y = left.mean(axis=0).tolist()
    refine, known = Refiner("hand_refiner", 1), np.ones(HAND_POINTS, np.bool_)
    rgba = np.dstack([rgb, rgb[..., :1]])
    seen = refine(rgba, Region(x, y, 60, 0.2), left, known)
    flip, shift = np.array([-1, 1], np.float32), np.array([rgb.shape[1], 0], np.float32)
    mirrored, region = np.ascontiguousarray(rgba[:, ::-1]), Region(rgb.shape[1] - x, y, 60, -0.2)
    turned = refine(mirrored, region, left * flip + shift, known, mirrored=True)
    np.testing.assert_allclose(turned.xy * flip + shift, seen.xy, atol=1.5)


def test_a_region_is_held_upside_down_too() -> None:
    points = np.array([[40, 40], [60, 60]], np.float32)
    last, new = Region(50.0, 50.0, 100.0, 3.1), Region(50.0, 50.0, 100.0, -3.1)
    assert _held(last, new, points) is last
    assert _held(last, Region(50.0, 50.0, 100.0, 2.5), points) is not last
