"""The background out of pictures with somebody in them, and whether it stands still."""

import time

import cv2
import numpy as np
import pytest

from realtime.frame import Rgb
from tests.support.footage_files import paint, swaying, textured
from tests.support.standing_pose import standing
from trainer.footage.background import QUANTILE, STILL, PlateEstimator, background_motion, never_seen, person_mask


def test_a_plate_is_numpys_quantile_of_what_is_not_covered() -> None:
    rng, poses = np.random.default_rng(0), swaying(70, scale=0.6)
    pictures = [rng.integers(0, 256, (64, 80, 3)).astype(np.uint8) for _ in poses]
    estimator = PlateEstimator(len(pictures))
    for number, (picture, pose) in enumerate(zip(pictures, poses, strict=True)):
        estimator.add(picture, pose if number % 5 else None)
    covered = np.stack([person_mask(pose if i % 5 else None, (64, 80)) for i, pose in enumerate(poses)])
    open_pictures = np.where(covered[..., None], np.float32(np.nan), np.stack(pictures).astype(np.float32))
    assert np.array_equal(estimator.estimate(), np.nanquantile(open_pictures, QUANTILE, axis=0).round())


def test_the_person_is_not_on_the_plate() -> None:
    room, poses = textured(128, 128), swaying(60, by_px=40, scale=0.8)
    estimator = PlateEstimator(60)
    for pose in poses:
        estimator.add(paint(room, pose), pose)
    assert np.mean(estimator.estimate() != room) < 0.01


def test_who_never_steps_aside_hides_the_background() -> None:
    stays, steps_aside = swaying(60, x=300, y=100, by_px=3), swaying(60, x=300, y=100, by_px=150)
    assert never_seen(stays, (480, 640)) > 0.7
    assert never_seen(steps_aside, (480, 640)) == 0
    assert never_seen([None, *stays], (480, 640)) == 0, "before the first, the background is seen"


def test_somebody_whose_keypoints_have_all_faded_covers_nothing() -> None:
    pose = swaying(1)[0]
    pose.confidence[:] = 0
    assert not person_mask(pose, (64, 64)).any()


def test_somebody_larger_than_the_picture_is_masked_in_a_moment() -> None:
    pose = standing(x=-25472, y=-23872, scale=400)
    begun_at_s = time.perf_counter()
    assert person_mask(pose, (256, 256)).all()
    assert time.perf_counter() - begun_at_s < 10


@pytest.mark.parametrize("shake_px", [0, 0.2, 1, 4, 30])
def test_a_camera_that_moves_is_noticed(shake_px: float) -> None:
    rng, room = np.random.default_rng(0), textured(400, 320)
    poses, pictures = swaying(40, scale=1.8, by_px=30), []
    for pose in poses:
        x, y = (32 + shake_px * rng.normal(size=2)).clip(0, 60).tolist()
        ys, xs = np.mgrid[0:256, 0:256].astype(np.float32) + np.array([y, x], np.float32)[:, None, None]
        view = cv2.remap(room, xs, ys, cv2.INTER_LINEAR)
        noisy = paint(np.asarray(view, np.uint8), pose) + rng.normal(0, 2, view.shape)
        pictures.append(noisy.clip(0, 255).astype(np.uint8))
    motion = background_motion(pictures, poses)
    assert (motion.shift > STILL) == (shake_px >= 1)
    assert motion.overlay < 0.05 or shake_px >= 1


def test_a_background_without_marks_stands_still() -> None:
    assert background_motion([np.full((64, 64, 3), 90, np.uint8)] * 8, [None] * 8) == (0, 0)


def captioned(picture: Rgb, number: int, place: str) -> Rgb:
    """A picture with a strip in which a text changes every picture."""
    height, width, _ = picture.shape
    strip = np.zeros((height // 5, width, 3), np.uint8)
    text = "".join(chr(65 + (7 * number + 5 * letter * letter) % 26) for letter in range(14))
    cv2.putText(strip, text, (4, height // 8), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255, 255, 255), 2, cv2.LINE_AA)
    if place == "ticker":  # scrolls
        strip = np.roll(strip, 9 * number, axis=1)
    rows = slice(0, len(strip)) if place == "top" else slice(height - len(strip), height)
    changed = picture.copy()
    changed[rows] = strip
    return changed


@pytest.mark.parametrize("place", ["top", "bottom", "ticker"])
@pytest.mark.parametrize("pan_px", [0, 3])
def test_captions_are_no_motion_of_the_camera(place: str, pan_px: int) -> None:
    room, poses = textured(400, 256), swaying(40, scale=1.4, x=30, y=30)
    pictures = [
        captioned(paint(np.ascontiguousarray(room[:, pan_px * number :][:, :280]), pose), number, place)
        for number, pose in enumerate(poses)
    ]
    motion = background_motion(pictures, poses)
    assert (motion.shift > STILL) == (pan_px > 0)
    assert (0.1 < motion.overlay < 0.3) == (pan_px == 0)


def test_a_shadow_that_comes_and_goes_does_not_change_by_itself() -> None:
    room, poses = textured(280, 256), swaying(40, scale=1.4, x=30, y=30)
    room[200:, 200:] //= 2
    pictures = [paint(room, pose) for pose in poses]
    for picture in pictures[::2]:
        picture[200:, 200:] = cv2.GaussianBlur(picture[200:, 200:] // 3, (0, 0), 9)
    motion = background_motion(pictures, poses)
    assert motion.shift <= STILL
    assert motion.overlay == 0


def test_what_stands_still_in_a_moving_picture_is_no_tripod() -> None:
    room, logo, poses = textured(500, 256), textured(90, 60, seed=1), swaying(40, scale=1.4, x=60, y=30)
    pictures = []
    for number, pose in enumerate(poses):
        picture = paint(np.ascontiguousarray(room[:, 4 * number :][:, :280]), pose)
        picture[:60, :90] = logo
        pictures.append(picture)
    assert background_motion(pictures, poses).shift > STILL
