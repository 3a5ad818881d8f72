"""What can be done on the page, in a real browser: choosing, drawing, keeping, and for everybody."""

import asyncio
import io
import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import zxingcpp
from axe_playwright_python.base import AXE_FILE_PATH
from playwright.async_api import Browser, Locator, Page, expect

from realtime.frame import Frame
from realtime.live.badge import Badge
from realtime.live.latest import Latest
from realtime.live.quality import LEVELS
from server.access import Access, Role
from server.certificate import tls_context
from server.control import Command
from server.encoder import RTP_CLOCK_HZ
from server.protocols import ReceivedPicture
from server.stream import RUNGS, SharedStream
from tests.server.test_page import Stage, Visit, stage, visit
from tests.support.server_harness import button
from tests.support.streams import BITS, BLOCK_PX, ScriptedCamera, in_thread
from tests.support.waiting import HANG_S, eventually

AXE = AXE_FILE_PATH.read_text()


def thumbnail(grey: int) -> bytes:
    return cv2.imencode(".jpg", np.full((60, 80, 3), grey, np.uint8))[1].tobytes()


class Asked:
    """The commands of a session, which are kept."""

    def __init__(self) -> None:
        self.state: dict[str, object] = {"subject": "alice", "mirror": False, "fade": "in"}
        self.calibrated = False
        self.options: dict[str, Any] = {
            "thumbnails": {"alice": thumbnail(80), "bert": thumbnail(160)},
            "info": lambda: {"state": self.state, "stages_ms": {"pose": {"p50": 20.25}}, "delay_ms": 50.0},
            "commands": {
                "subject": Command("Show.", str, self.show),
                "mirror": Command("Mirror.", bool, lambda on: self.state.update(mirror=on)),
                "fade": Command("Fade.", str, lambda to: self.state.update(fade=to)),
                "calibrate": button(lambda: setattr(self, "calibrated", True)),
            },
        }

    def show(self, name: str) -> None:
        if name == "bert":
            raise ValueError("bert has a cold: choose another one.")
        self.state["subject"] = name


async def ready(visitor: Visit) -> Page:
    """The page, once it knows what may be asked."""
    await visitor.live()
    await visitor.page.wait_for_function("document.title === 'Tea party'")
    return visitor.page


async def test_the_subject_is_chosen_among_thumbnails(browser: Browser) -> None:
    asked = Asked()
    async with stage(streams=1, **asked.options) as on_stage:
        visitor = await visit(browser, on_stage.server.url)
        page = await ready(visitor)
        await page.get_by_role("button", name="Show another subject").first.click()
        dialog = page.get_by_role("dialog", name="Subjects")
        await expect(dialog.get_by_role("button", name="alice · playing", pressed=True)).to_be_visible()
        await expect(dialog.get_by_role("button", name="bert", exact=True, pressed=False)).to_be_visible()
        greys = [f"""() => {{
          const canvas = document.querySelectorAll("#subjects canvas")[{number}];
          return canvas.getContext("2d").getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data[0];
        }}""" for number in range(2)]  # fmt: skip
        for script, grey in zip(greys, (80, 160), strict=True):
            await page.wait_for_function(f"Math.abs(({script})() - {grey}) < 5")
        await dialog.get_by_role("button", name="bert").click()
        await expect(page.locator("#notice")).to_have_text("bert has a cold: choose another one.")
        asked.state["subject"] = "nobody"
        await page.keyboard.press("a")
        await dialog.get_by_role("button", name="alice").click()
        await eventually(lambda: asked.state["subject"] == "alice")
        await expect(dialog).to_be_hidden()
        assert visitor.complaints == []


async def test_keys_and_the_sheet_give_commands(browser: Browser) -> None:
    asked = Asked()
    async with stage(streams=1, **asked.options) as on_stage:
        visitor = await visit(browser, on_stage.server.url)
        page = await ready(visitor)
        await page.keyboard.press("M")  # Caps Lock is on
        await eventually(lambda: asked.state["mirror"] is True)
        await page.keyboard.press("?")
        await page.get_by_role("button", name="Exit: fade to the empty background").click()
        await eventually(lambda: asked.state["fade"] == "plate")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        await page.keyboard.press("k")
        await eventually(lambda: asked.calibrated)
        assert visitor.complaints == []


