"""`realtime bench --browser`: from the camera to a real browser's screen, as far as programs can see."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from engines.errors import UserError
from realtime.bench_tools.chromium import Clock, Reading, Viewer, find_chromium, open_viewer
from realtime.bench_tools.stamp import StampedOutput, age_s, code_of
from realtime.frame import Frame
from realtime.live.bench import WARM_UP_S
from realtime.live.figure_sender import FigureSender
from realtime.live.opening import open_session
from realtime.live.quality import FULL, QualityConfig
from realtime.live.session import Session
from realtime.live.source import Source
from realtime.pose.estimation.config import PoseConfig
from realtime.subject import Subject
from realtime.subject_engines import EngineConfig
from server.app import Server

FIRST_PICTURE_S = 30.0
POLL_S = 0.25
ABOUT = (
    "Capture to page: pose, rendering, encoding, WebRTC on this machine, decoding, and the browser's\n"
    "compositing. Camera and screen come on top."
)


class BrowserBenchResult(msgspec.Struct, frozen=True, kw_only=True):
    """The last line that `realtime bench --browser` prints."""

    first_picture_ms: float
    """From opening the page of a session that runs to its first picture."""
    fps: float
    """Pictures per second that the browser presented."""
    latency_ms: dict[str, float]
    """Capture to page: p50, p95, p99."""
    encoded_ms: dict[str, float]
    """Capture to encoded: p50, p95."""
    received_ms: dict[str, float]
    """Capture until the last packet of the picture is in the browser: p50, p95."""
    shown_ms: dict[str, float]
    """From there to the page: jitter buffer, decoding, compositing; p50, p95."""
    longest_gap_ms: float
    """Longest time without a new picture."""
    pictures: int
    """Of which the stamp was read."""
    unread: int
    """Of which it could not be read."""
    clock_error_ms: float
    """How far off all latencies may be."""
    reading_ms: float
    """Median time that the page needs to read a stamp, which it would not do otherwise."""
    size: int
    """Side of the picture in pixels."""
    seconds: float
    browser: str
    backend: str
    precision: str
    threads: int


def bench_browser(
    subject: Subject,
    source: Source,
    engines: EngineConfig,
    pose: PoseConfig = PoseConfig(),
    quality: QualityConfig = FULL,
    *,
    seconds: float,
    say: Callable[[str], object] = print,
) -> BrowserBenchResult:
    """Play to a page in a headless Chromium for `seconds` after a warm-up, and read there how old each picture is.

    Raises:
        UserError: there is no Chromium, or no picture comes.
    """
    chromium = find_chromium()
    encoded = dict[int, float]()  # by their codes, the ages in seconds when they were encoded

    def note(frame: Frame) -> None:
        encoded[code_of(frame.captured_at_s)] = time.perf_counter() - frame.captured_at_s

    session = open_session(
        subject, source, engines, pose, quality=quality, stream=StampedOutput, on_encoded=note, say=say
    )
    try:
        watched = asyncio.run(_watch(session, chromium, seconds))
    finally:
        session.stop()
    return _summary(watched, encoded, session, seconds, engines.threads)


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser has seen of a session."""

    readings: list[Reading]
    from_ms: float
    """What was shown from here on is measured, in the page's time."""
    clock: Clock
    browser: str


async def _watch(session: Session, chromium: str, seconds: float) -> Watched:
    async with open_viewer(chromium) as viewer, _serving(session) as url:
        with Progress(transient=True) as progress:
            task = progress.add_task("Measuring", total=2 * WARM_UP_S + seconds)

            async def play(before_s: float, length_s: float) -> None:
                await _play(session, length_s, lambda done_s: progress.update(task, completed=before_s + done_s))

            await play(0, WARM_UP_S)  # the page is opened when the session is at rest, as most pages are
            await viewer.open(url)
            await _first_picture(viewer, session)
            await play(WARM_UP_S, WARM_UP_S)
            from_ms = await viewer.now_ms()
            await play(2 * WARM_UP_S, seconds)
        return Watched(
            readings=await viewer.readings(),
            from_ms=from_ms,
            clock=await viewer.clock(),
            browser=viewer.name,
        )


