"""Figures for viewers, who draw them over the picture; see docs/control.md."""

import msgspec
import numpy as np

from realtime.figure import Figure
from realtime.pose.skeleton import BODY
from server.broadcast import Broadcast
from server.encoder import RTP_CLOCK_HZ

DIGITS = 4
"""Of coordinates by the picture's sides: a sixth of a pixel in one of 1,700."""


class FigureSender:
    """Sends the body's keypoints, as long as anybody wants them.

    Args:
        broadcast: to whom.
    """

    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast

    def send(self, figure: Figure, captured_at_s: float) -> None:
        """Send the figure of a picture that was captured then; returns at once."""
        if self._broadcast.wanted:
            self._broadcast.put(figure_message(figure, captured_at_s))


def figure_message(figure: Figure, captured_at_s: float) -> str:
    """{"at": ticks, "points": [[x, y, confidence], ...]}: see docs/control.md."""
    points = None
    if figure.pose is not None:
        height, width, _ = figure.rgb.shape
        keypoints = np.column_stack([figure.pose.xy[BODY] / (width, height), figure.pose.confidence[BODY]])
        points = np.round(keypoints, DIGITS).tolist()
    return msgspec.json.encode({"at": round(captured_at_s * RTP_CLOCK_HZ), "points": points}).decode()
