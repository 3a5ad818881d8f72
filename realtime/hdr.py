"""High dynamic range and wide gamut to the 8-bit BT.709 pictures that everything here works on.

Transfer functions: ITU-R BT.2100-2 (HLG, PQ). Primaries: ITU-R BT.2020-2, SMPTE EG 432-1 (P3), ITU-R BT.709-6.
"""

from enum import IntEnum
from functools import cache

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frame import Rgb

WHITE_NITS = 203.0
"""Diffuse white of HDR pictures (ITU-R BT.2408), which becomes the brightest white here."""
PEAK_NITS = 1000.0
"""What HLG is displayed at, and the brightest highlight that is still told from white."""
KNEE = 0.8
"""Light up to this part of white stays as it is; what is brighter, up to the peak, shares the rest."""
GAMMA = 2.2
"""Of an ordinary display: what an 8-bit picture of light is meant for."""
_LEVELS = 4096
"""Of the tables: 12 bits hold every code of a 10-bit picture."""


class Transfer(IntEnum):
    """Codes of the transfer functions (ITU-T H.273, table 3)."""

    PQ = 16
    HLG = 18


class Primaries(IntEnum):
    """Codes of the colour primaries (ITU-T H.273, table 2)."""

    BT2020 = 9
    P3_D65 = 12


_TO_BT709 = {
    Primaries.BT2020: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    Primaries.P3_D65: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}


def name_of(frame: av.VideoFrame) -> str | None:
    """What is special about a frame's colours, for people; None for ordinary ones."""
    transfer, primaries = _codes(frame)
    if transfer in (Transfer.HLG, Transfer.PQ):
        return f"HDR ({Transfer(transfer).name})"
    return "wide gamut" if primaries in _TO_BT709 else None


def to_sdr(frame: av.VideoFrame) -> Rgb:
    """A frame of high dynamic range or wide gamut as uint8 [H, W, 3] in BT.709, highlights compressed."""
    transfer, primaries = _codes(frame)
    codes = np.asarray(frame.to_ndarray(format="rgb48le"), np.uint16) >> 4
    light = _light_of_code(transfer)[codes]
    if primaries in _TO_BT709:
        light = cv2.transform(light, np.array(_TO_BT709[Primaries(primaries)], np.float32))
    levels = np.clip(light * ((_LEVELS - 1) / (PEAK_NITS / WHITE_NITS)), 0, _LEVELS - 1)
    return np.asarray(_code_of_light()[levels.astype(np.uint16)], np.uint8)


def _codes(frame: av.VideoFrame) -> tuple[int, int]:
    return int(frame.color_trc or 0), int(frame.color_primaries or 0)


@cache
def _light_of_code(transfer: int) -> NDArray[np.float32]:
    """Linear light, 1 for diffuse white, of every code."""
    signal = np.linspace(0, 1, _LEVELS)
    if transfer == Transfer.PQ:
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        power = signal ** (1 / m2)
        nits = 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    elif transfer == Transfer.HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
        nits = PEAK_NITS * scene**1.2  # the system gamma, per channel: hues move a little, greys not at all
    else:
        nits = WHITE_NITS * signal**GAMMA
    return np.asarray(nits / WHITE_NITS, np.float32)


@cache
def _code_of_light() -> NDArray[np.uint8]:
    """The 8-bit code of every level of light from black to the peak."""
    peak = PEAK_NITS / WHITE_NITS
    light = np.linspace(0, peak, _LEVELS)
    # Above the knee an exponential goes on with the same slope and nears 1.
    toned = np.where(light < KNEE, light, 1 - (1 - KNEE) * np.exp(-np.maximum(light - KNEE, 0) / (1 - KNEE)))
    return np.asarray(np.round(255 * toned ** (1 / GAMMA)), np.uint8)
