"""Those whom WebRTC does not reach watch over the HTTP port: the same shared packets, by WebSocket.

A message is a picture: which stream (1 byte), whether it is a key frame (1 byte), its time in microseconds (8 bytes,
big endian), and the packet. The viewer answers each with the stream's number once it is decoded, and only so many are
on the way: who is slow finds a full queue, which skips to a newer key frame, and a smaller rung.
"""

import asyncio
import logging
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast, get_args

from aiohttp import WSMsgType, web

from server.access import PROTOCOL, Access, Role
from server.encoder import RTP_CLOCK_HZ, CodecName
from server.sessions import all_taken
from server.stream import SharedStream
from server.viewer_peer import StreamTrack

HEADER = struct.Struct(">BBq")
ON_THE_WAY = 10
"""Most pictures of a stream that are sent and not decoded yet: a third of a second at 30 fps."""
REPORT_S = 1.0
"""Between two looks at whether a viewer keeps up."""
LAG_LOSS = 0.5
"""The share of lost packets that a viewer who does not is taken for."""
_HEARTBEAT_S, _CLOSE_S = 10.0, 0.3
LOG = logging.getLogger(__name__)


class SocketViewers:
    """The viewers over WebSocket. Lives on the event loop.

    Args:
        streams: what is sent.
        access: who may watch.
        has_room: whether one more viewer may come.
    """

    def __init__(self, streams: Sequence[SharedStream[Any]], access: Access, has_room: Callable[[], bool]) -> None:
        self._streams, self._access, self._has_room = tuple(streams), access, has_room
        self._sockets: set[web.WebSocketResponse] = set()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._sockets)

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Send pictures until the viewer leaves; `?codec` is VP8 or H264."""
        await self._access.check(request, Role.WATCH)
        codec = request.query.get("codec", "VP8")
        if codec not in get_args(CodecName):
            raise web.HTTPBadRequest(text=f"There is no codec {codec!r}: VP8 and H264 are possible.")
        if not self._has_room():
            raise all_taken()
        socket = web.WebSocketResponse(
            protocols=[PROTOCOL], heartbeat=_HEARTBEAT_S, timeout=_CLOSE_S, compress=False, max_msg_size=16
        )
        self._sockets.add(socket)
        try:
            await socket.prepare(request)
        except BaseException:
            self._sockets.discard(socket)
            raise
        tracks = [StreamTrack(stream, cast(CodecName, codec)) for stream in self._streams]
        windows = [asyncio.BoundedSemaphore(ON_THE_WAY) for _ in tracks]
        tasks: list[asyncio.Task[None]] = []
        try:
            for number, (track, window) in enumerate(zip(tracks, windows, strict=True)):
                tasks.append(asyncio.create_task(_send(socket, number, track, window)))
                tasks.append(asyncio.create_task(_watch_over(track)))
            async for message in socket:
                # Anything else ends it, and so does an answer to what was never sent.
                if message.type != WSMsgType.TEXT or message.data not in ("0", "1")[: len(windows)]:
                    break
                windows[int(message.data)].release()
        except ValueError:
            LOG.info("A viewer has answered to pictures that it was not sent.")
        finally:
            self._sockets.discard(socket)
            for task in tasks:
                task.cancel()
            for track in tracks:
                track.stop()
            await socket.close()
        return socket

    async def close(self) -> None:
        """Say good-bye to all."""
        await asyncio.gather(*(socket.close() for socket in tuple(self._sockets) if socket.prepared))


async def _send(
    socket: web.WebSocketResponse, number: int, track: StreamTrack, window: asyncio.BoundedSemaphore
) -> None:
    with suppress(ConnectionError):
        while True:
            await window.acquire()
            packet = await track.recv()
            at_us = round((packet.pts or 0) * 1_000_000 / RTP_CLOCK_HZ)
            await socket.send_bytes(HEADER.pack(number, packet.is_keyframe, at_us) + bytes(packet))


async def _watch_over(track: StreamTrack) -> None:
    """Choose the rung of a viewer by whether it has to skip pictures."""
    skips = 0
    while True:
        await asyncio.sleep(REPORT_S)
        track.hear(loss=LAG_LOSS if track.skips > skips else 0.0)
        skips = track.skips
