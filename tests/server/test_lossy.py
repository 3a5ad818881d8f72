"""A viewer behind a line that loses packets: pictures keep coming in order, and come back after an outage."""

import asyncio
import time
from typing import Any

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from tests.support.middlebox import Middlebox
from tests.support.server_harness import ServerHarness, running_server
from tests.support.streams import read_number
from tests.support.waiting import HANG_S

WATCH_S = 6.0


async def watch_through(inside: ServerHarness, box: Middlebox) -> Any:
    """The track of a viewer behind the box."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    inside.peers.append(connection)
    tracks: list[Any] = []
    connection.on("track", tracks.append)
    connection.addTransceiver("video", direction="recvonly")
    await connection.setLocalDescription(await connection.createOffer())
    # Without the viewer's own candidates: the server hears of them through the box only.
    offer = "\r\n".join(
        line for line in connection.localDescription.sdp.split("\r\n") if not line.startswith("a=candidate:")
    )
    async with await inside.post(offer) as response:
        assert response.status == 201
        answer = await box.put_between(await response.text())
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    return tracks[0]


async def numbers_of(track: Any, seconds: float) -> tuple[list[int], list[float]]:
    """The pictures' numbers that arrive, at least one, and when."""
    numbers, times_s = list[int](), list[float]()
    ends_at_s = time.perf_counter() + seconds
    while not numbers or time.perf_counter() < ends_at_s:
        frame = await asyncio.wait_for(track.recv(), HANG_S)
        numbers.append(read_number(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)))
        times_s.append(time.perf_counter())
    return numbers, times_s


async def numbers_up_to(track: Any, number: int) -> tuple[list[int], list[float]]:
    """The pictures' numbers that arrive, and when, until one of the present does."""
    numbers, times_s = list[int](), list[float]()
    async with asyncio.timeout(HANG_S):
        while not numbers or numbers[-1] < number:
            seen, at_s = await numbers_of(track, 0.0)
            numbers, times_s = numbers + seen, times_s + at_s
    return numbers, times_s


@pytest.mark.parametrize("loss", [0.02, pytest.param(0.05, marks=pytest.mark.long), 0.10])
async def test_pictures_keep_coming_in_order_whatever_is_lost(loss: float) -> None:
    async with running_server(streams=1) as inside:
        box = Middlebox(loss)
        track = await watch_through(inside, box)
        await numbers_of(track, 1.0)
        numbers, times_s = await numbers_of(track, WATCH_S)
        box.close()
    assert box.lost > 0, "the box was on the way"
    assert numbers == sorted(set(numbers)), "none comes twice, or after a later one"
    sent = numbers[-1] - numbers[0] + 1
    freezes_s = np.diff(times_s)
    print(
        f"{100 * loss:.0f} % of packets lost: {len(numbers)} of {sent} pictures, {len(numbers) / WATCH_S:.1f} fps, "
        f"longest freeze {freezes_s.max():.2f} s, {int((freezes_s > 0.3).sum())} over 0.3 s"
    )
    assert len(numbers) > sent / 3


async def test_after_an_outage_the_pictures_come_back() -> None:
    async with running_server(streams=1) as inside:
        box = Middlebox(0.0)
        track = await watch_through(inside, box)
        before, _ = await numbers_of(track, 1.0)
        box.loss = 1.0
        watching = asyncio.create_task(numbers_up_to(track, before[-1] + 60))
        await asyncio.sleep(1.5)
        box.loss, back_at_s = 0.0, time.perf_counter()
        numbers, times_s = await watching
        box.close()
    after_s = [at_s - back_at_s for at_s in times_s if at_s > back_at_s]
    print(f"back {after_s[0]:.2f} s after an outage of 1.5 s")
    assert numbers == sorted(set(numbers)), "those of the outage do not come late"
