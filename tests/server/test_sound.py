"""The shared sound: packets without gaps, nothing that piles up, and what publishers send of it."""

import asyncio
import threading
import time
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection
from aiortc.rtp import RtcpSenderInfo, RtcpSrPacket

from realtime.live.latest import Latest
from server.protocols import ReceivedPicture
from server.sound import BACKLOG, PACKET_SAMPLES, RATE_HZ, Samples, SharedSound, SoundPacket, _Pieces
from server.sound_clock import SoundClock
from server.sound_track import BACKLOG as LISTENER_BACKLOG
from server.sound_track import SoundBroadcast, SoundTrack
from tests.support.claps import LOUD, Onsets, offsets_s
from tests.support.server_harness import _exchange, offer_of, running_server
from tests.support.streams import in_thread
from tests.support.waiting import eventually, until


def ramp(count: int, at_s: float, first: int = 1) -> Samples:
    """Samples that count from `first`."""
    return Samples(np.arange(first, first + count, dtype=np.int16)[:, None].repeat(2, axis=1), at_s)


def joined(parts: list[tuple[int, Any]]) -> tuple[list[int], list[int]]:
    return [pts for pts, _ in parts], np.concatenate([pcm for _, pcm in parts])[:, 0].tolist()


def test_pieces_of_any_length_become_packets_without_gaps() -> None:
    pieces, parts, at = _Pieces(), [], 0
    for count in (100, 1024, 1, 960, 2000, 715):
        jitter_s = 0.01 if count % 2 else -0.01
        parts += pieces.add(ramp(count, 7 + at / RATE_HZ + (jitter_s if at else 0), at + 1))
        at += count
    pts, values = joined(parts)
    assert pts == [7 * RATE_HZ + number * PACKET_SAMPLES for number in range(5)]
    assert values == list(range(1, 5 * PACKET_SAMPLES + 1))


def test_gaps_are_silent_and_what_comes_twice_is_left_out() -> None:
    pieces = _Pieces()
    parts = pieces.add(ramp(960, 0.0)) + pieces.add(ramp(1920, 0.06)) + pieces.add(ramp(4800, 0.06))
    pts, values = joined(parts)
    assert pts == [number * PACKET_SAMPLES for number in range(len(pts))]
    assert values[960:2880] == [0] * 1920
    assert values[2880:4800] == list(range(1, 1921))
    assert values[4800:] == list(range(1921, 4801))


def test_after_a_long_silence_it_begins_anew() -> None:
    pieces = _Pieces()
    pieces.add(ramp(100, 0.0))
    assert [pts for pts, _ in pieces.add(ramp(960, 30.0))] == [30 * RATE_HZ]


