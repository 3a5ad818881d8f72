"""One viewer's WebRTC connection: aiortc, with tracks that send the shared, already encoded streams."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError

from server.control import Control
from server.offer import OfferError
from server.stream import SharedStream
from server.subscription import Subscription
from server.vp8 import Packet

LOG = logging.getLogger(__name__)


class StreamTrack(MediaStreamTrack):
    """A track of packets that are encoded already; it subscribes at its first `recv`, when the peer is connected."""

    kind = "video"

    def __init__(self, stream: SharedStream[Any]) -> None:
        super().__init__()
        self._stream = stream
        self._subscription: Subscription | None = None

    async def recv(self) -> Packet:
        """Wait for the next packet; the first is a key frame. Raises MediaStreamError once stopped."""
        if self.readyState != "live":
            raise MediaStreamError
        if self._subscription is None:
            self._subscription = self._stream.subscribe()
        return await self._subscription.next()

    def stop(self) -> None:
        """End the subscription."""
        super().stop()
        if self._subscription is not None:
            self._stream.unsubscribe(self._subscription)
            self._subscription = None


class Peer:
    """A connection that sends the streams in order, the first one to the first media section, and receives commands."""

    def __init__(self, streams: Sequence[SharedStream[Any]], control: Control, remote: str | None = None) -> None:
        self.remote = remote
        """The address that asked for it."""
        # Without a configuration aiortc would contact a public STUN server.
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._tracks = [StreamTrack(stream) for stream in streams]
        self._streams, self._control = streams, control
        self.settled = asyncio.Event()
        """The connection is established, or has ended."""
        self.ended = asyncio.Event()
        """The connection failed, was closed by the viewer, or shall be closed."""

    async def answer(self, offer: str) -> str:
        """Answer an admitted offer. Raises `OfferError`; the peer must be closed in any case."""
        self._connection.on("connectionstatechange", self._note_state)
        self._connection.on("datachannel", self._control.listen)
        try:
            for track, stream in zip(self._tracks, self._streams, strict=True):
                transceiver = self._connection.addTransceiver(track, direction="sendonly")
                # aiortc forwards picture losses to its own encoder only, of which there is none here.
                transceiver.sender._send_keyframe = stream.request_keyframe  # type: ignore[method-assign]
                _allow_only_vp8(transceiver)
            await self._connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except Exception as problem:  # measured: six kinds of exceptions for mutated offers
            raise OfferError("The offer cannot be answered: it contradicts itself.") from problem
        return self._connection.localDescription.sdp

    async def close(self) -> None:
        """End the connection and everything that belongs to it."""
        self.end()
        for track in self._tracks:  # aiortc leaves a track alone whose connection never came about
            track.stop()
        try:
            await self._connection.close()
        except AttributeError as problem:  # measured, of a data channel whose transport never came about
            LOG.debug("aiortc failed to close a connection: %r", problem)

    def end(self) -> None:
        """Ask the task that waits for `ended` to close this peer."""
        self.ended.set()
        self.settled.set()

    def _note_state(self) -> None:
        state = self._connection.connectionState
        if state == "connected":
            self.settled.set()
        elif state in ("failed", "closed"):
            self.end()


def _allow_only_vp8(transceiver: RTCRtpTransceiver) -> None:
    codecs = RTCRtpSender.getCapabilities("video").codecs
    transceiver.setCodecPreferences([codec for codec in codecs if codec.mimeType in ("video/VP8", "video/rtx")])
