"""Global pose normalization."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.pose.measure import ankle_line_px, middle, stature_px
from realtime.pose.normalize import MotionRange, Normalizer, map_pose, measure_range, observe
from realtime.pose.pose import Pose
from realtime.pose.skeleton import INDEX
from tests.people import standing

TARGET = MotionRange(far_ankle=300, near_ankle=360, far_stature=200, near_stature=300, middle=190, reach=100)
SOURCE = MotionRange(far_ankle=100, near_ankle=130, far_stature=80, near_stature=110, middle=70, reach=40)


@given(p=st.floats(0, 1), stature=st.floats(0.3, 3))
def test_feet_land_on_the_target_line_at_every_scale(p: float, stature: float) -> None:
    ankle = SOURCE.far_ankle + p * (SOURCE.near_ankle - SOURCE.far_ankle)
    pose = standing(scale=stature)
    pose = Pose(pose.xy + np.array([0, ankle - ankle_line_px(pose)], np.float32), pose.depth, pose.confidence)
    mapped = map_pose(pose, SOURCE, TARGET)
    assert ankle_line_px(mapped) == pytest.approx(300 + p * 60, abs=0.05)


def test_stature_follows_the_target_from_far_to_near() -> None:
    for ankle, want in ((SOURCE.far_ankle, 200), (SOURCE.near_ankle, 300)):
        stature = {100: 80, 130: 110}[round(ankle)]
        pose = standing(scale=stature / stature_px(standing()))
        pose = Pose(pose.xy + np.array([0, ankle - ankle_line_px(pose)], np.float32), pose.depth, pose.confidence)
        assert stature_px(map_pose(pose, SOURCE, TARGET)) == pytest.approx(want, rel=0.01)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_size_of_the_source_does_not_matter(scale: float) -> None:
    steps = [standing(x=3 * i, y=i) for i in range(60)]
    large = [Pose(pose.xy * np.float32(scale), pose.depth * np.float32(scale), pose.confidence) for pose in steps]
    one, two = Normalizer(TARGET), Normalizer(TARGET)
    for a, b in zip(steps, large, strict=True):
        mapped, again = one.normalize(a), two.normalize(b)
    assert np.allclose(mapped.xy, again.xy, atol=0.5)


def test_never_jumps_while_it_learns() -> None:
    normalizer = Normalizer(TARGET)
    past = None
    for i in range(300):
        depth = 0.5 - 0.5 * np.cos(i / 30)
        pose = standing(x=40 * np.sin(i / 25), y=12 * depth, scale=1 + 0.1 * depth)
        mapped = normalizer.normalize(pose)
        if past is not None:
            step = np.abs(mapped.xy - past).max()
            assert step < 0.06 * stature_px(mapped), f"jumped {step:.1f} px at {i}"
        past = mapped.xy


def test_single_bad_frames_do_not_count() -> None:
    good = [seen for pose in (standing(y=i % 10) for i in range(200)) if (seen := observe(pose))]
    bad = [(1e4, 1e4, -1e4)]
    one, two = measure_range(good), measure_range(good + bad)
    for field in MotionRange.__struct_fields__:
        assert getattr(one, field) == pytest.approx(getattr(two, field), rel=0.05, abs=1)


def test_profiles_count_when_the_feet_are_seen() -> None:
    pose = standing()
    confidence = pose.confidence.copy()
    confidence[INDEX["left_ear"]] = 0
    assert observe(Pose(pose.xy, pose.depth, confidence)) is not None
    confidence[INDEX["left_ankle"]] = 0
    assert observe(Pose(pose.xy, pose.depth, confidence)) is None


def test_reset_forgets_the_performer() -> None:
    normalizer = Normalizer(TARGET)
    first = normalizer.normalize(standing()).xy
    for i in range(50):
        normalizer.normalize(standing(x=i, scale=0.5))
    normalizer.reset()
    assert np.array_equal(normalizer.normalize(standing()).xy, first)


def test_sideways_stays_in_the_targets_room() -> None:
    far_right = standing(x=1000)
    x = float(middle(map_pose(far_right, SOURCE, TARGET), "hip")[0])
    assert x <= TARGET.middle + 1.2 * TARGET.reach + 1e-3
