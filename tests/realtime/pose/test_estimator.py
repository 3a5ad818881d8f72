"""Our estimator against what the `mediapipe` library saw in the same frames.

The library's poses are recorded by scripts/record_landmarks.py.
"""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.load import load_engine
from realtime.frame import Rgb
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.estimator import PoseEstimator
from realtime.pose.pose import Pose
from realtime.pose.skeleton import BODY, FACE, INDEX, LEFT_HAND, RIGHT_HAND
from realtime.video import read_video

DATA = Path(__file__).parents[2] / "data"
FRAMES = 130
PARTS = {"body": BODY, "left_hand": LEFT_HAND, "right_hand": RIGHT_HAND, "face": FACE}


def clip(name: str) -> list[Rgb]:
    return [rgb for rgb, _ in islice(read_video(DATA / f"{name}_clip.mp4"), FRAMES)]


@pytest.fixture(scope="module")
def estimator() -> PoseEstimator:
    """As the library sees: without the networks that refine joints."""
    return PoseEstimator(config=PoseConfig(estimator="own"))


@pytest.fixture(scope="module", params=["alice", "bob"])
def seen(request: pytest.FixtureRequest, estimator: PoseEstimator) -> tuple[str, list[Pose | None]]:
    """Our poses in the first frames of a clip."""
    estimator.reset()
    return request.param, [estimator.estimate(rgb) for rgb in clip(request.param)]


@pytest.fixture
def fresh(estimator: PoseEstimator) -> PoseEstimator:
    estimator.reset()
    return estimator


@pytest.fixture(scope="module")
def alice_front() -> Rgb:
    return clip("alice")[0]


def part_of(
    seen: tuple[str, list[Pose | None]], part: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float32]]:
    """Whether they and whether we found it, per frame; distance over size, per frame (found by both) and point."""
    name, poses = seen
    with np.load(DATA / "landmarks.npz") as recorded:
        theirs = recorded[f"{name}_clip_{part}"][: len(poses), :, :2]
    rows = PARTS[part]
    they = np.isfinite(theirs[:, 0, 0])
    we = np.array([pose is not None and bool(pose.confidence[rows].max() > 0) for pose in poses])
    errors = []
    for pose, their in zip(poses, theirs, strict=True):
        if pose is not None and pose.confidence[rows].max() > 0 and np.isfinite(their).all():
            extent = np.ptp(their, axis=0)
            size = extent[1] if part == "body" else extent.max()
            errors.append(np.linalg.norm(pose.xy[rows] - their, axis=1) / size)
    return they, we, np.array(errors, np.float32)


@pytest.mark.parametrize(
    ("part", "alike", "median", "percentile", "most"),
    [
        ("body", 0.99, 0.001, 99, 0.01),
        ("left_hand", 0.93, 0.02, 90, 0.1),
        ("right_hand", 0.93, 0.02, 90, 0.1),
        ("face", 0.97, 0.005, 95, 0.04),
    ],
)
def test_every_part_equals_the_librarys(
    seen: tuple[str, list[Pose | None]], part: str, alike: float, median: float, percentile: int, most: float
) -> None:
    """`alike` is the share of frames in which both found it or neither; errors are in sizes of the part."""
    they, we, errors = part_of(seen, part)
    assert (they == we).mean() >= alike
    assert np.median(errors) <= median
    assert np.percentile(errors, percentile) <= most


def test_depth_equals_the_librarys(seen: tuple[str, list[Pose | None]]) -> None:
    name, poses = seen
    with np.load(DATA / "landmarks.npz") as recorded:
        theirs = recorded[f"{name}_clip_body"][: len(poses)]
    off = [np.abs(pose.depth[BODY] - z) for pose, z in zip(poses, theirs[:, :, 2], strict=True) if pose is not None]
    height = np.nanmedian(np.ptp(theirs[:, :, 1], axis=1))
    assert np.nanmedian(off) <= 0.005 * height


def test_a_missing_part_has_no_confidence_and_a_found_one_at_least_a_half(seen: tuple[str, list[Pose | None]]) -> None:
    missing = 0
    for pose in seen[1]:
        for rows in (LEFT_HAND, RIGHT_HAND, FACE):
            if pose is None:
                continue
            assert np.ptp(pose.confidence[rows]) == 0
            confidence = pose.confidence[rows.start]
            assert confidence == 0 or 0.5 < confidence <= 1
            if confidence == 0:
                missing += 1
                assert not pose.xy[rows].any()
                assert not pose.depth[rows].any()
    assert missing


def test_nobody_in_an_empty_room(fresh: PoseEstimator) -> None:
    assert [fresh.estimate(rgb) for rgb in clip("bob")[:10]] == [None] * 10


def test_a_person_who_leaves_is_gone(fresh: PoseEstimator, alice_front: Rgb) -> None:
    assert fresh.estimate(alice_front) is not None
    assert fresh.estimate(np.zeros_like(alice_front)) is None
    assert fresh.estimate(alice_front) is not None


