"""The browser's camera as the session's source, in a real browser with Chromium's fake camera."""

import asyncio
import time
from typing import Any

import numpy as np
from playwright.async_api import Browser, expect

from realtime.live.latest import Latest
from server.control import Command
from server.protocols import ReceivedPicture
from tests.server.test_page import Visit, stage, visit
from tests.support.waiting import HANG_S, eventually


async def camera_visit(browser: Browser, url: str, *, allowed: bool = True) -> Visit:
    return await visit(browser, url, permissions=["camera"] if allowed else [])


async def newest(inlet: Latest[ReceivedPicture]) -> np.ndarray[Any, Any]:
    await asyncio.to_thread(inlet.take, 0.0)  # what was there before
    picture = await asyncio.to_thread(inlet.take, HANG_S)
    assert picture is not None, "no picture came"
    return np.asarray(picture.frame.to_ndarray(format="rgb24"))


async def test_the_browser_s_camera_is_published_and_only_its_owner_sees_it_mirrored(browser: Browser) -> None:
    inlet = Latest[ReceivedPicture]()
    async with stage(inlet=inlet) as on_stage:
        visitor = await camera_visit(browser, on_stage.server.url)
        page, button = visitor.page, visitor.page.get_by_role("button", name="Use this camera")
        await visitor.live()
        await button.click()
        rgb = await newest(inlet)
        assert rgb.shape[1] > rgb.shape[0] > 200
        assert rgb.std() > 20, "a picture, not a blank"
        assert (await newest(inlet) != rgb).any(), "it moves"
        await expect(button).to_have_attribute("aria-pressed", "true")
        await expect(page.locator("#source.own")).to_be_visible()
        assert await page.evaluate("getComputedStyle(document.getElementById('source-video')).scale") == "-1 1"
        await visitor.numbers("person", 10)  # the large picture goes on

        await page.keyboard.press("v")
        await expect(button).to_have_attribute("aria-pressed", "false")
        await expect(page.locator("#source.own")).to_have_count(0)
        await eventually(lambda: on_stage.server._sessions.count("/whip") == 0)
        await visitor.numbers("source-video", 10)  # what the server sends is back
        # Chromium itself logs a DELETE that comes after the connection's own end.
        assert {text for text in visitor.complaints if not text.startswith("Failed to load resource")} == set()


async def test_the_session_goes_over_to_the_camera(browser: Browser) -> None:
    state = {"source": "bob"}
    follow = Command("Follow.", str, lambda name: state.update(source=name))
    async with stage(
        inlet=Latest[ReceivedPicture](), commands={"source": follow}, info=lambda: {"state": state}
    ) as on_stage:
        visitor = await camera_visit(browser, on_stage.server.url)
        await visitor.live()
        await visitor.page.wait_for_function("document.title === 'Tea party'")
        await visitor.page.get_by_role("button", name="Use this camera").click()
        await eventually(lambda: state["source"] == "whip")
        assert visitor.complaints == []


async def test_a_page_that_leaves_ends_its_publication(browser: Browser) -> None:
    inlet = Latest[ReceivedPicture]()
    async with stage(inlet=inlet) as on_stage:
        visitor = await camera_visit(browser, on_stage.server.url)
        await visitor.page.get_by_role("button", name="Use this camera").click()
        await newest(inlet)
        await visitor.page.goto("about:blank")
        await eventually(lambda: on_stage.server._sessions.count("/whip") == 0)


IN_USE = "Another camera is in use. Press again to take over."
NOTICED_S = 5.0
"""WebRTC by itself takes 10 s or more to notice that the server has ended a connection."""


async def test_another_camera_takes_over_only_if_asked_again(browser: Browser) -> None:
    inlet = Latest[ReceivedPicture]()
    async with stage(inlet=inlet) as on_stage:
        first, second = [await camera_visit(browser, on_stage.server.url) for _ in range(2)]
        for visitor in (first, second):
            await visitor.live()
        mine, other = [each.page.get_by_role("button", name="Use this camera") for each in (first, second)]
        await mine.click()
        await newest(inlet)
        await other.click()
        await expect(second.page.locator("#notice")).to_have_text(IN_USE)
        await expect(first.page.locator("#notice")).to_contain_text("Another camera asks to take over.")
        await expect(other).to_have_attribute("aria-pressed", "false")
        await other.click()
        taken_at_s = time.perf_counter()
        await expect(first.page.locator("#notice")).to_have_text(IN_USE)
        noticed_s = time.perf_counter() - taken_at_s
        print(f"noticed after {noticed_s:.1f} s")
        assert noticed_s < NOTICED_S
        await expect(mine).to_have_attribute("aria-pressed", "false")
        await expect(other).to_have_attribute("aria-pressed", "true")
        await newest(inlet)


async def test_a_camera_that_may_not_be_used_is_explained(browser: Browser) -> None:
    async with stage(inlet=Latest[ReceivedPicture]()) as on_stage:
        visitor = await camera_visit(browser, on_stage.server.url, allowed=False)
        await visitor.live()
        await visitor.page.get_by_role("button", name="Use this camera").click()
        await expect(visitor.page.locator("#notice")).to_contain_text("may not use the camera")
        await expect(visitor.page.locator("#source.own")).to_have_count(0)


async def test_without_an_inlet_there_is_no_such_button(browser: Browser) -> None:
    async with stage() as on_stage:
        visitor = await camera_visit(browser, on_stage.server.url)
        await visitor.live()
        await expect(visitor.page).to_have_title("Tea party")
        await expect(visitor.page.locator("#camera-button")).to_be_hidden()
        await visitor.page.keyboard.press("v")
        await visitor.page.keyboard.press("?")
        await expect(visitor.page.get_by_text("This help")).to_be_visible()
        await expect(visitor.page.get_by_text("Use this device's camera")).to_be_hidden()
        assert visitor.complaints == []
