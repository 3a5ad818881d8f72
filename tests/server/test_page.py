"""The viewer page in a real browser."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route, expect

from realtime.frame import Frame
from server.app import Server
from server.stream import SharedStream
from tests.support.middlebox import Middlebox
from tests.support.server_harness import button
from tests.support.streams import BITS, BLOCK_PX, moving_streams
from tests.support.waiting import HANG_S, eventually

READ_NUMBERS = """async ([id, count, bits, block]) => {
  const video = document.getElementById(id);
  const canvas = new OffscreenCanvas(bits * block, block);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const numbers = [];
  while (new Set(numbers).size < count) {
    await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
    context.drawImage(video, 0, 0);
    const { data } = context.getImageData(0, block / 2, bits * block, 1);
    let number = 0;
    for (let bit = 0; bit < bits; bit += 1) if (data[4 * (bit * block + block / 2) + 1] > 128) number += 2 ** bit;
    numbers.push(number);
  }
  return numbers;
}"""
"""Reads in the page what `conftest.numbered_picture` wrote."""

REFUSE_TO_PLAY_UNASKED = """
  let asked = false;  // navigator.userActivation would not do: Playwright's own look at the page sets it
  addEventListener("click", () => { asked = true; }, true);
  const play = HTMLMediaElement.prototype.play;
  HTMLMediaElement.prototype.play = function () {
    if (asked) return play.call(this);
    return Promise.reject(new DOMException("not asked", "NotAllowedError"));
  };
  addEventListener("DOMContentLoaded", () => {
    for (const video of document.querySelectorAll("video")) video.autoplay = false;
  });
"""
"""Does to the page what a strict browser does; Chromium itself always lets muted videos play."""


class Visit:
    """A page, and what it asked for and complained about."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    async def numbers(self, video: str, count: int) -> list[int]:
        """Those of the next pictures, so many different ones."""
        async with asyncio.timeout(HANG_S):
            numbers: list[int] = await self.page.evaluate(READ_NUMBERS, [video, count, BITS, BLOCK_PX])
        return numbers

    async def live(self) -> None:
        await self.page.locator("body[data-state=live]").wait_for()


class Stage:
    """A server that can be restarted on its port while cameras and streams go on."""

    def __init__(self, streams: list[SharedStream[Frame]], **options: Any) -> None:
        self.streams = streams
        self.info: dict[str, object] = {}
        self.options: dict[str, Any] = {"title": "Tea party", "info": lambda: self.info, **options}
        self.server = Server(streams, port=0, **self.options)

    async def restart(self) -> None:
        port = int(self.server.url.rsplit(":", 1)[1].strip("/"))
        self.server = Server(self.streams, port=port, **self.options)
        await self.server.start()


@asynccontextmanager
async def stage(*, streams: int = 2, size_px: tuple[int, int] = (256, 256), **options: Any) -> AsyncIterator[Stage]:
    with moving_streams(streams, size_px) as shared:
        on_stage = Stage(shared, **options)
        await on_stage.server.start()
        try:
            yield on_stage
        finally:
            await on_stage.server.stop()


async def visit(browser: Browser, url: str, *, script: str = "", **options: Any) -> Visit:
    page = await browser.new_page(**options)
    page.set_default_timeout(1000 * HANG_S)
    if script:
        await page.add_init_script(script)
    visit = Visit(page)
    await page.goto(url)
    return visit


async def test_it_plays_both_pictures_without_a_touch(browser: Browser) -> None:
    async with stage() as on_stage:
        visitor = await visit(browser, on_stage.server.url)
        await visitor.live()
        numbers = await visitor.numbers("person", 60)
        assert numbers == sorted(numbers)
        await expect(visitor.page.locator("#source")).to_be_visible()
        await visitor.numbers("source-video", 8)
        await expect(visitor.page).to_have_title("Tea party")
        await expect(visitor.page.locator("#stats")).to_contain_text(" fps  ·  ")
        await expect(visitor.page.locator("#person")).to_have_attribute("aria-label", "alice, live")
        assert visitor.complaints == []
        assert {request for request in visitor.requests if not request.startswith(on_stage.server.url)} == set()


