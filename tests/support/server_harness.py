"""A server with moving streams, and real WebRTC peers for it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from numpy.typing import NDArray

from realtime.frame import Frame
from server.app import Server
from server.control import Command
from server.control_channel import LABEL
from server.stream import SharedStream
from tests.support.streams import moving_streams, numbered_picture
from tests.support.waiting import HANG_S


class NumberedTrack(VideoStreamTrack):
    """A publisher's numbered pictures at 30 fps; their size may be changed meanwhile."""

    def __init__(self, width_px: int = 256, height_px: int = 256) -> None:
        super().__init__()
        self.size_px = width_px, height_px
        self._number = 0

    async def recv(self) -> av.VideoFrame:
        pts, time_base = await self.next_timestamp()
        width_px, height_px = self.size_px
        rgb = numbered_picture(self._number, width_px=width_px, height_px=height_px)
        self._number += 1
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        frame.pts, frame.time_base = pts, time_base
        return frame


@dataclass
class ServerHarness:
    """A server with its streams, and a client for it."""

    server: Server
    streams: list[SharedStream[Frame]]
    http: aiohttp.ClientSession
    peers: list[RTCPeerConnection] = field(default_factory=list)
    channels: list[RTCDataChannel] = field(default_factory=list)
    """Of the newest peer."""

    async def post(self, offer: str | bytes, path: str = "/whep", **headers: str) -> aiohttp.ClientResponse:
        return await self.http.post(path, data=offer, headers={"Content-Type": "application/sdp", **headers})

    async def peer(
        self, videos: int = 2, channels: Sequence[str] = ()
    ) -> tuple[RTCPeerConnection, list[MediaStreamTrack], str]:
        """Connect a viewer; returns its session's path too."""
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.channels = [connection.createDataChannel(label) for label in channels]
        self.peers.append(connection)
        return await watch(self.http, connection, videos)

    async def publish(self, track: MediaStreamTrack, path: str = "/whip") -> tuple[RTCPeerConnection, str]:
        """Connect a publisher; returns its session's path too."""
        connection, location = await publish(self.http, track, path)
        self.peers.append(connection)
        return connection, location


def button(call: Callable[[], object]) -> Command:
    """A command that takes no value."""
    return Command("Do it.", None, lambda _: call())


async def watch(
    http: aiohttp.ClientSession, connection: RTCPeerConnection | None = None, videos: int = 2
) -> tuple[RTCPeerConnection, list[MediaStreamTrack], str]:
    """Connect a viewer; returns its session's path too."""
    connection = connection or RTCPeerConnection(RTCConfiguration(iceServers=[]))
    tracks: list[MediaStreamTrack] = []
    connection.on("track", tracks.append)
    for _ in range(videos):
        connection.addTransceiver("video", direction="recvonly")
    return connection, tracks, await _exchange(http, connection, "/whep")


async def publish(
    http: aiohttp.ClientSession, track: MediaStreamTrack, path: str = "/whip"
) -> tuple[RTCPeerConnection, str]:
    """Connect a publisher; returns its session's path too."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver(track, direction="sendonly")
    return connection, await _exchange(http, connection, path)


async def _exchange(http: aiohttp.ClientSession, connection: RTCPeerConnection, path: str) -> str:
    await connection.setLocalDescription(await connection.createOffer())
    offer, headers = connection.localDescription.sdp, {"Content-Type": "application/sdp"}
    async with http.post(path, data=offer, headers=headers) as response:
        assert response.status == 201, await response.text()
        assert response.content_type == "application/sdp"
        answer = await response.text()
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    return response.headers["Location"]


@asynccontextmanager
async def running_server(*, streams: int = 2, rungs: int = 1, **options: Any) -> AsyncIterator[ServerHarness]:
    with moving_streams(streams, rungs=rungs) as shared:
        server = Server(shared, port=0, **options)
        await server.start()
        try:
            async with aiohttp.ClientSession(server.url) as http:
                inside = ServerHarness(server, shared, http)
                yield inside
                for peer in inside.peers:
                    await peer.close()
        finally:
            await server.stop()


async def receive(track: MediaStreamTrack, count: int) -> list[NDArray[np.uint8]]:
    async with asyncio.timeout(HANG_S):
        frames: list[Any] = [await track.recv() for _ in range(count)]
    return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in frames]


async def offer_of(videos: int = 1, kind: str = "video", direction: str = "recvonly", *, channel: bool = False) -> str:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    if channel:
        connection.createDataChannel(LABEL)
    for _ in range(videos):
        connection.addTransceiver(kind, direction=direction)
    await connection.setLocalDescription(await connection.createOffer())
    sdp = connection.localDescription.sdp
    await connection.close()
    return sdp


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0
