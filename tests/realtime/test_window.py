"""The window that follows the person."""

import numpy as np
import pytest

from engines.engine import Size
from realtime.frame import Rgb
from realtime.patches import PATCH
from realtime.pose.pose import Pose
from realtime.pose.skeleton import INDEX
from realtime.window import (
    GRID_PX,
    PAINT_MARGIN_PX,
    PATIENCE_FRAMES,
    POSE_MARGIN_PX,
    Edges,
    WindowFollower,
    window_sizes,
)
from tests.support.standing_pose import standing

PLATE = np.full((512, 512, 3), 90, np.uint8)
SIZES: list[Size] = [*window_sizes(PLATE), (128, 128)]
WHOLE: Edges = (0, 0, 512, 512)


def step(follower: WindowFollower, pose: Pose, picture: Rgb = PLATE, sizes: list[Size] = SIZES) -> Edges:
    rows, columns = follower.step(pose, sizes)
    follower.see(picture)
    return columns.start * PATCH, rows.start * PATCH, columns.stop * PATCH, rows.stop * PATCH


def settled(pose: Pose, picture: Rgb = PLATE) -> WindowFollower:
    follower = WindowFollower(PLATE)
    for _ in range(PATIENCE_FRAMES + 2):
        step(follower, pose, picture)
    return follower


def person(*, x: float = 150.0, scale: float = 2.2, reach_px: float = 0.0) -> Pose:
    """Standing; one hand farther out by so much."""
    pose = standing(x=x, y=60.0, scale=scale)
    pose.xy[INDEX["left_wrist"], 0] += reach_px
    return pose


def area(edges: Edges) -> int:
    left, top, right, bottom = edges
    return (right - left) * (bottom - top)


@pytest.mark.parametrize("size", [(512, 512), (384, 384), (512, 1024), (288, 256)])
def test_sizes_are_on_the_grid_and_smaller_than_the_picture(size: tuple[int, int]) -> None:
    sizes = window_sizes(np.zeros((*size, 3), np.uint8))
    assert len(set(sizes)) == len(sizes) > 2
    for rows, columns in sizes:
        assert (rows * PATCH) % GRID_PX == (columns * PATCH) % GRID_PX == 0
        assert rows * PATCH <= size[0]
        assert columns * PATCH <= size[1]
        assert rows * columns * PATCH**2 < size[0] * size[1]


def test_small_pictures_are_rendered_whole() -> None:
    assert window_sizes(np.zeros((192, 512, 3), np.uint8)) == []


def test_begins_with_the_whole_picture_and_shrinks_when_it_has_been_too_large_for_long() -> None:
    follower = WindowFollower(PLATE)
    seen = [step(follower, person()) for _ in range(PATIENCE_FRAMES + 3)]
    assert seen[: PATIENCE_FRAMES + 1] == [WHOLE] * (PATIENCE_FRAMES + 1)
    assert area(seen[-1]) < area(WHOLE)
    follower.reset()
    assert step(follower, person()) == WHOLE


def test_the_window_stays_while_it_holds_and_moves_at_once_when_it_does_not() -> None:
    follower = settled(person())
    window = step(follower, person())
    assert step(follower, person(x=154)) == window
    moved = step(follower, person(x=300))
    assert moved != window
    assert moved[2] >= person(x=300).xy[:, 0].max()


def test_one_fast_move_does_not_make_it_shrink_and_grow_again() -> None:
    follower = settled(person())
    small = step(follower, person())
    large = step(follower, person(reach_px=100))
    assert area(large) > area(small)
    for _ in range(PATIENCE_FRAMES - 1):
        assert step(follower, person()) == large
    assert step(follower, person(reach_px=100)) == large, "and the patience begins anew"
    for _ in range(PATIENCE_FRAMES):
        assert step(follower, person()) == large


def test_the_shadow_is_held_too() -> None:
    pose = person()
    picture = PLATE.copy()
    picture[440:460, 300:420] -= 20
    left, top, right, bottom = step(settled(pose, picture), pose, picture)
    assert right >= 420 + PAINT_MARGIN_PX
    assert bottom >= 460 + PAINT_MARGIN_PX
    assert (left, top) != (0, 0)


def test_a_shadow_that_is_cut_off_is_given_more_room() -> None:
    pose, picture = person(), PLATE.copy()
    follower = settled(pose)
    left, top, right, _ = step(follower, pose)
    picture[top + 200 : top + 220, left : right - PATCH] -= 20
    assert step(follower, pose, picture)[2] == right, "it is seen in the picture, so it counts from the next one on"
    assert step(follower, pose, picture)[2] > right


def test_every_window_holds_the_person_on_the_grid_inside_of_the_picture() -> None:
    rng = np.random.default_rng(0)
    follower = WindowFollower(PLATE)
    windows = set()
    for _ in range(300):
        pose = person(x=float(rng.uniform(-100, 400)), scale=float(rng.uniform(1, 3)))
        left, top, right, bottom = window = step(follower, pose)
        windows.add(window)
        assert not any(edge % GRID_PX for edge in window)
        assert (((bottom - top) // PATCH), (right - left) // PATCH) in SIZES
        seen = pose.xy[pose.confidence > 0]
        low, high = np.clip([seen.min(axis=0) - POSE_MARGIN_PX, seen.max(axis=0) + POSE_MARGIN_PX], 0, 512)
        assert left <= low[0]
        assert top <= low[1]
        assert right >= high[0]
        assert bottom >= high[1]
    assert len(windows) > 10


def test_what_is_not_loaded_is_not_chosen() -> None:
    follower = WindowFollower(PLATE)
    assert {step(follower, person(), sizes=[(128, 128)]) for _ in range(2 * PATIENCE_FRAMES)} == {WHOLE}
    seen = [step(follower, person()) for _ in range(PATIENCE_FRAMES + 1)]
    assert area(seen[-1]) < area(WHOLE)


def test_a_pose_without_a_keypoint_leaves_the_window() -> None:
    follower = settled(person())
    window = step(follower, person())
    assert step(follower, Pose(person().xy, person().depth, np.zeros_like(person().confidence))) == window
