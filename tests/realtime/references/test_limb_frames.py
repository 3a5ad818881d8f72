"""Coordinates along the limbs and the way the limbs went, against a slow twin that knows no boxes."""

import numpy as np
import pytest

from realtime.pose.pose import Floats, Pose
from realtime.references.bones import BONE, PARTS, REACH, B, Limbs, far_first, limbs_of
from realtime.references.limb_frames import CHANNELS, ZERO, Bytes, LimbFrames, Window
from realtime.references.transfer import similarity, transfer
from tests.support.references import SIZE_PX, WIDTHS, dancer

WHOLE = Window(0, 0, SIZE_PX, SIZE_PX)


def written(window: Window, pose: Pose | None) -> Bytes:
    frames = LimbFrames(window)
    frames.place(None if pose is None else limbs_of(pose, WIDTHS))
    out = np.empty((*frames.shape, CHANNELS), np.uint8)
    frames.write(out)
    return out


def flown(window: Window, pose: Pose, before: Pose) -> Floats:
    frames = LimbFrames(window)
    frames.place(limbs_of(pose, WIDTHS))
    out = np.empty((*frames.shape, 2), np.float32)
    frames.flow(limbs_of(before, WIDTHS), out)
    return out


def twin_place(limbs: Limbs, b: int) -> tuple[Floats, Floats, Floats]:
    """Along, across and the distance from a bone everywhere, in float64, from the definition."""
    centres = 4 * np.arange(SIZE_PX // 4) + 1.5
    points = np.stack(np.meshgrid(centres, centres), axis=2)
    way = (limbs.end_px[b] - limbs.start_px[b]).astype(np.float64)
    length = max(np.linalg.norm(way), 1)
    ahead = (points - limbs.start_px[b]) @ way / length
    across = (points - limbs.start_px[b]) @ np.array([-way[1], way[0]]) / length / limbs.half_px[b]
    beyond = (np.maximum(-ahead, 0) + np.maximum(ahead - length, 0)) / limbs.cap_px[b]
    angular = b in (BONE["torso"], BONE["pelvis"])
    away = np.maximum(beyond, np.abs(across)) if angular else np.hypot(beyond, across)
    return ahead / length, across, away


def test_coordinates_are_those_of_the_twin() -> None:
    pose = dancer(raised_px=20)
    out, limbs = written(WHOLE, pose).astype(np.float64), limbs_of(pose, WIDTHS)
    for b in range(B):
        along, across, away = twin_place(limbs, b)
        member = np.maximum(1 - (away / REACH[b]) ** 2, 0) ** 2
        wanted = np.stack([member, member * np.clip(2 * along - 1, -1, 1), member * across / 2], axis=2)
        np.testing.assert_allclose(out[..., 3 * b : 3 * b + 3], ZERO + 127 * wanted, atol=0.51)


def test_flow_is_that_of_the_twin() -> None:
    pose, before = dancer(raised_px=20), dancer(x=3, raised_px=12)
    limbs, source = limbs_of(pose, WIDTHS), limbs_of(before, WIDTHS)
    maps = transfer(limbs, source, np.arange(B)).astype(np.float64)
    centres = 4 * np.arange(SIZE_PX // 4) + 1.5
    points = np.stack(np.meshgrid(centres, centres), axis=2)
    wanted = np.zeros_like(points)
    for b in np.argsort(limbs.depth_px, kind="stable")[::-1]:  # nearer ones are laid over farther ones
        *_, away = twin_place(limbs, int(b))
        covers = np.clip((REACH[b] ** 2 - away**2) / (REACH[b] ** 2 - 1), 0, 1)[..., None]
        wanted += covers * (points @ maps[b, :, :2].T + maps[b, :, 2] - points - wanted)
    np.testing.assert_allclose(flown(WHOLE, pose, before), wanted, atol=1e-3)


def test_a_window_holds_the_same_as_that_part_of_the_whole() -> None:
    pose, before = dancer(raised_px=20), dancer(x=3)
    window = Window(44, 24, 48, 64)
    part = slice(6, 22), slice(11, 23)
    np.testing.assert_array_equal(written(window, pose), written(WHOLE, pose)[part])
    np.testing.assert_array_equal(flown(window, pose, before), flown(WHOLE, pose, before)[part])


def test_limbs_that_moved_came_from_where_they_were() -> None:
    flow = flown(WHOLE, dancer(x=8, y=4), dancer())
    x, y = (int(value) // 4 for value in dancer(x=8, y=4).at("left_elbow"))
    np.testing.assert_allclose(flow[y, x], (-8, -4), atol=1e-3)
    np.testing.assert_array_equal(flow[0, 0], 0)


def test_the_channels_may_lie_in_a_wider_buffer() -> None:
    frames = LimbFrames(WHOLE)
    frames.place(limbs_of(dancer(), WIDTHS))
    buffer = np.full((*frames.shape, CHANNELS + 8), 7, np.uint8)
    frames.write(buffer[..., 4:-4])
    np.testing.assert_array_equal(buffer[..., 4:-4], written(WHOLE, dancer()))
    assert (buffer[..., :4] == 7).all()
    assert (buffer[..., -4:] == 7).all()


def test_nobody_leaves_zero() -> None:
    assert CHANNELS % 4 == 0
    assert (written(WHOLE, None) == ZERO).all()


def test_a_bone_that_was_not_seen_is_left_out() -> None:
    pose = dancer()
    unseen = Pose(pose.xy, pose.depth, np.zeros_like(pose.confidence))
    assert (written(WHOLE, unseen)[..., : 3 * B] == ZERO).all()


def test_a_head_hangs_over_its_chest_and_hands_before_it() -> None:
    order = far_first(limbs_of(dancer(), WIDTHS))
    assert sorted(order) == sorted(PARTS)
    assert order.index("left_leg") < order.index("torso") < order.index("head") < order.index("left_hand")


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_a_similarity_is_found(factor: float) -> None:
    points = np.random.default_rng(0).normal(64, 20, (9, 2)).astype(np.float32)
    turn = factor * np.array([[0.8, -0.6], [0.6, 0.8]], np.float32)
    found = similarity(points, points @ turn.T + np.float32(5))
    np.testing.assert_allclose(found, np.column_stack([turn, (5, 5)]), atol=1e-3)
