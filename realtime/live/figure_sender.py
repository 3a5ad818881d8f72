"""Figures for viewers, who draw them over the picture; see docs/control.md."""

import msgspec
import numpy as np

from realtime.figure import Figure
from realtime.pose.skeleton import BODY
from server.broadcast import Broadcast

DIGITS = 4
"""Of coordinates by the picture's sides: a sixth of a pixel in one of 1,700."""


class FigureSender:
    """Sends the body's keypoints, as long as anybody wants them.

    Args:
        broadcast: to whom.
    """

    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast

    def send(self, figure: Figure) -> None:
        """Send a figure; returns at once."""
        if self._broadcast.wanted:
            self._broadcast.put(figure_message(figure))


def figure_message(figure: Figure) -> str:
    """{"points": [[x, y, confidence], ...]}, x and y by width and height; null while nobody is there."""
    if figure.pose is None:
        return '{"points":null}'
    height, width, _ = figure.rgb.shape
    points = np.column_stack([figure.pose.xy[BODY] / (width, height), figure.pose.confidence[BODY]])
    return msgspec.json.encode({"points": np.round(points, DIGITS).tolist()}).decode()
