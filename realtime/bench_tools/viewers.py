"""What viewers cost: a server in this process, and viewers in another one that connect for real and just count.

They are aiortc's own peers up to the encryption's handshake; what comes afterwards is counted as it is, neither
decrypted nor decoded, for a hundred decoders would leave no processor to measure with.
"""

import asyncio
import multiprocessing
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from multiprocessing.connection import Connection

import aiohttp
import msgspec
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from engines.errors import UserError
from realtime.frame import Frame, Rgb
from realtime.live.latest import Latest
from realtime.meter import Meter
from server.app import WHEP, Server
from server.stream import RUNGS, SharedStream

FPS = 30
SETTLE_S = 1.0
CONNECT_S, ANSWER_S = 30.0, 60.0
"""So long each viewer may take to connect, and their process to start and to answer."""
POLL_S = 0.02
ENCODE = "encode"


class ViewersRow(msgspec.Struct, frozen=True, kw_only=True):
    """A number of viewers."""

    viewers: int
    core_ms: float
    """The server's processor time for each picture: encoding it once and sending it to all."""
    fps: float
    """Pictures that were encoded a second; 30 where the machine has the time."""
    received_mbit_s: float
    """What each viewer got, in the mean."""


class CountingViewer:
    """A viewer that counts the bytes of its media."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.received_bytes = 0

    async def watch(self, http: aiohttp.ClientSession) -> None:
        """Connect; returns once media may come."""
        connected = asyncio.Event()
        self.connection.on("connectionstatechange", lambda: self._note_state(connected))
        self.connection.addTransceiver("video", direction="recvonly")
        await self.connection.setLocalDescription(await self.connection.createOffer())
        # The one private hook: where the transport hands over what is not yet decrypted.
        transport = self.connection.getTransceivers()[0].receiver.transport
        transport._handle_rtp_data = self._count  # type: ignore[method-assign]
        offer, headers = self.connection.localDescription.sdp, {"Content-Type": "application/sdp"}
        async with http.post(WHEP, data=offer, headers=headers) as response:
            response.raise_for_status()
            answer = RTCSessionDescription(await response.text(), "answer")
        await self.connection.setRemoteDescription(answer)
        await connected.wait()

    def _note_state(self, connected: asyncio.Event) -> None:
        if self.connection.connectionState == "connected":
            connected.set()

    async def _count(self, data: bytes, arrival_time_ms: int) -> None:
        self.received_bytes += len(data)


def bench_viewers(pictures: Sequence[Rgb], viewers: int, seconds: float) -> ViewersRow:
    """Serve pictures at 30 fps to so many viewers.

    Args:
        pictures: uint8 [H, W, 3], shown over and over.
        viewers: how many.
        seconds: to measure, once all are connected.
    """
    slot, meter = Latest[Frame](), Meter(ENCODE)
    # With one size and rate: what viewers cost must not depend on what they report.
    stream = SharedStream("bench", slot, rungs=RUNGS[:1], on_encoded=lambda _, encode_s: meter.add(ENCODE, encode_s))
    with _running(stream.run):
        return asyncio.run(_measure(stream, meter, viewers, seconds, lambda stop: _play(pictures, slot, stop)))


async def _measure(
    stream: SharedStream[Frame], meter: Meter, viewers: int, seconds: float, play: Callable[[threading.Event], None]
) -> ViewersRow:
    async with _serving(stream) as url, _watching(url, viewers) as watchers:
        with _running(play):  # not before, or those who are there would keep the others from connecting in time
            await asyncio.sleep(SETTLE_S)
            begun_bytes = await _ask(watchers)
            meter.clear()
            begun_at_s, busy_s = time.perf_counter(), time.process_time()
            await asyncio.sleep(seconds)
            length_s, busy_s = time.perf_counter() - begun_at_s, time.process_time() - busy_s
            encoded = meter.count(ENCODE)
            received = await _ask(watchers) - begun_bytes
    if not encoded:
        raise UserError(f"Nothing was encoded in {seconds:g} s: give more --seconds.")
    return ViewersRow(
        viewers=viewers,
        core_ms=round(1000 * busy_s / encoded, 2),
        fps=round(encoded / length_s, 1),
        received_mbit_s=round(received * 8 / 1e6 / length_s / viewers, 2),
    )


@asynccontextmanager
async def _serving(stream: SharedStream[Frame]) -> AsyncIterator[str]:
    server = Server([stream], port=0, half_open_s=CONNECT_S)
    await server.start()
    try:
        yield server.url
    finally:
        await server.stop()


@asynccontextmanager
async def _watching(url: str, viewers: int) -> AsyncIterator[Connection]:
    """Viewers in another process; yields what they are asked through once all are connected."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_watch, args=(url, viewers, theirs), daemon=True)
    process.start()
    theirs.close()  # so that its end is noticed
    try:
        await _ask(ours, ANSWER_S + CONNECT_S * viewers)
        yield ours
    finally:
        process.terminate()
        await asyncio.to_thread(process.join)


async def _ask(watchers: Connection, timeout_s: float = ANSWER_S) -> int:
    """How many bytes all viewers have received so far; the first answer comes when all are connected."""
    try:
        watchers.send(None)
        ends_at_s = time.perf_counter() + timeout_s
        while time.perf_counter() < ends_at_s:
            if watchers.poll():
                return int(watchers.recv())
            await asyncio.sleep(POLL_S)  # a thread that waits could not be interrupted
    except (EOFError, OSError) as error:
        raise UserError("The viewers' process ended before it was asked to: what it said is above.") from error
    raise UserError(f"The viewers did not answer within {timeout_s:g} s: measure on a machine with less to do.")


def _watch(url: str, viewers: int, asked: Connection) -> None:
    """The other process: connect, then answer until it is ended."""
    asyncio.run(_watch_all(url, viewers, asked))


async def _watch_all(url: str, viewers: int, asked: Connection) -> None:
    everybody = [CountingViewer() for _ in range(viewers)]
    async with aiohttp.ClientSession(url) as http:
        for viewer in everybody:
            async with asyncio.timeout(CONNECT_S):
                await viewer.watch(http)
        while True:
            while not asked.poll():
                await asyncio.sleep(POLL_S)
            asked.recv()
            asked.send(sum(viewer.received_bytes for viewer in everybody))


def _play(pictures: Sequence[Rgb], slot: Latest[Frame], stop: threading.Event) -> None:
    begun_at_s, number = time.perf_counter(), 0
    while not stop.wait(max(0.0, begun_at_s + number / FPS - time.perf_counter())):
        slot.put(Frame(rgb=pictures[number % len(pictures)], captured_at_s=time.perf_counter(), number=number))
        number += 1


@contextmanager
def _running(body: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run a thread for the length of the block."""
    stop = threading.Event()
    thread = threading.Thread(target=body, args=(stop,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