async def test_n_asks_for_the_next_person_where_there_is_such_a_command(browser: Browser) -> None:
    asked: list[str] = []
    async with stage(streams=1, commands={"next-person": button(lambda: asked.append("next"))}) as on_stage:
        visitor = await visit(browser, on_stage.server.url)
        await visitor.live()
        await visitor.page.keyboard.press("?")
        await expect(visitor.page.get_by_text("Follow the next person")).to_be_visible()
        await visitor.page.keyboard.press("Escape")
        await visitor.page.keyboard.press("n")
        await eventually(lambda: asked == ["next"])
        assert visitor.complaints == []
    async with stage(streams=1) as on_stage:
        visitor = await visit(browser, on_stage.server.url)
        await visitor.live()
        await visitor.page.keyboard.press("n")
        await visitor.page.keyboard.press("?")
        await expect(visitor.page.get_by_text("This help")).to_be_visible()
        await expect(visitor.page.get_by_text("Follow the next person")).not_to_be_visible()
        assert visitor.complaints == []


async def test_it_says_that_the_server_is_gone_and_comes_back_by_itself(browser: Browser) -> None:
    async with stage() as on_stage:
        visitor = await visit(browser, on_stage.server.url)
        await visitor.live()
        await visitor.numbers("person", 5)
        await on_stage.server.stop()
        await expect(visitor.page.locator("#sentence")).to_have_text("The server does not answer. Trying again…")
        await expect(visitor.page.locator("#source")).not_to_be_visible()
        await on_stage.restart()
        await visitor.live()
        await visitor.numbers("person", 18)
        await visitor.numbers("source-video", 4)
        # Chromium itself logs requests that find no server, or none that knows the old session.
        assert {text for text in visitor.complaints if not text.startswith("Failed to load resource")} == set()


async def test_a_quick_restart_is_noticed_too(browser: Browser) -> None:
    async with stage(streams=1) as on_stage:
        visitor = await visit(browser, on_stage.server.url)
        await visitor.live()
        await on_stage.server.stop()
        await on_stage.restart()
        await eventually(lambda: on_stage.streams[0].viewers == 1)
        await visitor.live()
        await visitor.numbers("person", 18)


ENDED_WHILE_CONNECTING = """
const use = RTCPeerConnection.prototype.setRemoteDescription;
let times = 0;
RTCPeerConnection.prototype.setRemoteDescription = async function (answer) {
  if (times++ === 0) dispatchEvent(new Event("online"));
  return use.call(this, answer);
};
"""


async def test_who_connects_anew_before_it_was_connected_stays_with_webrtc(browser: Browser) -> None:
    async with stage(streams=1) as on_stage:
        visitor = await visit(browser, on_stage.server.url, script=ENDED_WHILE_CONNECTING)
        await visitor.live()
        await visitor.numbers("person", 5)
        assert [request for request in visitor.requests if "/watch" in request] == []
        assert sum(request.endswith("/whep") for request in visitor.requests) >= 4, "asked and posted, twice"


async def test_pictures_that_no_longer_get_through_are_asked_for_anew(browser: Browser) -> None:
    """The network has changed: the server sends, and WebRTC itself notices late or, as here, never."""
    box, posts = Middlebox(loss=0.0), list[str]()

    async def through_the_box(route: Route) -> None:
        if route.request.method == "POST":
            posts.append(route.request.url)
        if route.request.method != "POST" or len(posts) > 1:
            await route.continue_()
            return
        answer = await route.fetch()
        await route.fulfill(response=answer, body=await box.put_between(await answer.text()))

    async with stage(streams=1) as on_stage:
        on_stage.info["flowing"] = True
        visitor = Visit(await browser.new_page())
        await visitor.page.route("**/whep", through_the_box)
        await visitor.page.goto(on_stage.server.url)
        await visitor.live()
        await visitor.numbers("person", 5)
        box.loss = 1.0
        await eventually(lambda: len(posts) == 2)
        await visitor.numbers("person", 5)
    box.close()


async def test_a_closed_page_leaves_at_once(browser: Browser) -> None:
    async with stage() as on_stage:
        visitor = await visit(browser, on_stage.server.url)
        await visitor.live()
        assert on_stage.server.viewers == 1
        await visitor.page.goto("about:blank")
        async with asyncio.timeout(20):  # a connection that only falls silent is given up after 30 s
            await eventually(lambda: on_stage.server.viewers == 0)


async def test_with_one_stream_there_is_no_source_picture(browser: Browser) -> None:
    async with stage(streams=1) as on_stage:
        visitor = await visit(browser, on_stage.server.url)
        await visitor.live()
        await visitor.numbers("person", 5)
        await expect(visitor.page.locator("#source")).to_be_hidden()
        await expect(visitor.page.locator("#source-button")).to_be_hidden()
        assert visitor.complaints == []


