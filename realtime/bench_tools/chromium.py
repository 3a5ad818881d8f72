"""A viewer in a real browser: Chromium, by Playwright, opens the page and reads the stamps in what it shows."""

import math
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from playwright.async_api import Browser, Page, async_playwright

from engines.errors import UserError
from realtime.bench_tools.stamp import BITS, CELL, COLUMNS, CONTRAST, ROWS

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)
EXCHANGES = 100
"""Of questions to the page's clock."""
_READER = Path(__file__).with_name("read_stamps.js")


class Reading(NamedTuple):
    """What the page has noted of one picture; times in milliseconds since the page was opened."""

    shown_ms: float
    """When it is to be shown, but not before it could be read."""
    received_ms: float
    """When the last of its packets came; 0 if the browser does not tell."""
    code: int
    """Its stamp; -1 if it could not be read."""
    presented: int
    """How many pictures the browser has presented so far."""
    reading_ms: float
    """How long it took to read the stamp."""


class Clock(NamedTuple):
    """How the page's clock relates to this program's."""

    opened_at_s: float
    """`time.perf_counter()` when the page was opened."""
    error_ms: float
    """How far off that may be."""


def find_chromium() -> str:
    """The path of a Chromium; the environment variable CHROMIUM comes before the search path.

    Raises:
        UserError: there is none.
    """
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None or not Path(found).is_file():
        raise UserError(
            "--browser needs Chromium, which is not here: sudo apt install chromium, or set the environment variable "
            "CHROMIUM to its path."
        )
    return found


class Viewer:
    """A viewer page in a browser; from its first picture on it notes a `Reading` of each."""

    def __init__(self, browser: Browser, page: Page) -> None:
        self.name = f"Chromium {browser.version}"
        self._page = page

    async def open(self, url: str) -> None:
        """Open the page: its time begins."""
        about = {"bits": BITS, "columns": COLUMNS, "rows": ROWS, "cell": CELL, "contrast": CONTRAST}
        start = f"stampReader.start({msgspec.json.encode(about).decode()});"
        await self._page.add_init_script(f"{_READER.read_text()}\n{start}")
        await self._page.goto(url)

    async def readings(self) -> list[Reading]:
        """All readings so far."""
        return [Reading(*row) for row in await self._page.evaluate("stampReader.readings")]

    async def has_read(self) -> bool:
        """Whether there has been a picture whose stamp it could read."""
        return bool(await self._page.evaluate("stampReader.readings.some((reading) => reading[2] >= 0)"))

    async def now_ms(self) -> float:
        """The page's time."""
        return float(await self._page.evaluate("performance.now()"))

    async def clock(self) -> Clock:
        """Relate the clocks by asking the page for its time, again and again.

        The page was opened between what each question and what each answer allows; all together leave little.
        `performance.timeOrigin` would not do: it is of the wall clock, which is not what pictures are stamped with.
        """
        earliest_s, latest_s = -math.inf, math.inf
        for _ in range(EXCHANGES):
            asked_at_s = time.perf_counter()
            now_s = await self.now_ms() / 1000
            earliest_s = max(earliest_s, asked_at_s - now_s)
            latest_s = min(latest_s, time.perf_counter() - now_s)
        return Clock((earliest_s + latest_s) / 2, 1000 * abs(latest_s - earliest_s) / 2)


@asynccontextmanager
async def open_viewer(chromium: str) -> AsyncIterator[Viewer]:
    """A page in a headless Chromium without a GPU, which plays without being asked."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        try:
            yield Viewer(browser, await browser.new_page())
        finally:
            await browser.close()
