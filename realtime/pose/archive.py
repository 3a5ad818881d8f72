"""Poses in a file: a compressed .npz, a third of the size of their plain floats.

seen      [N] bool
exact     [4, 4, N, E] uint8, of the first E keypoints x, y, depth and confidence, to the bit
rounded   [4, 3, N, K-E] uint8, of the others x, y and depth, in sixteenths of a pixel
fraction  [4, 1, N, K-E] uint8, of the others the confidence, to the bit
The first axis is the bytes of 32-bit numbers, lowest first: of their changes in time, zigzag. Nobody there is zero.
Files from before hold xy [N, K, 2], depth and confidence [N, K] as they are, float32.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realtime.pose.pose import Pose
from realtime.pose.skeleton import K

STEPS_PER_PX = 16
"""The grid that keypoints are rounded to; figures are drawn on it, too."""
FARTHEST_PX = 1e6


def save_poses(path: Path, poses: Sequence[Pose | None], *, exact: int = K) -> None:
    """Write poses.

    Args:
        path: an .npz file.
        poses: N of them, None for nobody.
        exact: so many keypoints, counted from the first, are kept to the bit; see `Style.exact`.
    """
    values = np.zeros((4, len(poses), K), np.float32)
    for number, pose in enumerate(poses):
        if pose is not None:
            values[:, number] = *pose.xy.T, pose.depth, pose.confidence
    rounded = np.round(np.clip(values[:3, :, exact:], -FARTHEST_PX, FARTHEST_PX) * STEPS_PER_PX).astype(np.int32)
    np.savez_compressed(
        path,
        allow_pickle=False,
        seen=np.array([pose is not None for pose in poses], bool),
        exact=_pack(_bits(values[:, :, :exact])),
        rounded=_pack(rounded),
        fraction=_pack(_bits(values[3:, :, exact:])),
    )


def load_poses(path: Path) -> list[Pose | None]:
    """The inverse of `save_poses`; what was rounded stays so."""
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        rows = dict(file)
    seen = rows["seen"]
    if "xy" in rows:
        xy, depth, confidence = rows["xy"], rows["depth"], rows["confidence"]
    else:
        exact, fraction = (_unpack(rows[name]).view(np.float32) for name in ("exact", "fraction"))
        rounded = _unpack(rows["rounded"]).astype(np.float32) / np.float32(STEPS_PER_PX)
        values = np.concatenate([exact, np.concatenate([rounded, fraction])], axis=2)
        xy, depth, confidence = np.ascontiguousarray(np.moveaxis(values[:2], 0, 2)), values[2], values[3]
    return [Pose(xy[i], depth[i], confidence[i]) if seen[i] else None for i in range(len(seen))]


def _bits(values: NDArray[np.float32]) -> NDArray[np.int32]:
    return np.ascontiguousarray(values).view(np.int32)


def _pack(numbers: NDArray[np.int32]) -> NDArray[np.uint8]:
    """C N M to 4 C N M: changes in time, byte by byte, so that equal bytes lie side by side and are easy to zip."""
    # Changes are small, and zigzag (0, -1, 1, -2 to 0, 1, 2, 3) keeps the upper bytes of negative ones zero, too.
    change = np.diff(numbers, axis=1, prepend=np.int32(0))
    zigzag = np.ascontiguousarray((change << 1) ^ (change >> 31), "<i4")
    return np.ascontiguousarray(np.moveaxis(zigzag.view(np.uint8).reshape(*numbers.shape, 4), -1, 0))


def _unpack(packed: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The inverse of `_pack`."""
    zigzag = np.ascontiguousarray(np.moveaxis(packed, 0, -1)).view("<u4")[..., 0]
    change = (zigzag >> 1).astype(np.int32) ^ -(zigzag & 1).astype(np.int32)
    return np.cumsum(change, axis=1, dtype=np.int32)
