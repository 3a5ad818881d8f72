"""The sound of a session: where it comes from, and the thread that encodes it."""

import threading
import time

from realtime.frame import Frame
from realtime.live.microphone import Microphone
from realtime.live.session import Session
from server.sound import SharedSound

STOP_S = 1.0


class LiveSound:
    """Sound for whoever watches or records.

    Args:
        microphone: whether the sound is that of the microphone, which is opened at once, and not the source's.

    Raises:
        UserError: there is no microphone.
    """

    def __init__(self, *, microphone: bool = False) -> None:
        self.shared = SharedSound()
        self._stop = threading.Event()
        self._microphone = Microphone(self.shared.put) if microphone else None
        self._thread = threading.Thread(target=self.shared.run, args=(self._stop,), name="sound", daemon=True)

    def start(self, session: Session) -> None:
        """Let the session's source be heard, until `close`."""
        if self._microphone is None:
            session.listen(self.shared.put)
        self._thread.start()

    def follow(self, frame: Frame) -> None:
        """Let sound wait for as long as this frame took, which has just been encoded."""
        self.shared.picture_took(time.perf_counter() - frame.captured_at_s)

    def close(self) -> None:
        """End it."""
        self._stop.set()
        if self._microphone is not None:
            self._microphone.close()
        self._thread.join(STOP_S)
