"""Without UDP: the page plays over the HTTP port, and slow viewers get the newest pictures."""

import asyncio
from typing import Any

import aiohttp
import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from playwright.async_api import Browser, expect
from yarl import URL

from server.access import PROTOCOL, Access, Role
from server.socket_viewers import HEADER, ON_THE_WAY
from server.subscription import BACKLOG
from tests.server.test_page import stage, visit
from tests.support.server_harness import button, running_server
from tests.support.streams import read_number
from tests.support.waiting import HANG_S, eventually

BLOCK_UDP = """
  const take = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
    return take.call(this, { type, sdp: sdp.replaceAll(/(a=candidate:.* )\\d+ typ/g, "$19 typ") });
  };
"""
"""Sends all that WebRTC sends to a port where nobody is."""


class SlowViewer:
    """Decodes what comes over a WebSocket, and says so when it is told to."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, codec: str) -> None:
        self._socket = socket
        decoder = av.CodecContext.create({"VP8": "libvpx", "H264": "h264"}[codec], "r")
        assert isinstance(decoder, VideoCodecContext)
        self._decoder = decoder
        self._decoder.thread_count = 1  # or it holds pictures back
        self.keys: list[bool] = []
        self.times_us: list[int] = []

    async def number(self, *, answer: bool = True) -> int:
        """Of the next picture of the first stream."""
        message = await asyncio.wait_for(self._socket.receive_bytes(), HANG_S)
        stream, key, at_us = HEADER.unpack_from(message)
        assert stream == 0
        self.keys.append(bool(key))
        self.times_us.append(at_us)
        frames: list[Any] = self._decoder.decode(av.Packet(message[HEADER.size :]))
        if answer:
            await self._socket.send_str("0")
        return read_number(np.asarray(frames[-1].to_ndarray(format="rgb24"), np.uint8))


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_it_begins_at_a_key_frame_and_all_that_follows_can_be_decoded(codec: str) -> None:
    async with running_server(streams=1) as inside, inside.http.ws_connect(f"/watch?codec={codec}") as socket:
        viewer = SlowViewer(socket, codec)
        numbers = [await viewer.number() for _ in range(40)]
        assert numbers == sorted(set(numbers))
        assert viewer.keys[0]
        assert sum(viewer.keys) == 1
        steps_us = np.diff(viewer.times_us) / np.diff(numbers)
        assert np.median(steps_us) == pytest.approx(33_333, rel=0.3)
        assert inside.server.viewers == 1
        assert inside.streams[0].viewers == 1
        await socket.close()
        await eventually(lambda: inside.server.viewers == 0 and inside.streams[0].viewers == 0)


async def test_who_is_slow_gets_the_newest_pictures() -> None:
    async with running_server(streams=1) as inside, inside.http.ws_connect("/watch") as socket:
        viewer = SlowViewer(socket, "VP8")
        first = [await viewer.number(answer=False) for _ in range(ON_THE_WAY)]
        before = inside.streams[0].stats.encoded_frames
        await eventually(lambda: inside.streams[0].stats.encoded_frames > before + 2 * BACKLOG)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(socket.receive(), 0.1)
        # What is waited for is skipped: it is older than what comes now.
        for _ in range(ON_THE_WAY):
            await socket.send_str("0")
        viewer.keys.clear()
        later = [await viewer.number() for _ in range(10)]
        assert viewer.keys[0]
        assert later[0] > first[-1] + BACKLOG
        assert later == sorted(set(later))


@pytest.mark.parametrize("said", ["2", "0", "x" * 100])
async def test_who_says_what_makes_no_sense_is_sent_away(said: str) -> None:
    async with running_server(streams=1) as inside, inside.http.ws_connect("/watch") as socket:
        for _ in range(ON_THE_WAY + 1):
            await socket.send_str(said)
        async with asyncio.timeout(HANG_S):
            async for _ in socket:
                pass
        await eventually(lambda: inside.server.viewers == 0 and inside.streams[0].viewers == 0)


async def test_who_asks_for_a_page_there_is_told_so() -> None:
    async with running_server(streams=1) as inside:
        async with inside.http.get("/watch") as answer:
            assert answer.status == 400
        assert inside.server.viewers == 0
        assert inside.streams[0].viewers == 0


async def test_who_may_watch() -> None:
    access = Access({Role.WATCH: "w" * 32, Role.CONTROL: "c" * 32})

    async def status(http: aiohttp.ClientSession, path: str = "/watch", **options: Any) -> int:
        try:
            async with http.ws_connect(path, **options) as socket:
                await socket.receive_bytes()
                return 101
        except aiohttp.WSServerHandshakeError as refusal:
            return refusal.status

    async with running_server(streams=1, access=access, viewers_limit=1) as inside:
        http = inside.http
        assert await status(http) == 401
        assert await status(http, protocols=[PROTOCOL, "bearer.wrong"]) == 401
        assert await status(http, protocols=[PROTOCOL, f"bearer.{'w' * 32}"]) == 101
        await eventually(lambda: inside.server.viewers == 0)
        authorized = {"Authorization": f"Bearer {'c' * 32}"}
        assert await status(http, headers=authorized) == 101
        await eventually(lambda: inside.server.viewers == 0)
        assert await status(http, "/watch?codec=AV1", headers=authorized) == 400
        assert await status(http, headers={**authorized, "Origin": "https://elsewhere.example"}) == 403
        async with http.ws_connect("/watch", headers=authorized):
            assert await status(http, headers=authorized) == 503


async def test_the_server_ends_with_a_viewer_that_does_not_listen() -> None:
    async with running_server(streams=1) as inside:
        url = URL(inside.server.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
        key = "Sec-WebSocket-Key: " + "x" * 22 + "=="
        writer.write(f"GET /watch HTTP/1.1\r\nHost: {url.host}:{url.port}\r\n{upgrade}\r\n{key}\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 101")
        await asyncio.wait_for(inside.server.stop(), 8)  # aiohttp by itself waits for 10 s
        writer.close()


@pytest.mark.parametrize("network", ["asked for", "none", "blocked"])
async def test_the_page_plays_without_udp(browser: Browser, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if network == "none":
        monkeypatch.setattr("aioice.ice.get_host_addresses", lambda **_: [])
    asked: list[str] = []
    async with stage(commands={"next-person": button(lambda: asked.append("next"))}) as on_stage:
        url = on_stage.server.url + ("?transport=ws" if network == "asked for" else "")
        visitor = await visit(browser, url, script=BLOCK_UDP if network == "blocked" else "")
        await visitor.live()
        numbers = await visitor.numbers("person", 40)
        assert numbers == sorted(numbers)
        await visitor.numbers("source-video", 5)
        await expect(visitor.page.locator("#stats")).to_contain_text(" fps")
        await visitor.page.keyboard.press("n")
        await eventually(lambda: asked == ["next"])
        await visitor.page.keyboard.press("o")
        await expect(visitor.page.locator("#notice")).to_contain_text("The figure is not drawn without WebRTC")
        assert visitor.complaints == []
        await on_stage.server.stop()
        await expect(visitor.page.locator("#sentence")).to_contain_text("Trying again…")
        await on_stage.restart()
        await visitor.live()
        await visitor.numbers("person", 8)
