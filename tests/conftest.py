"""Fixtures: a real browser, and the smallest training with its subject."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from playwright.async_api import Browser, async_playwright, expect

from tests.support.commands import DATA, chosen, command
from tests.support.waiting import HANG_S

os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()  # no engine of the user's, and none for the user
# No test asserts how long anything takes.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
expect.set_options(timeout=1000 * HANG_S)
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is imported: as `trainer` does

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
    "--use-fake-device-for-media-stream",  # a camera that shows a moving pattern
]


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Where Chromium is; the environment variable CHROMIUM comes before the search path."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        assert "CI" not in os.environ, "CI must have a Chromium"
        pytest.skip("needs Chromium: install it or set CHROMIUM to its path")
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of the page in the event loop of the browser, which they share."""
    for item in items:
        if isinstance(item, pytest.Function) and "browser" in item.fixturenames:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium(chromium_path: str) -> AsyncIterator[Browser]:
    """A headless Chromium that plays without being asked."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=chromium_path, args=CHROMIUM_FLAGS)
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(loop_scope="session")
async def browser(chromium: Browser) -> AsyncIterator[Browser]:
    """Chromium, which forgets the test's pages with all that belongs to them."""
    yield chromium
    for context in chromium.contexts:
        await context.close()


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
