"""A source that can be exchanged for another one while it plays."""

import threading
from dataclasses import replace

from realtime.frame import Frame
from realtime.live.source import AudibleSource, Source
from server.sound import Hear


class SourceSwitch:
    """Plays one source after another as if they were one; it closes them.

    Args:
        source: what is played first.
    """

    def __init__(self, source: Source) -> None:
        self._playing, self._number = (source, 0), 0
        """What is played, and how many were before it; exchanged together."""
        self._left: list[Source] = []
        """What is closed, but has not been read since."""
        self._lock, self._closed = threading.Lock(), False
        self._hear: Hear | None = None

    @property
    def name(self) -> str:
        """Of what is played now."""
        return self.current.name

    @property
    def current(self) -> Source:
        """What is played now."""
        return self._playing[0]

    @property
    def has_sound(self) -> bool:
        """Whether what is played now may be heard, too."""
        source = self.current
        return isinstance(source, AudibleSource) and source.has_sound

    def listen(self, hear: Hear) -> None:
        """Hand over the sound of what is played, and of what follows."""
        with self._lock:
            self._hear = hear
            self._connect(self.current)

    def _connect(self, source: Source) -> None:
        if self._hear is not None and isinstance(source, AudibleSource):
            source.listen(self._hear)

    def read(self) -> Frame | None:
        """Wait for the next frame; None once the source that is played now has ended."""
        while True:
            self._let_go()
            playing = self._playing
            frame = playing[0].read()
            if playing is not self._playing:
                continue
            if frame is None:
                return None
            self._number += 1
            return replace(frame, number=self._number - 1, source=playing[1])

    def exchange(self, source: Source) -> int:
        """Play another source from now on, from any thread; returns the number of its frames' `source`."""
        with self._lock:
            before, number = self._playing
            if self._closed:
                source.close()
                return number
            self._connect(source)
            self._playing = source, number + 1
            before.close()
            self._left.append(before)
        return number + 1

    def _let_go(self) -> None:
        """Read what was left once more: only the thread that reads a source can close what that has open."""
        with self._lock:
            left, self._left = self._left, []
        for source in left:
            source.read()

    def close(self) -> None:
        """Let `read` end."""
        with self._lock:
            self._closed = True
        self.current.close()
