"""OpenPose's files: what comes back, what is filled in, what is refused."""

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import UserError
from realtime.pose.measure import head_box, stature_px
from realtime.pose.openpose import BODY_25, COCO, ORDERS, impute
from realtime.pose.openpose_folder import read_openpose
from realtime.pose.pose import Pose
from realtime.pose.skeleton import BODY, FACE, INDEX, LEFT_HAND, NAMES, RIGHT_HAND, K
from tests.support.commands import DATA
from tests.support.numbers import floats
from tests.support.openpose_files import write_frame
from tests.support.standing_pose import standing

SAMPLE = DATA / "openpose"
SHARED = [i for i, name in enumerate(NAMES) if name in BODY_25 or i >= BODY.stop]
"""What both OpenPose and we have."""

losses = st.lists(st.sampled_from(SHARED), max_size=len(SHARED) - 1, unique=True)


def read_frame(path: Path) -> Pose | None:
    """The only file of its folder."""
    (pose,) = read_openpose(path.parent)
    return pose


def losing(pose: Pose, lost: list[int]) -> Pose:
    confidence = pose.confidence.copy()
    confidence[lost] = 0
    return Pose(pose.xy, pose.depth, confidence)


def test_the_sample_is_read() -> None:
    poses = read_openpose(SAMPLE)
    assert [pose is not None for pose in poses] == [False, *[True] * 5, False, *[True] * 5]
    assert poses[5] is not None
    assert poses[5].xy[INDEX["nose"]] == pytest.approx([864.704, 142.02])
    assert poses[5].xy[INDEX["right_heel"]] == pytest.approx([838.454, 437.442])
    assert poses[5].confidence[INDEX["left_foot_index"]] == pytest.approx(0.985)


@given(lost=losses, x=st.integers(-300, 900), scale=floats(0.5, 9))
def test_what_was_found_comes_back(lost: list[int], x: int, scale: float) -> None:
    pose = losing(standing(x=x, scale=scale), lost)
    with TemporaryDirectory() as folder:
        path = Path(folder, "take_000000000003_keypoints.json")
        write_frame(path, pose)
        back = read_frame(path)
    found = [i for i in SHARED if i not in lost]
    if all(i >= BODY.stop for i in found):
        assert back is None
        return
    assert back is not None
    assert np.abs(back.xy[found] - pose.xy[found]).max() < 2e-3
    assert (back.confidence[found] == 1).all()
    invented = back.confidence > pose.confidence
    assert not set(np.flatnonzero(invented)) - {LEFT_HAND.start, RIGHT_HAND.start, FACE.start}
    assert np.isfinite(back.xy).all()


@given(lost=st.lists(st.integers(0, K - 1), max_size=K - 1, unique=True), dx=floats(-500, 500), k=floats(0.1, 10))
def test_filling_in_moves_and_scales_with_the_person(lost: list[int], dx: float, k: float) -> None:
    found = [i not in lost for i in range(K)]
    one, two = standing().xy.copy(), standing(x=dx, scale=k).xy.copy()
    one[lost], two[lost] = 0, 0
    impute(one, found)
    impute(two, found)
    assert np.allclose(k * one + np.array([dx, 0], np.float32), two, atol=0.01 * (1 + k))
    assert np.array_equal(one[found], standing().xy[found])


@pytest.mark.parametrize(
    "lost",
    [
        ["left_ear"],
        ["left_ear", "right_ear"],
        ["left_eye", "left_ear"],
        ["nose", "left_eye", "right_eye"],
        ["left_heel", "right_heel", "left_foot_index", "right_foot_index"],
        ["left_knee"],
        ["right_ankle", "right_foot_index", "right_heel"],
        ["left_hip"],
    ],
)
def test_lengths_hardly_change_when_some_joints_are_lost(lost: list[str]) -> None:
    whole, xy = standing(), standing().xy.copy()
    indices = [INDEX[name] for name in lost]
    xy[indices] = 0
    impute(xy, [i not in indices for i in range(K)])
    pose = Pose(xy, whole.depth, whole.confidence)
    assert stature_px(pose) == pytest.approx(stature_px(whole), rel=0.06)
    box, true_box = head_box(pose), head_box(whole)
    assert box.side_px == pytest.approx(true_box.side_px, rel=0.12)
    assert (box.x, box.y) == pytest.approx((true_box.x, true_box.y), abs=5)