@asynccontextmanager
async def _serving(session: Session) -> AsyncIterator[str]:
    """Serve the session as `realtime run` does; yields the page's address."""
    server = Server(session.streams, title=session.title, port=0, info=session.info)
    await server.start()
    try:
        session.on_figure = FigureSender(server.figures).send
        session.start()
        yield server.url
    finally:
        await server.stop()


async def _first_picture(viewer: Viewer, session: Session) -> None:
    ends_at_s = time.perf_counter() + FIRST_PICTURE_S
    while not await viewer.has_read():
        session.wait(0)
        if time.perf_counter() > ends_at_s:
            raise UserError(f"No picture came to the browser within {FIRST_PICTURE_S:g} s: does `realtime run` play?")
        await asyncio.sleep(POLL_S)


async def _play(session: Session, seconds: float, tell: Callable[[float], object]) -> None:
    """Let the session play; raises what ended it."""
    begun_at_s = time.perf_counter()
    while (done_s := time.perf_counter() - begun_at_s) < seconds:
        if session.wait(0):
            raise UserError("The source ended before the measurement: give a longer one, or fewer --seconds.")
        tell(done_s)
        await asyncio.sleep(min(POLL_S, seconds - done_s))


def _summary(
    watched: Watched, encoded: Mapping[int, float], session: Session, seconds: float, threads: int
) -> BrowserBenchResult:
    stamped = [reading for reading in watched.readings if reading.code in encoded]
    timed = [reading for reading in watched.readings if reading.shown_ms >= watched.from_ms]
    seen = [reading for reading in timed if reading.code in encoded]
    if len(seen) < 2:
        raise UserError("The browser showed too few pictures to measure: give more --seconds.")
    length_s = (timed[-1].shown_ms - timed[0].shown_ms) / 1000
    shown_ms, received_ms = (_ages_ms(seen, watched.clock, name) for name in ("shown_ms", "received_ms"))
    choice = session.renderer.choice
    return BrowserBenchResult(
        first_picture_ms=round(stamped[0].shown_ms, 1),
        fps=round((timed[-1].presented - timed[0].presented) / length_s, 2),
        latency_ms=_percentiles(shown_ms, 50, 95, 99),
        encoded_ms=_percentiles([1000 * encoded[each.code] for each in seen], 50, 95),
        received_ms=_percentiles(received_ms, 50, 95),
        shown_ms=_percentiles([each.shown_ms - each.received_ms for each in seen], 50, 95),
        longest_gap_ms=round(max(after.shown_ms - before.shown_ms for before, after in pairwise(seen)), 1),
        pictures=len(seen),
        unread=len(timed) - len(seen),
        clock_error_ms=round(watched.clock.error_ms, 2),
        reading_ms=round(float(np.median([reading.reading_ms for reading in seen])), 2),
        size=session.renderer.subject.manifest.height_px,
        seconds=seconds,
        browser=watched.browser,
        backend=choice.backend,
        precision=choice.precision,
        threads=threads,
    )


def _ages_ms(seen: Sequence[Reading], clock: Clock, field: str) -> list[float]:
    """How old each picture was at one of its times."""
    return [1000 * age_s(each.code, clock.opened_at_s + getattr(each, field) / 1000) for each in seen]


def _percentiles(ms: Sequence[float], *percents: int) -> dict[str, float]:
    return {f"p{percent}": round(float(np.percentile(ms, percent)), 1) for percent in percents}


def show(result: BrowserBenchResult) -> None:
    """A table for people, and one line of JSON for programs."""
    title = f"{result.fps} fps in {result.browser}, first picture after {result.first_picture_ms:.0f} ms"
    table = Table("", "p50 ms", "p95 ms", "p99 ms", title=title, caption=_caption(result), caption_justify="left")
    rows = {
        "  capture to encoded": result.encoded_ms,
        "  capture to received": result.received_ms,
        "  received to page": result.shown_ms,
        "capture to page": result.latency_ms,
    }
    for name, ms in rows.items():
        table.add_row(name, *(str(ms.get(percent, "")) for percent in ("p50", "p95", "p99")))
    Console().print(table)
    print(ABOUT)
    print(msgspec.json.encode(result).decode())


def _caption(result: BrowserBenchResult) -> str:
    return (
        f"{result.pictures} pictures, {result.unread} unread, longest gap {result.longest_gap_ms:.0f} ms\n"
        f"clocks agree to {result.clock_error_ms} ms, reading takes {result.reading_ms} ms"
    )
