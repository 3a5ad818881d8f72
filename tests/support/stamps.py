"""Read the stamps that `realtime bench --browser` draws, as read_stamps.js does in the page."""

import numpy as np

from realtime.bench_tools.stamp import BITS, CONTRAST, edges_px
from realtime.frame import Rgb


def read_stamp(rgb: Rgb) -> int | None:
    """The code in a picture of whatever size; None where there is none."""
    code = 0
    for bit in range(BITS):
        first, second = (_level(rgb, 2 * bit + half) for half in (0, 1))
        if abs(first - second) < CONTRAST:
            return None
        code |= (first > second) << bit
    return code


def _level(rgb: Rgb, cell: int) -> float:
    """The brightness in the middle of a cell."""
    top, bottom, left, right = edges_px(cell, len(rgb))
    margin_y, margin_x = (bottom - top) // 4, (right - left) // 4
    return float(np.mean(rgb[top + margin_y : bottom - margin_y, left + margin_x : right - margin_x]))
