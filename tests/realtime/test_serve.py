"""A live session as its users meet it: commands, a real WebRTC peer, signals, a real browser."""

import asyncio
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from aiohttp import ClientConnectionError, ClientSession
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from playwright.async_api import Browser

from realtime.frame import Frame, Rgb
from realtime.live.bench import BenchResult
from realtime.live.opening import open_session
from realtime.live.output import StreamOutput
from realtime.live.pipeline import CHAIN, STAGES
from realtime.live.run_config import AccessConfig, OutputConfig, RunConfig
from realtime.live.serve import _stopping, serve
from realtime.live.session import Session
from realtime.live.source import FileSource
from realtime.meter import Meter
from realtime.named_films import performers
from realtime.pose.track import PoseTrack
from realtime.subject import load_subject
from realtime.subject_engines import EngineConfig
from server.app import Server
from tests.support.commands import DATA, assert_refused, command, command_here
from tests.support.scripted import ScriptedEstimator, ScriptedRenderer, ScriptedSource
from tests.support.waiting import HANG_S, eventually
from trainer.evaluation.metrics import ssim


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--subject", "bert"], ["no subject 'bert'", "alice"]),
        (["--source", "no.mp4"], ["no.mp4", "bob"]),
        (["--port", "99999"], ["99999"]),
        (["--threads", "0"], ["threads"]),
        (["--source", "whip", "--camera", "0"], ["--camera", "--source", "both"]),
        (["--ice-server", "stun.example"], ["--ice-server", "stun.example", "stun:HOST:PORT"]),
        (["--source", "poses:nowhere"], ["nowhere", "OpenPose"]),
        (["--source", f"poses:{DATA / 'openpose'}", "--fps", "1000"], ["--fps", "1000"]),
        (["--source", f"poses:{DATA / 'openpose'}", "--mirror"], ["--mirror", "poses:"]),
    ],
)
def test_mistakes_get_one_sentence(arguments: list[str], words: list[str]) -> None:
    assert_refused(command_here("realtime", "run", *arguments), *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--camera", "97"], ["Camera 97", "--source"]),
        (["--source", str(Path(__file__))], ["test_serve.py", "cannot be opened"]),
    ],
)
def test_the_libraries_that_open_sources_add_no_sentence(arguments: list[str], words: list[str]) -> None:
    assert_refused(command("realtime", "run", *arguments), *words)


@pytest.mark.parametrize(
    "arguments", [["--source", "nowhere.mp4"], ["--camera", "no such camera"], ["--port", "99999"]], ids=str
)
def test_simple_mistakes_are_found_before_the_server_is_loaded(arguments: list[str]) -> None:
    program = f"""
import sys
from realtime.cli import main
sys.argv = ["realtime", "run", *{arguments!r}]
try:
    main()
except SystemExit as end:
    print(end.code, [name for name in ("aiortc", "openvino", "server.app") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "2 []\n", done.stderr


def test_a_damaged_subject(toy_subject: Path, tmp_path: Path) -> None:
    subject = Path(shutil.copytree(toy_subject, tmp_path / "toy"))
    with (subject / "generator.onnx").open("ab") as file:
        file.write(b"x")
    for verb in ("run", "bench"):
        assert_refused(command("realtime", verb, "--subject", subject), "generator.onnx", "damaged")


def test_a_port_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert_refused(command("realtime", "run", "--source", "bob", "--port", port), port, "in use", "--port")


def test_bench_prints_figures_for_people_and_programs() -> None:
    done = command("realtime", "bench", "--subject", "alice", "--source", "bob", "--seconds", "3")
    assert done.returncode == 0, done.stderr
    assert "capture to encoded" in done.stdout
    assert "Measured at full quality. `realtime run` adapts its own" in done.stdout
    last = json.loads(done.stdout.splitlines()[-1])
    assert last.keys() == set(BenchResult.__struct_fields__)
    assert last["fps"] > 0
    assert last["latency_ms"].keys() == {"p50", "p95", "p99"}
    assert tuple(last["stages_ms"]) == CHAIN
    for name, stage in last["stages_ms"].items():
        assert (0 if name == "parts" else 1e-9) <= stage["p50"] <= stage["p95"], "the bundled alice has no parts"
    assert last["size"] == load_subject("alice").manifest.height_px


@contextmanager
def playing(*options: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`realtime run` in a process of its own, and its URL; killed at the end."""
    port, program = free_port(), Path(sys.executable).with_name("realtime")
    arguments = [program, "run", "--source", DATA / "bob_clip.mp4", "--port", str(port), *options]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_session_and_its_peers(number: signal.Signals) -> None:
    with playing("--mirror") as (process, url):
        assert process.stdout is not None
        while f"{url}/" not in (line := await asyncio.to_thread(process.stdout.readline)):
            assert line, "it ended"
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        peer.addTransceiver("video", direction="recvonly")
        await peer.setLocalDescription(await peer.createOffer())
        async with ClientSession() as http:
            answer = await http.post(
                f"{url}/whep",
                data=peer.localDescription.sdp,
                headers={"Content-Type": "application/sdp"},
            )
            assert answer.status == 201
            stats = await (await http.get(f"{url}/stats")).json()
            assert stats["state"]["mirror"] is True
            await peer.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
        await asyncio.wait_for(peer.getReceivers()[0].track.recv(), HANG_S)
        process.send_signal(number)
        assert await asyncio.to_thread(process.wait, HANG_S) == 0
        async with asyncio.timeout(20):  # a connection that only falls silent is given up after 30 s
            await eventually(lambda: peer.connectionState == "closed")
        await peer.close()


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGHUP])
async def test_two_signals_at_a_time_are_one(tmp_path: Path, second: signal.Signals) -> None:
    """A shell tells its programs, too, that the terminal closes."""
    with playing("--record", tmp_path / "dance.mp4") as (process, _):
        assert process.stdout is not None
        while "first picture" not in (line := await asyncio.to_thread(process.stdout.readline)):
            assert line, "it ended"
        process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.02)
        process.send_signal(second)
        assert "dance.mp4 is kept" in await asyncio.to_thread(process.stdout.read)
        assert await asyncio.to_thread(process.wait, HANG_S) == 0


