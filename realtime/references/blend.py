"""The picture from what a generator with references puts out: paint, kept past, copied parts, and the background."""

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb
from realtime.patches import PATCH, gray_from_patches

PIXELS = PATCH * PATCH
PAINT = 3 * PIXELS
OUTPUTS = PAINT + 3 * PIXELS
"""Channels: paint, then mask, keep and copy, each in patches of 4x4 pixels (row, column, RGB)."""


def blend(output: NDArray[np.uint8], paint: Rgb, parts: Rgb, past: Rgb, plate: Rgb) -> Rgb:
    """A new picture, uint8 [H, W, 3].

    Args:
        output: uint8 [H/4, W/4, OUTPUTS], of the generator; shares are 0..255.
        paint: uint8 [H, W, 3], its first channels as a picture.
        parts: uint8 [H, W, 3], the moved parts.
        past: uint8 [H, W, 3], the moved previous output.
        plate: uint8 [H, W, 3].
    """
    keep, copy = (
        gray_from_patches(output[..., first : first + PIXELS]) for first in (PAINT + PIXELS, OUTPUTS - PIXELS)
    )
    return _mix(mask_of(output), _mix(copy, parts, _mix(keep, past, paint)), plate)


def mask_of(output: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The person's share of each pixel, uint8 [H, W, 3], three times the same; `output` is as in `blend`."""
    return gray_from_patches(output[..., PAINT : PAINT + PIXELS])


def _mix(share: NDArray[np.uint8], one: Rgb, other: Rgb) -> Rgb:
    """`one` where the share is 255, `other` where it is 0."""
    mixed = cv2.multiply(one, share, scale=1 / 255)
    return np.asarray(cv2.add(mixed, cv2.multiply(other, cv2.bitwise_not(share), scale=1 / 255)), np.uint8)
