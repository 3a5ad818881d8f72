"""Threads that stand and fall together."""

import threading
import time
from collections.abc import Callable, Container, Mapping


class Threads:
    """Runs bodies, each in a thread of its own; when one ends, by itself or by an error, all have to.

    Args:
        bodies: by the names of their threads; they return soon after `ending` is set.
        awaited: the names of those that the end of the process waits for; no other thread does it wait for.
    """

    def __init__(self, bodies: Mapping[str, Callable[[], None]], *, awaited: Container[str] = ()) -> None:
        self.ending = threading.Event()
        """Every thread has to end."""
        self._error: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guard, args=(body,), name=name, daemon=name not in awaited)
            for name, body in bodies.items()
        ]

    def start(self) -> None:
        """Start every thread."""
        for thread in self._threads:
            thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the end of all that were started, but no longer than this."""
        ends_at_s = time.perf_counter() + timeout_s
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, ends_at_s - time.perf_counter()))

    def wait(self, timeout_s: float) -> bool:
        """Wait until they have to end; False when `timeout_s` passed first.

        Raises:
            BaseException: whatever ended one of them.
        """
        ended = self.ending.wait(timeout_s)
        if self._error is not None:
            raise self._error
        return ended

    def _guard(self, body: Callable[[], None]) -> None:
        try:
            body()
        except BaseException as error:  # noqa: BLE001 - handed over to `wait`, which raises it
            self._error = error
        finally:
            self.ending.set()
