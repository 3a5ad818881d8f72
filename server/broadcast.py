"""Small messages that every viewer gets who asks for them by opening a data channel; the newest wins."""

import asyncio

from aiortc import RTCDataChannel

MOST_WAITING = 4096
"""Bytes that may wait for one viewer; until they are sent it misses messages."""


class Broadcast:
    """Sends the newest message to all open channels. All but `put` and `wanted` live on the event loop."""

    def __init__(self) -> None:
        self._channels: tuple[RTCDataChannel, ...] = ()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._newest: str | None = None

    @property
    def wanted(self) -> bool:
        """Whether anybody listens; safe from any thread."""
        return bool(self._channels)

    def listen(self, channel: RTCDataChannel) -> None:
        """Send to a channel until it is closed."""
        self._loop, self._newest = asyncio.get_running_loop(), None
        self._channels = (*self._channels, channel)
        channel.on("close", lambda: self.forget(channel))

    def forget(self, channel: RTCDataChannel) -> None:
        """Send to a channel no more."""
        self._channels = tuple(each for each in self._channels if each is not channel)

    def put(self, message: str) -> None:
        """Send a message soon; from any thread."""
        loop = self._loop
        if loop is None or loop.is_closed() or not self._channels:
            return
        due, self._newest = self._newest is not None, message
        if not due:
            loop.call_soon_threadsafe(self._send)

    def _send(self) -> None:
        message, self._newest = self._newest, None
        for channel in self._channels:
            if message is not None and channel.readyState == "open" and channel.bufferedAmount < MOST_WAITING:
                channel.send(message)
