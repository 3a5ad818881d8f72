"""Alice's clip pasted into bob's, for tests with several people."""

from functools import cache
from itertools import islice

import numpy as np

from realtime.frame import Rgb
from realtime.video import read_video
from tests.support.commands import DATA

BEGIN = 100
"""From here on bob stands in his picture, at x 500 to 630."""
ALICE = (slice(60, 500), slice(40, 330))
"""The part of alice's picture that she fills."""
ALICE_X = 150
"""Where she stands in it."""
FAR_LEFT, FAR_RIGHT = 30, 660
"""Where the part lies beside bob."""


@cache
def frames(name: str) -> list[Rgb]:
    return [rgb for rgb, _ in islice(read_video(DATA / f"{name}_clip.mp4"), BEGIN, BEGIN + 75)]


def scene(number: int, alice_at: int | None, *, bob: bool = True) -> Rgb:
    """Bob, or a dark room, and alice with her part of her picture from column `alice_at` on."""
    rgb = frames("bob")[number].copy() if bob else np.zeros_like(frames("bob")[number])
    if alice_at is not None:
        rows, columns = ALICE
        rgb[rows, alice_at : alice_at + columns.stop - columns.start] = frames("alice")[0][rows, columns]
    return rgb
