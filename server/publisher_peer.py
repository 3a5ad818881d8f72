"""A publisher's connection: its pictures go to an inlet as they come, the newest at once; its sound is dropped."""

import asyncio
import queue
import threading
import time
from collections.abc import Sequence
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from server.ice_server import IceServer
from server.peer import Peer
from server.protocols import Inlet, ReceivedPicture

DECODER_BACKLOG = 15
"""Most encoded pictures that wait for the decoder: half a second at 30 fps."""


class DecoderQueue(queue.Queue[Any]):
    """What waits for aiortc's decoder, which has no bound itself.

    A decoder that cannot keep up, e.g. because the machine stood still, skips to the newest picture, and the publisher
    is asked for a key frame.
    """

    def __init__(self, picture_lost: threading.Event) -> None:
        super().__init__()
        self._picture_lost = picture_lost

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Add an encoded picture, or None as the end."""
        if self.qsize() >= DECODER_BACKLOG:
            with self.mutex:
                self.queue.clear()
            self._picture_lost.set()
        super().put(item, block, timeout)


class PublisherPeer(Peer):
    """A connection that receives one video."""

    def __init__(self, inlet: Inlet, remote: str | None, ice_servers: Sequence[IceServer] = ()) -> None:
        super().__init__(remote, ice_servers)
        self._inlet = inlet
        self._tasks: list[asyncio.Task[None]] = []

    def _prepare(self) -> None:
        self._connection.on("track", self._receive)

    def _release(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _receive(self, track: MediaStreamTrack) -> None:
        for receiver in self._connection.getReceivers():
            if receiver.track is track:
                lost = receiver._RTCRtpReceiver__decoder_error  # type: ignore[attr-defined]
                receiver._RTCRtpReceiver__decoder_queue = DecoderQueue(lost)  # type: ignore[attr-defined]
        self._tasks.append(asyncio.create_task(self._drain(track)))

    async def _drain(self, track: MediaStreamTrack) -> None:
        """Take all that comes, always: what aiortc has received waits in a queue without a bound."""
        while not self.ended.is_set():
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            if isinstance(frame, av.VideoFrame) and not self.ended.is_set():
                self._inlet.put(ReceivedPicture(frame, time.perf_counter()))
