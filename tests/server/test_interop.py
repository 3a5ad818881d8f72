"""Peers that nobody here wrote, beside Chromium (test_page.py) and ffmpeg (test_whip.py): GStreamer and Firefox."""

import asyncio
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.server.test_page import READ_NUMBERS
from tests.support.server_harness import running_server, until
from tests.support.streams import BITS, BLOCK_PX

SUPPORT = Path(__file__).parents[1] / "support"
NODE_MODULES = Path(os.environ.get("NODE_MODULES", Path(__file__).parents[2] / ".venv" / "node_modules"))
SYSTEM_PYTHON = "/usr/bin/python3"
"""GStreamer's bindings are the system's."""
HAS_GSTREAMER = """
import gi
gi.require_version("Gst", "1.0"); gi.require_version("GstWebRTC", "1.0")
from gi.repository import Gst
Gst.init(None)
names = "webrtcbin nicesrc rtpvp8depay vp8dec rtph264depay avdec_h264".split()
assert all(map(Gst.ElementFactory.find, names))
"""


@cache
def has_gstreamer() -> bool:
    if not Path(SYSTEM_PYTHON).exists():
        return False
    return subprocess.run([SYSTEM_PYTHON, "-c", HAS_GSTREAMER], capture_output=True, check=False).returncode == 0


@pytest.mark.long
@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_gstreamer_watches(codec: str) -> None:
    if not has_gstreamer():
        pytest.skip("needs GStreamer's webrtcbin and its Python bindings; `make gstreamer` installs them")
    async with running_server(streams=1) as inside:
        arguments = [SUPPORT / "gstreamer_viewer.py", f"{inside.server.url}whep", codec, "30"]
        process = await asyncio.create_subprocess_exec(
            SYSTEM_PYTHON, *map(str, arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        await until(lambda: inside.server.viewers == 1, timeout_s=20)
        said, complaints = await asyncio.wait_for(process.communicate(), 60)
        assert said.split() == [b"30", b"256", b"256"], complaints.decode()


@pytest.mark.long
async def test_firefox_watches() -> None:
    firefox, node = shutil.which("firefox-esr") or shutil.which("firefox"), shutil.which("node")
    if firefox is None or node is None or not (NODE_MODULES / "puppeteer-core").is_dir():
        pytest.skip("needs Firefox, node and puppeteer-core; `make firefox` installs them")
    async with running_server(streams=1) as inside:
        arguments = [inside.server.url, READ_NUMBERS, json.dumps(["person", 30, BITS, BLOCK_PX])]
        process = await asyncio.create_subprocess_exec(
            node,
            str(SUPPORT / "firefox_page.mjs"),
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"NODE_MODULES": str(NODE_MODULES), "FIREFOX": firefox},
        )
        said, complaints = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == 0, complaints.decode()
        numbers = json.loads(said)
        assert numbers == sorted(numbers)
        assert len(set(numbers)) >= 25
