"""What augmentation does to poses, and what the plan of a chain promises."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from realtime.pose.figure.limbs import draw
from realtime.pose.pose import Pose
from realtime.pose.skeleton import FACE, INDEX, LEFT_HAND
from tests.support.standing_pose import standing
from trainer.footage.prepared import Footage
from trainer.networks.patches import to_bytes
from trainer.settings import LIVE
from trainer.training.augment import DROPPABLE_PARTS, drop_part, jitter, pose_flow, smear, smear_figure, zoom
from trainer.training.chain_sampler import hand_side_px, sample_chains
from trainer.training.dataset import Loader

CONFIG = replace(
    LIVE, window_px=32, perceptual_px=16, batch=2, chains=2, part_dropout=0, keypoint_noise=0, motion_blur=0, zoom_out=0
)


@pytest.fixture(scope="module")
def footage(toy_run: Path) -> Footage:
    return Footage(toy_run / "data")


@pytest.mark.parametrize("part", DROPPABLE_PARTS)
def test_a_dropped_part_is_not_drawn(part: str) -> None:
    pose = standing()
    dropped = drop_part(pose, part)
    assert (dropped.confidence[DROPPABLE_PARTS[part]] == 0).all()
    assert (pose.confidence[DROPPABLE_PARTS[part]] > 0).all(), "the footage's own pose stays"
    if part != "face":  # the lines of the head take its place
        assert draw(dropped, 128).sum() < draw(pose, 128).sum()


def test_jitter_moves_hands_and_face_as_a_whole() -> None:
    pose = standing()
    moved = jitter(pose, 0.01, np.random.default_rng(0)).xy - pose.xy
    assert 0.1 < np.abs(moved).mean() < 2
    for part in (LEFT_HAND, FACE):
        assert np.allclose(moved[part], moved[part][0], atol=1e-4)


def test_zoom_and_crop_are_one() -> None:
    pose = standing()
    zoomed = zoom(pose, (16, 32), 0.5)
    assert np.allclose(zoomed.xy * 2 + (16, 32), pose.xy, atol=1e-3)


def test_a_smeared_figure_is_that_of_a_long_exposure() -> None:
    past = standing()
    pose = Pose(past.xy + np.float32(6), past.depth, past.confidence)
    figure = draw(pose, 128)
    smeared = smear_figure(figure, past, pose)
    assert smeared.shape == figure.shape
    assert np.square(smeared.astype(float)).sum() < 0.8 * np.square(figure.astype(float)).sum()


def test_no_motion_leaves_the_picture_and_never_shares_it() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    same = smear(noise, np.zeros((128, 128, 2), np.float32))
    assert np.array_equal(same, noise)
    assert not np.shares_memory(same, noise)


def test_a_dot_becomes_a_line_as_long_as_its_way() -> None:
    dark = np.zeros((128, 128, 3), np.uint8)
    dark[63:66, 63:66] = 255
    smeared = smear(dark, np.tile(np.array([20, 0], np.float32), (128, 128, 1)))
    ys, xs = np.nonzero(smeared[..., 0] > 4)
    assert ys.min() == 63
    assert ys.max() == 65
    assert np.ptp(xs) == pytest.approx(22, abs=1)
    assert xs.mean() == pytest.approx(64, abs=0.6), "the exposure's middle is the picture itself"


def test_only_what_moves_is_smeared() -> None:
    past, pose = standing(), standing()
    arm = [INDEX["left_wrist"], INDEX["left_elbow"], *range(LEFT_HAND.start, LEFT_HAND.stop)]
    xy = pose.xy.copy()
    xy[arm] += (0, 12)
    moved = pose_flow(past, Pose(xy, pose.depth, pose.confidence), 128, 128)
    assert moved.shape == (128, 128, 2)
    x, y, foot_x, foot_y = (round(v) for v in (*pose.at("left_wrist"), *pose.at("right_ankle")))
    assert 6 < moved[y + 12, x, 1] <= 12
    assert np.abs(moved[foot_y, foot_x]).max() < 0.5
    assert np.abs(moved[:8, :8]).max() < 0.5


def test_crops_lie_in_the_window_and_on_the_hands(footage: Footage) -> None:
    config, side = replace(CONFIG, zoom_out=0.5), hand_side_px(footage)
    hands = 0
    for segment in islice(sample_chains([footage], config)[0], 300):
        window, pose = segment.window, footage.poses[segment.start]
        rows, columns = window.part
        assert 0 <= rows.start < rows.stop <= 64
        assert 0 <= columns.start < columns.stop <= 64
        assert all(0 <= at <= 32 - 16 for at in segment.focus[:2])
        if segment.hand:
            assert pose is not None
            hands += 1
            assert segment.hand[2:] == (side, side)
            assert all(0 <= at <= 32 - side for at in segment.hand[:2])
            knuckles = (pose.xy[[9 + LEFT_HAND.start, 9 + LEFT_HAND.start + 21]] - (window.x, window.y)) * window.k
            inside = (knuckles >= np.array(segment.hand[:2]) - 1) & (knuckles <= np.array(segment.hand[:2]) + side + 1)
            assert inside.all(axis=1).any()
    assert hands > 30


def test_some_chains_see_more_of_the_room(footage: Footage) -> None:
    scales = {segment.window.k for segment in islice(sample_chains([footage], replace(CONFIG, zoom_out=0.5))[0], 400)}
    assert 1.0 in scales
    assert len(scales) > 2
    assert min(scales) > 1 / 1.41


def first_figures(footage: Footage, **changes: float) -> np.ndarray:
    loader = Loader([footage], replace(CONFIG, **changes), 0)  # type: ignore[arg-type]
    figures = to_bytes(loader.next().figures).numpy()
    loader.close()
    return figures


def test_each_augmentation_changes_the_figures_and_repeats(footage: Footage) -> None:
    plain = first_figures(footage)
    for changes in ({"part_dropout": 1.0}, {"motion_blur": 1.0}, {"zoom_out": 1.0}):
        changed = first_figures(footage, **changes)
        assert changed.shape == plain.shape
        assert (changed != plain).any(), changes
        assert (changed == first_figures(footage, **changes)).all(), "the seed decides"
