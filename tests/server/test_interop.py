"""Peers that nobody here wrote, beside Chromium (test_page.py) and ffmpeg (test_whip.py).

GStreamer, Firefox, libdatachannel and Janus; `make peers` installs them.
"""

import asyncio
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from server.whip_client import WhipClient
from tests.server.test_page import READ_NUMBERS
from tests.server.test_whip_client import publishing
from tests.support.janus_gateway import janus_gateway
from tests.support.server_harness import button, running_server
from tests.support.streams import BITS, BLOCK_PX, moving_streams
from tests.support.waiting import eventually

pytestmark = pytest.mark.long
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


async def said_by(program: str, *arguments: str, **environment: str) -> str:
    """What a program prints; it has to end well."""
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | environment,
    )
    try:
        said, complaints = await asyncio.wait_for(process.communicate(), 120)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == 0, complaints.decode()
    return said.decode()


def node(package: str) -> str:
    """Where node is, if it has a package; the test is skipped otherwise."""
    program = shutil.which("node")
    if program is None or not (NODE_MODULES / package).is_dir():
        pytest.skip(f"needs node and {package}")
    return program


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_gstreamer_watches(codec: str) -> None:
    if not has_gstreamer():
        pytest.skip("needs GStreamer's webrtcbin and its Python bindings")
    async with running_server(streams=1) as inside:
        script, endpoint = SUPPORT / "gstreamer_viewer.py", f"{inside.server.url}whep"
        watching = asyncio.create_task(said_by(SYSTEM_PYTHON, str(script), endpoint, codec, "30"))
        await eventually(lambda: inside.server.viewers == 1 or watching.done())
        assert (await watching).split() == ["30", "256", "256"]


async def test_firefox_watches() -> None:
    firefox = shutil.which("firefox-esr") or shutil.which("firefox")
    if firefox is None:
        pytest.skip("needs Firefox")
    program = node("puppeteer-core")
    async with running_server(streams=1) as inside:
        given = json.dumps(["person", 30, BITS, BLOCK_PX])
        arguments = [str(SUPPORT / "firefox_page.mjs"), inside.server.url, READ_NUMBERS, given]
        said = await said_by(program, *arguments, NODE_MODULES=str(NODE_MODULES), FIREFOX=firefox)
        numbers = json.loads(said)
        assert numbers == sorted(numbers)
        assert len(set(numbers)) >= 25


async def test_libdatachannel_watches_and_gives_a_command() -> None:
    program, waved = node("node-datachannel"), list[None]()
    async with running_server(streams=1, commands={"wave": button(lambda: waved.append(None))}) as inside:
        arguments = [str(SUPPORT / "datachannel_viewer.mjs"), f"{inside.server.url}whep"]
        said = json.loads(await said_by(program, *arguments, NODE_MODULES=str(NODE_MODULES)))
        assert said["packets"] > 20
        assert said["reply"] == {"status": 200, "id": 1}
        assert len(waved) == 1


async def test_janus_passes_the_published_stream_on(tmp_path: Path) -> None:
    """An SFU, for more viewers than one machine has bandwidth for."""
    if shutil.which("janus") is None:
        pytest.skip("needs Janus")
    with moving_streams(1) as [shared]:
        async with janus_gateway(tmp_path) as gateway:
            client = WhipClient(gateway.endpoint, shared)
            async with publishing(client):
                await eventually(lambda: client.live)
                for numbers in await asyncio.gather(gateway.watch(30), gateway.watch(30)):
                    assert numbers == sorted(numbers)
                    assert len(set(numbers)) >= 25
            assert shared.viewers == 0
