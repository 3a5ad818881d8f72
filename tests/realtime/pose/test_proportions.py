"""Limbs of the target's lengths."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.pose.measure import ankle_line_px, stature_px
from realtime.pose.normalization.normalizer import Normalizer
from realtime.pose.normalization.proportions import Proportions, fit_limbs, lengths, measure_proportions
from realtime.pose.pose import Pose
from realtime.pose.skeleton import K
from tests.realtime.pose.test_normalizer import SIZE_PX, TARGET, stands_at, unseen, walk
from tests.support.numbers import floats
from tests.support.standing_pose import standing

NAMES = Proportions.__struct_fields__


def built_like(pose: Pose, **ratios: float) -> Pose:
    return Pose(fit_limbs(pose.xy, dict.fromkeys(NAMES, 1.0) | ratios), pose.depth, pose.confidence)


def test_ratios_of_one_change_nothing() -> None:
    assert np.allclose(built_like(standing()).xy, standing().xy, atol=1e-4)


@given(ratios=st.fixed_dictionaries({name: floats(0.7, 1.4) for name in NAMES}))
def test_bones_get_their_length_and_keep_their_direction(ratios: dict[str, float]) -> None:
    pose = standing()
    fitted = built_like(pose, **ratios)
    for bone, a, b in (("thigh", "left_hip", "left_knee"), ("forearm", "right_elbow", "right_wrist")):
        was, now = (np.subtract(each.at(b), each.at(a)) for each in (pose, fitted))
        assert now == pytest.approx(ratios[bone] * was, abs=1e-3)
    matrix = fit_limbs(np.eye(K, dtype=np.float32), ratios)
    assert np.allclose(matrix @ pose.xy, fitted.xy, atol=1e-2)


def test_proportions_need_every_bone_once() -> None:
    assert measure_proportions([lengths(unseen(standing(), "left_knee", "right_knee"))]) is None
    seen = [lengths(unseen(standing(), "left_knee")), lengths(unseen(standing(), "right_elbow"))]
    own = measure_proportions(seen)
    assert own is not None
    assert own.torso == pytest.approx(32 / stature_px(standing()), rel=1e-3)


def test_a_long_legged_performer_drives_a_short_legged_target_without_broken_feet() -> None:
    target = measure_proportions([lengths(stands_at(0.5))])
    assert target is not None
    normalizer = Normalizer(TARGET, SIZE_PX, proportions=target)
    for pose, at_s in walk(30, 40):
        shown = normalizer.normalize(built_like(pose, thigh=1.2, shin=1.2, torso=0.9), at_s)
        assert TARGET.far_ankle - 6 <= ankle_line_px(shown) <= TARGET.near_ankle + 6
    own = measure_proportions([lengths(shown)])
    assert own is not None
    assert own.thigh == pytest.approx(target.thigh, rel=0.04)
    assert own.torso == pytest.approx(target.torso, rel=0.04)
    foot, was = (np.subtract(each.at("left_foot_index"), each.at("left_ankle")) for each in (shown, pose))
    assert foot / np.linalg.norm(foot) == pytest.approx(was / np.linalg.norm(was), abs=0.02)


def test_known_lengths_are_fitted_from_the_first_frame_on() -> None:
    target = measure_proportions([lengths(stands_at(0.5))])
    assert target is not None
    long_legged = built_like(stands_at(0.5), thigh=1.2)
    normalizer = Normalizer(TARGET, SIZE_PX, proportions=target, known_lengths=[lengths(long_legged)] * 200)
    shown = [normalizer.normalize(long_legged, i / 30) for i in range(30)]
    for pose in shown:
        own = measure_proportions([lengths(pose)])
        assert own is not None
        assert own.thigh == pytest.approx(target.thigh, rel=0.02)


@given(thigh=floats(0.6, 1.6), arm=floats(0.6, 1.6))
@settings(max_examples=10)
def test_learning_proportions_never_makes_anybody_jump(thigh: float, arm: float) -> None:
    target = measure_proportions([lengths(stands_at(0.5))])
    normalizer = Normalizer(TARGET, SIZE_PX, proportions=target)
    pose, past = built_like(stands_at(0.5), thigh=thigh, upper_arm=arm), None
    for i in range(200):
        shown = normalizer.normalize(pose, i / 24)
        if past is not None:
            moved = np.linalg.norm(shown.xy - past, axis=1).max()
            assert moved < 0.01 * stature_px(shown), f"{moved:.2f} px at {i}"
        past = shown.xy
