"""The time of capture in the picture itself, so that whoever sees the picture knows how old it is. In benches only.

Each bit is a pair of cells side by side, bright and dark for 1, dark and bright for 0. So no level decides, and where
there is no stamp there is no contrast.
"""

from dataclasses import replace

from realtime.frame import Frame, Rgb
from realtime.live.output import StreamOutput

TICK_S = 1e-4
"""What the stamp counts."""
BITS = 20
"""It begins again after 2**20 ticks, 105 s."""
COLUMNS, ROWS = 10, 4
"""Of cells, bit after bit, the lowest first."""
CELL = 1 / 64
"""Side of a cell by the picture's height."""
DARK, BRIGHT = 16, 235
CONTRAST = 64
"""Least difference of a pair that can be read."""


class StampedOutput(StreamOutput):
    """A stream whose pictures carry the time when their frame was captured."""

    def write(self, frame: Frame) -> None:
        """Hand a stamped copy of the frame over."""
        super().write(replace(frame, rgb=stamped(frame.rgb, frame.captured_at_s)))


def stamped(rgb: Rgb, at_s: float) -> Rgb:
    """A copy of a picture, uint8 [H, W, 3], with a time in its upper left corner."""
    rgb, code = rgb.copy(), code_of(at_s)
    for bit in range(BITS):
        ones = code >> bit & 1
        for half, bright in enumerate((ones, not ones)):
            top, bottom, left, right = edges_px(2 * bit + half, len(rgb))
            rgb[top:bottom, left:right] = BRIGHT if bright else DARK
    return rgb


def code_of(at_s: float) -> int:
    """The code of a time: its ticks modulo 2**BITS."""
    return round(at_s / TICK_S) % (1 << BITS)


def age_s(code: int, at_s: float) -> float:
    """How old a picture with this code is at a time; at most half of 105 s, and below 0 if it is from later."""
    ticks, half = round(at_s / TICK_S) - code, 1 << BITS - 1
    return ((ticks + half) % (1 << BITS) - half) * TICK_S


def edges_px(cell: int, height_px: int) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of a cell, in pixels of the picture."""
    row, column = divmod(cell, COLUMNS)
    side = CELL * height_px
    return round(row * side), round((row + 1) * side), round(column * side), round((column + 1) * side)
