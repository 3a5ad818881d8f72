"""A source that can be exchanged for another one while it plays."""

import threading
from dataclasses import replace

from realtime.frame import Frame
from realtime.live.source import Source


class SourceSwitch:
    """Plays one source after another as if they were one; it closes them.

    Args:
        source: what is played first.
    """

    def __init__(self, source: Source) -> None:
        self._source, self._number = source, 0
        self._lock, self._closed = threading.Lock(), False

    @property
    def name(self) -> str:
        """Of what is played now."""
        return self._source.name

    @property
    def current(self) -> Source:
        """What is played now."""
        return self._source

    def read(self) -> Frame | None:
        """Wait for the next frame; None once the source that is played now has ended."""
        while True:
            source = self._source
            frame = source.read()
            if source is not self._source:
                continue
            if frame is None:
                return None
            self._number += 1
            return replace(frame, number=self._number - 1)

    def exchange(self, source: Source) -> None:
        """Play another source from now on; from any thread."""
        with self._lock:
            if self._closed:
                source.close()
                return
            before, self._source = self._source, source
        before.close()

    def close(self) -> None:
        """Let `read` end."""
        with self._lock:
            self._closed = True
        self._source.close()
