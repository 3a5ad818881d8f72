"""Codecs and rungs as peers that are not ours get them: by what they offer, and by what they report."""

import asyncio
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver
from aiortc.rtp import RTCP_PSFB_APP, RtcpPsfbPacket, RtcpReceiverInfo, RtcpRrPacket, pack_remb_fci
from playwright.async_api import Browser

from server import rung_choice
from server.stream import SharedStream
from tests.server.test_page import stage, visit
from tests.support.server_harness import ServerHarness, receive, running_server, watch
from tests.support.streams import read_number
from tests.support.waiting import HANG_S


async def viewer(inside: ServerHarness, *names: str) -> tuple[RTCPeerConnection, list[Any]]:
    """A viewer that knows these codecs only, in this order."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    capabilities = RTCRtpReceiver.getCapabilities("video")
    assert capabilities is not None
    known = capabilities.codecs
    tracks: list[Any] = []
    connection.on("track", tracks.append)
    transceiver = connection.addTransceiver("video", direction="recvonly")
    transceiver.setCodecPreferences([codec for name in names for codec in known if codec.name == name])
    inside.peers.append(connection)
    await watch(inside.http, connection, videos=0)
    return connection, tracks


@pytest.mark.parametrize(
    ("offered", "sent"), [(("VP8", "H264"), "VP8"), (("H264", "VP8"), "H264"), (("H264",), "H264"), (("VP8",), "VP8")]
)
async def test_the_first_codec_of_the_offer_is_sent(offered: tuple[str, ...], sent: str) -> None:
    async with running_server(streams=1) as inside:
        connection, [track] = await viewer(inside, *offered)
        numbers = [read_number(rgb) for rgb in await receive(track, 20)]
        assert numbers == sorted(set(numbers))
        assert [codec for codec, _ in inside.streams[0].viewers_by_rendition] == [sent]
        answer = connection.remoteDescription.sdp
        assert ("profile-level-id=42e01f" in answer) == (sent == "H264")


async def report(connection: RTCPeerConnection, *, loss: float = 0.0, estimate_bps: int = 0) -> None:
    """What a receiver sends about once a second."""
    [receiver] = connection.getReceivers()
    [ssrc] = receiver._RTCRtpReceiver__active_ssrc  # type: ignore[attr-defined]
    about = RtcpReceiverInfo(
        ssrc=ssrc, fraction_lost=int(256 * loss), packets_lost=0, highest_sequence=0, jitter=0, lsr=0, dlsr=0
    )
    packets: list[Any] = [RtcpRrPacket(ssrc=1, reports=[about])]
    if estimate_bps:
        fci = pack_remb_fci(estimate_bps, [ssrc])
        packets.append(RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=fci))
    for packet in packets:
        await receiver.transport._send_rtp(bytes(packet))


def rung(stream: SharedStream[Any]) -> int:
    [(_, rung)] = stream.viewers_by_rendition
    return rung


@pytest.mark.parametrize("bad", [{"loss": 0.4}, {"estimate_bps": 1000}])
async def test_a_viewer_s_reports_move_it_down_and_up_again(
    bad: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rung_choice, "SETTLE_S", 0.3)
    monkeypatch.setattr(rung_choice, "DOWN_S", 0.2)
    monkeypatch.setattr(rung_choice, "UP_S", 0.5)
    async with running_server(streams=1, rungs=3) as inside:
        connection, [track] = await viewer(inside, "VP8")
        [stream] = inside.streams
        shapes = [rgb.shape[:2] for rgb in await receive(track, 5)]

        async def watch_on() -> None:
            while True:
                frame: Any = await track.recv()
                shapes.append((frame.height, frame.width))

        watching = asyncio.create_task(watch_on())
        good = {"loss": 0.0, "estimate_bps": 10_000_000}
        for wanted, size_px, sent in ((2, 128, bad), (0, 256, good)):
            async with asyncio.timeout(HANG_S):
                while rung(stream) != wanted or shapes[-1] != (size_px, size_px):
                    await report(connection, **sent)
                    await asyncio.sleep(0.1)
        watching.cancel()
        assert set(shapes) <= {(256, 256), (170, 170), (128, 128)}


async def test_a_browser_that_offers_h264_only_watches_h264(browser: Browser) -> None:
    only_h264 = """
      const add = RTCPeerConnection.prototype.addTransceiver;
      RTCPeerConnection.prototype.addTransceiver = function (kind, ...rest) {
        const transceiver = add.call(this, kind, ...rest);
        const { codecs } = RTCRtpReceiver.getCapabilities("video");
        transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => mimeType === "video/H264"));
        return transceiver;
      };
    """
    async with stage(streams=1) as on_stage:
        visitor = await visit(browser, on_stage.server.url, script=only_h264)
        await visitor.live()
        numbers = await visitor.numbers("person", 25)
        assert numbers == sorted(numbers)
        assert [codec for codec, _ in on_stage.streams[0].viewers_by_rendition] == ["H264"]