def test_sound_waits_for_its_picture_and_then_queues_nowhere() -> None:
    sound, heard = SharedSound(), list[tuple[float, SoundPacket]]()

    def hear(packet: SoundPacket) -> None:
        heard.append((time.perf_counter(), packet))

    sound.put(ramp(4800, time.perf_counter()))
    assert not sound._waiting, "nobody listens"
    for _ in range(30):
        sound.picture_took(0.25)
    sound.listen(hear)
    with in_thread(sound.run):
        sound.put(ramp(4800, time.perf_counter()))
        until(lambda: len(heard) >= 5)
    assert len(heard) == 5
    assert all(at_s - packet.pts / RATE_HZ >= 0.25 for at_s, packet in heard)
    for number in range(40):
        sound.put(ramp(RATE_HZ // 4, time.perf_counter() + 100 + number / 4))
    assert len(sound._waiting) == BACKLOG
    sound.forget(hear)
    assert not sound._waiting


async def test_a_listener_that_stands_still_keeps_the_newest() -> None:
    sound = SharedSound()
    broadcast = SoundBroadcast(sound)
    track, other = SoundTrack(broadcast), SoundTrack(broadcast)
    receiving = [asyncio.create_task(each.recv()) for each in (track, other)]
    await eventually(lambda: broadcast.listeners == 2)
    (hear,) = sound._listeners
    for number in range(3 * LISTENER_BACKLOG):
        hear(SoundPacket(b"x", number))
        await asyncio.sleep(0)
    await asyncio.gather(*receiving)
    newest = [(await track.recv()).pts for _ in range(LISTENER_BACKLOG)]
    assert newest == list(range(2 * LISTENER_BACKLOG, 3 * LISTENER_BACKLOG))
    track.stop()
    other.stop()
    assert broadcast.listeners == 0
    assert not sound._listeners


def report(ntp_s: float, rtp: int) -> RtcpSrPacket:
    info = RtcpSenderInfo(ntp_timestamp=round(ntp_s * (1 << 32)), rtp_timestamp=rtp, packet_count=0, octet_count=0)
    return RtcpSrPacket(ssrc=1, sender_info=info)


def test_a_publisher_s_reports_tell_which_sound_belongs_to_which_picture() -> None:
    clock = SoundClock()
    clock.hear("video", report(5000.0, (1 << 32) - 90_000), (1 << 32) - 180_000)  # its pts 90,000; wraps soon
    clock.hear("audio", report(5002.0, 96_000), 0)
    for number in range(9):  # taken at 5001 s and later, and 0.2 s on the way
        clock.picture(180_000 + number * 3000, 100.2 + number / 30)
    assert clock.sound_at_s(96_000, 101.5) == pytest.approx(101.2, abs=1e-3)
    assert clock.sound_at_s(96_960, 101.6) == pytest.approx(101.22, abs=1e-3)


def test_without_reports_sound_counts_from_when_it_comes() -> None:
    clock = SoundClock()
    times_s = [clock.sound_at_s(number * 960, 50 + number * 0.02 + 0.005 * (number % 3)) for number in range(60)]
    assert np.diff(times_s) == pytest.approx(0.02, abs=1e-6)
    assert times_s[-1] == pytest.approx(50 + 59 * 0.02, abs=0.02)


@pytest.mark.parametrize("direction", ["recvonly", "sendrecv", "inactive"])
async def test_sound_is_sent_to_who_asks_for_it(direction: str) -> None:
    offer = await offer_of(1) + (await offer_of(1, "audio", direction)).partition("m=audio")[2].join(["m=audio", ""])
    offer = offer.replace("a=group:BUNDLE 0\r\n", "").replace("a=mid:0", "a=mid:1").replace("a=mid:1", "a=mid:0", 1)
    async with running_server(streams=1, sound=SoundBroadcast(SharedSound())) as inside:
        answer = await (await inside.post(offer)).text()
    assert ("a=sendonly" in answer.partition("m=audio")[2]) == (direction != "inactive"), answer
    async with running_server(streams=1) as inside:
        answer = await (await inside.post(offer)).text()
    assert "a=sendonly" not in answer.partition("m=audio")[2]


class ClapTrack(MediaStreamTrack):
    """Half of a publisher's claps, one each second by the clock that both halves share."""

    def __init__(self, kind: str, begun_at_s: float) -> None:
        super().__init__()
        self.kind, self._begun_at_s, self._number = kind, begun_at_s, 0

    async def recv(self) -> av.VideoFrame | av.AudioFrame:
        rate = 25 if self.kind == "video" else 50
        at_s, on = self._number / rate, self._number % rate == 0
        await asyncio.sleep(max(0.0, self._begun_at_s + at_s - time.monotonic()))
        self._number += 1
        frame: av.VideoFrame | av.AudioFrame
        if self.kind == "video":
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 255 * on, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(at_s * 90_000), Fraction(1, 90_000)
        else:
            wave = (20_000 * on * np.cos(np.arange(960) / 7)).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, self._number * 960 - 960, Fraction(1, RATE_HZ)
        return frame


@pytest.mark.long  # it measures, which a busy machine spoils
async def test_a_publisher_s_sound_comes_with_its_pictures() -> None:
    flashes, clicks, pictures = Onsets(128), Onsets(LOUD), Latest[ReceivedPicture]()

    def hear(samples: Samples) -> None:
        for number, value in enumerate(np.abs(samples.pcm).max(axis=1) / 32_768):
            clicks.add(float(value), samples.captured_at_s + number / RATE_HZ)

    def look(stop: threading.Event) -> None:
        while not stop.is_set():
            if picture := pictures.take(0.1):
                flashes.add(float(picture.frame.to_ndarray(format="gray").mean()), picture.received_at_s)

    async with running_server(inlet=pictures, hear=hear) as inside:
        publisher = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        inside.peers.append(publisher)
        begun_at_s = time.monotonic() + 0.5
        for kind in ("video", "audio"):
            publisher.addTransceiver(ClapTrack(kind, begun_at_s), direction="sendonly")
        await _exchange(inside.http, publisher, "/whip")
        with in_thread(look):
            await eventually(lambda: len(clicks.times_s) >= 8 and len(flashes.times_s) >= 8)
    offsets = offsets_s(flashes.times_s, clicks.times_s)
    print("of a publisher:", [round(1000 * each) for each in offsets], "ms")
    assert abs(float(np.median(offsets[3:]))) <= 0.04, offsets