def body(names: tuple[str, ...], pose: Pose) -> list[float]:
    rows = [[*pose.at(name), 0.9] if name else [1.0, 1.0, 0.9] for name in names]
    return [float(number) for row in rows for number in row]


def saved(path: Path, *people: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"version": 1.3, "people": people}))
    return path


def test_coco_has_no_feet(tmp_path: Path) -> None:
    person = {"person_id": [-1], "pose_keypoints_2d": body(COCO, standing()), "pose_keypoints_3d": []}
    pose = read_frame(saved(tmp_path / "1.json", person))
    assert pose is not None
    for name in filter(None, COCO):
        assert pose.at(name) == standing().at(name)
    feet = [INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("heel", "foot_index")]
    assert not pose.confidence[feet].any()
    assert pose.at("left_foot_index") == pose.at("left_ankle")
    assert not pose.confidence[BODY.stop :].any()


def test_of_several_people_the_largest_is_taken(tmp_path: Path) -> None:
    people = [{"pose_keypoints_2d": body(BODY_25, standing(x=500 * i, scale=k))} for i, k in enumerate((1, 2, 0.5))]
    pose = read_frame(saved(tmp_path / "1.json", *people))
    assert pose is not None
    assert pose.at("nose") == standing(x=500, scale=2).at("nose")


def test_a_hand_or_face_is_as_sure_as_most_of_it(tmp_path: Path) -> None:
    hand = [float(number) for i in range(21) for number in ((0, 0, 0) if i in (0, 7) else (90 + i, 70, 0.6))]
    person = {"pose_keypoints_2d": body(BODY_25, standing()), "hand_left_keypoints_2d": hand}
    pose = read_frame(saved(tmp_path / "1.json", person))
    assert pose is not None
    assert pose.confidence[LEFT_HAND.start] == np.float32(0.6)
    assert pose.at("left_hand_wrist") == pose.at("left_wrist")
    assert pose.confidence[LEFT_HAND.start + 7] == 0
    assert tuple(pose.xy[LEFT_HAND.start + 7]) == tuple(pose.xy[LEFT_HAND.start + 6])


def test_confidences_are_from_0_to_1(tmp_path: Path) -> None:
    numbers = body(BODY_25, standing())
    numbers[2], numbers[2 + 3 * 4] = 1.07, -0.1
    pose = read_frame(saved(tmp_path / "1.json", {"pose_keypoints_2d": numbers}))
    assert pose is not None
    assert (pose.confidence[INDEX["nose"]], pose.confidence[INDEX["right_wrist"]]) == (1, 0)


@pytest.mark.parametrize("people", [[], [{"pose_keypoints_2d": [0] * 75}]])
def test_nobody(tmp_path: Path, people: list[dict[str, Any]]) -> None:
    saved(tmp_path / "1.json", *people)
    write_frame(tmp_path / "2.json", None)
    assert read_openpose(tmp_path) == [None, None]


@pytest.mark.parametrize("order", ORDERS)
def test_the_order_is_recognized(tmp_path: Path, order: str) -> None:
    (names, neck), pose = ORDERS[order], standing()
    numbers = body(names, pose)
    middle = np.add(pose.at("left_shoulder"), pose.at("right_shoulder")) / 2
    numbers[3 * neck : 3 * neck + 2] = middle.tolist()
    read = read_frame(saved(tmp_path / "1.json", {"pose_keypoints_2d": numbers}))
    assert read is not None
    for name in filter(None, names):
        assert read.at(name) == pose.at(name), name


def test_a_phantom_never_wins(tmp_path: Path) -> None:
    """OpenPose sometimes sees a few points of somebody in the corners, far apart."""
    phantom = [0.0] * 75
    for index, (x, y) in enumerate([(5, 5), (900, 8), (4, 700)]):
        phantom[3 * index : 3 * index + 3] = [x, y, 0.11]
    for number in range(5):
        people = [{"pose_keypoints_2d": phantom}, {"pose_keypoints_2d": body(BODY_25, standing(x=number))}]
        saved(tmp_path / f"{number}.json", *(people if number != 3 else people[:1]))
    poses = read_openpose(tmp_path)
    assert [pose and pose.at("nose") for pose in poses] == [
        standing(x=number).at("nose") if number != 3 else None for number in range(5)
    ]


