"""A viewer's data channel, over which it gives commands and hears their replies."""

import asyncio

import msgspec
from aiortc import RTCDataChannel

from server.control import Commands

LABEL = "control"
UNREAD_BYTES = 1 << 16
"""So much a viewer may leave unread before it hears no more replies."""


class ControlChannel:
    """Receives one viewer's commands. Lives on the event loop.

    Args:
        commands: what it may ask for.
        allowed: whether it may at all.
    """

    def __init__(self, commands: Commands, *, allowed: bool) -> None:
        self._commands, self._allowed = commands, allowed
        self._channel: RTCDataChannel | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self, channel: RTCDataChannel) -> None:
        """Take the first channel that the viewer opens; all others are closed again."""
        if self._channel is None and channel.label == LABEL:
            self._channel = channel
            channel.on("message", self._receive)
        else:
            channel.close()

    def close(self) -> None:
        """Give no more replies; commands that have begun are carried out."""
        self._channel = None

    def _receive(self, message: str | bytes) -> None:
        """Answer a message in a task, which waits for its turn only while few others do."""
        task = asyncio.create_task(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: str | bytes) -> None:
        reply, channel = await self._commands.answer(message, allowed=self._allowed), self._channel
        if channel is not None and channel.readyState == "open" and channel.bufferedAmount < UNREAD_BYTES:
            channel.send(msgspec.json.encode(reply).decode())
