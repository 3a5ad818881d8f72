"""Publishers as a session's source: they come, turn their phones, leave, and others go on."""

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

import aiohttp
import av
import numpy as np
import pytest

from realtime.figure import Figure
from realtime.frame import Rgb
from realtime.live.pipeline import STAGES
from realtime.live.session import Session
from realtime.live.whip_source import WhipSource
from realtime.meter import Meter
from realtime.pose.track import PoseTrack
from server.protocols import ReceivedPicture
from tests.realtime.test_serve import free_port
from tests.support.scripted import KeptOutput, ScriptedEstimator, ScriptedRenderer
from tests.support.server_harness import NumberedTrack, publish, receive, watch
from tests.support.standing_pose import standing
from tests.support.streams import read_number
from tests.support.waiting import HANG_S, until


def picture(width_px: int, height_px: int, grey: int = 90) -> ReceivedPicture:
    rgb = np.full((height_px, width_px, 3), grey, np.uint8)
    return ReceivedPicture(
        av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p"), time.perf_counter()
    )


def test_the_newest_picture_is_read_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.live.whip_source.GONE_S", 3600)
    source = WhipSource()
    source.inlet.put(picture(64, 48))
    newest = picture(48, 64, 200)
    source.inlet.put(newest)
    frame = source.read()
    assert frame is not None
    assert frame.rgb.shape == (64, 48, 3)
    assert abs(int(frame.rgb.mean()) - 200) < 3
    assert frame.captured_at_s == newest.received_at_s
    closing = threading.Timer(0.1, source.close)
    closing.start()
    assert source.read() is None
    closing.join()


def test_who_has_gone_is_no_longer_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.live.whip_source.GONE_S", 0.5)
    source = WhipSource()
    for grey in (90, 200):
        source.inlet.put(picture(64, 48, grey))
        shown, after = source.read(), source.read()
        assert shown is not None
        assert after is not None
        assert shown.rgb.any()
        assert after.rgb.shape == shown.rgb.shape
        assert not after.rgb.any()
        assert after.number == shown.number + 1
    closing = threading.Timer(0.5, source.close)
    closing.start()
    assert source.read() is None, "one black picture is enough"
    closing.join()


def test_what_came_while_something_else_was_followed_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.live.whip_source.GONE_S", 3600)
    source = WhipSource()
    old, new = picture(64, 48), picture(48, 64)
    source.inlet.put(ReceivedPicture(old.frame, old.received_at_s - 3601))
    putting = threading.Timer(0.3, source.inlet.put, [new])
    putting.start()
    frame = source.read()
    putting.join()
    assert frame is not None
    assert frame.captured_at_s == new.received_at_s


def test_a_session_outlives_its_publishers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.live.session.SILENT_S", 0.3)
    monkeypatch.setattr("realtime.live.session.IDLE_S", 0.6)
    monkeypatch.setattr("realtime.live.session.FLOW_S", 0.5)

    class Present(ScriptedRenderer):
        def step(self, figure: Figure) -> Rgb:
            return np.full_like(figure.rgb, 0 if figure.pose is None else 50)

    source, output, preview = WhipSource(), KeptOutput(), KeptOutput()
    track = PoseTrack(ScriptedEstimator(standing(scale=0.5)))
    session = Session(source, track, Present(), [output], previews=[preview], meter=Meter(*STAGES))
    session.start()
    for size_px in ((320, 240), (240, 320), (640, 480)):  # a phone, the phone turned, another publisher
        until(lambda: bool(output.frames) and (output.frames[-1].rgb == 0).all())
        until(lambda: session.info().get("notice") == "No picture from the publisher. Waiting for it…")
        until(lambda: not session.info()["flowing"])

        def shown(size_px: tuple[int, int] = size_px) -> bool:
            sent = bool(preview.frames) and preview.frames[-1].rgb.shape == (size_px[1], size_px[0], 3)
            return sent and bool((output.frames[-1].rgb == 50).all())

        def send(size_px: tuple[int, int] = size_px) -> None:
            source.inlet.put(picture(*size_px))

        until(shown, send)
        until(lambda: "notice" not in session.info(), send)
        until(lambda: bool(session.info()["flowing"]), send)
    session.stop()


async def test_the_command_line_plays_what_is_published() -> None:
    port = free_port()
    command = [str(Path(sys.executable).with_name("realtime")), "run", "--source", "whip", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            while f"http://127.0.0.1:{port}/whip" not in (line := await asyncio.to_thread(process.stdout.readline)):
                assert line, "it ended"
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
                viewer, tracks, _ = await watch(http)
                idle = (await receive(tracks[0], 1))[0]
                publisher, _ = await publish(http, NumberedTrack())
                numbers = [read_number(rgb) for rgb in await receive(tracks[1], 10)]
                await publisher.close()
                await viewer.close()
        finally:
            process.terminate()
            assert process.wait(HANG_S) == 0
    assert idle.std() > 5, "the empty room"
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 5
