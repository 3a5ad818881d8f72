"""Outputs of a session, made in `session.open_session`: each takes frames at its own pace, and the newest wins."""

import threading
from collections.abc import Callable
from typing import Protocol

from realtime.frame import Frame
from realtime.live.latest import Latest
from server.stream import SharedStream

STOP_S = 1.0
"""So long an encoder has to end."""


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


class StreamOutput:
    """The encoded stream that viewers share, with a thread of its own that encodes.

    Args:
        name: what viewers call it.
        bitrate_bps: what the encoder aims at.
        width_px: what wider frames are shrunk to.
        always: encode even while nobody watches.
        on_encoded: called in the encoding thread with each frame, once it is encoded, and the seconds that took.
    """

    def __init__(
        self,
        name: str,
        *,
        bitrate_bps: int = 2_500_000,
        width_px: int | None = None,
        always: bool = False,
        on_encoded: Callable[[Frame, float], None] | None = None,
    ) -> None:
        self._frames, self._always = Latest[Frame](), always
        self.stream = SharedStream(
            name, self._frames, bitrate_bps=bitrate_bps, width_px=width_px, always=always, on_encoded=on_encoded
        )
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._encode, name=f"encode {name}", daemon=True)
        self._thread.start()

    @property
    def watched(self) -> bool:
        """Whether anybody watches, or every frame is encoded nevertheless."""
        return self._always or self.stream.viewers > 0

    @property
    def dropped(self) -> int:
        """Frames that a newer one overtook."""
        return self._frames.dropped

    def write(self, frame: Frame) -> None:
        """Hand a frame to the encoder."""
        if self._error is not None:
            raise self._error
        self._frames.put(frame)

    def close(self) -> None:
        """Stop encoding; an encoder that hangs is left behind."""
        self._stop.set()
        self._thread.join(STOP_S)

    def _encode(self) -> None:
        try:
            self.stream.run(self._stop)
        except BaseException as error:  # noqa: BLE001 - handed over to `write`, which raises it
            self._error = error
