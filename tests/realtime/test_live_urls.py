"""Live sources by URL, as real servers send them: RTSP by GStreamer, HTTP by FFmpeg."""

import io
import itertools
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest

from realtime.frame import Frame
from realtime.live.source import open_source
from realtime.live.stream_source import StreamSource
from realtime.pose.estimation.config import PoseConfig
from server.sound import RATE_HZ, Samples
from tests.realtime.test_serve import free_port
from tests.server.test_interop import SYSTEM_PYTHON
from tests.support.streams import numbered_picture, read_number
from tests.support.waiting import HANG_S

SERVER = Path(__file__).parents[1] / "support" / "rtsp_server.py"
HAS_SERVER = """
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
assert Gst.ElementFactory.find("vp8enc")
"""


@cache
def has_rtsp_server() -> bool:
    if not Path(SYSTEM_PYTHON).exists():
        return False
    return subprocess.run([SYSTEM_PYTHON, "-c", HAS_SERVER], capture_output=True, check=False).returncode == 0


@contextmanager
def rtsp_server(port: int) -> Iterator[None]:
    with subprocess.Popen([SYSTEM_PYTHON, str(SERVER), str(port)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "serving\n"
            yield
        finally:
            process.kill()


def some(source: StreamSource, count: int) -> list[Frame]:
    frames = [source.read() for _ in range(count)]
    assert None not in frames
    return [frame for frame in frames if frame]


def test_an_rtsp_camera_plays_and_is_waited_for_when_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_rtsp_server():
        pytest.skip("needs GStreamer's RTSP server and its Python bindings")
    monkeypatch.setattr("realtime.live.stream_source.REOPEN_S", 0.2)
    port = free_port()
    with rtsp_server(port):
        source, heard = StreamSource(f"rtsp://127.0.0.1:{port}/live", reopen=True), list[Samples]()
        assert source.has_sound
        source.listen(heard.append)
        frames = some(source, 60)
        assert {frame.rgb.shape for frame in frames} == {(240, 320, 3)}
        assert any((one.rgb != other.rgb).any() for one, other in itertools.pairwise(frames))
        assert [frame.number for frame in frames] == list(range(60))
        assert any(np.abs(samples.pcm).max() > 1000 for samples in heard)
        last = heard[-1]
        assert last.captured_at_s + len(last.pcm) / RATE_HZ == pytest.approx(frames[-1].captured_at_s, abs=1.0)
    came_back = list[Frame]()
    reader = threading.Thread(target=lambda: came_back.extend(some(source, 60)))
    reader.start()
    time.sleep(1.0)
    with rtsp_server(port):
        reader.join(HANG_S)
    source.close()
    assert len(came_back) == 60


def transport_stream(count: int) -> bytes:
    """Numbered pictures as MPEG-TS."""
    written = io.BytesIO()
    with av.open(written, "w", format="mpegts") as container:
        track = container.add_stream("libx264", rate=30, options={"preset": "ultrafast", "tune": "zerolatency"})
        assert isinstance(track, av.VideoStream)
        track.width = track.height = 256
        track.pix_fmt = "yuv420p"
        for number in range(count):
            container.mux(track.encode(av.VideoFrame.from_ndarray(numbered_picture(number), format="rgb24")))
        container.mux(track.encode(None))
    return written.getvalue()


class Live(BaseHTTPRequestHandler):
    """Sends without saying how much there will be, a piece at a time, and breaks off."""

    content = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        for at in range(0, len(self.content), 20_000):
            self.wfile.write(self.content[at : at + 20_000])
            time.sleep(0.02)

    def log_message(self, *_: object) -> None:
        """Nothing is told."""


def test_a_live_stream_by_http_is_opened_again_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.live.stream_source.REOPEN_S", 0.1)
    monkeypatch.setattr(Live, "content", transport_stream(60))
    with ThreadingHTTPServer(("127.0.0.1", 0), Live) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        source, remark = open_source(None, f"http://127.0.0.1:{server.server_port}/live", pose=PoseConfig(person=3))
        assert isinstance(source, StreamSource)
        assert remark is not None
        assert "fewer than 3 people" in remark
        numbers = [read_number(frame.rgb) for frame in some(source, 90)]
        source.close()
        server.shutdown()
        thread.join()
    begun_again = numbers.index(min(numbers), 1)
    assert numbers[:begun_again] == sorted(set(numbers[:begun_again]))
    assert begun_again >= 50
    assert numbers[begun_again:] == sorted(set(numbers[begun_again:]))
