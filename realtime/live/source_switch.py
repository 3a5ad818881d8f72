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
        self._source, self._number = source, 0
        self._lock, self._closed = threading.Lock(), False
        self._hear: Hear | None = None

    @property
    def name(self) -> str:
        """Of what is played now."""
        return self._source.name

    @property
    def current(self) -> Source:
        """What is played now."""
        return self._source

    @property
    def has_sound(self) -> bool:
        """Whether what is played now may be heard, too."""
        return isinstance(self._source, AudibleSource) and self._source.has_sound

    def listen(self, hear: Hear) -> None:
        """Hand over the sound of what is played, and of what follows."""
        with self._lock:
            self._hear = hear
            self._connect(self._source)

    def _connect(self, source: Source) -> None:
        if self._hear is not None and isinstance(source, AudibleSource):
            source.listen(self._hear)

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
            self._connect(source)
            before, self._source = self._source, source
        before.close()

    def close(self) -> None:
        """Let `read` end."""
        with self._lock:
            self._closed = True
        self._source.close()
