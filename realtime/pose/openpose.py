"""Poses as OpenPose writes them (`--write_json`): one JSON file per frame, e.g. take_000000000012_keypoints.json.

Format: github.com/CMU-Perceptual-Computing-Lab/openpose, doc/02_output.md. A keypoint is x, y in pixels and a
confidence; 0, 0, 0 was not found. Body: BODY_25 (75 numbers) or COCO (54); face 210, hands 63 each, or none.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

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

FOUND = 0.05
"""Least confidence of a keypoint that says where a person is; OpenPose draws from here on."""
MOST_FRAMES = 10_000_000


class _Person(msgspec.Struct):
    pose_keypoints_2d: list[float]
    face_keypoints_2d: list[float] = []
    hand_left_keypoints_2d: list[float] = []
    hand_right_keypoints_2d: list[float] = []


class _File(msgspec.Struct):
    people: list[_Person]


def read_openpose(folder: Path) -> list[Pose | None]:
    """Read a folder of files, in the order of the frame numbers at the end of their names.

    Returns:
        One pose per frame from the first file's number to the last one's; None where there is nobody or no file.

    Raises:
        UserError: there are no files, or one cannot be read; it is named with the reason.
    """
    files: dict[int, Path] = {}
    for path in sorted(folder.glob("*.json")):
        numbers = re.findall(r"\d+", path.stem)
        if not numbers:
            raise UserError(
                f"{path} has no frame number in its name: name it as OpenPose does, NAME_000012_keypoints.json."
            )
        other = files.setdefault(int(numbers[-1]), path)
        if other is not path:
            raise UserError(f"{path} and {other.name} are of the same frame: keep the files of one video in a folder.")
    if not files:
        raise UserError(f"{folder} holds no OpenPose files: give the folder that OpenPose's --write_json wrote.")
    first, last = min(files), max(files)
    if last - first >= MOST_FRAMES:
        raise UserError(f"{files[first]} and {files[last].name} are {last - first} frames apart: rename the files.")
    return [read_frame(files[n]) if n in files else None for n in range(first, last + 1)]


def read_frame(path: Path) -> Pose | None:
    """Read one file; of several people the one with the largest box around the body.

    What OpenPose did not find has confidence 0 and a likely position. The depth of all is 0. The first keypoint of a
    hand or face, which stands for the whole of it in figures, is at least as sure as the median.

    Raises:
        UserError: it is not such a file.
    """
    try:
        people = [_keypoints(person) for person in msgspec.json.decode(path.read_bytes(), type=_File).people]
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a file of OpenPose ({error}): write it again with --write_json.") from error
    points = max(people, key=_box_px2, default=None)
    if points is None or not points[_BODY, 2].any():
        return None
    xy, confidence = points[:, :2].copy(), points[:, 2].copy()
    impute(xy, (confidence > 0).tolist())
    for part in (LEFT_HAND, RIGHT_HAND, FACE):
        confidence[part.start] = max(confidence[part.start], np.median(confidence[part]))
    return Pose(xy, np.zeros(K, np.float32), confidence)


_BODY = sorted({INDEX[name] for name in BODY_25 if name})


def _keypoints(person: _Person) -> Floats:
    """K 3: x, y, confidence; zeros for what was not found.

    Raises:
        ValueError: a list has a wrong length or a number that is none.
    """
    points = np.zeros((K, 3), np.float32)
    body = _triples(person.pose_keypoints_2d, "pose_keypoints_2d", len(BODY_25), len(COCO))
    names = BODY_25 if len(body) == len(BODY_25) else COCO
    points[[INDEX[name] for name in names if name]] = body[[i for i, name in enumerate(names) if name]]
    for part, numbers, name in (
        (FACE, person.face_keypoints_2d, "face_keypoints_2d"),
        (LEFT_HAND, person.hand_left_keypoints_2d, "hand_left_keypoints_2d"),
        (RIGHT_HAND, person.hand_right_keypoints_2d, "hand_right_keypoints_2d"),
    ):
        points[part] = _triples(numbers, name, part.stop - part.start) if numbers else 0
    points[:, 2] = np.clip(points[:, 2], 0, 1)
    points[points[:, 2] == 0] = 0
    return points


def _triples(numbers: list[float], name: str, *counts: int) -> Floats:
    if len(numbers) not in [3 * count for count in counts]:
        raise ValueError(f"{name} has {len(numbers)} numbers, not {' or '.join(str(3 * count) for count in counts)}")
    with np.errstate(over="ignore"):
        triples = np.array(numbers, np.float32).reshape(-1, 3)
    if not np.isfinite(triples).all():
        raise ValueError(f"{name} has a number that is too large")
    return triples


def _box_px2(points: Floats) -> float:
    """Area of the box around a body."""
    body = points[_BODY]
    found = body[body[:, 2] >= FOUND, :2]
    return float(np.prod(np.ptp(found, axis=0))) if len(found) else 0.0


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