async def test_keys_and_clicks(browser: Browser) -> None:
    async with stage() as on_stage:
        page = (await visit(browser, on_stage.server.url)).page
        source = page.locator("#source")
        await expect(source).to_be_visible()
        await page.keyboard.press("s")
        await expect(source).to_be_hidden()
        await expect(page.get_by_role("button", name="Show the source picture", pressed=False)).to_be_visible()
        await page.keyboard.press("s")
        await expect(source).to_be_visible()
        await source.click()
        await expect(source).to_have_attribute("data-corner", "3")
        await page.keyboard.press("c")
        await expect(source).to_have_attribute("data-corner", "0")
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        await page.keyboard.press("f")
        await expect(page.locator(":fullscreen")).to_have_count(1)
        await page.keyboard.press("f")
        await expect(page.locator(":fullscreen")).to_have_count(0)


async def test_notices_of_the_server_are_shown(browser: Browser) -> None:
    async with stage() as on_stage:
        visitor = await visit(browser, on_stage.server.url)
        await visitor.live()
        notice = visitor.page.locator("#notice")
        await expect(notice).to_be_hidden()
        on_stage.info["notice"] = "No one is in the picture <b>"
        await expect(notice).to_have_text("No one is in the picture <b>")
        on_stage.info.clear()
        await expect(notice).to_be_hidden()


async def test_a_refusal_is_told_in_the_server_s_words(browser: Browser) -> None:
    async with stage(viewers_limit=0) as on_stage:
        page = (await visit(browser, on_stage.server.url)).page
        await expect(page.locator("#sentence")).to_have_text("All places are taken. Trying again…")


async def test_a_machine_without_a_network_is_told_so(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an aeroplane: the page comes by the machine's own address, which WebRTC does not use."""
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda **_: [])
    async with stage() as on_stage:
        visitor = await visit(browser, on_stage.server.url, script="delete window.VideoDecoder;")
        await expect(visitor.page.locator("#sentence")).to_contain_text("has no network")
        monkeypatch.undo()
        await visitor.live()


async def test_where_autoplay_is_refused_one_button_plays(browser: Browser) -> None:
    async with stage() as on_stage:
        visitor = await visit(browser, on_stage.server.url, script=REFUSE_TO_PLAY_UNASKED)
        button = visitor.page.get_by_role("button", name="Play")
        await expect(button).to_be_visible()
        await button.click()
        await visitor.live()
        await expect(button).to_be_hidden()
        await visitor.numbers("person", 8)


@pytest.mark.parametrize(("width_px", "height_px"), [(320, 568), (390, 844), (844, 390), (1440, 900)])
async def test_everything_fits(browser: Browser, width_px: int, height_px: int) -> None:
    async with stage() as on_stage:
        visitor = await visit(browser, on_stage.server.url, viewport={"width": width_px, "height": height_px})
        await expect(visitor.page.locator("#source")).to_be_visible()
        for element in ("#frame", "#source", "#fullscreen-button", "#status"):
            box = await visitor.page.locator(element).bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["y"] >= 0
            assert box["x"] + box["width"] <= width_px
            assert box["y"] + box["height"] <= height_px
        frame = await visitor.page.locator("#frame").bounding_box()
        assert frame is not None
        assert frame["width"] == pytest.approx(frame["height"], abs=1)
        assert frame["width"] > 0.7 * min(width_px, height_px)


@pytest.mark.parametrize("size_px", [(384, 672), (672, 384)])
@pytest.mark.parametrize(("width_px", "height_px"), [(390, 844), (1440, 900)])
async def test_upright_and_wide_pictures_are_shown_whole(
    browser: Browser, size_px: tuple[int, int], width_px: int, height_px: int
) -> None:
    async with stage(size_px=size_px) as on_stage:
        visitor = await visit(browser, on_stage.server.url, viewport={"width": width_px, "height": height_px})
        for video in ("person", "source-video"):
            await visitor.numbers(video, 2)  # before the first picture nobody knows its shape
        for element, least in (("#person", 0.7), ("#source", 0.05)):
            locator = visitor.page.locator(element)
            await expect(locator).to_be_visible()
            box = await locator.bounding_box()
            assert box is not None
            assert box["width"] / box["height"] == pytest.approx(size_px[0] / size_px[1], rel=0.02)
            assert min(box["x"], box["y"]) >= 0
            assert box["x"] + box["width"] <= width_px
            assert box["y"] + box["height"] <= height_px
            assert max(box["width"] / width_px, box["height"] / height_px) > least
