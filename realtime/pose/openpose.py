"""Poses as OpenPose writes them: the files of one frame.

`--write_json`: one JSON file, e.g. take_000000000012_keypoints.json. `--write_keypoint`, as for the labels that came
with Everybody Dance Now: a YAML file of OpenCV for each part, e.g. frame020001_pose.yml, frame020001_face.yml.

Format: github.com/CMU-Perceptual-Computing-Lab/openpose, doc/02_output.md. A keypoint is x, y in pixels and a
confidence; 0, 0, 0 was not found. Body: one of `ORDERS`; face 70 keypoints, hands 21 each, or none.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import msgspec
import numpy as np

from engines.errors import UserError
from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import FACE, FACE_PARTS, INDEX, LEFT_HAND, NAMES, RIGHT_HAND, K

# "" is what our skeleton has no keypoint for. The neck lies between the shoulders, the middle hip between the hips.
BODY_25 = (
    "nose", "", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
    "left_foot_index", "", "left_heel", "right_foot_index", "", "right_heel",
)  # fmt: skip
COCO = (
    "nose", "", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
BODY_25B = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "", "",
    "left_foot_index", "", "left_heel", "right_foot_index", "", "right_heel",
)  # fmt: skip
BODY_23 = (
    "", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "", "right_hip", "right_knee", "right_ankle", "right_foot_index", "",
    "left_hip", "left_knee", "left_ankle", "left_foot_index", "",
    "nose", "right_eye", "right_ear", "left_eye", "left_ear",
)  # fmt: skip
ORDERS = {"BODY_25": (BODY_25, 1), "BODY_25B": (BODY_25B, 17), "COCO": (COCO, 1), "BODY_23": (BODY_23, 0)}
"""The orders of body keypoints, and where each has the neck; BODY_23 is that of the labels of Everybody Dance Now."""
NECK_NEAR = 0.25
"""The neck is nearer to the middle of the shoulders than so many of their distances."""

FOUND = 0.05
"""Least confidence of a keypoint that says where a person is; OpenPose draws from here on."""
FARTHEST = 2.0**16
"""Coordinates beyond this are in no picture: the keypoint was not found."""


class _Person(msgspec.Struct):
    pose_keypoints_2d: list[float]
    face_keypoints_2d: list[float] = []
    hand_left_keypoints_2d: list[float] = []
    hand_right_keypoints_2d: list[float] = []


class _File(msgspec.Struct):
    people: list[_Person]


class OpenPosePerson(NamedTuple):
    """One of the people in a frame, as OpenPose has written them: rows of x, y, confidence."""

    body: Floats
    """N 3, in one of `ORDERS`."""
    face: Floats
    """70 3, or none."""
    left_hand: Floats
    right_hand: Floats
    """21 3, or none."""


def read_people(paths: Sequence[Path]) -> list[OpenPosePerson]:
    """Read the files of one frame: a JSON file, or YAML files, one of them named *_pose.

    Raises:
        UserError: they are not such files; one is named, with the reason.
    """
    if paths[0].suffix.lower() == ".json":
        return _read_json(paths[0])
    return _read_yaml(paths)


def recognized_order(people: Sequence[OpenPosePerson]) -> str:
    """The order, of `ORDERS`, in which the bodies of a recording are. All have the same number of keypoints.

    BODY_25 and BODY_25B have as many: it is the latter if the neck is between the shoulders only then.
    """
    bodies = np.stack([person.body for person in people])
    usual, *others = (name for name, (names, _) in ORDERS.items() if len(names) == bodies.shape[1])
    errors = {name: _neck_error(bodies, *ORDERS[name]) for name in (usual, *others)}
    best = min(errors, key=lambda name: errors[name])
    return best if errors[best] < NECK_NEAR else usual


def keypoints(person: OpenPosePerson, order: str) -> Floats:
    """K 3: x, y, confidence of a person; zeros for what was not found."""
    names, _ = ORDERS[order]
    points = np.zeros((K, 3), np.float32)
    points[[INDEX[name] for name in names if name]] = person.body[[i for i, name in enumerate(names) if name]]
    for part, rows in ((FACE, person.face), (LEFT_HAND, person.left_hand), (RIGHT_HAND, person.right_hand)):
        points[part] = rows if len(rows) else 0
    points[:, 2] = np.clip(points[:, 2], 0, 1)
    points[points[:, 2] == 0] = 0
    return points


def pose_of(points: Floats) -> Pose | None:
    """The pose of `keypoints`, K 3; None if nothing of the body was found.

    What OpenPose did not find has confidence 0 and a likely position. The depth of all is 0. The first keypoint of a
    hand or face, which stands for the whole of it in figures, is at least as sure as the median.
    """
    if not points[BODY_ROWS, 2].any():
        return None
    xy, confidence = points[:, :2].copy(), points[:, 2].copy()
    impute(xy, (confidence > 0).tolist())
    for part in (LEFT_HAND, RIGHT_HAND, FACE):
        confidence[part.start] = max(confidence[part.start], np.median(confidence[part]))
    return Pose(xy, np.zeros(K, np.float32), confidence)


BODY_ROWS = sorted({INDEX[name] for name in BODY_25 if name})
"""The keypoints of the body that OpenPose finds."""


def _read_json(path: Path) -> list[OpenPosePerson]:
    try:
        return [_parsed(person) for person in msgspec.json.decode(path.read_bytes(), type=_File).people]
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a file of OpenPose ({error}): write it again with --write_json.") from error


def _parsed(person: _Person) -> OpenPosePerson:
    """The person of a JSON file.

    Raises:
        ValueError: a list has a wrong length or a number that is none.
    """
    return OpenPosePerson(
        _triples(person.pose_keypoints_2d, "pose_keypoints_2d", *sorted({len(names) for names, _ in ORDERS.values()})),
        _triples(person.face_keypoints_2d, "face_keypoints_2d", 0, 70),
        _triples(person.hand_left_keypoints_2d, "hand_left_keypoints_2d", 0, 21),
        _triples(person.hand_right_keypoints_2d, "hand_right_keypoints_2d", 0, 21),
    )


def _triples(numbers: list[float], name: str, *counts: int) -> Floats:
    if len(numbers) not in [3 * count for count in counts]:
        wanted = " or ".join(str(3 * count) for count in counts if count)
        raise ValueError(f"{name} has {len(numbers)} numbers, not {wanted}")
    with np.errstate(over="ignore"):
        triples = np.array(numbers, np.float32).reshape(-1, 3)
    if not np.isfinite(triples).all():
        raise ValueError(f"{name} has a number that is too large")
    return _believed(triples)


def _believed(rows: Floats) -> Floats:
    """Rows of x, y, confidence, zero where the place is in no picture."""
    return np.where((np.abs(rows[..., :2]) > FARTHEST).any(axis=-1, keepdims=True), np.float32(0), rows)


def _read_yaml(paths: Sequence[Path]) -> list[OpenPosePerson]:
    parts = {path.stem.rpartition("_")[2]: path for path in paths}
    body, face, left, right = (_matrix(parts.get(part)) for part in ("pose", "face", "left", "right"))
    return [
        OpenPosePerson(
            rows, *(part[i] if i < len(part) else np.zeros((0, 3), np.float32) for part in (face, left, right))
        )
        for i, rows in enumerate(body)
    ]


def _matrix(path: Path | None) -> Floats:
    """People x keypoints x 3 of a YAML file; no people without one."""
    if path is None:
        return np.zeros((0, 0, 3), np.float32)
    try:
        storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
        root = storage.root()
        matrix = root.getNode(root.keys()[0]).mat() if root.isMap() else None
        storage.release()
    except (cv2.error, SystemError) as error:  # the latter is how the constructor fails
        raise UserError(f"{path} is not a file of OpenPose: write it again with --write_keypoint.") from error
    if matrix is None:  # nobody was found
        return np.zeros((0, 0, 3), np.float32)
    known = {len(names) for names, _ in ORDERS.values()} | {21, 70}
    if matrix.ndim != 3 or matrix.shape[1] not in known or matrix.shape[2] != 3 or not np.isfinite(matrix).all():
        raise UserError(f"{path} holds no people of OpenPose, but {matrix.shape} numbers: write it again.")
    with np.errstate(over="ignore"):
        return _believed(np.asarray(matrix, np.float32))


def _neck_error(bodies: Floats, names: tuple[str, ...], neck: int) -> float:
    """Distance of the neck from the middle of the shoulders, in their distances; infinite if they never are found."""
    rows = [neck, names.index("left_shoulder"), names.index("right_shoulder")]
    found = bodies[(bodies[:, rows, 2] > 0).all(axis=1)]
    if not len(found):
        return float("inf")
    middle = (found[:, rows[1], :2] + found[:, rows[2], :2]) / 2
    wide = np.linalg.norm(found[:, rows[1], :2] - found[:, rows[2], :2], axis=1)
    return float(np.median(np.linalg.norm(found[:, neck, :2] - middle, axis=1) / np.maximum(wide, 1e-6)))


Weights = dict[str, float]

# What is looked for, and the weighted sum of others that it is taken from; the first that can be had counts.
# {s} is one side, {o} the other one. Proportions are a grown person's.
_SIDE_RULES: tuple[tuple[str, Weights], ...] = (
    ("{s}_wrist", {"{s}_hand_wrist": 1}),
    ("{s}_ear", {"{o}_ear": 1}),
    ("{s}_eye", {"{o}_eye": 1}),
    ("nose", {"left_eye": 0.5, "right_eye": 0.5}),
    ("nose", {"left_ear": 0.5, "right_ear": 0.5}),
    ("{s}_eye", {"nose": 1}),
    ("{s}_ear", {"{s}_eye": 1}),
    ("{s}_shoulder", {"{o}_shoulder": 1}),
    ("{s}_hip", {"{o}_hip": 1, "{s}_shoulder": 0.6, "{o}_shoulder": -0.6}),
    ("{s}_hip", {"{o}_hip": 1}),
    ("{s}_hip", {"{s}_shoulder": 2, "{o}_shoulder": 1, "nose": -2}),
    ("nose", {"left_shoulder": 0.725, "right_shoulder": 0.725, "left_hip": -0.225, "right_hip": -0.225}),
    ("{s}_elbow", {"{s}_shoulder": 0.5, "{s}_wrist": 0.5}),
    ("{s}_elbow", {"{s}_shoulder": 0.45, "{s}_hip": 0.55}),
    ("{s}_wrist", {"{s}_elbow": 1.9, "{s}_shoulder": -0.9}),
    ("{s}_knee", {"{s}_hip": 0.5, "{s}_ankle": 0.5}),
    ("{s}_knee", {"{o}_knee": 1, "{s}_hip": 1, "{o}_hip": -1}),
    ("{s}_knee", {"{s}_hip": 1.9, "{s}_shoulder": -0.9}),
    ("{s}_ankle", {"{o}_ankle": 1, "{s}_knee": 1, "{o}_knee": -1}),
    ("{s}_ankle", {"{s}_knee": 2, "{s}_hip": -1}),
    ("{s}_heel", {"{s}_ankle": 1}),
    ("{s}_foot_index", {"{s}_ankle": 1}),
    *((f"{{s}}_eye_{end}", {"{s}_eye": 1.0}) for end in ("inner", "outer")),
    *((f"{{s}}_{finger}", {"{s}_wrist": 1.0}) for finger in ("pinky", "index", "thumb")),
    ("mouth_{s}", {"nose": 1}),
    ("{s}_hand_wrist", {"{s}_wrist": 1}),
)


def _rules() -> Iterator[tuple[str, Weights]]:
    for target, sources in _SIDE_RULES:
        for s, o in (("left", "right"), ("right", "left")):
            yield target.format(s=s, o=o), {name.format(s=s, o=o): weight for name, weight in sources.items()}
    for hand in (LEFT_HAND, RIGHT_HAND):
        for i in range(1, 21):
            yield NAMES[hand.start + i], {NAMES[hand.start + (i - 1 if i % 4 != 1 else 0)]: 1}
    for part in FACE_PARTS.values():
        pairs = list(pairwise(NAMES[part]))
        yield from ((name, {before: 1.0}) for before, name in pairs)
        yield from ((name, {after: 1.0}) for name, after in reversed(pairs))
        yield from ((name, {"nose": 1.0}) for name in NAMES[part])


_RULES = [(INDEX[target], [INDEX[name] for name in sources], list(sources.values())) for target, sources in _rules()]


def impute(xy: Floats, found: list[bool]) -> None:
    """Give every keypoint that was not found a likely position, in place.

    Args:
        xy: K 2, pixels.
        found: K, at least one of them true.
    """
    known = list(found)
    missing = -1
    while missing != (missing := known.count(False)):
        for target, sources, weights in _RULES:
            if not known[target] and all(known[source] for source in sources):
                xy[target] = weights @ xy[sources]
                known[target] = True
    rest = [not each for each in known]
    if any(rest):
        xy[rest] = xy[known].mean(axis=0)
