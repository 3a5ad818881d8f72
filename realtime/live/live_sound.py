"""The sound of a session: where it comes from, and the thread that encodes it."""

import threading
import time

from realtime.frame import Frame
from realtime.live.microphone import Microphone
from realtime.live.session import Session
from server.sound import SharedSound

STOP_S = 1.0


class LiveSound:
    """Sound for whoever watches or records, from begin to `close`.

    Args:
        session: whose pictures are heard.
        microphone: whether the sound is that of the microphone, and not the source's.

    Raises:
        UserError: there is no microphone.
    """

    def __init__(self, shared: SharedSound, session: Session, *, microphone: bool = False) -> None:
        self._stop = threading.Event()
        self._microphone = Microphone(shared.put) if microphone else None
        if not microphone:
            session.listen(shared.put)
        self._thread = threading.Thread(target=shared.run, args=(self._stop,), name="sound", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._stop.set()
        if self._microphone is not None:
            self._microphone.close()
        self._thread.join(STOP_S)


def follow(shared: SharedSound, frame: Frame) -> None:
    """Let sound wait for as long as this frame took, which has just been encoded."""
    shared.picture_took(time.perf_counter() - frame.captured_at_s)