async def test_what_is_pressed_twice_is_turned_back(browser: Browser) -> None:
    asked = Asked()
    async with stage(streams=1, **asked.options) as on_stage:
        visitor = await visit(browser, on_stage.server.url)
        page = await ready(visitor)
        for key, name, before, after in (("e", "fade", "in", "plate"), ("m", "mirror", False, True)):
            for times, expected in ((2, before), (3, after), (1, before)):
                for _ in range(times):
                    await page.keyboard.press(key)
                await eventually(lambda name=name, expected=expected: asked.state[name] == expected)  # type: ignore[misc]
                await asyncio.sleep(0.3)
                assert asked.state[name] == expected
        assert visitor.complaints == []


async def test_the_sheet_lists_what_is_not_possible_here_and_the_keys_say_why(browser: Browser) -> None:
    options = Asked().options
    options["thumbnails"] = {"alice": thumbnail(80)}
    async with stage(streams=1, **options) as on_stage:
        page = await ready(await visit(browser, on_stage.server.url))
        for key, row, reason in (
            ("l", "A link for other devices", "Only this machine can watch: begin with --host"),
            ("a", "Show another subject", "There is no other subject here"),
            ("u", "Sound on or off", "There is no sound."),
        ):
            await page.keyboard.press("?")
            await expect(page.locator("#help").get_by_text(row)).to_be_visible()
            await page.keyboard.press("Escape")
            await page.keyboard.press(key)
            await expect(page.locator("#notice")).to_contain_text(reason)
            await expect(page.get_by_role("dialog")).to_be_hidden()


async def test_no_line_ends_within_an_option(browser: Browser) -> None:
    lines = """() => {
      const range = document.createRange(), [option] = document.querySelectorAll("#notice .option");
      range.selectNodeContents(option);
      return [option.textContent, range.getClientRects().length];
    }"""
    async with stage(streams=1, **Asked().options) as on_stage:
        page = await ready(await visit(browser, on_stage.server.url))
        await page.keyboard.press("l")
        await expect(page.locator("#notice")).to_contain_text("begin with --host 0.0.0.0")
        for height_px in range(700, 1000, 20):
            await page.set_viewport_size({"width": 1280, "height": height_px})
            assert await page.evaluate(lines) == ["--host", 1]


@pytest.mark.parametrize(("width_px", "height_px", "scrolls"), [(1280, 800, False), (390, 844, True), (844, 390, True)])
async def test_the_sheet_can_be_closed_wherever_it_is_read(
    browser: Browser, width_px: int, height_px: int, scrolls: bool
) -> None:
    options = Asked().options
    options["commands"]["next-person"] = button(lambda: None)
    async with stage(inlet=Latest[ReceivedPicture](), **options) as on_stage:
        viewport = {"width": width_px, "height": height_px}
        page = await ready(await visit(browser, on_stage.server.url, viewport=viewport))
        await page.keyboard.press("?")
        sheet = page.locator("#help")
        assert await sheet.evaluate("(it) => it.scrollHeight > it.clientHeight") is scrolls
        assert await sheet.evaluate("(it) => it.scrollWidth <= it.clientWidth")
        close = sheet.get_by_role("button", name="Close")
        for end in ("0", "it.scrollHeight"):
            await sheet.evaluate(f"(it) => {{ it.scrollTop = {end}; }}")
            await expect(close).to_be_in_viewport(ratio=1)
        explanation = await sheet.locator("p").bounding_box()
        place = await close.bounding_box()
        assert explanation is not None
        assert place is not None
        assert explanation["y"] + explanation["height"] <= place["y"], "nothing stays behind it"
        await close.click()
        await expect(sheet).to_be_hidden()


async def test_who_only_watches_is_offered_no_commands(browser: Browser) -> None:
    access = Access.by_new_tokens()
    async with stage(streams=1, access=access, **Asked().options) as on_stage:
        [link] = on_stage.server.links(Role.WATCH)
        page = await ready(await visit(browser, link))
        await expect(page.locator("#subject-button")).to_be_hidden()
        await page.keyboard.press("?")
        await expect(page.get_by_text("This help")).to_be_visible()
        for words in ("Show another subject", "mirror", "Exit", "Calibrate", "link for other devices"):
            await expect(page.locator("#help").get_by_text(words)).to_be_hidden()


