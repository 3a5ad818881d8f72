"""The sound of the page, in a real browser."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from playwright.async_api import Browser, Page, expect

from realtime.live.source import FileSource
from server.app import Server
from server.sound_track import SoundBroadcast
from tests.server.test_page import Visit, stage, visit
from tests.support.claps import clap_film, clapping, offsets_s
from tests.support.waiting import HANG_S, eventually

LISTEN = """async (seconds) => {
  const video = document.getElementById("person");
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const flashes = [], clicks = [], last = { flash: -1, click: -1 };
  const note = (kind, times) => {
    const now = performance.now() / 1000;
    if (now - last[kind] > 0.3) times.push(now);
    last[kind] = now;
  };
  const look = () => {
    canvas.drawImage(video, 0, 0, 1, 1);
    if (canvas.getImageData(0, 0, 1, 1).data[1] > 128) note("flash", flashes);
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
  const context = new AudioContext({ latencyHint: "interactive" });
  const tap = context.createScriptProcessor(256, 2, 1);
  tap.onaudioprocess = ({ inputBuffer }) => {
    if (inputBuffer.getChannelData(0).some((value) => Math.abs(value) > 0.1)) note("click", clicks);
  };
  context.createMediaStreamSource(video.srcObject).connect(tap).connect(context.destination);
  await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
  return [flashes, clicks];
}"""
REMEMBER = """
  const Connection = RTCPeerConnection;
  globalThis.connections = [];
  globalThis.RTCPeerConnection = class extends Connection {
    constructor(...options) {
      super(...options);
      connections.push(this);
    }
  };
"""
LATE = """async () => {
  const reports = (await connections.at(-1).getStats()).values();
  const played = Object.fromEntries([...reports].filter((report) => report.type === "inbound-rtp")
    .map((report) => [report.kind, report.estimatedPlayoutTimestamp]));
  return played.audio && played.video ? (played.video - played.audio) / 1000 : null;
}"""
"""By how many seconds what is heard is older than what is seen; null while the browser does not keep them in time."""


async def late_s(page: Page) -> float:
    """As soon as the browser knows; it needs some reports of the sender."""
    async with asyncio.timeout(HANG_S):
        while (found := await page.evaluate(LATE)) is None:
            await asyncio.sleep(0.1)
    return float(found)


async def until_tracks(page: Page, count: int) -> None:
    async with asyncio.timeout(HANG_S):
        while await page.evaluate("person.srcObject?.getAudioTracks().length") != count:
            await asyncio.sleep(0.05)


@asynccontextmanager
async def page_with_sound(browser: Browser, path: Path) -> AsyncIterator[tuple[Visit, SoundBroadcast]]:
    with clapping(FileSource(clap_film(path), loop=True)) as (session, sound):
        broadcast = SoundBroadcast(sound)
        server = Server(session.streams, port=0, sound=broadcast)
        await server.start()
        visitor = await visit(browser, server.url, script=REMEMBER)
        await visitor.live()
        yield visitor, broadcast
        await server.stop()


async def test_sound_is_off_until_it_is_switched_on(browser: Browser, tmp_path: Path) -> None:
    async with page_with_sound(browser, tmp_path / "claps.mp4") as (visitor, broadcast):
        button = visitor.page.get_by_role("button", name="Sound", exact=True)
        await expect(button).to_be_visible()
        assert broadcast.listeners == 0
        assert await visitor.page.evaluate("person.muted")
        await visitor.page.keyboard.press("u")
        await expect(button).to_have_attribute("aria-pressed", "true")
        assert not await visitor.page.evaluate("person.muted")
        await until_tracks(visitor.page, 1)
        await eventually(lambda: broadcast.listeners == 1)
        await button.click()
        assert await visitor.page.evaluate("person.muted")
        await until_tracks(visitor.page, 0)
        await eventually(lambda: broadcast.listeners == 0)
        # Chromium itself logs that a session which it leaves has ended already.
        assert [text for text in visitor.complaints if not text.startswith("Failed to load resource")] == []


async def test_the_browser_keeps_sound_and_picture_in_time(browser: Browser, tmp_path: Path) -> None:
    """What they are in time by is tested beside it: `tests/server/test_sound.py`."""
    async with page_with_sound(browser, tmp_path / "claps.mp4") as (visitor, _):
        await expect(visitor.page.locator("#sound-button")).to_be_visible()
        await visitor.page.keyboard.press("u")
        await until_tracks(visitor.page, 1)
        assert abs(await late_s(visitor.page)) < 1


@pytest.mark.long  # it measures, which a busy machine spoils
async def test_sound_fits_the_picture(browser: Browser, tmp_path: Path) -> None:
    async with page_with_sound(browser, tmp_path / "claps.mp4") as (visitor, _):
        await expect(visitor.page.locator("#sound-button")).to_be_visible()
        await visitor.page.keyboard.press("u")
        await until_tracks(visitor.page, 1)
        await late_s(visitor.page)
        await asyncio.sleep(6)  # it comes nearer second by second
        late = []
        for _ in range(20):
            late.append(await late_s(visitor.page))
            await asyncio.sleep(0.25)
        flashes_s, clicks_s = await visitor.page.evaluate(LISTEN, 6)
    offsets = offsets_s(flashes_s, clicks_s)
    print("in Chromium:", *([round(1000 * each) for each in ways] for ways in (late, offsets)), "ms")
    assert abs(float(np.median(late))) <= 0.04, late
    assert len(offsets) >= 3
    assert abs(float(np.median(offsets))) <= 0.04, offsets


async def test_without_sound_there_is_no_button_and_the_key_says_why(browser: Browser) -> None:
    async with stage(streams=1) as on_stage:
        visitor = await visit(browser, on_stage.server.url)
        await visitor.live()
        await expect(visitor.page.locator("#sound-button")).to_be_hidden()
        await visitor.page.wait_for_function("document.title === 'Tea party'")
        await visitor.page.keyboard.press("u")
        await expect(visitor.page.locator("#notice")).to_have_text("There is no sound.")
        assert visitor.complaints == []