def test_somebody_nearer_does_not_take_over(tmp_path: Path) -> None:
    """Who is there for longer is followed, even while somebody larger walks by, and the one is lost for a moment."""
    for number in range(40):
        people = [] if 12 <= number < 15 else [{"pose_keypoints_2d": body(BODY_25, standing(x=number))}]
        if 10 <= number < 20:
            people.insert(0, {"pose_keypoints_2d": body(BODY_25, standing(x=600 - 10 * number, scale=1.4))})
        saved(tmp_path / f"{number}.json", *people)
    expected = [None if 12 <= number < 15 else standing(x=number).at("nose") for number in range(40)]
    assert [pose and pose.at("nose") for pose in read_openpose(tmp_path)] == expected


@pytest.mark.parametrize("low", [0, -1])
def test_coordinates_relative_to_the_picture(tmp_path: Path, low: int) -> None:
    rows = np.array(body(BODY_25, standing()), np.float32).reshape(-1, 3)
    pixels = rows.copy()
    rows[:, :2] = rows[:, :2] / (640, 480) * (1 - low) + low
    saved(tmp_path / "1.json", {"pose_keypoints_2d": rows.ravel().tolist()})
    (pose,) = read_openpose(tmp_path, size_px=(640, 480))
    assert pose is not None
    assert np.allclose(pose.at("right_wrist"), pixels[4, :2], atol=1e-2)
    with pytest.raises(UserError, match="keypoint_scale"):
        read_openpose(tmp_path)


@pytest.mark.parametrize("low", [0, -1])
def test_relative_coordinates_that_are_hardly_below_0(tmp_path: Path, low: int) -> None:
    """Somebody low in the picture, to the right; or, from 0 to 1, of whom a point is outside for a moment."""
    for number in range(8):
        rows = np.array(body(BODY_25, standing()), np.float32).reshape(-1, 3)
        rows[:, :2] = (rows[:, :2] / (640, 480) * 0.5 + 0.4) * (1 - low) + low
        assert low <= rows[rows[:, 2] > 0, :2].min()
        rows[4, 0] = -0.6 if low == 0 and number == 5 else rows[4, 0]
        saved(tmp_path / f"{number}.json", {"pose_keypoints_2d": rows.ravel().tolist()})
    poses = read_openpose(tmp_path, size_px=(640, 480))
    expected = (standing().xy[INDEX["nose"]] * 0.5 + (256, 192)).tolist()
    assert [pose and pose.at("nose") for pose in poses] == [pytest.approx(expected, abs=0.1)] * 8


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("wild", [-1e5, 1e6, 1e30])
def test_a_point_far_from_the_picture_was_not_found(tmp_path: Path, wild: float, relative: bool) -> None:
    scale = (640, 480) if relative else (1, 1)
    for number in range(8):
        rows = np.array(body(BODY_25, standing()), np.float32).reshape(-1, 3)
        rows[:, :2] /= scale
        rows[4, 0] = wild if number == 5 else rows[4, 0]
        rows[5, 1] = wild if number == 5 else rows[5, 1]
        saved(tmp_path / f"{number}.json", {"pose_keypoints_2d": rows.ravel().tolist()})
    poses = read_openpose(tmp_path, size_px=(640, 480))
    for number, pose in enumerate(poses):
        assert pose is not None
        assert (pose.confidence[INDEX["right_wrist"]] == 0) == (number == 5)
        assert pose.at("nose") == pytest.approx(standing().at("nose"), abs=0.1)
        assert np.abs(pose.xy).max() < 500


def test_a_point_in_no_picture_was_not_found(tmp_path: Path) -> None:
    numbers = body(BODY_25, standing())
    numbers[3 * 4] = -1e6
    pose = read_frame(saved(tmp_path / "1.json", {"pose_keypoints_2d": numbers}))
    assert pose is not None
    assert pose.confidence[INDEX["right_wrist"]] == 0


