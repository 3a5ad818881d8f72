"""Small messages that every viewer gets who asks for them by opening a data channel; the newest wins."""

from aiortc import RTCDataChannel

from server.loop_handover import LoopHandover

MOST_WAITING = 4096
"""Bytes that may wait for one viewer; until they are sent it misses messages."""


class Broadcast:
    """Sends the newest message to all open channels. All but `put` and `wanted` live on the event loop."""

    def __init__(self) -> None:
        self._channels: tuple[RTCDataChannel, ...] = ()
        self._handover = LoopHandover(self._send, most=1)

    @property
    def wanted(self) -> bool:
        """Whether anybody listens; safe from any thread."""
        return bool(self._channels)

    def listen(self, channel: RTCDataChannel) -> None:
        """Send to a channel until it is closed."""
        self._handover.attach()
        self._channels = (*self._channels, channel)
        channel.on("close", lambda: self.forget(channel))

    def forget(self, channel: RTCDataChannel) -> None:
        """Send to a channel no more."""
        self._channels = tuple(each for each in self._channels if each is not channel)

    def put(self, message: str) -> None:
        """Send a message soon; from any thread."""
        if self._channels:
            self._handover.put(message)

    def _send(self, message: str) -> None:
        for channel in self._channels:
            if channel.readyState == "open" and channel.bufferedAmount < MOST_WAITING:
                channel.send(message)
