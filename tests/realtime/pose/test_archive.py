"""Poses in files: what is drawn of them afterwards is drawn of them before."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.pose.archive import load_poses, save_poses
from realtime.pose.figure.styles import load_style
from realtime.pose.pose import Pose
from realtime.pose.skeleton import BODY, K
from tests.support.standing_pose import standing

FIELDS = ("xy", "depth", "confidence")


def moves(seed: int, count: int = 6) -> list[Pose | None]:
    """Somebody who moves as fast as one can, seen anew, more or less surely, in every picture; and nobody."""
    rng, poses = np.random.default_rng(seed), list[Pose | None]()
    for _ in range(count):
        xy = standing(scale=0.5).xy + rng.normal(0, 6, (K, 2))
        depth, confidence = rng.normal(0, 20, K), rng.uniform(-0.2, 1.2, K).clip(0, 1)
        poses.append(Pose(*(values.astype(np.float32) for values in (xy, depth, confidence))))
    return [*poses, None, poses[0]]


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["limbs", "edn"]))
def test_figures_stay_the_same_to_the_pixel(tmp_path_factory: pytest.TempPathFactory, seed: int, name: str) -> None:
    path, style, poses = tmp_path_factory.getbasetemp() / "poses.npz", load_style(name), moves(seed)
    save_poses(path, poses, exact=style.exact)
    for one, two in zip(poses, load_poses(path), strict=True):
        assert (one is None) == (two is None)
        assert np.array_equal(style.draw(one, 64, 64), style.draw(two, 64, 64))
        if one and two:
            for field in FIELDS:
                assert np.array_equal(getattr(one, field)[BODY], getattr(two, field)[BODY])
            assert np.abs(one.xy - two.xy).max() <= 1 / 32
            assert np.abs(one.depth - two.depth).max() <= 1 / 32
            assert np.array_equal(one.confidence, two.confidence)


def test_by_default_nothing_is_lost_however_strange(tmp_path: Path) -> None:
    values = np.array([0, -0.0, 1e-42, -1e30, np.inf, np.nan, 3.3], np.float32)
    strange = Pose(np.resize(values, (K, 2)), np.resize(values, K), np.resize(values[::-1], K))
    save_poses(tmp_path / "poses.npz", [strange, standing(), None, strange])
    first, _, nobody, last = load_poses(tmp_path / "poses.npz")
    assert nobody is None
    for found in (first, last):
        assert found
        for field in FIELDS:
            assert getattr(found, field).tobytes() == getattr(strange, field).tobytes()


@pytest.mark.parametrize("poses", [[], [None, None]])
def test_nobody(poses: list[Pose | None], tmp_path: Path) -> None:
    save_poses(tmp_path / "poses.npz", poses)
    assert load_poses(tmp_path / "poses.npz") == poses


def test_what_was_written_before_is_read(tmp_path: Path) -> None:
    pose = standing(x=0.123)
    rows = {field: np.stack([getattr(pose, field), np.zeros_like(getattr(pose, field))]) for field in FIELDS}
    np.savez_compressed(tmp_path / "old.npz", allow_pickle=False, seen=np.array([True, False]), **rows)
    found, nobody = load_poses(tmp_path / "old.npz")
    assert nobody is None
    assert found
    assert all(np.array_equal(getattr(found, field), getattr(pose, field)) for field in FIELDS)
