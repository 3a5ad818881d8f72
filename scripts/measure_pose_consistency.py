"""Measure poses on videos without a truth: how well they agree with the pictures and with themselves.

    python scripts/measure_pose_consistency.py real/*.mp4 --pose own refined

For every video and estimator:
  flow      median difference between a joint's move and the optical flow of the patch under it, pixels a frame
  bones     mean departure of bone lengths from their own smooth path, % of the length
  mirrored  mean distance of the joints in the mirrored video, mirrored back, % of the stature
  reversed  the same for the video played backwards
  seen      frames with a person, %
"""

import argparse
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from realtime.frame import Rgb
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.estimator import load_estimator
from realtime.pose.pose import Floats, Pose
from realtime.pose.quality import JOINTS, jitter_px, joint_track, statures_px
from realtime.video import read_video

BONES = [
    (JOINTS.index(f"{side}_{a}"), JOINTS.index(f"{side}_{b}"))
    for side in ("left", "right")
    for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
]
OTHER_SIDE = [
    JOINTS.index(name.replace("left", "right") if "left" in name else name.replace("right", "left")) for name in JOINTS
]
PATCH_PX = 21


def track(frames: Sequence[Rgb], config: PoseConfig) -> list[Pose | None]:
    """The raw poses in frames."""
    estimator = load_estimator(config, threads=1)
    return [estimator.estimate(frame) for frame in frames]


def flow_px(frames: Sequence[Rgb], xy: Floats) -> float:
    """How joints and the pictures under them move differently, median, pixels a frame."""
    grey = [np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8) for frame in frames]
    window = (PATCH_PX, PATCH_PX)
    apart: list[float] = []
    for n in range(len(xy) - 1):
        known = np.isfinite(xy[n : n + 2]).all(axis=(0, 2))
        if not known.any():
            continue
        start, own = xy[n, known][:, None], (xy[n + 1] - xy[n])[known]
        moved, found, _ = cv2.calcOpticalFlowPyrLK(grey[n], grey[n + 1], start, start.copy(), winSize=window)
        away = np.linalg.norm((np.asarray(moved) - start)[:, 0] - own, axis=1)
        apart += away[np.asarray(found)[:, 0] == 1].tolist()
    return float(np.median(apart))


def measure(frames: Sequence[Rgb], config: PoseConfig) -> dict[str, float]:
    """The figures of one video and estimator."""
    poses = track(frames, config)
    xy, tall_px = joint_track(poses), statures_px(poses)
    width = frames[0].shape[1]
    mirrored = joint_track(track([np.ascontiguousarray(frame[:, ::-1]) for frame in frames], config))[:, OTHER_SIDE]
    mirrored[..., 0] = width - mirrored[..., 0]
    back = joint_track(track(frames[::-1], config))[::-1]
    lengths = np.stack([np.linalg.norm(xy[:, a] - xy[:, b], axis=1) for a, b in BONES], axis=1)
    wobble = jitter_px(np.stack([lengths, np.zeros_like(lengths)], axis=2), 30)
    return {
        "flow": flow_px(frames, xy),
        "bones": 100 * float(np.nanmean(wobble / np.nanmedian(lengths, axis=0))),
        **{
            name: 100 * float(np.nanmean(np.linalg.norm(xy - other, axis=2) / tall_px[:, None]))
            for name, other in (("mirrored", mirrored), ("reversed", back))
        },
        "seen": 100 * float(np.mean([pose is not None for pose in poses])),
    }


def main() -> None:
    """Read the arguments, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--pose", nargs="+", default=["own", "refined"])
    parser.add_argument("--most-frames", type=int, default=300)
    arguments = parser.parse_args()
    for video in arguments.videos:
        frames = [rgb for rgb, _ in islice(read_video(video), arguments.most_frames)]
        for name in arguments.pose:
            figures = measure(frames, PoseConfig(estimator=name))
            print(video.name, name, *(f"{key} {value:.2f}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
