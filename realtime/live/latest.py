"""A one-place hand-over between two threads: the newest value wins, so delay cannot grow."""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Holds at most one value that nobody has taken yet."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._value: T | None = None
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """How many values were replaced before anybody took them."""
        return self._dropped

    @property
    def waiting(self) -> bool:
        """Whether there is a value that nobody has taken."""
        return self._value is not None

    def put(self, value: T) -> T | None:
        """Offer a value; returns one that still waited, which is dropped."""
        with self._ready:
            dropped, self._value = self._value, value
            self._dropped += dropped is not None
            self._ready.notify()
            return dropped

    def take(self, timeout_s: float) -> T | None:
        """Take the newest value, waiting at most `timeout_s`; None when nothing came."""
        with self._ready:
            self._ready.wait_for(lambda: self._value is not None, timeout_s)
            value, self._value = self._value, None
            self._ready.notify()
            return value

    def free(self, timeout_s: float) -> bool:
        """Wait at most `timeout_s` until the last value is taken: one that is put then replaces none. Whether it is."""
        with self._ready:
            return self._ready.wait_for(lambda: self._value is None, timeout_s)
