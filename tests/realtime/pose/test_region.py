from math import pi, radians

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.pose.estimation.region import Leash, Region, aligned, around, square, turn, whole
from tests.support.numbers import floats

regions = st.builds(
    Region,
    x=floats(-500, 2500),
    y=floats(-500, 2500),
    size=floats(1, 3000),
    rotation=floats(-pi, pi),
)


@given(regions, st.lists(st.tuples(floats(-1, 2), floats(-1, 2)), min_size=1, max_size=5))
def test_points_come_back(region: Region, points: list[tuple[float, float]]) -> None:
    inside = np.array(points, np.float32)
    back = region.from_frame(region.to_frame(inside))
    np.testing.assert_allclose(back, inside, atol=2e-3 * max(1, 300 / region.size))


@given(regions, floats(0, 64), floats(0, 64))
def test_crop_matrix_is_the_way_to_the_frame(region: Region, u: float, v: float) -> None:
    by_matrix = region.crop_matrix(64) @ [u, v, 1]
    by_points = region.to_frame(np.array([[u / 64, v / 64]], np.float32))[0]
    np.testing.assert_allclose(by_matrix, by_points, atol=0.01)


@pytest.mark.parametrize("rotation_deg", [0, 30, 90, -135, 180])
def test_a_dot_in_the_frame_is_found_in_the_crop(rotation_deg: float) -> None:
    picture = np.zeros((300, 400, 3), np.uint8)
    cv2.circle(picture, (210, 140), 6, (255, 255, 255), -1)
    region = Region(200, 150, 100, radians(rotation_deg))
    crop = cv2.warpAffine(picture, region.crop_matrix(128), (128, 128), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    rows, columns = np.nonzero(crop[:, :, 0] > 128)
    expected = region.from_frame(np.array([[210, 140]], np.float32))[0] * 128
    np.testing.assert_allclose([columns.mean(), rows.mean()], expected, atol=0.3)


def test_turned_region_stands_the_wrist_below_the_fingers() -> None:
    wrist, middle = (100.0, 100.0), (160.0, 100.0)  # a hand that points right in the picture
    rotation = turn(wrist, middle, pi / 2)
    region = square(middle, 120, 120, rotation)
    (wrist_u, wrist_v), (middle_u, middle_v) = region.from_frame(np.array([wrist, middle], np.float32)).tolist()
    assert wrist_u == pytest.approx(middle_u, abs=1e-5)
    assert wrist_v > middle_v


def test_aligned_region_ends_at_its_tip() -> None:
    region = aligned((200, 300), (200, 100), pi / 2)
    assert region.size == pytest.approx(400)
    assert region.rotation == pytest.approx(0)
    np.testing.assert_allclose(region.from_frame(np.array([[200, 100]], np.float32)), [[0.5, 0]], atol=1e-6)


def test_raising_goes_along_the_regions_own_axis() -> None:
    assert square((0, 0), 10, 20, 0.0, raised=0.1).y == pytest.approx(-2)
    turned = square((0, 0), 10, 20, pi / 2, raised=0.1)
    assert turned.x == pytest.approx(2)
    assert turned.y == pytest.approx(0, abs=1e-9)


def test_around_takes_the_longer_side() -> None:
    region = around(np.array([[10, 20], [30, 100]], np.float32), 0.0, scale=1.5)
    assert (region.x, region.y, region.size) == (20, 60, 120)


def test_points_in_one_place_still_make_a_region() -> None:
    assert aligned((5, 5), (5, 5), pi / 2).size == 1


@pytest.mark.parametrize("size", [(512, 512), (540, 960), (192, 108)])
def test_whole_holds_all_of_the_picture(size: tuple[int, int]) -> None:
    corners = np.array([[0, 0], [size[1], size[0]]], np.float32)
    inside = whole(*size).from_frame(corners)
    assert inside.min() >= 0
    assert inside.max() <= 1
    assert np.ptp(inside, axis=0).max() == pytest.approx(1)


def test_leash_holds_until_the_region_strays() -> None:
    leash = Leash(rotation=radians(40), shift=0.2, growth=0.4, margin=-0.1)
    landmarks = np.array([[90, 90], [110, 110]], np.float32)
    proposed = Region(100, 100, 50, radians(175))
    assert leash.holds(Region(105, 100, 60, radians(-175)), landmarks, proposed)  # 10 degrees over the seam
    assert not leash.holds(Region(105, 100, 60, radians(120)), landmarks, proposed)
    assert not leash.holds(Region(112, 100, 60, proposed.rotation), landmarks, proposed)
    assert not leash.holds(Region(105, 100, 75, proposed.rotation), landmarks, proposed)
    assert not leash.holds(Region(105, 100, 60, proposed.rotation), landmarks + np.float32(20), proposed)
