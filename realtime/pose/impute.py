"""Likely positions for keypoints that were not found, so that lengths and figures never reach for (0, 0)."""

from collections.abc import Iterator
from itertools import pairwise

from realtime.pose.pose import Floats
from realtime.pose.skeleton import FACE_PARTS, INDEX, LEFT_HAND, NAMES, RIGHT_HAND

Weights = dict[str, float]

# What is looked for, and the weighted sum of others that it is taken from; the first that can be had counts.
# {s} is one side, {o} the other one. Proportions are a grown person's.
_SIDES: tuple[tuple[str, Weights], ...] = (
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
    for target, sources in _SIDES:
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


def fill_in(xy: Floats, found: list[bool]) -> None:
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
