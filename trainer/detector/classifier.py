"""A classifier of a person's videos: real footage, or a subject's rendering (EDN, section 6: the fake detector).

It is given two successive frames at a time, of the body and of the face, since fakes often show in their changes. Both
classes are seen at the same size and go through the same encoder at the same quality, clip by clip; both have the same
moves, and all that is not near the limbs is grey: so the classifier can only learn how the person looks.

The features are EfficientNet's, trained on ImageNet, and a logistic regression classifies them: minutes of footage are
too little for a network of its own, which overfits its few clips (docs/log.md).

Letters: N pairs, D features.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from engines.errors import UserError
from engines.files import NO_JSON, write_file
from realtime.frame import Rgb
from realtime.pose.figure.limbs import draw
from realtime.pose.measure import HeadBox, head_box, stature_px
from realtime.pose.pose import Pose
from realtime.pose.skeleton import REFINED
from realtime.render import crop_head
from realtime.video import read_video
from realtime.video_writer import VideoWriter
from trainer.networks.efficientnet import EfficientNet
from trainer.networks.patches import from_bytes

CLIP_S = 1.0
BODY_PX, FACE_PX = 128, 64
PERSON_MARGIN = 0.06
"""What is nearer than this to a line of the figure, in statures, counts as the person."""
MASKED_VALUE = 127
"""Of the pixels that do not."""
PAIR_EVERY = 2
"""Frames between the pairs of a clip: neighbouring pairs are almost equal."""
WEIGHT_DECAY = 1e-3
"""Cost of large weights: with more features than pairs they would fit anything."""
LEAST_SPREAD = 1e-3
"""Added to the features' standard deviations, so that constant features are not blown up."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """N pairs of successive frames."""

    bodies: NDArray[np.uint8]
    """uint8 N 6 BODY_PX BODY_PX: RGB of the past frame, then of the present one."""
    faces: NDArray[np.uint8]
    """uint8 N 6 FACE_PX FACE_PX, the same."""


def whole_clips(
    frames: Iterable[tuple[Sequence[Rgb], Pose | None]], fps: float
) -> Iterator[tuple[int, list[list[Rgb]], list[Pose]]]:
    """Clips of `CLIP_S` with somebody in every frame.

    Args:
        frames: the pictures of every frame, in one or more versions, e.g. real and rendered, and the pose in it.
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


def make_pairs(pictures: Sequence[Rgb], poses: Sequence[Pose], fps: float, crf: int) -> Pairs:
    """The pairs of one clip, after it went through the encoder.

    Args:
        pictures: uint8 H W 3.
        poses: in each of them.
        fps: frames per second.
        crf: quality of the encoder.
    """
    bodies, faces = list[NDArray[np.uint8]](), list[NDArray[np.uint8]]()
    decoded = _encoded(pictures, fps, crf)
    for number in range(1, len(decoded), PAIR_EVERY):
        pose = poses[number]
        person = _person_mask(pose, *decoded[number].shape[:2])
        pair = [np.where(person, picture, np.uint8(MASKED_VALUE)) for picture in decoded[number - 1 : number + 1]]
        low, high = pose.xy[pose.confidence > 0].min(axis=0), pose.xy[pose.confidence > 0].max(axis=0)
        x, y = (float(value) for value in (low + high) / 2)
        body = HeadBox(x, y, float((high - low).max()) + 2 * PERSON_MARGIN * stature_px(pose))
        for box, side_px, rows in ((body, BODY_PX, bodies), (head_box(pose), FACE_PX, faces)):
            both = [crop_head(picture, box, side_px).transpose(2, 0, 1) for picture in pair]
            rows.append(np.concatenate(both))
    return Pairs(np.stack(bodies), np.stack(faces))


class DetectorInfo(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What a detector was trained on, and how well it does; metadata in its file."""

    subject: str
    skeleton_version: int = REFINED
    """Of the poses that say where the person is; see `realtime.pose.skeleton`."""
    size_px: tuple[int, int]
    """Videos are resized to this."""
    footage_px: tuple[int, int] | None = None
    crop: tuple[int, int, int, int] | None = None
    """In videos of the size `footage_px` (width, height): the part that is classified (x, y, width, height)."""
    training_clips: int
    """Of each class."""
    held_out_clips: int
    """Of each class; never seen while training."""
    accuracy: float
    """Share of held-out clips that are classified correctly; 0.5 is chance."""
    pair_accuracy: float
    """The same of held-out pairs of frames."""


