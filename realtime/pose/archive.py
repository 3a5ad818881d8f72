"""Poses in a file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realtime.pose.pose import Pose
from realtime.pose.skeleton import K


def save_poses(path: Path, poses: Sequence[Pose | None]) -> None:
    """Write an .npz with xy [N, K, 2], depth and confidence [N, K], float32, and seen [N]; nobody there is zero."""
    nobody = Pose(*(np.zeros(shape, np.float32) for shape in ((K, 2), K, K)))
    rows: dict[str, NDArray[np.float32]] = {
        field: np.stack([getattr(pose or nobody, field) for pose in poses]) for field in ("xy", "depth", "confidence")
    }
    np.savez_compressed(path, allow_pickle=False, seen=np.array([pose is not None for pose in poses]), **rows)


def load_poses(path: Path) -> list[Pose | None]:
    """The inverse of `save_poses`."""
    with np.load(path, allow_pickle=False) as rows:
        xy, depth, confidence, seen = rows["xy"], rows["depth"], rows["confidence"], rows["seen"]
    return [Pose(xy[i], depth[i], confidence[i]) if seen[i] else None for i in range(len(seen))]