async def test_whoever_reads_the_first_line_alone_does_not_end_the_session() -> None:
    with playing() as (process, url):
        assert process.stdout is not None
        process.stdout.close()
        async with ClientSession() as http, asyncio.timeout(HANG_S):
            flowing = False
            while not flowing:
                assert process.poll() is None, "it ended"
                await asyncio.sleep(0.2)
                with suppress(ClientConnectionError):
                    flowing = (await http.get(f"{url}/healthz")).status == 200
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, HANG_S) == 0


async def test_an_event_loop_without_signals_is_told_of_them_nevertheless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""

    def unknown(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", unknown)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        stop = _stopping()
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(stop.wait(), HANG_S)
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])


def test_a_source_that_ends_ends_the_session() -> None:
    subject = load_subject("alice")
    source = FileSource(DATA / "bob_clip.mp4", loop=False)
    session = open_session(subject, source, EngineConfig(), always=True)
    session.start()
    assert session.wait(2 * HANG_S)
    session.stop()
    assert session.meter.count("render") > 5


def test_a_failing_thread_ends_the_session_and_its_owner_hears_of_it() -> None:
    class Unplugged(FileSource):
        def read(self) -> Frame | None:
            raise OSError("the cable is out")

    session = open_session(load_subject("alice"), Unplugged(DATA / "bob_clip.mp4", loop=False), EngineConfig())
    session.start()
    with pytest.raises(OSError, match="the cable is out"):
        session.wait(HANG_S)
    session.stop()


async def test_a_browser_shows_alice_doing_what_bob_does(browser: Browser) -> None:
    subject = load_subject("alice")
    rendered: deque[Rgb] = deque(maxlen=600)  # twenty seconds, however slow the page is
    source = FileSource(performers()["bob"], loop=True)
    session = open_session(
        subject, source, EngineConfig(), on_encoded=lambda frame: rendered.append(in_size(frame.rgb, SEEN_PX))
    )
    server = Server(session.streams, title="alice", port=0, info=session.info)
    await server.start()
    session.start()
    try:
        page = await browser.new_page()
        await page.goto(server.url)
        await page.locator("body[data-state=live]").wait_for(timeout=2000 * HANG_S)
        best = empty = 0.0
        async with asyncio.timeout(5 * HANG_S):  # bob needs a few seconds to walk in, and goes out again
            while best <= empty + 0.02:
                rendered.clear()
                png = np.array(await page.evaluate(WATCH, 15), np.uint8)
                shown = np.asarray(cv2.imdecode(png, cv2.IMREAD_COLOR_RGB), np.uint8)
                whole = shown.shape[1::-1] == subject.size_px  # a busy machine gets a smaller, coarser rendition
                shown = in_size(shown, SEEN_PX)
                empty = ssim(shown, in_size(subject.plate, SEEN_PX))
                best = max(ssim(shown, rgb) for rgb in rendered.copy())
                assert best > (0.9 if whole else 0.75), f"the page shows something else (SSIM {best:.3f})"
        await page.close()
    finally:
        await server.stop()
        await asyncio.to_thread(session.stop)


