"""A publisher's connection: its pictures go to an inlet as they come, the newest at once, and its sound after them."""

import asyncio
import queue
import threading
import time
from collections.abc import Sequence
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCRtpReceiver
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import AnyRtcpPacket

from server.ice_server import IceServer
from server.peer import Peer
from server.protocols import Inlet, ReceivedPicture
from server.sound import RATE_HZ, Hear, Samples
from server.sound_clock import SoundClock

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
    """A connection that receives one video, and what is heard with it.

    Args:
        inlet: where pictures go.
        hear: where sound goes.
        remote: the address that asked for it.
        ice_servers: what helps to find a way to the client.
    """

    def __init__(self, inlet: Inlet, hear: Hear, remote: str | None, ice_servers: Sequence[IceServer] = ()) -> None:
        super().__init__(remote, ice_servers)
        self._inlet, self._hear = inlet, hear
        self._clock = SoundClock()
        self._resampler = av.AudioResampler(format="s16", layout="stereo", rate=RATE_HZ)
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
                self._hear_reports(receiver)
        self._tasks.append(asyncio.create_task(self._drain(track)))

    async def _drain(self, track: MediaStreamTrack) -> None:
        """Take all that comes, always: what aiortc has received waits in a queue without a bound."""
        while not self.ended.is_set():
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            now_s = time.perf_counter()
            if self.ended.is_set() or frame.pts is None:
                continue
            if isinstance(frame, av.VideoFrame):
                self._clock.picture(frame.pts, now_s)
                self._inlet.put(ReceivedPicture(frame, now_s))
            elif isinstance(frame, av.AudioFrame):
                at_s = self._clock.sound_at_s(frame.pts, now_s)
                for piece in self._resampler.resample(frame):
                    self._hear(Samples(np.asarray(piece.to_ndarray().reshape(-1, 2), np.int16), at_s))

    def _hear_reports(self, receiver: RTCRtpReceiver) -> None:
        """aiortc keeps the reports that tell which sound belongs to which picture for itself."""
        handle, kind = receiver._handle_rtcp_packet, receiver.track.kind
        mapper = receiver._RTCRtpReceiver__timestamp_mapper  # type: ignore[attr-defined]

        async def heard(packet: AnyRtcpPacket) -> None:
            await handle(packet)
            if mapper._origin is not None:
                self._clock.hear(kind, packet, mapper._origin)

        receiver._handle_rtcp_packet = heard  # type: ignore[method-assign]
