"""A person with hands and feet, and an atlas of coloured blocks, for tests of the parts."""

from collections.abc import Iterable

import numpy as np

from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import INDEX
from realtime.references.atlas import Atlas, Reference, encode
from realtime.references.bones import PARTS, limbs_of, plain_widths
from tests.support.standing_pose import standing

SIZE_PX = 128
WIDTHS = plain_widths()


def dancer(*, x: float = 0.0, y: float = 0.0, raised_px: float = 0.0, scale: float = 1.0) -> Pose:
    """Standing, the hands before the body; the left wrist raised by so many pixels. All times `scale`."""
    pose = standing(x=x, y=y)
    xy, depths = pose.xy.copy(), pose.depth.copy()
    xy[INDEX["left_wrist"], 1] -= raised_px
    for side, out in (("left", 1), ("right", -1)):
        wrist, ankle = xy[INDEX[f"{side}_wrist"]], xy[INDEX[f"{side}_ankle"]]
        xy[INDEX[f"{side}_index"]] = np.add(wrist, (out, 5))
        xy[INDEX[f"{side}_pinky"]] = np.add(wrist, (3 * out, 5))
        xy[INDEX[f"{side}_heel"]] = np.add(ankle, (0, 3))
        depths[[INDEX[f"{side}_{joint}"] for joint in ("elbow", "wrist", "index", "pinky")]] = -10 + out
        depths[[INDEX[f"{side}_{joint}"] for joint in ("knee", "ankle", "foot_index")]] = out, 2 * out, 4 * out
    return Pose(xy * np.float32(scale), depths * np.float32(scale), pose.confidence)


def block(number: int, size_px: int = SIZE_PX) -> Floats:
    """A smooth cut-out, opaque but for its edge, h w 4."""
    down, right = np.mgrid[:size_px, :size_px].astype(np.float32) * (SIZE_PX / size_px)
    picture = np.stack([right, down, np.full_like(right, 40 * (number % 5)), np.full_like(right, 255)], axis=2)
    picture[[0, -1]] = picture[:, [0, -1]] = 0
    return picture


def toy_atlas(poses: Iterable[tuple[int, Pose]], size_px: int = SIZE_PX) -> Atlas:
    """Every part from every one of the frames, which are given by number and pose; pictures are as large as frames."""
    rows = [
        Reference(frame, (0, 0), encode(block(n, size_px)), limbs_of(pose, WIDTHS), 0.0)
        for n, (frame, pose) in enumerate(poses)
    ]
    return Atlas((size_px, size_px), WIDTHS, {part: list(rows) for part in PARTS})
