"""Commands from viewers, by name, over the data channel of their connection."""

import time
from collections.abc import Callable, Mapping

from aiortc import RTCDataChannel

LABEL = "control"
SPACING_S = 0.2
"""Least time between two commands of a viewer; what comes sooner is ignored."""


class Control:
    """Receives one viewer's commands and calls them. Lives on the event loop."""

    def __init__(self, commands: Mapping[str, Callable[[], None]]) -> None:
        self._commands = commands
        self._channel: RTCDataChannel | None = None
        self._called_at_s = -SPACING_S

    def listen(self, channel: RTCDataChannel) -> None:
        """Take the first channel that the viewer opens; all others are closed again."""
        if self._channel is None and channel.label == LABEL:
            self._channel = channel
            channel.on("message", self.receive)
        else:
            channel.close()

    def receive(self, message: str | bytes) -> None:
        """Call a command; messages that are none, or come too soon, are ignored."""
        command = self._commands.get(message) if isinstance(message, str) else None
        now_s = time.perf_counter()
        if command is not None and now_s - self._called_at_s >= SPACING_S:
            self._called_at_s = now_s
            command()