SEEN_PX = 256, 256
"""Pictures are compared in this size."""


def in_size(rgb: Rgb, size_px: tuple[int, int]) -> Rgb:
    return np.asarray(cv2.resize(rgb, size_px, interpolation=cv2.INTER_AREA), np.uint8)


WATCH = """async (count) => {
  const video = document.querySelector("video");
  const small = new OffscreenCanvas(32, 32).getContext("2d", {willReadFrequently: true});
  const seen = new Set();
  while (seen.size < count) {
    await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
    small.drawImage(video, 0, 0, 32, 32);
    seen.add(small.getImageData(0, 0, 32, 32).data.join());
  }
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await canvas.convertToBlob({type: "image/png"});
  return Array.from(new Uint8Array(await blob.arrayBuffer()));
}"""
"""Waits for so many distinct frames and returns the last one as the bytes of a PNG."""


def test_a_signal_while_loading_ends_it_at_once(tmp_path: Path) -> None:
    """Compilers of engines cannot be interrupted: whoever wants to leave does not wait for them."""
    program = f"""
import sys, time
import realtime.live.serve as serve
serve.open_session = lambda *_, **__: (print("loading", flush=True), time.sleep(60))
from realtime.cli import main
sys.argv = ["realtime", "run", "--source", "bob", "--port", "{free_port()}"]
main()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0


@pytest.mark.parametrize(
    ("options", "said", "unsaid"),
    [
        ({}, r"Watch at http://127.0.0.1:\d+/ \(Ctrl-C ends\)", "token"),
        ({"source": "whip"}, r"Publish by WHIP to http://127.0.0.1:\d+/whip", "token"),
        (
            {"access": AccessConfig(port=0, host="0.0.0.0")},
            r"Watch at http://127\S+/\?token=(\S{32}) (.|\n)*publish at http://127\S+token=(?!\1)",
            "Without",
        ),
        (
            {"source": "whip", "access": AccessConfig(port=0, host="0.0.0.0")},
            r"Publish by WHIP to http://127.0.0.1:(\d+)/whip or http://192.0.2.7:\1/whip",
            "https://",
        ),
        (
            {"source": "whip", "access": AccessConfig(port=0, host="0.0.0.0")},
            r"https pages only: begin with --tls",
            "https://",
        ),
        ({"source": "whip", "access": AccessConfig(port=0, host="0.0.0.0", tls=True)}, "/whip", "begin with --tls"),
        ({"access": AccessConfig(port=0, host="0.0.0.0", no_token=True)}, "Without tokens everybody", "?token="),
        ({"output": OutputConfig(no_badge=True)}, "do not say that they are AI-generated", "token"),
        (
            {"access": AccessConfig(port=0, tls=True)},
            r"SHA-256 fingerprint: ([0-9A-F]{2}:){31}(.|\n)*Watch at https://127",
            "token",
        ),
    ],
)
async def test_what_is_said_of_where_to_watch(
    options: dict[str, Any],
    said: str,
    unsaid: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def scripted(*_: object, **__: object) -> Session:
        source = ScriptedSource([np.zeros((64, 64, 3), np.uint8)] * 10)
        track = PoseTrack(ScriptedEstimator())
        return Session(source, track, ScriptedRenderer(), [StreamOutput("alice")], meter=Meter(*STAGES))

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("realtime.live.serve.open_session", scripted)
    monkeypatch.setattr("server.address._lan_addresses", lambda *_: ["192.0.2.7"])
    await serve(RunConfig(**{"source": "bob", "access": AccessConfig(port=0), **options}))
    text = capsys.readouterr().out + caplog.text
    assert re.search(said, text), text
    assert unsaid not in text
