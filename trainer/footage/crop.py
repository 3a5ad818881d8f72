"""The part of the footage's pictures that the network sees, and where it should be."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.errors import UserError
from realtime.frame import Rgb
from realtime.pose.measure import stature_px
from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import BODY
from realtime.subject import Manifest

PERSON_MARGIN = 0.1
"""Around the keypoints of the body, in statures: hair, fingers, clothes."""
DEFAULT_PX = 512
"""Side of the square that costs what two cores can render live."""
LEAST_PX = 16
"""Side of the smallest part that can be used."""
WITHIN = 0.1
"""Share of the person's box of which the person counts as inside of the picture, cut off or not."""
HOLDS_LESS = 0.02
"""Share of the time that a size nearer to a square may hold the person less."""


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
    def chosen(cls, box: tuple[int, int, int, int], whole: tuple[int, int], size_px: tuple[int, int] | None) -> "Crop":
        """The crop that the user chose: x, y, width, height; without a size, as much of it as the nearest one takes.

        Raises:
            UserError: it is too small, not inside of the picture, or has another aspect ratio than the network.
        """
        x, y, width, height = box
        if min(width, height) < LEAST_PX:
            raise UserError(
                f"--crop {x},{y},{width},{height} is too small: {LEAST_PX} pixels are the least, of its width and its "
                "height."
            )
        if x + width > whole[0] or y + height > whole[1]:
            raise UserError(f"--crop {x},{y},{width},{height} is not inside of the pictures of {whole[0]}x{whole[1]}.")
        chosen_px = size_px or min(_sizes(), key=lambda size: _apart(size, (width, height)))
        fits = cls.at((width, height), chosen_px, (width / 2, height / 2))
        if size_px is None:
            return cls(x + fits.x, y + fits.y, fits.width, fits.height, chosen_px)
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

    def holds(self, poses: Sequence[Pose], whole: tuple[int, int]) -> float:
        """Share of the time in which it holds the person, but for what the whole picture, width and height, lacks."""
        return self._holds(np.stack([outline(pose) for pose in poses]), whole)

    def _holds(self, outlines: Floats, whole: tuple[int, int]) -> float:
        boxes = outlines.clip(0, [*whole, *whole])
        return float((~cut_off(boxes, (self.x, self.y, self.x + self.width, self.y + self.height))).all(axis=1).mean())

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


def outline(pose: Pose) -> Floats:
    """The person's box as `extent` without a margin, but with the crown of the head: the keypoints end at the eyes."""
    box = extent(pose, margin=0)
    box[1] -= PERSON_MARGIN * stature_px(pose)
    return box


def cut_off(boxes: Floats, sides: tuple[float, float, float, float]) -> NDArray[np.bool_]:
    """Whether boxes, N 4, go beyond these left, top, right and bottom sides; N 4."""
    return np.asarray((boxes - np.array(sides)) * np.array([-1, -1, 1, 1]) > 0)


def within(boxes: Floats, size_px: tuple[int, int]) -> NDArray[np.bool_]:
    """Whether some of what is in boxes, N 4, is inside of a picture of this width and height; N."""
    inner, sides = boxes.clip(0, [*size_px, *size_px]), (boxes[:, 2:] - boxes[:, :2]).clip(1)
    return np.asarray(np.prod((inner[:, 2:] - inner[:, :2]) / sides, axis=1) > WITHIN)


def person_range(poses: Sequence[Pose]) -> tuple[float, float, float, float]:
    """The box, left, top, right and bottom in pixels, that the person stays in for 99 % of the time."""
    return _range(np.stack([extent(pose) for pose in poses]))


def _range(boxes: Floats) -> tuple[float, float, float, float]:
    (left, top), (right, bottom) = np.quantile(boxes[:, :2], 0.005, axis=0), np.quantile(boxes[:, 2:], 0.995, axis=0)
    return float(left), float(top), float(right), float(bottom)


def best_crop(poses: Sequence[Pose], whole: tuple[int, int], size_px: tuple[int, int]) -> Crop:
    """The largest part with the network's aspect ratio, placed where it holds most of the person's range."""
    return _best_crop(np.stack([extent(pose) for pose in poses]), whole, size_px)


def _best_crop(boxes: Floats, whole: tuple[int, int], size_px: tuple[int, int]) -> Crop:
    left, top, right, bottom = _range(boxes)
    crop = Crop.at(whole, size_px, ((left + right) / 2, (top + bottom) / 2))
    if right - left > crop.width or bottom - top > crop.height:
        x, y = np.median((boxes[:, :2] + boxes[:, 2:]) / 2, axis=0).tolist()
        return Crop.at(whole, size_px, (x, y))
    return crop


def tight_crop(poses: Sequence[Pose], whole: tuple[int, int], size_px: tuple[int, int]) -> Crop | None:
    """The smallest part with the network's aspect ratio that holds the person's range; None where it is too small."""
    left, top, right, bottom = person_range(poses)
    k = max((right - left) / size_px[0], (bottom - top) / size_px[1])
    k = min(k, whole[0] / size_px[0], whole[1] / size_px[1])
    width, height = round(k * size_px[0]), round(k * size_px[1])
    if min(width, height) < LEAST_PX:
        return None
    x = min(max(0, round((left + right - width) / 2)), whole[0] - width)
    y = min(max(0, round((top + bottom - height) / 2)), whole[1] - height)
    return Crop(x, y, width, height, size_px)


def default_size(poses: Sequence[Pose], whole: tuple[int, int]) -> tuple[int, int]:
    """Width and height of pictures that hold the person, of about the cost of `DEFAULT_PX` squared, near to a square.

    Args:
        poses: of the person, in the footage's pixels.
        whole: the footage's width and height.
    """
    if not poses:
        return DEFAULT_PX, DEFAULT_PX
    boxes, outlines = (np.stack([box(pose) for pose in poses]) for box in (extent, outline))
    held = {size: _best_crop(boxes, whole, size)._holds(outlines, whole) for size in _sizes()}
    enough = max(held.values()) - HOLDS_LESS
    return min((size for size in held if held[size] >= enough), key=lambda size: _apart(size, (1, 1)))


def _apart(size: tuple[int, int], other: tuple[int, int]) -> float:
    """How unlike the proportions of two sizes are."""
    return abs(float(np.log(size[0] * other[1] / (size[1] * other[0]))))


def _sizes() -> list[tuple[int, int]]:
    """Multiples of 32 with about as many pixels as `DEFAULT_PX` squared, from three times as high to as wide."""
    sides = range(288, 928, 32)
    area = DEFAULT_PX**2
    fitting = {width: min(sides, key=lambda height: abs(width * height - area)) for width in sides}
    return [size for size in fitting.items() if abs(size[0] * size[1] / area - 1) < 0.05]
