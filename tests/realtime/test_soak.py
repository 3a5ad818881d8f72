"""A quarter of an hour of faults, mixed, in front of a running session: it goes on, and nothing piles up.

Not part of the ordinary suite: `pytest -m long`, for which SOAK_S says how many seconds.
"""

import asyncio
import itertools
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.support.commands import DATA
from tests.support.server_harness import offer_of, watch

SOAK_S = float(os.environ.get("SOAK_S", "900"))
OPEN_FILES = 512
"""As many as the session may have: few, so that it runs out of them."""
WORST_OFFERS = (
    b"v=0\r\n" + b"a=candidate:" + b".local " * 2000,
    b"v=0\r\n" + b"a=rtpmap\r\n" * 1500,
    b"v=0\r\n" + b"a=\r\n" * 4000,
    b"\xff" * 16000,
    b"v=0\r\n" + b"m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * 400,
)
Fault = Callable[["Session"], Awaitable[None]]


class Session:
    """A running `realtime run`."""

    def __init__(self, process: "subprocess.Popen[str]", http: aiohttp.ClientSession, port: int) -> None:
        self.process, self.http, self.port = process, http, port

    @property
    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    @property
    def files(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    @property
    def memory_mib(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    async def look(self) -> float:
        """Look at the stats; returns the milliseconds that took."""
        begun_at_s = time.perf_counter()
        async with self.http.get("/stats") as answer:
            assert answer.status == 200
            await answer.read()
        return 1000 * (time.perf_counter() - begun_at_s)


async def crafted_offers(session: Session) -> None:
    for body in WORST_OFFERS:
        async with session.http.post("/whep", data=body, headers={"Content-Type": "application/sdp"}) as answer:
            assert 400 <= answer.status < 500


async def offers_that_never_connect(session: Session) -> None:
    offer = await offer_of()
    for _ in range(4):
        async with session.http.post("/whep", data=offer, headers={"Content-Type": "application/sdp"}) as answer:
            assert answer.status in (201, 503)


async def silent_connections(session: Session) -> None:
    """More than there are descriptors left: for a moment nobody else comes in, either."""
    with ExitStack() as ends:
        for number in range(OPEN_FILES + 50):
            other = ends.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(("127.0.0.1", session.port))
            if number % 100 == 0:
                await asyncio.sleep(0.05)
        await asyncio.sleep(1)


async def broken_requests(session: Session) -> None:
    for text in (
        b"GET\r\n\r\n",
        b"POST /whep HTTP/1.1\r\nContent-Length: 99\r\n\r\nv=0",
        b"\x16\x03\x01",
        b"G" * 20000,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", session.port)
        writer.write(text)
        await asyncio.sleep(0.05)
        writer.close()
        del reader


async def a_pause(session: Session) -> None:
    session.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(2)
    session.process.send_signal(signal.SIGCONT)


async def a_viewer_that_leaves_without_a_word(session: Session) -> None:
    peer, tracks, _ = await watch(session.http, videos=1)
    async with asyncio.timeout(30):
        for _ in range(20):
            await tracks[0].recv()
    await peer.close()


FAULTS: tuple[Fault, ...] = (
    a_viewer_that_leaves_without_a_word,
    crafted_offers,
    offers_that_never_connect,
    broken_requests,
    a_viewer_that_leaves_without_a_word,
    silent_connections,
    a_pause,
)


@pytest.mark.long
async def test_a_session_outlives_all_faults() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    program = Path(sys.executable).with_name("realtime")
    arguments = [f"{program}", "run", "--source", f"{DATA / 'bob_clip.mp4'}", "--port", str(port)]
    limited = ["prlimit", f"--nofile={OPEN_FILES}:{OPEN_FILES}", *arguments]
    with ExitStack() as ends:
        process = ends.enter_context(subprocess.Popen(limited, stdout=subprocess.PIPE, text=True))
        ends.callback(process.kill)
        assert process.stdout is not None
        while "Watch at" not in (line := await asyncio.to_thread(process.stdout.readline)):
            assert line, "it ended"
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            await _soak(Session(process, http, port))
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 10) == 0


async def _soak(session: Session) -> None:
    """Go through the faults again and again; what it holds after the first rounds is what it holds at the end.

    By the third round all levels of quality have been loaded.
    """
    ends_at_s, rounds, looks_ms = time.monotonic() + SOAK_S, 0, list[float]()
    held: list[tuple[int, int, float]] = []
    for fault in itertools.cycle(FAULTS):
        if fault is FAULTS[0]:
            rounds += 1
            await asyncio.sleep(12)  # until who never connected is given up
            held.append((session.threads, session.files, session.memory_mib))
            looks_ms += [await session.look() for _ in range(20)]
            if time.monotonic() >= ends_at_s and rounds > 4:
                break
        await fault(session)
        assert session.process.poll() is None, f"it ended in {fault.__name__}"
    (threads, files, memory_mib), (last_threads, last_files, last_mib) = held[2], held[-1]
    assert last_threads <= threads + 4, held
    assert last_files <= files + 8, held
    assert last_mib <= memory_mib * 1.1 + 20, held
    assert statistics.median(looks_ms) < 50
    async with session.http.get("/healthz") as answer:
        assert answer.status == 200
