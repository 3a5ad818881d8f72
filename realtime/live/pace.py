"""When recorded frames are due: in their own time, as if they came from a camera."""

import threading
import time

LATE_S = 1.0
"""A recording that is so late goes on from where it is: what was missed while the program stood still is not made up
for."""


class Pace:
    """Waits for each frame's time. `wait` belongs to one thread; any other may close it."""

    def __init__(self) -> None:
        self._closed = threading.Event()
        self._began_at_s: float | None = None
        """When the frame at 0 s was due."""

    def wait(self, due_s: float) -> bool:
        """Wait until a frame is due, counted from the first frame at 0 s; False, at once, if it was closed."""
        now_s = time.perf_counter()
        if self._began_at_s is None or now_s - (self._began_at_s + due_s) > LATE_S:
            self._began_at_s = now_s - due_s
        return not self._closed.wait(max(0.0, self._began_at_s + due_s - now_s))

    def at_s(self, due_s: float) -> float:
        """When that is due, by `time.perf_counter()`; before the first frame has been waited for, about now."""
        return (time.perf_counter() if self._began_at_s is None else self._began_at_s) + due_s

    def now_s(self) -> float:
        """What would be due now, counted from the first frame at 0 s; 0 before that has been waited for."""
        return 0.0 if self._began_at_s is None else time.perf_counter() - self._began_at_s

    def pause(self, pause_s: float) -> bool:
        """Wait for some time; False, at once, if it was closed."""
        return not self._closed.wait(pause_s)

    def restart(self) -> None:
        """Let the next frame be due at once, whatever its time; in the thread that waits."""
        self._began_at_s = None

    def close(self) -> None:
        """Let `wait` end."""
        self._closed.set()