class PairFeatures:
    """EfficientNet's features of pairs of frames."""

    def __init__(self) -> None:
        self._network = EfficientNet()

    @torch.inference_mode()
    def __call__(self, pairs: Pairs) -> Tensor:
        """N D: of body and face, at every level, each channel's mean over the present frame, and over its change."""
        found = []
        for pictures in (pairs.bodies, pairs.faces):
            past, now = (from_bytes(torch.from_numpy(half)) for half in np.split(pictures, 2, axis=1))
            for level in self._network.features(torch.cat([past, now])):
                before, after = level.chunk(2)
                found += [after.mean(dim=(2, 3)), (after - before).abs().mean(dim=(2, 3))]
        return torch.cat(found, dim=1)


class Detector(NamedTuple):
    """A logistic regression on `PairFeatures`."""

    mean: Tensor
    """D."""
    spread: Tensor
    """D."""
    weight: Tensor
    """D + 1, the last one for a constant."""

    def logits(self, features: Tensor) -> Tensor:
        """N D to N: above 0 is fake."""
        return (features - self.mean) / self.spread @ self.weight[:-1] + self.weight[-1]


class ClipFeatures(NamedTuple):
    """`PairFeatures` of a clip and of its rendering, N D each."""

    real: Tensor
    fake: Tensor


def train_detector(clips: Sequence[ClipFeatures]) -> Detector:
    """Minimize the cross-entropy over the pairs of all clips, with weight decay, by L-BFGS."""
    classes = [torch.cat(column) for column in zip(*clips, strict=True)]
    features = torch.cat(classes)
    wanted = torch.cat([torch.full((len(rows),), fake) for rows, fake in zip(classes, (0.0, 1.0), strict=True)])
    mean, spread = features.mean(dim=0), features.std(dim=0) + LEAST_SPREAD
    detector = Detector(mean, spread, torch.zeros(features.shape[1] + 1, requires_grad=True))
    optimizer = torch.optim.LBFGS([detector.weight], max_iter=200, line_search_fn="strong_wolfe")

    def loss_and_gradient() -> float:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(detector.logits(features), wanted)
        loss = loss + WEIGHT_DECAY * detector.weight[:-1].square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    optimizer.step(loss_and_gradient)  # type: ignore[no-untyped-call]
    return detector._replace(weight=detector.weight.detach())


def accuracy(detector: Detector, clips: Sequence[ClipFeatures]) -> tuple[float, float]:
    """Share of the clips, by their mean logit, and of the pairs that are classified correctly."""
    # Real clips' logits are negated, so that above 0 is correct for both classes.
    margins = [logits for real, fake in clips for logits in (-detector.logits(real), detector.logits(fake))]
    whole = [float(margin.mean()) > 0 for margin in margins]
    return float(np.mean(whole)), float((torch.cat(margins) > 0).float().mean())


def save_detector(detector: Detector, info: DetectorInfo, path: Path) -> None:
    """Write a detector, whole or not at all."""
    write_file(path, save(detector._asdict(), {"detector": msgspec.json.encode(info).decode()}))


def load_detector(path: Path) -> tuple[Detector, DetectorInfo]:
    """Read what `save_detector` wrote.

    Raises:
        UserError: the file is missing or is no detector.
    """
    try:
        with safe_open(path, framework="pt") as file:
            info = msgspec.json.decode((file.metadata() or {}).get("detector", ""), type=DetectorInfo)
            return Detector(*(file.get_tensor(name) for name in Detector._fields)), info
    except (OSError, SafetensorError, *NO_JSON) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} is not a detector ({reason}): make one with `trainer detector train`.") from error


def _person_mask(pose: Pose, height_px: int, width_px: int) -> NDArray[np.bool_]:
    """[height_px, width_px, 1]: whether a pixel is near the figure's lines."""
    lines = draw(pose, height_px, width_px).any(axis=2)
    width = 2 * round(PERSON_MARGIN * stature_px(pose)) + 1
    near = cv2.dilate(np.asarray(lines, np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
    return np.asarray(near[:, :, None] > 0)


def _encoded(pictures: Sequence[Rgb], fps: float, crf: int) -> list[Rgb]:
    """The pictures after encoding and decoding."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with VideoWriter(path, fps, crf=crf) as writer:
            for picture in pictures:
                writer.write(picture)
        return [rgb for rgb, _ in read_video(path)]
