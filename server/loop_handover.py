"""A hand-over to the event loop: at most one call waits there, so that a busy loop costs values, not memory."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class LoopHandover(Generic[T]):
    """Calls `take` on the event loop with every value that is put. All but `put` lives on that loop.

    Args:
        take: what is called.
        most: so many values may wait for the loop; older ones are dropped.
    """

    def __init__(self, take: Callable[[T], object], *, most: int) -> None:
        self._take, self._waiting = take, deque[T](maxlen=most)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due = False
        """Whether a call waits on the loop."""

    def attach(self) -> None:
        """Hand over to the loop that runs now; what still waits for another one is dropped."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # what an earlier, ended loop was asked to do will never happen
            self._waiting.clear()
            self._due = False
            self._loop = loop

    def put(self, value: T) -> None:
        """Hand a value over and return at once; from any thread. It is lost where no loop takes it."""
        loop = self._loop
        if loop is None:
            return
        # The call clears the flag before it empties the deque, so a value that finds the flag set is there in time.
        self._waiting.append(value)
        if self._due:
            return
        self._due = True
        try:
            loop.call_soon_threadsafe(self._take_all)
        except RuntimeError:
            if not loop.is_closed():
                raise
            self._due = False

    def _take_all(self) -> None:
        self._due = False
        while self._waiting:
            self._take(self._waiting.popleft())
