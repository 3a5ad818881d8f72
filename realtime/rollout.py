"""The renderer free-running over a few clips of the subject's own moves, exactly as live: what int8 is calibrated on and
every engine is proven on.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from engines.engine import Engine
from realtime.frame import Rgb
from realtime.pose.archive import load_poses, save_poses
from realtime.pose.measure import head_box
from realtime.pose.pose import Pose
from realtime.pose.styles import Style
from realtime.render import Renderer

FILE = "calibration.npz"
"""Its name in a subject's folder: the poses, in the subject's pixels, clip after clip."""
CLIPS, CLIP_FRAMES = 4, 30


class RollOut:
    """Clips that can be played again and again.

    Args:
        poses: clip after clip, `CLIP_FRAMES` each.
        style: how they are drawn.
        plate: uint8 [H, W, 3], where every clip starts.
    """

    def __init__(self, poses: Sequence[Pose | None], style: Style, plate: Rgb) -> None:
        self._poses, self._style, self._plate = poses, style, plate

    def play(self, generator: Engine, face: Engine | None = None) -> Iterator[Rgb]:
        """Every picture, uint8 [H, W, 3]."""
        renderer = Renderer(generator, face, self._plate, blank=self._style.blank)
        for number, pose in enumerate(self._poses):
            if number % CLIP_FRAMES == 0:
                renderer.reset()
            figure = self._style.draw(pose, *self._plate.shape[:2])
            yield renderer.step(figure, head_box(pose) if pose else None)


def load_clips(folder: Path) -> list[Pose | None] | None:
    """The clips of a subject's folder; None if it has none."""
    file = folder / FILE
    return load_poses(file) if file.is_file() else None


def choose_clips(poses: Sequence[Pose | None]) -> list[Pose | None]:
    """Clips spread evenly over a whole training's poses, at most all of them."""
    length = min(CLIP_FRAMES, len(poses))
    starts = np.linspace(0, len(poses) - length, CLIPS if len(poses) >= CLIPS * CLIP_FRAMES else 1)
    return [pose for start in starts for pose in poses[int(start) : int(start) + length]]


def save_clips(folder: Path, poses: Sequence[Pose | None]) -> None:
    """Write what `choose_clips` chose."""
    save_poses(folder / FILE, poses)
