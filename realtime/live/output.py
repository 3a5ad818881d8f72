"""Outputs of a session: each takes frames at its own pace, and the newest wins."""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import cv2
import numpy as np

from realtime.frame import Frame, Rgb
from realtime.live.latest import Latest
from server.encoder import Rung
from server.stream import RUNGS, SharedStream

STOP_S = 1.0
"""So long an output's work has to end."""
POLL_S = 0.2


class Output(Protocol):
    """Takes the frames of a session. Each method is called by one thread at a time."""

    def write(self, frame: Frame) -> None:
        """Take a frame and return at once; a slow output drops what a newer frame overtakes.

        Raises:
            Exception: whatever ended the work that earlier frames were handed to.
        """

    def close(self) -> None:
        """Finish; returns once nothing is left to do. No frame comes afterwards."""

    @property
    def dropped(self) -> int:
        """Frames that a newer one overtook."""

    @property
    def watched(self) -> bool:
        """Whether anybody has anything of the frames: where nobody has, the session rests."""


class WorkingOutput:
    """An output with a thread of its own, in which `_work` takes the frames.

    Args:
        name: of the thread.
        stop_s: how long its work may take to end; work that hangs is left behind.
    """

    def __init__(self, name: str, *, stop_s: float = STOP_S) -> None:
        self._frames = Latest[Frame]()
        self._stop, self._stop_s = threading.Event(), stop_s
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._guard, name=name, daemon=True)

    @property
    def dropped(self) -> int:
        """Frames that a newer one overtook."""
        return self._frames.dropped

    @property
    def watched(self) -> bool:
        """Whether anybody has anything of the frames."""
        return True

    def write(self, frame: Frame) -> None:
        """Hand a frame over; raises what ended the work."""
        if self._error is not None:
            raise self._error
        self._frames.put(frame)

    def close(self) -> None:
        """Let the work end."""
        self._stop.set()
        self._thread.join(self._stop_s)

    def _work(self) -> None:
        """Take frames until `_stop` is set: the body of the thread, which a subclass starts once it is ready."""
        raise NotImplementedError

    def _guard(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - handed over to `write`, which raises it
            self._error = error


class StreamOutput(WorkingOutput):
    """The encoded stream that viewers share.

    Args:
        name: what viewers call it.
        rungs: the sizes and rates in which it can be watched, best first.
        always: encode the best one even while nobody watches.
        on_encoded: called in the encoding thread with each frame, once it is encoded, and the seconds that took.
    """

    def __init__(
        self,
        name: str,
        *,
        rungs: Sequence[Rung] = RUNGS,
        always: bool = False,
        on_encoded: Callable[[Frame, float], None] | None = None,
    ) -> None:
        super().__init__(f"encode {name}")
        self._always = always
        self.stream = SharedStream(name, self._frames, rungs=rungs, always=always, on_encoded=on_encoded)
        self._thread.start()

    @property
    def watched(self) -> bool:
        """Whether anybody watches, or every frame is encoded nevertheless."""
        return self._always or self.stream.viewers > 0

    def _work(self) -> None:
        self.stream.run(self._stop)


def fitted(rgb: Rgb, size_px: tuple[int, int]) -> Rgb:
    """A picture in one of another width and height: as large as it can be, on black."""
    height, width, _ = rgb.shape
    if (width, height) == size_px:
        return rgb
    k = min(size_px[0] / width, size_px[1] / height)
    inner_px = max(1, round(width * k)), max(1, round(height * k))
    left, top = (size_px[0] - inner_px[0]) // 2, (size_px[1] - inner_px[1]) // 2
    whole = np.zeros((size_px[1], size_px[0], 3), np.uint8)
    whole[top : top + inner_px[1], left : left + inner_px[0]] = cv2.resize(rgb, inner_px)
    return whole
