"""Sound goes with the picture that it belongs to: in recordings and at viewers, measured with claps."""

import asyncio
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpReceiver
from aiortc.rtp import RtpPacket

from realtime.frame import Frame
from realtime.live.film_sound import FilmSound
from realtime.live.recording import RecordingOutput
from realtime.live.source import FileSource, open_source
from server.app import Server
from server.sound import Samples, SharedSound
from server.sound_track import SoundBroadcast
from tests.support.claps import CLAPS_S, FPS, LENGTH_S, LOUD, Onsets, clap_film, clapping, loudness, offsets_s
from tests.support.commands import DATA
from tests.support.live_server import live_server
from tests.support.server_harness import watch
from tests.support.streams import in_thread, numbered_picture
from tests.support.waiting import eventually, until

ALLOWED_S = 0.04


def recorded_onsets(path: Path) -> tuple[list[float], list[float]]:
    flashes, clicks = Onsets(128), Onsets(LOUD)
    with av.open(str(path)) as container:
        for picture in container.decode(video=0):
            flashes.add(float(picture.to_ndarray(format="gray").mean()), float(picture.time or 0))
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            for number, value in enumerate(loudness(frame)):
                clicks.add(value, float(frame.time or 0) + number / frame.sample_rate)
    return flashes.times_s, clicks.times_s


def test_a_recording_has_the_sound_at_its_pictures(tmp_path: Path) -> None:
    """All of it has happened already, so nothing waits for its time."""
    sound, begun_at_s = SharedSound(), time.perf_counter() - 4
    recording = RecordingOutput(tmp_path / "out.mp4", sound=sound)
    click = np.full((480, 2), 20_000, np.int16)
    click[::2] *= -1
    with in_thread(sound.run):
        for number in range(60):
            at_s, clap = begun_at_s + number / 20, number % 20 == 10
            sound.put(Samples(np.concatenate([click * clap, np.zeros((1920, 2), np.int16)]), at_s))
            rgb = np.full((64, 64, 3), 255 * clap, np.uint8)
            recording.write(Frame(rgb=rgb, captured_at_s=at_s, number=number))
            taken(recording)
        until(lambda: not sound._waiting)
    recording.close()
    flashes_s, clicks_s = recorded_onsets(tmp_path / "out.mp4")
    assert flashes_s == pytest.approx([0.5, 1.5, 2.5], abs=0.001)
    assert clicks_s == pytest.approx(flashes_s, abs=0.01)


def test_a_recording_goes_on_while_sound_does_not(tmp_path: Path) -> None:
    recording = RecordingOutput(tmp_path / "out.mp4", sound=SharedSound())
    for number in range(60):
        rgb = numbered_picture(number)
        recording.write(Frame(rgb=rgb, captured_at_s=100 + number / 20, number=number))
        taken(recording)
    until(lambda: recording.path.stat().st_size > 10_000)
    recording.close()
    assert recorded_onsets(tmp_path / "out.mp4")[1] == []
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(list(container.decode(video=0))) == 60


def taken(recording: RecordingOutput) -> None:
    """Wait until it has the frame, so that none is overtaken."""
    until(lambda: recording._frames._value is None)


@pytest.mark.long  # it measures, which a busy machine spoils
def test_a_recording_of_a_session_has_the_sound_at_its_pictures(tmp_path: Path) -> None:
    with clapping(FileSource(clap_film(tmp_path / "claps.mp4"), loop=True)) as (session, sound):
        recording = RecordingOutput(tmp_path / "out.mp4", sound=sound)
        session.add(recording)
        time.sleep(2.2 * LENGTH_S)  # so the film's seam is in it
        session.remove(recording)
        assert sound.heard
    flashes_s, clicks_s = recorded_onsets(tmp_path / "out.mp4")
    offsets = offsets_s(flashes_s, clicks_s)
    print("in the recording:", [round(1000 * each) for each in offsets], "ms")
    assert len(offsets) >= 3
    assert abs(float(np.median(offsets))) <= ALLOWED_S, offsets


class Ear:
    """When what an aiortc viewer sees and hears has come to it, by its RTP packets."""

    def __init__(self, connection: RTCPeerConnection) -> None:
        self._arrivals_s: dict[tuple[str, int], float] = {}
        self._mappers: dict[str, Any] = {}
        self.flashes, self.clicks = Onsets(128), Onsets(LOUD)
        for receiver in connection.getReceivers():
            self._follow(receiver, receiver.track.kind)

    def _follow(self, receiver: RTCRtpReceiver, kind: str) -> None:
        handle = receiver._handle_rtp_packet
        self._mappers[kind] = receiver._RTCRtpReceiver__timestamp_mapper  # type: ignore[attr-defined]

        async def note(packet: RtpPacket, arrival_time_ms: int) -> None:
            self._arrivals_s.setdefault((kind, packet.timestamp), time.perf_counter())
            await handle(packet, arrival_time_ms=arrival_time_ms)

        receiver._handle_rtp_packet = note  # type: ignore[method-assign]

    async def look(self, track: MediaStreamTrack) -> None:
        while True:
            frame = await track.recv()
            stamp = (int(frame.pts or 0) + self._mappers[track.kind]._origin) % 2**32
            at_s = self._arrivals_s[track.kind, stamp]
            if isinstance(frame, av.AudioFrame):
                for number, value in enumerate(loudness(frame)):
                    self.clicks.add(value, at_s + number / frame.sample_rate)
            elif isinstance(frame, av.VideoFrame):
                self.flashes.add(float(frame.to_ndarray(format="gray").mean()), at_s)


