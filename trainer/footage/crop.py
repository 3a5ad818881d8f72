"""The part of the footage's pictures that the network sees, and where it should be."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from engines.errors import UserError
from realtime.frame import Rgb
from realtime.pose.measure import stature_px
from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import BODY
from realtime.subject import Manifest

PERSON_MARGIN = 0.1
"""Around the keypoints of the body, in statures: hair, fingers, clothes."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of a picture, in its pixels, that is resized to the network's size."""

    x: int
    y: int
    width: int
    height: int
    size_px: tuple[int, int]
    """Width and height of the network's pictures."""

    @classmethod
    def at(cls, whole: tuple[int, int], size_px: tuple[int, int], centre: tuple[float, float]) -> "Crop":
        """The largest part of a picture that has the network's aspect ratio, as near to a centre as it goes.

        Args:
            whole: width and height of the picture.
            size_px: width and height of the network's.
            centre: x, y in pixels of the picture.
        """
        k = min(whole[0] / size_px[0], whole[1] / size_px[1])
        width, height = round(k * size_px[0]), round(k * size_px[1])
        x = min(max(0, int(centre[0] - width / 2)), whole[0] - width)
        y = min(max(0, int(centre[1] - height / 2)), whole[1] - height)
        return cls(x, y, width, height, size_px)

    @classmethod
    def chosen(cls, box: tuple[int, int, int, int], whole: tuple[int, int], size_px: tuple[int, int]) -> "Crop":
        """The crop that the user chose: x, y, width, height.

        Raises:
            UserError: it is not inside of the picture, or has another aspect ratio than the network.
        """
        x, y, width, height = box
        if min(width, height) < 16 or x + width > whole[0] or y + height > whole[1]:
            raise UserError(f"--crop {x},{y},{width},{height} is not inside of the pictures of {whole[0]}x{whole[1]}.")
        fits = cls.at((width, height), size_px, (width / 2, height / 2))
        if max(width - fits.width, height - fits.height) > 1:
            raise UserError(
                f"--crop {x},{y},{width},{height} has other proportions than {size_px[0]}x{size_px[1]}: take "
                f"{x + fits.x},{y + fits.y},{fits.width},{fits.height}."
            )
        return cls(x, y, width, height, size_px)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width, height."""
        return self.x, self.y, self.width, self.height

    def picture(self, rgb: Rgb) -> Rgb:
        """The part of a picture, uint8 [H, W, 3], at the network's size."""
        part = rgb[self.y : self.y + self.height, self.x : self.x + self.width]
        how = cv2.INTER_AREA if self.height > self.size_px[1] else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(part, self.size_px, interpolation=how), np.uint8)

    def pose(self, pose: Pose) -> Pose:
        """The pose in the cropped picture's pixels."""
        k = np.float32(self.size_px[1] / self.height)
        corner = np.array([self.x, self.y], np.float32)
        return Pose((pose.xy - corner) * k, pose.depth * k, pose.confidence)


@dataclass(frozen=True, slots=True)
class Framing:
    """Which part of other footage is used: the one that was trained on, if the size is the same, else the middle."""

    size_px: tuple[int, int]
    """Width and height of the network's pictures."""
    footage_px: tuple[int, int] | None = None
    box: tuple[int, int, int, int] | None = None
    """x, y, width, height in footage of that width and height, if they are known."""

    @classmethod
    def of(cls, manifest: Manifest) -> "Framing":
        """The framing of a subject's training."""
        training = manifest.training
        return cls((manifest.width_px, manifest.height_px), training.footage_px, training.crop)

    def crop(self, picture: Rgb) -> Crop:
        """The crop of footage whose pictures are as large as this one, uint8 [H, W, 3]."""
        height, width, _ = picture.shape
        if self.box is not None and (width, height) == self.footage_px:
            return Crop(*self.box, self.size_px)
        return Crop.at((width, height), self.size_px, (width / 2, height / 2))


def extent(pose: Pose, margin: float = PERSON_MARGIN) -> Floats:
    """The person's box, left, top, right and bottom in pixels, with a margin in statures."""
    xy = pose.xy[BODY][pose.confidence[BODY] >= 0.5]
    xy = xy if len(xy) else pose.xy[BODY]
    margin_px = np.float32(margin * stature_px(pose))
    return np.concatenate([xy.min(axis=0) - margin_px, xy.max(axis=0) + margin_px])


def person_range(poses: Sequence[Pose]) -> tuple[float, float, float, float]:
    """The box, left, top, right and bottom in pixels, that the person stays in for 99 % of the time."""
    boxes = np.stack([extent(pose) for pose in poses])
    (left, top), (right, bottom) = np.quantile(boxes[:, :2], 0.005, axis=0), np.quantile(boxes[:, 2:], 0.995, axis=0)
    return float(left), float(top), float(right), float(bottom)


def best_crop(poses: Sequence[Pose], whole: tuple[int, int], size_px: tuple[int, int]) -> Crop:
    """The largest part with the network's aspect ratio, placed where it holds most of the person's range."""
    left, top, right, bottom = person_range(poses)
    crop = Crop.at(whole, size_px, ((left + right) / 2, (top + bottom) / 2))
    if right - left > crop.width or bottom - top > crop.height:
        boxes = np.stack([extent(pose) for pose in poses])
        x, y = np.median((boxes[:, :2] + boxes[:, 2:]) / 2, axis=0).tolist()
        return Crop.at(whole, size_px, (x, y))
    return crop


def tight_crop(poses: Sequence[Pose], whole: tuple[int, int], size_px: tuple[int, int]) -> Crop:
    """The smallest part with the network's aspect ratio that holds the person's range."""
    left, top, right, bottom = person_range(poses)
    k = max((right - left) / size_px[0], (bottom - top) / size_px[1])
    k = min(k, whole[0] / size_px[0], whole[1] / size_px[1])
    width, height = round(k * size_px[0]), round(k * size_px[1])
    x = min(max(0, round((left + right - width) / 2)), whole[0] - width)
    y = min(max(0, round((top + bottom - height) / 2)), whole[1] - height)
    return Crop(x, y, width, height, size_px)
