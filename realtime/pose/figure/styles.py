"""The styles of figures: a subject can only be played with the figures that it was trained with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from engines.errors import UserError
from realtime.frame import Rgb
from realtime.pose.figure import edn, limbs
from realtime.pose.pose import Pose
from realtime.pose.skeleton import BODY, K

StyleName = Literal["limbs", "edn"]


@dataclass(frozen=True, slots=True)
class Style:
    """A way to draw a pose."""

    name: str
    version: int
    """Changes with any drawn pixel."""
    blank: int
    """Every channel of a canvas with nobody on it, 0..255."""
    draw: Callable[[Pose | None, int, int], Rgb]
    """(pose in the canvas's pixels, its height, its width) to uint8 [height, width, 3], RGB; None leaves it blank."""
    exact: int
    """Keypoints, counted from the first, that it needs to the bit; the others round to a sixteenth of a pixel."""


def load_style(name: str, version: int | None = None) -> Style:
    """The style of a name.

    Args:
        name: "limbs", or "edn", the paper's.
        version: what was trained with, None for this program's own.

    Raises:
        UserError: this program does not draw it, or draws another version of it.
    """
    if name == limbs.STYLE:
        style = Style(limbs.STYLE, limbs.STYLE_VERSION, 0, limbs.draw, BODY.stop)
    elif name == edn.STYLE:
        style = Style(edn.STYLE, edn.STYLE_VERSION, 255, edn.draw, K)
    else:
        raise UserError(
            f"There is no figure style {name!r}: this program draws limbs and edn, install the matching bodydouble."
        )
    if version not in (None, style.version):
        raise UserError(
            f"Figures of style {name} are wanted in version {version}, this program draws version {style.version}: "
            "train again, or install the matching bodydouble."
        )
    return style
