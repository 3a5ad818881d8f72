"""What several tests share: a scripted camera, threads that end with their test, a real browser."""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.async_api import Browser, async_playwright

from realtime.frame import Frame
from realtime.live.latest import Latest
from server.encode import SharedStream
from tests.support.commands import DATA, chosen, command

os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()  # no engine of the user's, and none for the user
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is imported: as `trainer` does

BITS = 16
BLOCK_PX = 16

CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]


def numbered_picture(number: int, *, width_px: int = 256, height_px: int = 256, red: int = 40) -> NDArray[np.uint8]:
    """A picture that moves, with its number in 16 bits of black and white along the top."""
    rgb = np.empty((height_px, width_px, 3), np.uint8)
    rgb[...] = (red, 90, 160)
    cv2.circle(rgb, (width_px // 2 + number * 7 % 60, height_px * 2 // 3), height_px // 6, (230, 200, 40), -1)
    for bit in range(BITS):
        value = 235 if number >> bit & 1 else 16
        rgb[:BLOCK_PX, bit * BLOCK_PX : (bit + 1) * BLOCK_PX] = value
    return rgb


def read_number(rgb: NDArray[np.uint8]) -> int:
    """The number that `numbered_picture` put into the picture."""
    centre = BLOCK_PX // 2
    return sum(int(rgb[centre, bit * BLOCK_PX + centre, 1] > 128) << bit for bit in range(BITS))


class ScriptedCamera:
    """Puts numbered pictures into its slot at 30 fps, from its own thread; `paused` makes it stand still."""

    def __init__(self, *, red: int = 40, width_px: int = 256, height_px: int = 256) -> None:
        self.slot: Latest[Frame] = Latest()
        self.paused = threading.Event()
        self._red, self._width_px, self._height_px = red, width_px, height_px

    def run(self, stop: threading.Event) -> None:
        number = 0
        due_s = time.perf_counter()
        while not stop.is_set():
            if not self.paused.is_set():
                rgb = numbered_picture(number, width_px=self._width_px, height_px=self._height_px, red=self._red)
                self.slot.put(Frame(rgb=rgb, captured_at_s=time.perf_counter(), number=number))
                number += 1
            due_s += 1 / 30
            stop.wait(max(0.0, due_s - time.perf_counter()))


Runnable = Callable[[threading.Event], None]


@contextmanager
def in_thread(run: Runnable) -> Iterator[None]:
    """Execute `run(stop)` in a thread for the length of the block; its error becomes the test's."""
    stop = threading.Event()
    errors: list[BaseException] = []

    def body() -> None:
        try:
            run(stop)
        except BaseException as error:  # noqa: BLE001 it is raised again below
            errors.append(error)

    thread = threading.Thread(target=body, name=getattr(run, "__qualname__", "run"))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)
    assert not thread.is_alive(), f"{thread.name} did not stop"
    if errors:
        raise errors[0]


@contextmanager
def moving_streams(count: int) -> Iterator[list[SharedStream[Frame]]]:
    """One or two streams of scripted cameras, running: "alice" on a blue ground, "bob" on a red one."""
    cameras = [ScriptedCamera(red=red) for red in (40, 200)[:count]]
    streams = [SharedStream(name, camera.slot) for name, camera in zip(("alice", "bob"), cameras, strict=False)]
    with ExitStack() as threads:
        for run in [camera.run for camera in cameras] + [stream.run for stream in streams]:
            threads.enter_context(in_thread(run))
        yield streams


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Where Chromium is; the environment variable CHROMIUM comes before the search path."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        assert "CI" not in os.environ, "CI must have a Chromium"
        pytest.skip("needs Chromium: install it or set CHROMIUM to its path")
    return path


@pytest.fixture
async def browser(chromium_path: str) -> AsyncIterator[Browser]:
    """A headless Chromium that plays without being asked."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path, args=CHROMIUM_FLAGS)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def toy_flags() -> list[str]:
    """Settings of a training that takes seconds."""
    small = chosen(face_steps=2, batch=2, chains=2, window_px=64, perceptual_px=32, warmup_steps=1, ndf=8)
    return ["--steps", "4", *small, *chosen(generator__widths="16,16,16", face__widths="16,16,16")]


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory: pytest.TempPathFactory, toy_flags: list[str]) -> Path:
    """The run folder of a subject of 64 pixels, trained for four steps."""
    run = tmp_path_factory.mktemp("toy") / "run"
    prepare: list[str | Path] = ["prepare", DATA / "alice_clip.mp4", "--out", run, "--size", "64"]
    for arguments in (prepare, ["train", run, *toy_flags]):
        done = command("trainer", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    return run


@pytest.fixture(scope="session")
def toy_subject(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy run's subject folder. Copy it before you change it."""
    out = tmp_path_factory.mktemp("subjects")
    done = command("trainer", "export", toy_run, "--name", "toy", "--out", out, "--licence", "CC0-1.0")
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "toy"
