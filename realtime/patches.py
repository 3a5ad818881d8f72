"""Pictures as the networks see them: each patch of 4x4 pixels is one place, with 48 channels (row, column, RGB)."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.engine import Box
from realtime.frame import Rgb

PATCH = 4
CHANNELS = PATCH * PATCH * 3
WHOLE: Box = slice(None), slice(None)


def pixels_of(box: Box) -> Box:
    """Rows and columns of the pixels of a box of patches."""
    rows, columns = (side if side == slice(None) else slice(PATCH * side.start, PATCH * side.stop) for side in box)
    return rows, columns


def to_patches(picture: Rgb) -> NDArray[np.uint8]:
    """[H, W, 3] to [H/4, W/4, 48]."""
    h, w = picture.shape[0] // PATCH, picture.shape[1] // PATCH
    return picture.reshape(h, PATCH, w, PATCH, 3).transpose(0, 2, 1, 3, 4).reshape(h, w, CHANNELS)


def from_patches(patches: NDArray[np.uint8]) -> Rgb:
    """[H/4, W/4, 48] to [H, W, 3]: the inverse of `to_patches`."""
    h, w, _ = patches.shape
    return patches.reshape(h, w, PATCH, PATCH, 3).transpose(0, 2, 1, 3, 4).reshape(h * PATCH, w * PATCH, 3)


class PatchView:
    """Copies pictures in and out of 48 channels of a patch buffer; ten times faster than the functions above.

    A row of four RGB pixels is twelve bytes: three uint32, moved at once.
    """

    def __init__(self, buffer: NDArray[np.uint8], first_channel: int) -> None:
        _, self._h, self._w, channels = buffer.shape
        words = buffer.view(np.uint32)[0, :, :, first_channel // 4 : first_channel // 4 + CHANNELS // 4]
        assert (channels | first_channel) % 4 == 0, f"{channels} channels from {first_channel}: not whole words"
        self._rows = words.reshape(self._h, self._w, PATCH, 3)
        assert np.shares_memory(self._rows, buffer)

    def write(self, picture: Rgb, box: Box = WHOLE) -> None:
        """Fill the channels, in a box of patches, from the same part of a picture [H, W, 3]."""
        whole = self._h * PATCH, self._w * PATCH, 3
        assert picture.shape == whole, f"picture {picture.shape}, want {whole}"
        rows = self._rows[box]
        h, w, *_ = rows.shape
        pixels = np.ascontiguousarray(picture[pixels_of(box)]).reshape(h * PATCH, w * PATCH * 3)
        rows[...] = pixels.view(np.uint32).reshape(h, PATCH, w, 3).transpose(0, 2, 1, 3)

    def read(self, box: Box = WHOLE) -> Rgb:
        """A new picture from the channels: [H, W, 3], or the part of it in a box of patches."""
        rows = self._rows[box]
        h, w, *_ = rows.shape
        picture = np.empty((h * PATCH, w * PATCH, 3), np.uint8)
        pixels = picture.reshape(h * PATCH, w * PATCH * 3).view(np.uint32)
        pixels.reshape(h, PATCH, w, 3).transpose(0, 2, 1, 3)[...] = rows
        return picture


def gray_from_patches(patches: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[H/4, W/4, 16] to [H, W, 3], every value three times. A row of four pixels is a uint32, moved at once."""
    h, w, _ = patches.shape
    words = np.ascontiguousarray(patches).view(np.uint32)
    pixels = np.ascontiguousarray(words.transpose(0, 2, 1)).view(np.uint8).reshape(h * PATCH, w * PATCH)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8)
