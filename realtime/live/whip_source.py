"""A source of what somebody publishes by WHIP: the camera of a phone or a browser, OBS, GStreamer, ffmpeg."""

import threading
import time

import numpy as np

from realtime.frame import Frame, Rgb
from realtime.live.latest import Latest
from server.protocols import ReceivedPicture
from server.sound import Hear, Samples

WHIP = "whip"
"""What the command line calls it."""
WAIT_S = 0.2
GONE_S = 1.0
"""An older picture is not shown, or no longer: whoever left it may have gone on purpose."""


class SoundInlet:
    """Where the server puts a publisher's sound: it reaches the source that is heard, if there is one."""

    def __init__(self) -> None:
        self.hear: Hear = lambda samples: None
        """Of the source; from any thread."""

    def put(self, samples: Samples) -> None:
        """Take a piece of sound and return at once."""
        self.hear(samples)


class WhipSource:
    """Pictures of one publisher after another, whatever their sizes; `read` waits while nobody publishes.

    The last picture of each is followed by a black one: viewers see the source's pictures, too.

    Args:
        inlet: where the server puts the pictures, if that exists already.
        sound: where it puts what is heard with them, likewise.
    """

    name = "the publisher"
    has_sound = True

    def __init__(self, inlet: Latest[ReceivedPicture] | None = None, sound: SoundInlet | None = None) -> None:
        self.inlet = inlet or Latest[ReceivedPicture]()
        """Where the server puts the pictures: the newest wins."""
        self.sound = sound or SoundInlet()
        """Where it puts the sound."""
        self._closed = threading.Event()
        self._number = 0
        self._last: Frame | None = None

    def listen(self, hear: Hear) -> None:
        """Hand over what publishers send of sound, in the server's thread, until this is closed."""

        def unless_closed(samples: Samples) -> None:
            if not self._closed.is_set():
                hear(samples)

        self.sound.hear = unless_closed

    def read(self) -> Frame | None:
        """Wait for the next picture; None once the source was closed."""
        while not self._closed.is_set():
            picture = self.inlet.take(WAIT_S)
            if picture is not None and time.perf_counter() - picture.received_at_s <= GONE_S:
                rgb = np.asarray(picture.frame.to_ndarray(format="rgb24"), np.uint8)
                self._last = self._frame(rgb, picture.received_at_s)
                return self._last
            if self._last and time.perf_counter() - self._last.captured_at_s > GONE_S:
                black, self._last = np.zeros_like(self._last.rgb), None
                return self._frame(black, time.perf_counter())
        return None

    def _frame(self, rgb: Rgb, at_s: float) -> Frame:
        self._number += 1
        return Frame(rgb=rgb, captured_at_s=at_s, number=self._number - 1)

    def close(self) -> None:
        """Let `read` end."""
        self._closed.set()
