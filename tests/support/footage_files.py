"""Footage and labels for tests of `trainer prepare`: real files, small, made in a moment."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import count
from pathlib import Path

import av
import cv2
import numpy as np

from realtime.frame import Rgb
from realtime.pose.pose import Pose
from tests.support.openpose_files import write_frame
from tests.support.standing_pose import standing
from tests.support.streams import numbered_picture


def write_film(
    path: Path, pictures: Iterable[Rgb], times_s: Sequence[float] | float, *, codec: str = "libx264", turn: int = 0
) -> Path:
    """A video of any container that is named by its suffix.

    Args:
        path: the file.
        pictures: uint8 H W 3.
        times_s: when each is shown, or the time between any two.
        codec: an encoder of PyAV's.
        turn: degrees, counter-clockwise, that a player has to turn it.
    """
    times = (number * times_s for number in count()) if isinstance(times_s, float) else times_s
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(120))
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # with more, libvpx takes 30 times as long for pictures as small
        stream.codec_context.time_base = Fraction(1, 90000)
        if turn:
            stream.set_display_rotation(turn)
        for picture, at_s in zip(pictures, times, strict=False):
            if not stream.codec_context.is_open:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = round(at_s * 90000), Fraction(1, 90000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_two_tracks(path: Path) -> Path:
    """Twenty numbered pictures as a film of 256 px, and before it a preview of 64 px, as action cameras write it."""
    with av.open(f"file:{path}", "w", format="mp4") as container:
        tracks = [container.add_stream("libx264", rate=30) for _ in range(2)]
        for track, side in zip(tracks, (64, 256), strict=True):
            track.width = track.height = side
            track.pix_fmt = "yuv420p"
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number), format="rgb24")
            for track, side in zip(tracks, (64, 256), strict=True):
                container.mux(track.encode(frame.reformat(side, side, "yuv420p")))
        for track in tracks:
            container.mux(track.encode(None))
    return path


def write_labels(folder: Path, poses: Sequence[Pose | None]) -> Path:
    """A folder of OpenPose's files."""
    folder.mkdir()
    for number, pose in enumerate(poses):
        write_frame(folder / f"take_{number:012d}_keypoints.json", pose)
    return folder


def textured(width_px: int, height_px: int, seed: int = 0) -> Rgb:
    """A room with something on the walls."""
    noise = np.random.default_rng(seed).integers(0, 256, (height_px // 12 + 2, width_px // 12 + 2, 3))
    room = cv2.resize(noise.astype(np.uint8), None, fx=12, fy=12, interpolation=cv2.INTER_NEAREST)
    return np.ascontiguousarray(cv2.GaussianBlur(room, (0, 0), 1)[:height_px, :width_px], np.uint8)


def paint(room: Rgb, pose: Pose, shade: int = 200) -> Rgb:
    """The room with a plain person in it."""
    picture = room.copy()
    cv2.fillConvexPoly(picture, cv2.convexHull(pose.xy.round().astype(np.int32)), (shade, 60, 40))
    return picture


def swaying(
    count: int, *, x: float = 0.0, y: float = 0.0, scale: float = 1.0, by_px: float = 20.0, grow: float = 0.05
) -> list[Pose]:
    """Poses of somebody who steps from side to side and to and fro, once in 60 pictures."""
    turns = np.linspace(0, 2 * np.pi * count / 60, count)
    return [
        standing(x=x + by_px * np.sin(turn), y=y + 0.3 * by_px * np.cos(turn), scale=scale * (1 + grow * np.cos(turn)))
        for turn in turns.tolist()
    ]