async def test_the_figure_is_drawn_over_the_picture(browser: Browser) -> None:
    async with stage(streams=1) as on_stage:
        visitor = await visit(browser, on_stage.server.url)
        page = await ready(visitor)
        assert not on_stage.server.figures.wanted
        await page.keyboard.press("o")
        await eventually(lambda: on_stage.server.figures.wanted)
        points = [[0.5, 0.5, 0.0]] * 33
        points[11], points[13] = [0.25, 0.25, 1.0], [0.75, 0.75, 1.0]  # a left upper arm
        ink = """() => {
          const canvas = document.getElementById("figure");
          const at = (x, y) => canvas.getContext("2d").getImageData(x * canvas.width, y * canvas.height, 1, 1).data[3];
          return canvas.width ? [at(.5, .5), at(.25, .75)].join() : "";
        }"""
        async with asyncio.timeout(HANG_S):
            while await page.evaluate(ink) != "255,0":
                on_stage.server.figures.put(json.dumps({"at": 0, "points": points}))
                await asyncio.sleep(0.05)
            while await page.evaluate(ink) != "0,0":
                on_stage.server.figures.put('{"at": 0, "points": null}')
                await asyncio.sleep(0.05)
        await page.keyboard.press("o")
        await eventually(lambda: not on_stage.server.figures.wanted)
        # Chromium itself advises this test on how to read from the canvas.
        assert {text for text in visitor.complaints if not text.startswith("Canvas2D")} == set()


class LateCamera(ScriptedCamera):
    """Its pictures come long after their figures, which stand in one of ten places: that of the number's last digit."""

    LATE = 13

    def __init__(self, slot: Latest[Frame], put_figure: Callable[[str], object]) -> None:
        super().__init__()
        self.slot, self._put_figure, self._late = slot, put_figure, deque[Frame]()

    def put(self, frame: Frame) -> None:
        x = (frame.number % 10 + 0.5) / 10
        points = [[0.0, 0.0, 0.0]] * 33
        points[11], points[13] = [x, 0.4, 1.0], [x, 0.9, 1.0]
        self._put_figure(json.dumps({"at": round(frame.captured_at_s * RTP_CLOCK_HZ), "points": points}))
        self._late.append(frame)
        if len(self._late) > self.LATE:
            self.slot.put(self._late.popleft())


READ_FIGURES = """async ([count, bits, block]) => {
  const [video, figure] = ["person", "figure"].map((id) => document.getElementById(id));
  const context = new OffscreenCanvas(bits * block, block).getContext("2d", { willReadFrequently: true });
  const seen = [];
  while (seen.length < count) {
    await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
    context.drawImage(video, 0, 0);
    const { data } = context.getImageData(0, block / 2, bits * block, 1);
    let number = 0;
    for (let bit = 0; bit < bits; bit += 1) if (data[4 * (bit * block + block / 2) + 1] > 128) number += 2 ** bit;
    const ink = figure.getContext("2d").getImageData(0, figure.height * .7, figure.width, 1).data;
    const columns = [...Array(figure.width).keys()].filter((x) => ink[4 * x + 3]);
    if (columns.length) seen.push([number % 10, Math.floor(10 * columns[columns.length >> 1] / figure.width)]);
  }
  return seen;
}"""
"""In the page: the last digits of pictures, and the places of the figures that lie over them."""


async def test_the_figure_lies_over_the_picture_that_was_made_from_it(browser: Browser) -> None:
    slot = Latest[Frame]()
    stream = SharedStream("alice", slot, rungs=RUNGS[:1])
    on_stage = Stage([stream])
    camera = LateCamera(slot, on_stage.server.figures.put)
    with in_thread(camera.run), in_thread(stream.run):
        await on_stage.server.start()
        page = await ready(await visit(browser, on_stage.server.url))
        await page.keyboard.press("o")
        await eventually(lambda: on_stage.server.figures.wanted)
        async with asyncio.timeout(HANG_S):
            seen = await page.evaluate(READ_FIGURES, [60, BITS, BLOCK_PX])
        await on_stage.server.stop()
    fitting = sum(number == place for number, place in seen[20:])
    assert fitting >= 30, seen


