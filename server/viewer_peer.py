"""A viewer's connection: aiortc, with tracks that send the shared, already encoded streams and sound."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from aiortc import MediaStreamTrack, RTCDataChannel, RTCPeerConnection, RTCRtpSender
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import (
    RTCP_PSFB_APP,
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpSrPacket,
    unpack_remb_fci,
)

from server.broadcast import Broadcast
from server.control_channel import ControlChannel
from server.encoder import CodecName, Packet
from server.ice_server import IceServer
from server.peer import Peer
from server.rung_choice import RungChoice
from server.sound_track import SoundBroadcast, SoundTrack, send_sound
from server.stream import SharedStream
from server.subscription import Subscription

FIGURE = "figure"
"""The label of the data channel that figures are sent over."""

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
    """A track of packets that are encoded already, in the rendition that suits its viewer.

    It subscribes at its first `recv`, when the peer is connected.
    """

    kind = "video"

    def __init__(self, stream: SharedStream[Any], codec: CodecName) -> None:
        super().__init__()
        self._stream, self._codec = stream, codec
        self._subscription: Subscription | None = None
        self._choice: RungChoice | None = None

    async def recv(self) -> Packet:
        """Wait for the next packet; the first is a key frame. Raises MediaStreamError once stopped."""
        if self.readyState != "live":
            raise MediaStreamError
        if self._subscription is None:
            self._subscription = self._stream.subscribe(self._codec)
            self._choice = RungChoice(len(self._stream.rungs), time.perf_counter())
        return await self._subscription.next()

    def stop(self) -> None:
        """End the subscription."""
        super().stop()
        if self._subscription is not None:
            self._stream.unsubscribe(self._subscription)
            self._subscription = None

    @property
    def skips(self) -> int:
        """How many times it could not keep up."""
        return 0 if self._subscription is None else self._subscription.skips

    def request_keyframe(self) -> None:
        """The viewer has lost a picture."""
        if self._subscription is not None:
            self._subscription.request_keyframe()

    def hear(self, *, loss: float | None = None, estimate_bps: float | None = None) -> None:
        """Take the receiver's report, see `RungChoice.hear`, and go to the rung that suits it."""
        if self._subscription is None or self._choice is None:
            return
        before, sent_bps = self._choice.rung, self._stream.bitrate_bps(self._subscription.rendition)
        rung = self._choice.hear(time.perf_counter(), sent_bps=sent_bps, loss=loss, estimate_bps=estimate_bps)
        if rung != before:
            self._subscription.move(rung)


class ViewerPeer(Peer):
    """A connection that sends the streams in order, the first one to the first media section, and receives commands.

    Args:
        streams: what is sent, each with its codec.
        control: what is heard.
        figures: what a viewer gets besides who opens a data channel for it.
        remote: the address that asked for it.
        ice_servers: what helps to find a way to the client.
        sound: what is heard with them, if the client asks for it.
    """

    def __init__(
        self,
        streams: Sequence[tuple[SharedStream[Any], CodecName]],
        control: ControlChannel,
        figures: Broadcast,
        remote: str | None,
        ice_servers: Sequence[IceServer] = (),
        sound: SoundBroadcast | None = None,
    ) -> None:
        super().__init__(remote, ice_servers)
        self._sound = None if sound is None else SoundTrack(sound)
        self._tracks = [(StreamTrack(stream, codec), codec) for stream, codec in streams]
        self._control, self._figures = control, figures
        self._figure: RTCDataChannel | None = None

    def _prepare(self) -> None:
        self._connection.on("datachannel", self._listen)
        for track, codec in self._tracks:
            send_track(self._connection, track, codec)
        if self._sound is not None:
            send_sound(self._connection, self._sound)

    def _release(self) -> None:
        self._control.close()
        if self._figure is not None:
            self._figures.forget(self._figure)
        for track, _ in self._tracks:
            track.stop()
        if self._sound is not None:
            self._sound.stop()

    def _listen(self, channel: RTCDataChannel) -> None:
        if channel.label != FIGURE:
            self._control.listen(channel)
            return
        if self._figure is not None:
            self._figures.forget(self._figure)
        self._figure = channel
        self._figures.listen(channel)


def send_track(connection: RTCPeerConnection, track: StreamTrack, codec: CodecName) -> None:
    """Add a track to a connection, and let it hear what the receiver reports.

    aiortc tells picture losses and estimates to its own encoder only, of which there is none here.
    """
    transceiver = connection.addTransceiver(track, direction="sendonly")
    sender = transceiver.sender
    handle = sender._handle_rtcp_packet

    async def heard(packet: AnyRtcpPacket) -> None:
        await handle(packet)
        _report(packet, sender._ssrc, track)

    sender._send_keyframe = SpacedRequests(track.request_keyframe)  # type: ignore[method-assign]
    sender._handle_rtcp_packet = heard  # type: ignore[method-assign]
    kinds = (f"video/{codec}", "video/rtx")
    known = [each for each in RTCRtpSender.getCapabilities("video").codecs if each.mimeType in kinds]
    transceiver.setCodecPreferences(sorted(known, key=_constrained, reverse=True))


def _constrained(codec: Any) -> bool:
    """H.264's constrained baseline, which is what is sent, comes before the whole one."""
    return str(codec.parameters.get("profile-level-id", "")).startswith("42e0")


def _report(packet: AnyRtcpPacket, ssrc: int, track: StreamTrack) -> None:
    """Tell a track what an RTCP packet says of it: receiver reports (RFC 3550), REMB (draft-alvestrand-rmcat-remb)."""
    if isinstance(packet, RtcpRrPacket | RtcpSrPacket):
        for report in packet.reports:
            if report.ssrc == ssrc:
                track.hear(loss=report.fraction_lost / 256)
    elif isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_APP:
        try:
            estimate_bps, ssrcs = unpack_remb_fci(packet.fci)
        except ValueError:  # another application's
            return
        if ssrc in ssrcs:
            track.hear(estimate_bps=estimate_bps)
