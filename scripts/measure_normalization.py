"""Measure how well a performer's video is fitted to a subject, and draw it.

    python scripts/measure_normalization.py alice bob.mp4 --picture out.png
    python scripts/measure_normalization.py alice bob.mp4 --footage runs/alice/data

All errors are in percent of the subject's stature at that place. With the prepared footage of the subject, limbs are
fitted too, and each figure is compared with the nearest pose of that footage.
"""

import argparse
import time
from itertools import islice
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from realtime.pose.archive import load_poses
from realtime.pose.estimation.estimator import PoseEstimator
from realtime.pose.figure.limbs import draw
from realtime.pose.measure import ankle_line_px, middle, stature_px
from realtime.pose.normalization.motion_range import MotionRange, measure_range, observe
from realtime.pose.normalization.normalizer import Normalizer
from realtime.pose.normalization.proportions import Proportions, lengths, measure_proportions
from realtime.pose.pose import Pose
from realtime.pose.skeleton import INDEX
from realtime.pose.smooth import Smoother
from realtime.subject import load_subject
from realtime.video import read_video

SETTLED_S = 5.0
JOINTS = [
    INDEX[f"{side}_{joint}"] for side in ("left", "right") for joint in ("ear", "shoulder", "hip", "knee", "ankle")
]
Timed = list[tuple[Pose, float]]


def estimate(video: Path) -> tuple[Timed, tuple[int, int]]:
    """The smoothed poses of a video, their times, and its size."""
    estimator, smoother, poses, size_px = PoseEstimator(threads=1), Smoother(), list[tuple[Pose, float]](), (0, 0)
    for rgb, at_s in read_video(video):
        size_px = rgb.shape[1], rgb.shape[0]
        pose = estimator.estimate(rgb)
        if pose is None:
            smoother.reset()
        else:
            poses.append((smoother.smooth(pose, at_s), at_s))
    return poses, size_px


def shape(pose: Pose) -> NDArray[np.float32]:
    """Joints about the hips in statures."""
    return np.asarray((pose.xy[JOINTS] - middle(pose, "hip")) / stature_px(pose), np.float32).ravel()


def report(
    poses: Timed, size_px: tuple[int, int], target: MotionRange, own: list[Pose], limbs: Proportions | None
) -> list[Pose]:
    """Print the errors of a live normalization; returns the figures."""
    normalizer = Normalizer(target, size_px, proportions=limbs)
    ratio = target.near_stature / target.far_stature
    whole = measure_range([seen for pose, _ in poses if (seen := observe(pose))], least_ratio=ratio)
    exact = Normalizer(target, size_px, known=whole)
    shapes = np.stack([shape(pose) for pose in own]) if own else None
    figures, errors, costs_ms = list[Pose](), list[tuple[float, ...]](), list[float]()
    for pose, at_s in poses:
        begun_s = time.thread_time()
        shown = normalizer.normalize(pose, at_s)
        costs_ms.append(1000 * (time.thread_time() - begun_s))
        figures.append(shown)
        if observe(pose) is None or at_s - poses[0][1] < SETTLED_S:
            continue
        line = ankle_line_px(shown)
        stature = target.stature_at(target.nearness(line))
        outside = max(target.far_ankle - line, line - target.near_ankle, 0)
        unlike = np.nan
        if shapes is not None:
            unlike = float(np.sqrt(((shapes - shape(shown)) ** 2).sum(axis=1).min() / len(JOINTS)))
        late = abs(line - ankle_line_px(exact.normalize(pose, at_s)))
        errors.append((outside / stature, late / stature, abs(stature_px(shown) / stature - 1), unlike))
    names = (
        "ankle line outside of the subject's range",
        "ankle line against knowing the whole video",
        "height",
        "nearest own pose",
    )
    print("limbs fitted" if limbs else "limbs as they are")
    for name, column in zip(names, 100 * np.array(errors).T, strict=True):
        median, high = np.quantile(column, (0.5, 0.95))
        print(f"  {name:44} mean {column.mean():5.2f} %  median {median:5.2f} %  95th {high:5.2f} %")
    print(f"  {'CPU time':44} mean {np.mean(costs_ms):.3f} ms  95th {np.quantile(costs_ms, 0.95):.3f} ms")
    return figures


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description="Measure the live normalization.")
    parser.add_argument("subject")
    parser.add_argument("video", type=Path)
    parser.add_argument("--footage", type=Path, help="prepared footage of the subject")
    parser.add_argument("--picture", type=Path, help="a PNG of 12 figures over the subject's plate")
    arguments = parser.parse_args()
    subject = load_subject(arguments.subject)
    target, limbs = subject.manifest.motion, subject.manifest.proportions
    own = list[Pose]()
    if arguments.footage:
        own = [pose for pose in load_poses(arguments.footage / "poses.npz") if pose and observe(pose)]
        target, limbs = (
            measure_range([seen for pose in own if (seen := observe(pose))]),
            measure_proportions(map(lengths, own)),
        )
    print(msgspec.json.encode({"motion": target, "proportions": limbs}).decode())
    poses, size_px = estimate(arguments.video)
    figures = report(poses, size_px, target, own, None)
    if limbs is not None:
        figures = report(poses, size_px, target, own, limbs)
    if arguments.picture:
        tiles = [
            np.maximum(subject.plate // 2, draw(pose, *subject.plate.shape[:2]))
            for pose in islice(figures, 0, None, max(1, len(figures) // 12))
        ][:12]
        sheet = np.vstack([np.hstack(tiles[row : row + 4]) for row in (0, 4, 8)])
        cv2.imwrite(str(arguments.picture), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