def test_the_labels_of_everybody_dance_now(tmp_path: Path) -> None:
    """YAML files of OpenCV, one for each part, for every fourth frame (github.com/carolineec/EverybodyDanceNow)."""
    for number in (20001, 20005):
        pose = standing(x=number - 20000)
        hand = [value for row in pose.xy[LEFT_HAND] for value in (*row.tolist(), 0.5)]
        for part, numbers in {"pose": body(ORDERS["BODY_23"][0], pose), "hand_left": hand}.items():
            storage = cv2.FileStorage(str(tmp_path / f"frame{number:06d}_{part}.yml"), cv2.FILE_STORAGE_WRITE)
            storage.write(f"{part}_0", np.array(numbers, np.float32).reshape(1, -1, 3))
            storage.release()
    (tmp_path / "frame020009_pose.yml").write_text("%YAML:1.0\n---\n")
    poses = read_openpose(tmp_path, stems=["frame020001", "frame020005", "frame020009"])
    assert [pose and pose.at("left_knee") for pose in poses] == [
        *(standing(x=x).at("left_knee") for x in (1, 5)),
        None,
    ]
    assert poses[0] is not None
    assert np.allclose(poses[0].xy[LEFT_HAND], standing(x=1).xy[LEFT_HAND])
    (tmp_path / "frame020005_pose.yml").write_text("%YAML:1.0\n---\npose_0: [ 1, 2")
    with pytest.raises(UserError, match=r"frame020005_pose\.yml is not a file of OpenPose"):
        read_openpose(tmp_path)


def test_files_belong_to_pictures_by_name_else_by_order(tmp_path: Path) -> None:
    for number in (20001, 20005, 20009):
        write_frame(tmp_path / f"frame{number:06d}_keypoints.json", standing(x=number - 20000))
    (tmp_path / "._frame020001_keypoints.json").write_bytes(b"\0\5\26\7")  # a Mac leaves such behind
    stems = [f"frame{number:06d}" for number in (19997, 20001, 20005, 20009)]

    def noses(poses: list[Pose | None]) -> list[int | None]:
        return [round(pose.at("nose")[0] - standing().at("nose")[0]) if pose else None for pose in poses]

    assert noses(read_openpose(tmp_path, stems=stems)) == [None, 1, 5, 9]
    assert noses(read_openpose(tmp_path, frames=3)) == [1, 5, 9]
    assert noses(read_openpose(tmp_path, frames=9)) == [1, None, None, None, 5, None, None, None, 9]


def test_files_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 12):
        write_frame(tmp_path / f"v2_take{number}_keypoints.json", standing(x=number))
    poses = read_openpose(tmp_path)
    assert [pose and round(pose.at("nose")[0]) for pose in poses] == [73, 74, None, 76]


def person(**changes: object) -> bytes:
    return json.dumps({"people": [{"pose_keypoints_2d": body(BODY_25, standing())} | changes]}).encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "missing required field `people`"),
        (b'{"people": [{}]}', "missing required field `pose_keypoints_2d`"),
        (b"\xff\xfe", "malformed"),
        (person(pose_keypoints_2d=[1.0] * 74), "pose_keypoints_2d has 74 numbers, not 54 or 69 or 75"),
        (person(pose_keypoints_2d=[]), "has 0 numbers"),
        (person(pose_keypoints_2d=["x"] * 75), "Expected `float`, got `str`"),
        (person(pose_keypoints_2d=[1e300] * 75), "too large"),
        (person(face_keypoints_2d=[1.0] * 204), "face_keypoints_2d has 204 numbers, not 210"),
        (person(hand_left_keypoints_2d=[1.0] * 3), "hand_left_keypoints_2d has 3 numbers, not 63"),
        (person(hand_right_keypoints_2d=None), "Expected `array`, got `null`"),
    ],
)
def test_malformed_files_are_named_with_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    write_frame(tmp_path / "take_0_keypoints.json", standing())
    (tmp_path / "take_1_keypoints.json").write_bytes(content)
    with pytest.raises(UserError, match=rf"take_1_keypoints\.json.*{re.escape(reason)}.*--write_json"):
        read_openpose(tmp_path)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([], "holds no OpenPose files"),
        (["keypoints.json"], "keypoints.json has no frame number"),
        (["a_1.json", "b_01.json"], "are of the same frame"),
        (["a_1.json", "a_999999999999.json"], "frames apart"),
    ],
)
def test_folders_that_are_none(tmp_path: Path, names: list[str], reason: str) -> None:
    for name in names:
        write_frame(tmp_path / name, None)
    with pytest.raises(UserError, match=reason):
        read_openpose(tmp_path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no folder .*nowhere"):
        read_openpose(tmp_path / "nowhere")
