"""Record what the `mediapipe` library sees, as the standard that our own pose estimator is held to.

It needs an environment of its own, for this release wants numpy 1:

    make .venv-mediapipe/ready
    .venv-mediapipe/bin/python scripts/record_landmarks.py tests/data/landmarks.npz tests/data/*_clip.mp4

For each video NAME.mp4 the output holds, in pixels rounded to 1/32, not-a-number where the library saw nothing:

    NAME_body        F 33 4  x, y, depth, visibility
    NAME_left_hand   F 21 3  x, y, depth; NAME_right_hand likewise
    NAME_face        F 70 3  x, y, depth, in OpenPose's order
"""

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import mediapipe
import numpy as np
from numpy.typing import NDArray

from realtime.pose.estimation.face import openpose_face
from realtime.video import read_video

_LENGTHS = {"body": 33, "left_hand": 21, "right_hand": 21, "face": 468}


def main() -> None:
    """Read the command line and write the landmarks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help=".npz to write")
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=None, help="stop after this many frames of each video")
    arguments = parser.parse_args()
    recorded: dict[str, Any] = {}
    for video in arguments.videos:
        frames = [_as_arrays(seen, size) for seen, size in islice(_watch(video), arguments.frames)]
        for part in _LENGTHS:
            recorded[f"{video.stem}_{part}"] = np.stack([frame[part] for frame in frames])
        print(f"{video}: {len(frames)} frames")
    np.savez_compressed(arguments.output, **recorded)


def _watch(video: Path) -> Iterator[tuple[Any, tuple[int, int]]]:
    """The library's results and the size (width, height) of every frame."""
    with mediapipe.solutions.holistic.Holistic(model_complexity=1, smooth_landmarks=False) as holistic:
        for rgb, _ in read_video(video):
            yield holistic.process(rgb), (rgb.shape[1], rgb.shape[0])


def _as_arrays(seen: Any, size: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    arrays = {}
    pixels = (size[0], size[1], size[0])  # the library measures depth in widths of the picture
    for part, length in _LENGTHS.items():
        landmarks = getattr(seen, f"{'pose' if part == 'body' else part}_landmarks")
        rows = np.full((length, 4), np.nan, np.float32)
        if landmarks is not None:
            rows[:] = [(point.x, point.y, point.z, point.visibility) for point in landmarks.landmark]
            rows[:, :3] = np.round(rows[:, :3] * pixels * 32) / 32
        if part == "face":
            rows = openpose_face(rows)
        arrays[part] = rows if part == "body" else rows[:, :3]
    return arrays


if __name__ == "__main__":
    main()
