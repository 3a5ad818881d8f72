"""Training data of the detector: pairs of successive frames of a person, from short encoded clips.

A detector learns whatever tells the classes apart. So that this is the person: both are seen at the same size and go
through the same encoder at the same quality, each clip by itself, and all that is not near the limbs is made grey.

Letters: N pairs, S side of the subject's picture.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.figure.limbs import draw
from realtime.pose.measure import HeadBox, head_box, stature_px
from realtime.pose.pose import Pose
from realtime.pose.track import PoseTrack
from realtime.render import crop_head
from realtime.video import VideoWriter, read_video
from trainer.footage.crop import Framing

CLIP_S = 1.0
BODY_PX, FACE_PX = 128, 64
FLESH = 0.06
"""What is nearer than this to a line of the figure, in statures, is the person."""
GREY = 127
STEP = 2
"""Every second pair of a clip is taken: neighbours are all but equal."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of successive frames."""

    bodies: NDArray[np.uint8]
    """N 6 BODY_PX BODY_PX: RGB of the past frame, then of the present one."""
    faces: NDArray[np.uint8]
    """N 6 FACE_PX FACE_PX, the same."""


def watch(video: Path, framing: Framing, pose: PoseConfig, threads: int) -> Iterator[tuple[Rgb, Pose | None]]:
    """The part of every frame that a network sees, uint8 H W 3, and the steadied pose in it, None for nobody.

    Raises:
        UserError: the video cannot be read.
    """
    track = PoseTrack.of(pose, threads=threads)
    for rgb, at_s in read_video(video):
        crop, tracked = framing.crop(rgb), track.step(rgb, at_s)
        yield crop.picture(rgb), crop.pose(tracked.pose) if tracked.seen and tracked.pose else None


def whole_clips(
    frames: Iterable[tuple[Sequence[Rgb], Pose | None]], fps: float
) -> Iterator[tuple[int, list[list[Rgb]], list[Pose]]]:
    """Cut frames into clips of `CLIP_S` in which somebody is there all the time.

    Args:
        frames: for every frame what it looks like, in one or more versions, and the pose in it.
        fps: frames per second.

    Yields:
        Number of the clip's first frame, the pictures of each version, the poses.
    """
    length = max(2, round(CLIP_S * fps))
    pictures: list[Sequence[Rgb]] = []
    poses: list[Pose] = []
    for number, (versions, pose) in enumerate(frames):
        if pose is None:
            pictures, poses = [], []
            continue
        pictures.append(versions)
        poses.append(pose)
        if len(poses) == length:
            yield number + 1 - length, [list(version) for version in zip(*pictures, strict=True)], poses
            pictures, poses = [], []


def cut(pictures: Sequence[Rgb], poses: Sequence[Pose], fps: float, crf: int) -> Pairs:
    """Send a clip through the encoder, then cut the person out.

    Args:
        pictures: uint8 H W 3.
        poses: in each of them.
        fps: frames per second.
        crf: quality of the encoder.
    """
    bodies, faces = list[NDArray[np.uint8]](), list[NDArray[np.uint8]]()
    decoded = _through_codec(pictures, fps, crf)
    for number in range(1, len(decoded), STEP):
        pose = poses[number]
        flesh = _flesh(pose, len(decoded[number]))
        pair = [np.where(flesh, picture, np.uint8(GREY)) for picture in decoded[number - 1 : number + 1]]
        low, high = pose.xy[pose.confidence > 0].min(axis=0), pose.xy[pose.confidence > 0].max(axis=0)
        x, y = (float(value) for value in (low + high) / 2)
        body = HeadBox(x, y, float((high - low).max()) + 2 * FLESH * stature_px(pose))
        for box, side_px, rows in ((body, BODY_PX, bodies), (head_box(pose), FACE_PX, faces)):
            both = [crop_head(picture, box, side_px).transpose(2, 0, 1) for picture in pair]
            rows.append(np.concatenate(both))
    return Pairs(np.stack(bodies), np.stack(faces))


def _flesh(pose: Pose, size_px: int) -> NDArray[np.bool_]:
    """S S 1: near the figure's lines."""
    lines = draw(pose, size_px).any(axis=2)
    width = 2 * round(FLESH * stature_px(pose)) + 1
    near = cv2.dilate(np.asarray(lines, np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
    return np.asarray(near[:, :, None] > 0)


def _through_codec(pictures: Sequence[Rgb], fps: float, crf: int) -> list[Rgb]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with VideoWriter(path, fps, crf=crf) as writer:
            for picture in pictures:
                writer.write(picture)
        return [rgb for rgb, _ in read_video(path)]