async def test_the_figure_comes_back_with_the_connection(browser: Browser) -> None:
    async with stage(streams=1) as on_stage:
        page = await ready(await visit(browser, on_stage.server.url))
        await page.keyboard.press("o")
        await eventually(lambda: on_stage.server.figures.wanted)
        await on_stage.server.stop()
        await on_stage.restart()
        await eventually(lambda: on_stage.server.figures.wanted)


async def test_statistics(browser: Browser) -> None:
    async with stage(streams=1, **Asked().options) as on_stage:
        page = await ready(await visit(browser, on_stage.server.url))
        box = page.get_by_label("Statistics", exact=True)
        await expect(box).to_be_hidden()
        await page.keyboard.press("i")
        for words in ("256 × 256 VP8", "Mbit/s", "Source to page", "20.3 ms", "Lost"):
            await expect(box).to_contain_text(words)
        await page.keyboard.press("i")
        await expect(box).to_be_hidden()


async def test_statistics_leave_room_on_a_phone(browser: Browser) -> None:
    asked, quality = Asked(), {"level": 3, "name": "low", "changes": LEVELS[-1].changes}
    asked.options["info"] = lambda: {"state": asked.state, "quality": quality}
    async with stage(streams=1, **asked.options) as on_stage:
        page = await ready(await visit(browser, on_stage.server.url, viewport={"width": 390, "height": 844}))
        await page.keyboard.press("i")
        box = page.get_by_label("Statistics", exact=True)
        await expect(box).to_contain_text("the body in bf16")
        place = await box.bounding_box()
        assert place is not None
        assert place["width"] <= 0.75 * 390
        assert place["x"] + place["width"] <= 390


async def test_a_picture_and_a_recording_are_kept_in_the_browser(browser: Browser, tmp_path: Path) -> None:
    async with stage(streams=1) as on_stage:
        visitor = await visit(browser, on_stage.server.url)
        page = await ready(visitor)
        await visitor.numbers("person", 3)
        async with page.expect_download() as picture:
            await page.keyboard.press("d")
        png = np.frombuffer(Path(await (await picture.value).path()).read_bytes(), np.uint8)
        decoded = cv2.imdecode(png, cv2.IMREAD_COLOR)
        assert decoded is not None
        assert decoded.shape == (256, 256, 3)
        assert (await picture.value).suggested_filename.startswith("Tea party_")

        await page.keyboard.press("r")
        await expect(page.locator("#state")).to_have_text("Recording")
        await visitor.numbers("person", 45)
        async with page.expect_download() as recorded:
            await page.keyboard.press("r")
        await expect(page.locator("#state")).to_have_text("Live")
        film = Path(await (await recorded.value).path()).read_bytes()
        with av.open(io.BytesIO(film), "r") as container:
            assert len(list(container.decode(video=0))) > 10
        assert visitor.complaints == []


async def test_leaving_while_it_records_is_asked_for(browser: Browser) -> None:
    async with stage(streams=1) as on_stage:
        visitor = await visit(browser, on_stage.server.url)
        page = await ready(visitor)
        await page.keyboard.press("r")
        await expect(page.locator("#state")).to_have_text("Recording")
        async with page.expect_event("dialog") as asking:
            reloading = asyncio.create_task(page.reload())
        dialog = await asking.value
        assert dialog.type == "beforeunload"
        await dialog.dismiss()
        reloading.cancel()
        await expect(page.locator("#state")).to_have_text("Recording")