@pytest.mark.long
@pytest.mark.parametrize("live", [False, True], ids=["film", "live"])
async def test_viewers_hear_the_sound_with_its_pictures(tmp_path: Path, *, live: bool) -> None:
    film = clap_film(tmp_path / "claps.mp4", rounds=15)
    with ExitStack() as ends:
        address = ends.enter_context(live_server(film)) if live else str(film)
        source, _ = await asyncio.to_thread(open_source, None, address)
        session, sound = ends.enter_context(clapping(source))
        broadcast = SoundBroadcast(sound)
        server = Server(session.streams, port=0, sound=broadcast)
        await server.start()
        async with aiohttp.ClientSession(server.url) as http:
            connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            connection.addTransceiver("audio", direction="recvonly")
            connection, tracks, _ = await watch(http, connection, videos=1)
            ear = Ear(connection)
            tasks = [asyncio.create_task(ear.look(track)) for track in tracks]
            assert {track.kind for track in tracks} == {"audio", "video"}
            await eventually(lambda: len(ear.clicks.times_s) >= 5 and len(ear.flashes.times_s) >= 5)
            assert (await (await http.get("/stats")).json())["sound"]
            for task in tasks:
                task.cancel()
            deaf, tracks, _ = await watch(http, videos=1)
            assert [track.kind for track in tracks] == ["video"]
            await connection.close()
            await eventually(lambda: broadcast.listeners == 0)
            await deaf.close()
        await server.stop()
    offsets = offsets_s(ear.flashes.times_s, ear.clicks.times_s)
    print("at the viewer:", [round(1000 * each) for each in offsets], "ms")
    assert len(offsets) >= 3
    assert abs(float(np.median(offsets))) <= ALLOWED_S, offsets


def test_the_sound_of_a_film_repeats_with_it(tmp_path: Path) -> None:
    sound = FilmSound(clap_film(tmp_path / "claps.mp4"))
    clicks, end_s = Onsets(LOUD), 0.0
    for repeat in range(3):
        for step in range(40):
            for pcm, at_s in sound.until(repeat * LENGTH_S + step / 20):
                end_s = at_s + len(pcm) / 48_000
                for number, value in enumerate(np.abs(pcm).max(axis=1) / 32_768):
                    clicks.add(float(value), at_s + number / 48_000)
        sound.begin((repeat + 1) * LENGTH_S)
    expected = [repeat * LENGTH_S + at_s for repeat in range(3) for at_s in CLAPS_S]
    assert clicks.times_s == pytest.approx(expected, abs=0.005)
    assert end_s <= 3 * LENGTH_S + 0.05
    sound.close()


def test_the_sound_of_a_film_that_was_away_is_back_with_its_pictures(tmp_path: Path) -> None:
    film = clap_film(tmp_path / "claps.mp4")
    source, heard = FileSource(film, loop=True), list[Samples]()
    source.listen(heard.append)
    assert source.read()
    back = threading.Timer(LENGTH_S + 0.5, film.rename(tmp_path / "away.mp4").rename, [film])
    back.start()
    flashes, clicks = Onsets(128), Onsets(LOUD)
    for _ in range(round(2 * LENGTH_S * FPS) - 1):
        frame = source.read()
        assert frame
        flashes.add(float(frame.rgb.mean()), frame.captured_at_s)
    back.join()
    source.close()
    for samples in heard:
        for number, value in enumerate(np.abs(samples.pcm).max(axis=1) / 32_768):
            clicks.add(float(value), samples.captured_at_s + number / 48_000)
    assert len(flashes.times_s) == 2 * len(CLAPS_S)
    assert clicks.times_s == pytest.approx(flashes.times_s, abs=ALLOWED_S)


def test_a_film_without_sound_makes_none(tmp_path: Path) -> None:
    source, heard = FileSource(DATA / "bob_clip.mp4", loop=False), list[object]()
    assert not source.has_sound
    source.listen(heard.append)
    assert source.read() is not None
    assert source.read() is not None
    assert not heard
    source.close()
    threads = {thread.name for thread in threading.enumerate()}
    assert "sound" not in threads
