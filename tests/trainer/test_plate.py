"""The empty room out of pictures with somebody in them."""

import numpy as np

from tests.support.footage_files import paint, swaying, textured
from trainer.footage.plate import QUANTILE, PlateEstimator, person_mask


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


def test_somebody_whose_keypoints_have_all_faded_covers_nothing() -> None:
    pose = swaying(1)[0]
    pose.confidence[:] = 0
    assert not person_mask(pose, (64, 64)).any()
