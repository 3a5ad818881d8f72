"""A viewer's data channel, over which it gives commands and hears their replies."""

import asyncio

import msgspec
from aiortc import RTCDataChannel

from server.control import WAITING, Commands

LABEL = "control"


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
        """Answer a message in a task; who sends without waiting for replies is not heard for a while."""
        if len(self._tasks) < WAITING:
            task = asyncio.create_task(self._answer(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: str | bytes) -> None:
        reply = await self._commands.answer(message, allowed=self._allowed)
        if self._channel is not None and self._channel.readyState == "open":
            self._channel.send(msgspec.json.encode(reply).decode())