async def test_on_stage_there_is_the_picture_alone(browser: Browser) -> None:
    async with stage() as on_stage:
        visitor = await visit(browser, f"{on_stage.server.url}?view=stage", viewport={"width": 900, "height": 500})
        await visitor.live()
        await visitor.numbers("person", 5)
        for element in ("header", "footer", "#source", "#notice", "#curtain"):
            await expect(visitor.page.locator(element)).to_be_hidden()
        assert await visitor.page.evaluate("getComputedStyle(document.body).cursor") == "none"
        box = await visitor.page.locator("#frame").bounding_box()
        assert box is not None
        assert box["height"] == pytest.approx(500, abs=1)
        assert box["x"] == pytest.approx(200, abs=1)
        shot = cv2.imdecode(np.frombuffer(await visitor.page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
        assert shot is not None
        assert not shot[:, :190].any(), "black around"


async def code_in(element: Locator) -> str:
    """What the QR code says, once it is painted."""
    async with asyncio.timeout(HANG_S):
        while True:
            picture = cv2.imdecode(np.frombuffer(await element.screenshot(), np.uint8), cv2.IMREAD_GRAYSCALE)
            assert picture is not None
            if code := zxingcpp.read_barcode(picture):
                return code.text


async def test_links_for_other_devices_are_qr_codes_of_one_s_own_rights(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = Access.by_new_tokens()
    monkeypatch.setattr("server.app.is_loopback", lambda host: False)
    async with stage(streams=1, access=access) as on_stage:
        for role, codes in ((Role.WATCH, 1), (Role.CONTROL, 2)):
            [link] = on_stage.server.links(role)
            visitor = await visit(browser, link)
            page = await ready(visitor)
            await page.keyboard.press("l")
            shown = page.get_by_role("dialog", name="For other devices").get_by_role("img")
            await expect(shown).to_have_count(codes)
            assert await code_in(shown.last) == link
            assert visitor.complaints == []


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("publishing", [False, True])
async def test_links_promise_the_camera_only_where_browsers_give_it(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: bool, publishing: bool
) -> None:
    monkeypatch.setattr("server.app.is_loopback", lambda host: False)
    access, inlet = Access.by_new_tokens(), Latest[ReceivedPicture]() if publishing else None
    context = tls_context(tmp_path / "certificate.pem", ["127.0.0.1"])[0] if tls else None
    async with stage(streams=1, access=access, inlet=inlet, tls=context) as on_stage:
        page = await ready(await visit(browser, on_stage.server.links(Role.CONTROL)[0], ignore_https_errors=True))
        await page.keyboard.press("l")
        shown = page.get_by_role("dialog", name="For other devices")
        words = ["Watch", "Control, and be the camera" if tls and publishing else "Control"]
        await expect(shown.locator("figcaption")).to_have_text(words)
        await expect(shown.get_by_text("begin with --tls")).to_be_visible(visible=publishing and not tls)


DIALOGS = {"help": "?", "subjects": "a"}


@pytest.mark.parametrize("dialog", [None, *DIALOGS])
async def test_axe_finds_nothing_serious(browser: Browser, dialog: str | None) -> None:
    asked = Asked()
    async with stage(**asked.options) as on_stage:
        page = await ready(await visit(browser, on_stage.server.url, reduced_motion="reduce"))
        await page.keyboard.press("i")
        if dialog is not None:
            await page.keyboard.press(DIALOGS[dialog])
            await expect(page.locator(f"#{dialog}")).to_be_visible()
        await page.evaluate(AXE)
        found = (await page.evaluate("axe.run()"))["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == [], found


async def test_the_keyboard_reaches_every_button_in_the_order_of_reading(browser: Browser) -> None:
    async with stage(**Asked().options) as on_stage:
        page = await ready(await visit(browser, on_stage.server.url))
        await expect(page.locator("#source")).to_be_visible()
        reached = []
        for _ in range(5):
            await page.keyboard.press("Tab")
            reached.append(await page.evaluate("document.activeElement.id"))
        assert reached == ["source", "subject-button", "source-button", "help-button", "fullscreen-button"]


def test_the_badge_is_in_every_picture_and_leaves_the_original_alone() -> None:
    badge = Badge()
    for height_px in (64, 256, 512, 720):
        rgb = np.full((height_px, height_px, 3), 120, np.uint8)
        burnt = badge.burn(rgb)
        assert (rgb == 120).all()
        changed = (burnt != 120).any(axis=2)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        assert rows[0] > height_px * 0.6
        assert rows[-1] < height_px - 1
        assert columns[0] > 0
        assert int(burnt.max()) > 200 > 100 > int(burnt.min()), "light on dark"
    tiny = np.zeros((4, 4, 3), np.uint8)
    assert badge.burn(tiny).shape == tiny.shape
