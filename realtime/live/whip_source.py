"""A source of what somebody publishes by WHIP: the camera of a phone or a browser, OBS, GStreamer, ffmpeg."""

import threading

import numpy as np

from realtime.frame import Frame
from realtime.live.latest import Latest
from server.protocols import ReceivedPicture

WHIP = "whip"
"""What the command line calls it."""
WAIT_S = 0.2


class WhipSource:
    """Pictures of one publisher after another, whatever their sizes; `read` waits while nobody publishes."""

    name = "the publisher"

    def __init__(self) -> None:
        self.inlet = Latest[ReceivedPicture]()
        """Where the server puts the pictures: the newest wins."""
        self._closed = threading.Event()
        self._number = 0

    def read(self) -> Frame | None:
        """Wait for the next picture; None once the source was closed."""
        while not self._closed.is_set():
            picture = self.inlet.take(WAIT_S)
            if picture is not None:
                self._number += 1
                rgb = np.asarray(picture.frame.to_ndarray(format="rgb24"), np.uint8)
                return Frame(rgb=rgb, captured_at_s=picture.received_at_s, number=self._number - 1)
        return None

    def close(self) -> None:
        """Let `read` end."""
        self._closed.set()
