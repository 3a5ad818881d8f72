"""A source of recorded poses: OpenPose files instead of pictures."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines.errors import UserError
from realtime.frame import Frame
from realtime.live.pace import Pace
from realtime.pose.figure.limbs import draw
from realtime.pose.openpose import FOUND
from realtime.pose.openpose_folder import read_openpose
from realtime.pose.pose import Pose

CANVAS_PX = 512
MARGIN = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class PosedFrame(Frame):
    """A frame whose pose is known before anybody looks at its picture."""

    pose: Pose | None
    """In pixels of `rgb`; None while nobody is there."""


class PoseSource:
    """A folder of OpenPose files, played over and over; its pictures are the drawn figures.

    Raises:
        UserError: the folder holds none, one of them cannot be read, or nobody is in any of them.
    """

    def __init__(self, folder: Path, *, fps: float) -> None:
        self.name, self.folder, self.fps = folder.name, folder, fps
        self._poses = _fit(read_openpose(folder), folder)
        self._step_s = 1 / fps
        self._number, self._pace = 0, Pace()

    def read(self) -> PosedFrame | None:
        """Wait until the next pose is due; None once the source was closed."""
        if not self._pace.wait(self._number * self._step_s):
            return None
        captured_at_s = time.perf_counter()
        pose = self._poses[self._number % len(self._poses)]
        self._number += 1
        return PosedFrame(rgb=draw(pose, CANVAS_PX), captured_at_s=captured_at_s, number=self._number - 1, pose=pose)

    def close(self) -> None:
        """Stop playing."""
        self._pace.close()


def _fit(poses: list[Pose | None], folder: Path) -> list[Pose | None]:
    """Move and scale all alike into the canvas: the files do not say how large their picture was."""
    found = [pose.xy[pose.confidence >= FOUND] for pose in poses if pose]
    if not found:
        raise UserError(f"Nobody is in any of the files in {folder}: give another folder.")
    low, high = np.quantile(np.concatenate(found), (0.002, 0.998), axis=0)
    k = np.float32(CANVAS_PX * (1 - 2 * MARGIN) / max(1.0, float((high - low).max())))
    centre = np.asarray((low + high) / 2, np.float32)
    return [
        Pose((pose.xy - centre) * k + np.float32(CANVAS_PX / 2), pose.depth * k, pose.confidence) if pose else None
        for pose in poses
    ]
