"""How tracks are judged, on tracks whose jitter, lag and gaps are known."""

import numpy as np
import pytest

from realtime.pose.quality import JOINTS, jitter_px, joint_track, lag_s, longest_gap_s
from tests.support.standing_pose import standing

TIME_S = np.arange(300) / 30
PATH = np.stack([50 * np.sin(2 * np.pi * 0.4 * TIME_S), 30 * np.cos(2 * np.pi * 0.3 * TIME_S)], axis=1)
PATH = PATH[:, None].astype(np.float32)


def test_a_smooth_path_has_no_jitter_and_noise_has_its_own() -> None:
    assert np.nanmean(jitter_px(PATH, 30)) < 0.05
    rng = np.random.default_rng(0)
    levels = [np.nanmean(jitter_px(PATH + rng.normal(0, px, PATH.shape).astype(np.float32), 30)) for px in (0.5, 1, 2)]
    assert levels[1] == pytest.approx(2 * levels[0], rel=0.15)
    assert levels[2] == pytest.approx(2 * levels[1], rel=0.15)


def test_unseen_frames_do_not_count() -> None:
    gappy = PATH.copy()
    gappy[100] = np.nan
    away = jitter_px(gappy, 30)
    assert np.isnan(away[97:104]).all()
    assert np.isfinite(away[104])


@pytest.mark.parametrize("frames", [0, 1, 3])
def test_a_late_track_is_late_by_its_delay(frames: int) -> None:
    late = np.roll(PATH, frames, axis=0) + 3
    late[:frames] = np.nan
    assert lag_s(late, PATH, 30) == pytest.approx(frames / 30, abs=0.003)


def test_gaps_count_between_sights_only() -> None:
    seen = np.array([0, 0, 0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0], bool)
    assert longest_gap_s(seen, 10, ends=False) == pytest.approx(0.2)
    assert longest_gap_s(np.zeros(5, bool), 10, ends=False) == 0


@pytest.mark.parametrize(
    ("seen", "gap_s"), [("...xx.x", 0.3), ("x..x....", 0.4), ("xxx", 0.0), ("....", 0.4), ("x...x..", 0.3)]
)
def test_who_comes_late_or_leaves_early_leaves_a_gap(seen: str, gap_s: float) -> None:
    assert longest_gap_s(np.array([each == "x" for each in seen]), 10) == pytest.approx(gap_s)


def test_a_track_leaves_out_what_is_not_sure() -> None:
    pose = standing()
    pose.confidence[:] = 0.3
    assert np.isnan(joint_track([None, pose])).all()
    assert np.isfinite(joint_track([standing()])).all()
    assert joint_track([pose], least_confidence=0.1).shape == (1, len(JOINTS), 2)