def torso_px(pose: Pose) -> float:
    """From the shoulders down to the hips; negative for somebody upside down."""
    shoulders, hips = (
        pose.xy[[INDEX[f"{side}_{joint}"] for side in ("left", "right")], 1].mean() for joint in ("shoulder", "hip")
    )
    return float(hips - shoulders)


def test_long_hair_from_behind_is_no_head_that_hangs_down(fresh: PoseEstimator) -> None:
    poses = [fresh.estimate(rgb) for rgb, _ in read_video(DATA / "alice_behind_clip.mp4")]
    assert all(torso_px(pose) > 0 for pose in poses if pose)
    assert all(pose and torso_px(pose) > 80 for pose in poses[-10:])


def test_who_stands_on_the_hands_is_upside_down(fresh: PoseEstimator, alice_front: Rgb) -> None:
    for _ in range(3):
        pose = fresh.estimate(alice_front[::-1, ::-1])
        assert pose
        assert torso_px(pose) < -80


def test_reset_repeats_to_the_bit(estimator: PoseEstimator) -> None:
    runs = []
    for _ in range(2):
        estimator.reset()
        runs.append([estimator.estimate(rgb) for rgb in clip("alice")[:4]])
    for first, second in zip(*runs, strict=True):
        assert first is not None
        assert second is not None
        for name in ("xy", "depth", "confidence"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_left_is_the_persons_own_left(fresh: PoseEstimator) -> None:
    frames = clip("alice")[:15]
    pose = [fresh.estimate(rgb) for rgb in frames][-1]
    assert pose is not None
    for name in ("shoulder", "hip", "knee", "wrist"):
        assert pose.at(f"left_{name}")[0] > pose.at(f"right_{name}")[0]
    assert pose.at("face_left_pupil_0")[0] > pose.at("face_right_pupil_0")[0]
    assert pose.at("face_jaw_16")[0] > pose.at("face_jaw_0")[0]
    arm_px = np.linalg.norm(pose.xy[INDEX["left_elbow"]] - pose.xy[INDEX["left_wrist"]])
    hands = [side for side in ("left", "right") if pose.confidence[INDEX[f"{side}_hand_wrist"]] > 0]
    assert hands
    for side in hands:
        apart = np.linalg.norm(pose.xy[INDEX[f"{side}_wrist"]] - pose.xy[INDEX[f"{side}_hand_wrist"]])
        assert apart < 0.5 * arm_px


@pytest.mark.parametrize("size", [(192, 192), (960, 540), (1920, 1080), (270, 480)], ids=str)
def test_any_size_of_picture(fresh: PoseEstimator, alice_front: Rgb, size: tuple[int, int]) -> None:
    expected = fresh.estimate(alice_front)
    assert expected is not None
    scale = min(size) / 512
    width, height = size
    canvas = np.full((height, width, 3), 110, np.uint8)
    small = cv2.resize(alice_front, (min(size), min(size)), interpolation=cv2.INTER_AREA)
    left, top = (width - min(size)) // 2, (height - min(size)) // 2
    canvas[top : top + min(size), left : left + min(size)] = small
    pose = fresh.estimate(canvas)
    assert pose is not None
    error = np.linalg.norm(pose.xy[BODY] - (expected.xy[BODY] * scale + (left, top)), axis=1)
    assert np.median(error) <= 0.015 * scale * np.ptp(expected.xy[BODY, 1])


def test_the_size_may_change_in_the_stream(fresh: PoseEstimator, alice_front: Rgb) -> None:
    half = np.asarray(cv2.resize(alice_front, (256, 256), interpolation=cv2.INTER_AREA), np.uint8)
    first, second = fresh.estimate(alice_front), fresh.estimate(half)
    assert first is not None
    assert second is not None
    np.testing.assert_allclose(second.at("nose"), np.array(first.at("nose")) / 2, atol=3)


def test_views_of_other_arrays_are_pictures_too(fresh: PoseEstimator, alice_front: Rgb) -> None:
    mirrored = fresh.estimate(alice_front[:, ::-1])
    fresh.reset()
    pose = fresh.estimate(alice_front)
    assert pose is not None
    assert mirrored is not None
    assert abs(511 - mirrored.at("left_shoulder")[0] - pose.at("right_shoulder")[0]) < 8


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((64, 64, 3), np.float32),
        np.zeros((0, 64, 3), np.uint8),
    ],
    ids=["grey", "rgba", "float", "empty"],
)
def test_not_a_picture(fresh: PoseEstimator, picture: Rgb) -> None:
    with pytest.raises(ValueError, match="H W 3 uint8"):
        fresh.estimate(picture)


def test_only_outputs_that_exist_can_be_wanted() -> None:
    graph = Path(__file__).parents[3] / "realtime" / "pose" / "estimation" / "networks" / "hand_recrop.tflite"
    with pytest.raises(ValueError, match="output_crop"):
        load_engine(graph, outputs=("nothing",))
