"""How good a track of poses is: by itself, and against the exact joints of rendered footage.

F frames, J joints. Tracks are float32 F J 2, pixels, not-a-number where a joint was not seen.

Exact joints are a FILE.npz:
  names       [J]: ours (`skeleton.NAMES`, e.g. left_wrist), or a rig's bones (hand_l)
  xy          [F, J, 2]: pixels, a row per frame of the video
  visibility  [F, J] (optional): 0 outside of the picture, 1 hidden, 2 visible
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.errors import UserError
from engines.files import NO_NPZ, check_there
from realtime.pose.measure import stature_px
from realtime.pose.pose import Floats, Pose
from realtime.pose.rig import rig_name
from realtime.pose.skeleton import INDEX

JOINTS = ("nose", *(f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
                    for side in ("left", "right")))  # fmt: skip
"""The joints that are measured: the nose and those of the limbs."""
FINGERTIPS = tuple(f"{side}_hand_{finger}_4" for side in ("left", "right")
                   for finger in ("thumb", "index", "middle", "ring", "pinky"))  # fmt: skip
"""What hands are measured by."""
WINDOW_S = 0.1
"""Frames so near, to either side, are the neighbours of one."""
_MOST_LEAD_S, _MOST_LAG_S, _LAG_STEP_S = 0.05, 0.15, 0.002


def joint_track(poses: Sequence[Pose | None], names: Sequence[str] = JOINTS, least_confidence: float = 0.5) -> Floats:
    """The track of some joints, F J 2; those less confident count as not seen."""
    indices = [INDEX[name] for name in names]
    rows = np.full((len(poses), len(indices), 2), np.nan, np.float32)
    for row, pose in zip(rows, poses, strict=True):
        if pose is not None:
            row[:] = np.where(pose.confidence[indices, None] >= least_confidence, pose.xy[indices], np.nan)
    return rows


def statures_px(poses: Sequence[Pose | None]) -> Floats:
    """The stature in every frame, F, pixels; the median of all where nobody was seen."""
    tall_px = np.array([np.nan if pose is None else stature_px(pose) for pose in poses], np.float32)
    return np.where(np.isfinite(tall_px), tall_px, np.nanmedian(tall_px)).astype(np.float32)


def jitter_px(xy: Floats, fps: float) -> Floats:
    """Distance of each joint from its own smooth path, F J, pixels: a parabola fitted to it and its neighbours.

    Not-a-number where a neighbour was not seen. Of an error instead of a track, it is the jitter without the moves.
    """
    half = max(2, round(WINDOW_S * fps))
    time = np.arange(-half, half + 1)
    # The row of the least-squares solution that gives the parabola's value at time 0.
    kernel = np.linalg.pinv(np.stack([time**0, time, time**2], axis=1))[0].astype(np.float32)
    away = np.full(xy.shape[:2], np.nan, np.float32)
    if len(xy) > 2 * half:
        windows = np.lib.stride_tricks.sliding_window_view(xy, 2 * half + 1, axis=0)
        away[half:-half] = np.linalg.norm(xy[half:-half] - windows @ kernel, axis=2)
    return away


def lag_s(xy: Floats, truth: Floats, fps: float) -> float:
    """By how many seconds the track is behind the truth: the shift at which the two move most alike.

    Between -0.05 and 0.15 s. Velocities are compared, for a truth may define a joint's place a little differently.
    """
    moved, true_move = (np.gradient(track, axis=0) for track in (xy, truth))
    frames = np.arange(len(xy))
    shifts = np.arange(-_MOST_LEAD_S, _MOST_LAG_S, _LAG_STEP_S) * fps  # in frames
    apart = []
    for shift in shifts:
        before = np.floor(frames - shift).clip(0, len(xy) - 1).astype(int)
        share = np.float32((-shift) % 1)  # linear between two frames
        then = (1 - share) * true_move[before] + share * true_move[(before + 1).clip(0, len(xy) - 1)]
        apart.append(np.nanmean(np.linalg.norm(moved - then, axis=2)))
    return float(shifts[int(np.argmin(apart))] / fps)


def longest_gap_s(seen: NDArray[np.bool_], fps: float, *, ends: bool = True) -> float:
    """The longest time in which nobody was seen; with `ends`, before the first and after the last sight, too."""
    at = np.flatnonzero(seen)
    if ends:
        at = np.concatenate([[-1], at, [len(seen)]])
    return float((np.diff(at).max() - 1) / fps) if len(at) > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Truth:
    """The exact joints, F frames, J = the joints of `JOINTS` that the file has."""

    names: tuple[str, ...]
    xy: Floats
    """F J 2, pixels."""
    visible: NDArray[np.bool_]
    """F J."""
    present: NDArray[np.bool_]
    """F: at least half of the joints are inside the picture."""
    tips_xy: Floats
    """F 10 2, pixels: those of `FINGERTIPS`; F 0 2 if the file lacks any of them."""
    tips_visible: NDArray[np.bool_]
    """F 10 or F 0."""

    def rows(self, frames: range) -> "Truth":
        """Only these frames."""
        rows = slice(frames.start, frames.stop)
        return Truth(
            self.names, self.xy[rows], self.visible[rows], self.present[rows], self.tips_xy[rows],
            self.tips_visible[rows],
        )  # fmt: skip


def load_truth(path: Path, frames: int) -> Truth:
    """Read the exact joints of a video with at least `frames` frames.

    Raises:
        UserError: there is no such file, it is another kind of file, or of another video.
    """
    check_there(path)
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            names = [str(name) for name in file["names"]]
            xy = np.asarray(file["xy"], np.float32)
            visibility = np.asarray(file["visibility"] if "visibility" in file else np.full(xy.shape[:2], 2))
    except NO_NPZ as error:
        raise UserError(f"{path} holds no exact joints: give an .npz with names, xy, visibility.") from error
    if xy.shape != (len(xy), len(names), 2) or visibility.shape != xy.shape[:2]:
        raise UserError(
            f"{path} has names {len(names)}, xy {xy.shape}, visibility {visibility.shape}: they do not fit."
        )
    if len(xy) < frames:
        raise UserError(f"{path} has {len(xy)} rows, the video at least {frames} pictures: give the video's own file.")
    where, tips = ({name: names.index(each) for name in wanted for each in (name, rig_name(name)) if each in names}
                   for wanted in (JOINTS, FINGERTIPS))  # fmt: skip
    if not where:
        raise UserError(f"{path} names none of the joints {', '.join(JOINTS)}: see `realtime pose --help`.")
    columns = list(where.values())
    present = (visibility[:, columns] > 0).mean(axis=1) >= 0.5
    fingers = list(tips.values()) if len(tips) == len(FINGERTIPS) else []
    visible = visibility == 2
    return Truth(tuple(where), xy[:, columns], visible[:, columns], present, xy[:, fingers], visible[:, fingers])
