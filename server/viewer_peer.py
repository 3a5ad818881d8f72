"""A viewer's connection: aiortc, with tracks that send the shared, already encoded streams."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from aiortc import MediaStreamTrack, RTCRtpSender, RTCRtpTransceiver
from aiortc.mediastreams import MediaStreamError

from server.control import Control
from server.ice_server import IceServer
from server.peer import Peer
from server.stream import SharedStream
from server.subscription import Subscription
from server.vp8 import Packet

KEYFRAMES_S = 2.0
"""Between key frames that one viewer may ask for: whose connection loses much must not cost the others theirs."""


class SpacedRequests:
    """Asks for key frames on behalf of one viewer, not more often than every `KEYFRAMES_S`; who lacks one asks again.

    Args:
        request: asks for one.
    """

    def __init__(self, request: Callable[[], None]) -> None:
        self._request, self._asked_at_s = request, -math.inf

    def __call__(self) -> None:
        """Ask, or leave it."""
        now_s = time.monotonic()
        if now_s - self._asked_at_s >= KEYFRAMES_S:
            self._asked_at_s = now_s
            self._request()


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


class ViewerPeer(Peer):
    """A connection that sends the streams in order, the first one to the first media section, and receives commands."""

    def __init__(
        self,
        streams: Sequence[SharedStream[Any]],
        control: Control,
        remote: str | None,
        ice_servers: Sequence[IceServer] = (),
    ) -> None:
        super().__init__(remote, ice_servers)
        self._tracks = [StreamTrack(stream) for stream in streams]
        self._streams, self._control = streams, control

    def _prepare(self) -> None:
        self._connection.on("datachannel", self._control.listen)
        for track, stream in zip(self._tracks, self._streams, strict=True):
            transceiver = self._connection.addTransceiver(track, direction="sendonly")
            # aiortc forwards picture losses to its own encoder only, of which there is none here.
            transceiver.sender._send_keyframe = SpacedRequests(  # type: ignore[method-assign]
                stream.request_keyframe
            )
            _allow_only_vp8(transceiver)

    def _release(self) -> None:
        for track in self._tracks:
            track.stop()


def _allow_only_vp8(transceiver: RTCRtpTransceiver) -> None:
    codecs = RTCRtpSender.getCapabilities("video").codecs
    transceiver.setCodecPreferences([codec for codec in codecs if codec.mimeType in ("video/VP8", "video/rtx")])
