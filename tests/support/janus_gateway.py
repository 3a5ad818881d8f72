"""Janus, a real SFU: started here, published to by WHIP, and watched.

Janus has an interface of its own; what speaks WHIP before it is a server apart everywhere, here `Janus.endpoint`.
"""

import asyncio
import itertools
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from aiohttp import web
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from yarl import URL

from tests.support.streams import read_number
from tests.support.waiting import HANG_S

ROOM = 1234
CONFIGURATION = {
    "janus.jcfg": 'general: {{ }}\nplugins: {{ disable = "libjanus_sip.so,libjanus_nosip.so,libjanus_lua.so" }}\n',
    "janus.transport.http.jcfg": 'general: {{ http = true, ip = "127.0.0.1", port = {port}, https = false }}\n'
    "admin: {{ admin_http = false }}\n",
    "janus.plugin.videoroom.jcfg": 'room-{room}: {{ publishers = 2, videocodec = "vp8", bitrate = 3000000 }}\n',
}


class Handle:
    """One attachment to the video room: a publisher or a subscriber."""

    def __init__(self, http: aiohttp.ClientSession, base: URL) -> None:
        self._http, self._base = http, base
        self._session, self._path = base, base
        self._numbers = itertools.count()

    async def _post(self, path: URL, **request: Any) -> dict[str, Any]:
        message = {"transaction": str(next(self._numbers)), **request}
        async with self._http.post(path, json=message) as response:
            answer: dict[str, Any] = await response.json()
        assert answer["janus"] in ("success", "ack"), answer
        return answer

    async def attach(self) -> None:
        created = await self._post(self._base, janus="create")
        self._session = self._base / str(created["data"]["id"])
        attached = await self._post(self._session, janus="attach", plugin="janus.plugin.videoroom")
        self._path = self._session / str(attached["data"]["id"])

    async def ask(self, jsep: dict[str, str] | None = None, **body: Any) -> tuple[dict[str, Any], dict[str, str]]:
        """Ask the video room; returns what it says, and its own description of the connection."""
        described = {} if jsep is None else {"jsep": jsep}
        await self._post(self._path, janus="message", body={"room": ROOM, **body}, **described)
        while True:
            async with self._http.get(self._session, params={"maxev": 1}) as response:
                event = await response.json()
            if event["janus"] == "event":
                said: dict[str, Any] = event["plugindata"]["data"]
                assert "error" not in said, said
                return said, event.get("jsep", {})


class Janus:
    """A running Janus with one room."""

    def __init__(self, http: aiohttp.ClientSession, port: int) -> None:
        self._http, self._base = http, URL(f"http://127.0.0.1:{port}/janus")
        self._publisher: Handle | None = None
        self._feed = 0
        self.endpoint = URL()
        """Where to publish by WHIP."""

    async def answers(self) -> bool:
        try:
            async with self._http.get(self._base / "info") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def publish(self, request: web.Request) -> web.Response:
        """WHIP's POST."""
        self._publisher = Handle(self._http, self._base)
        await self._publisher.attach()
        offer = {"type": "offer", "sdp": await request.text()}
        said, answer = await self._publisher.ask(offer, request="joinandconfigure", ptype="publisher")
        self._feed = said["id"]
        headers = {"Location": "/whip/session"}
        return web.Response(status=201, text=answer["sdp"], content_type="application/sdp", headers=headers)

    async def end(self, _: web.Request) -> web.Response:
        """WHIP's DELETE."""
        assert self._publisher is not None
        await self._publisher.ask(request="leave")
        return web.Response()

    async def watch(self, count: int) -> list[int]:
        """The numbers of so many pictures, as a viewer of the room sees them."""
        viewer, connection = Handle(self._http, self._base), RTCPeerConnection()
        tracks = asyncio.Queue[MediaStreamTrack]()
        connection.on("track", tracks.put_nowait)
        await viewer.attach()
        _, offer = await viewer.ask(request="join", ptype="subscriber", streams=[{"feed": self._feed}])
        try:
            await connection.setRemoteDescription(RTCSessionDescription(**offer))
            await connection.setLocalDescription(await connection.createAnswer())
            answer = {"type": "answer", "sdp": connection.localDescription.sdp}
            await viewer.ask(answer, request="start")
            async with asyncio.timeout(HANG_S):
                track = await tracks.get()
                frames: list[Any] = [await track.recv() for _ in range(count)]
        finally:
            await connection.close()
        return [read_number(np.asarray(each.to_ndarray(format="rgb24"), np.uint8)) for each in frames]


@asynccontextmanager
async def janus_gateway(folder: Path) -> AsyncIterator[Janus]:
    """Janus, configured in a folder, until the end of the block."""
    program = shutil.which("janus")
    assert program is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, text in CONFIGURATION.items():
        (folder / name).write_text(text.format(port=port, room=ROOM))
    async with AsyncExitStack() as ends:
        process = await asyncio.create_subprocess_exec(
            *(program, "-F", str(folder), "-C", str(folder / "janus.jcfg"), "-L", str(folder / "janus.log"), "-N"),
            stdout=asyncio.subprocess.DEVNULL,
        )
        ends.push_async_callback(process.wait)
        ends.callback(process.kill)
        http = await ends.enter_async_context(aiohttp.ClientSession())
        gateway, app = Janus(http, port), web.Application()
        app.router.add_post("/whip", gateway.publish)
        app.router.add_delete("/whip/session", gateway.end)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        ends.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        gateway.endpoint = URL(f"http://127.0.0.1:{runner.addresses[0][1]}/whip")
        async with asyncio.timeout(HANG_S):
            while not await gateway.answers():
                await asyncio.sleep(0.05)
        yield gateway
