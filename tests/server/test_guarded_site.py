"""Connections that say nothing: few enough, and not for long; whoever asks is answered meanwhile."""

import asyncio
import socket
import time
from contextlib import suppress

import pytest
from aiohttp import ClientSession
from yarl import URL

from server import guarded_site
from tests.support.server_harness import ServerHarness, offer_of, open_files, running_server
from tests.support.waiting import HANG_S, eventually

HALVES = (b"", b"GET /sta", b"GET /stats HTTP/1.1\r\nHost: x\r\nX-Slow: ")


async def test_silent_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded_site, "HEAD_S", 0.5)
    async with running_server(streams=1) as inside:
        url = URL(inside.server.url)
        for begun in HALVES:
            reader, writer = await asyncio.open_connection(url.host, url.port)
            writer.write(begun)
            assert await asyncio.wait_for(_rest(reader), HANG_S) == b""
            writer.close()
        assert (await inside.http.get("/stats")).status == 200
        await asyncio.sleep(0.7)
        assert (await inside.http.get("/stats")).status == 200, "one that has asked may ask again"


async def test_who_reads_nothing_is_dropped_and_who_reads_slowly_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded_site, "READ_S", 0.5)
    async with running_server(streams=1) as inside:
        url, before = URL(inside.server.url), open_files()
        deaf = socket.create_connection((url.host, url.port))
        deaf.setblocking(False)
        with suppress(BlockingIOError):
            for _ in range(10_000):
                deaf.send(b"GET /main.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        slow_reader, slow = await asyncio.open_connection(url.host, url.port, limit=2**10)
        slow.write(b"GET /main.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 50)
        answers = b""
        while not slow_reader.at_eof():
            answers += await asyncio.wait_for(slow_reader.read(2**16), HANG_S)
            await asyncio.sleep(0.1)
        assert answers.count(b"HTTP/1.1 200 OK") == 50
        slow.close()
        await eventually(lambda: open_files() <= before + 2)  # its own two ends
        deaf.close()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_one_address_cannot_take_every_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded_site, "MOST_PER_ADDRESS", 20)
    async with running_server(streams=1) as inside:
        url, before = URL(inside.server.url), open_files()
        writers = [(await asyncio.open_connection(url.host, url.port))[1] for _ in range(60)]
        await eventually(lambda: open_files() - before <= 60 + 20 + 4)  # of its own, those that are kept, and some
        for writer in writers:
            writer.close()
        await eventually(lambda: open_files() <= before + 4)
        async with ClientSession() as http:
            assert (await http.get(url / "stats")).status == 200


def worst_bodies(offer: str) -> list[tuple[str, bytes, str]]:
    """Path, body and content type of what once took the event loop seconds."""
    sdp, json = "application/sdp", "application/json"
    return [
        ("/whep", f"{offer}a=candidate:{'.local ' * 1700}".encode(), sdp),
        ("/whep", (offer + "a=rtpmap:96 VP8/90000\r\n" * 520).encode(), sdp),
        ("/whep", (offer + "a=\r\n" * 3000).encode(), sdp),
        ("/whep", (offer + "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n" * 200).encode(), sdp),
        ("/whep", (offer + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * 400).encode(), sdp),
        ("/whep", b"\n" * 16_000, sdp),
        ("/control", b"[" * 16_000, json),
        ("/control", b'{"command": "' + b"x" * 15_000 + b'"}', json),
        ("/control", b'{"command": "mirror", "value": ' + b"9" * 15_000 + b"}", json),
    ]


async def stall_s(inside: ServerHarness, path: str, body: bytes, kind: str) -> float:
    """The longest time for which the event loop did nothing else, in processor time; the least of several."""
    stalls_s = []
    for _ in range(4):
        posted = asyncio.create_task(inside.http.post(path, data=body, headers={"Content-Type": kind}))
        begun_at_s, worst_s = time.thread_time(), 0.0
        while not posted.done():
            await asyncio.sleep(0)
            now_s = time.thread_time()
            worst_s, begun_at_s = max(worst_s, now_s - begun_at_s), now_s
        stalls_s.append(worst_s)
        assert (await posted).status != 500
    return min(stalls_s)


async def test_stats_are_answered_while_the_worst_bodies_are_posted() -> None:
    offer = await offer_of()
    async with running_server(streams=1) as inside:
        usual_s = await stall_s(inside, "/whep", offer.encode(), "application/sdp")
        for path, body, kind in worst_bodies(offer):
            assert await stall_s(inside, path, body, kind) < usual_s + 0.05, (path, body[-40:])
