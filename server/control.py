"""What viewers may ask for, over the data channel of their own connection: commands by name."""

import time
from collections.abc import Callable, Mapping

from aiortc import RTCDataChannel

LABEL = "control"
SPACING_S = 0.2
"""A viewer's command that comes sooner after the one before is ignored, and so is all that is no command."""


class Control:
    """Listens to one viewer. Lives on the event loop, where it carries the commands out."""

    def __init__(self, commands: Mapping[str, Callable[[], None]]) -> None:
        self._commands = commands
        self._channel: RTCDataChannel | None = None
        self._obeyed_at_s = -SPACING_S

    def listen(self, channel: RTCDataChannel) -> None:
        """Take a channel that the viewer has opened; it may have one, all others are closed again."""
        if self._channel is None and channel.label == LABEL:
            self._channel = channel
            channel.on("message", self.hear)
        else:
            channel.close()

    def hear(self, message: str | bytes) -> None:
        """Carry a command out, if it is one and not too soon."""
        command = self._commands.get(message) if isinstance(message, str) else None
        now_s = time.perf_counter()
        if command is not None and now_s - self._obeyed_at_s >= SPACING_S:
            self._obeyed_at_s = now_s
            command()
