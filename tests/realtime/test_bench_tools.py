"""The benches behind `realtime bench`: their modes as people meet them, and what they are made of."""

import json
import sys
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from engines.install import missing_message
from realtime.bench_tools import endurance
from realtime.bench_tools.browser import BrowserBenchResult
from realtime.bench_tools.endurance import EnduranceResult, Slice, summary
from realtime.bench_tools.stamp import BITS, TICK_S, age_s, read_stamp, stamped
from realtime.frame import Rgb
from realtime.video import read_video
from server.encoder import LiveEncoder, Rung
from server.stream import RUNGS
from tests.support.commands import DATA, assert_refused, command


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("size_px", [512, 256])
def test_a_stamp_outlives_the_encoder(size_px: int, rung: Rung) -> None:
    """In every size and rate in which viewers get the picture, over bob's moves."""
    encoder, decoder = LiveEncoder("VP8", rung, fps=30), av.CodecContext.create("vp8", "r")
    begun_at_s, read = 4321.0987, 0
    for number, (rgb, _) in enumerate(islice(read_video(DATA / "bob_clip.mp4"), 60, 90)):
        at_s = begun_at_s + number * 0.0333
        picture = stamped(np.asarray(cv2.resize(rgb, (size_px, size_px)), np.uint8), at_s)
        for packet in encoder.encode(picture, at_s, key=number == 0):
            for frame in decoder.decode(av.Packet(bytes(packet))):
                code = read_stamp(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
                assert code is not None
                assert abs(age_s(code, at_s + 0.05) - 0.05) <= TICK_S
                read += 1
    assert read == 30


def test_a_stamp_changes_a_copy_and_only_its_corner() -> None:
    rgb: Rgb = np.full((512, 512, 3), 90, np.uint8)
    picture = stamped(rgb, 1.5)
    assert read_stamp(rgb) is None
    assert read_stamp(picture) == 15_000
    assert (picture[32:] == 90).all()
    assert (picture[:, 80:] == 90).all()


def test_ages_go_on_where_the_stamp_begins_again() -> None:
    whole_s = (1 << BITS) * TICK_S
    code = read_stamp(stamped(np.zeros((256, 256, 3), np.uint8), 3 * whole_s - 0.01))
    assert code is not None
    assert age_s(code, 3 * whole_s + 0.03) == pytest.approx(0.04, abs=2 * TICK_S)
    assert age_s(code, 3 * whole_s - 0.012) == pytest.approx(-0.002, abs=2 * TICK_S)


def test_playwright_is_of_the_extra_dev() -> None:
    assert "[dev]" in str(missing_message(ModuleNotFoundError(name="playwright")))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--browser", "--scaling"], ["--browser and --scaling", "one of them"]),
        (["--compare", "--minutes", "2"], ["--compare and --minutes"]),
        (["--minutes", "0"], ["--minutes", "0"]),
        (["--seconds", "0"], ["--seconds", "0"]),
        (["--mediapipe-python", "python"], ["--mediapipe-python", "--compare"]),
        (["--browser", "--source", "no.mp4"], ["no.mp4", "bob"]),
    ],
)
def test_mistakes_get_one_sentence(arguments: list[str], words: list[str]) -> None:
    assert_refused(command("realtime", "bench", *arguments), *words)


def test_without_chromium(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert_refused(command("realtime", "bench", "--browser"), "Chromium", "apt install chromium", "CHROMIUM")


def test_a_browser_is_watched(chromium_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", chromium_path)
    done = command("realtime", "bench", "--browser", "--seconds", "3")
    assert done.returncode == 0, done.stderr
    assert "capture to page" in done.stdout
    assert max(map(len, done.stdout.splitlines()[:-3])) <= 80
    last = json.loads(done.stdout.splitlines()[-1])
    assert last.keys() == set(BrowserBenchResult.__struct_fields__)
    assert last["pictures"] > 2
    assert last["unread"] == 0
    assert last["fps"] > 0
    assert 0 < last["latency_ms"]["p50"] <= last["latency_ms"]["p95"] <= last["latency_ms"]["p99"]
    for part in ("encoded_ms", "received_ms"):  # of the same pictures
        assert 0 < last[part]["p50"] < last["latency_ms"]["p50"]


def minute(memory_mib: float, latency_ms: float) -> Slice:
    latencies_ms = {"p50": latency_ms, "p95": 1.5 * latency_ms, "p99": 2 * latency_ms}
    return Slice(fps=30, latency_ms=latencies_ms, dropped=1, memory_mib=memory_mib, threads=8)


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (minute(410, 42), []),
        (minute(300, 20), []),
        (minute(500, 42), ["memory"]),
        (minute(900, 99), ["memory", "late"]),
    ],
)
def test_what_grew(last: Slice, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    result = summary(3, 60, [minute(400, 40), minute(401, 40), last])
    assert len(result.grown) == len(words)
    for grown, word in zip(result.grown, words, strict=True):
        assert grown.startswith(word)
    assert result.memory_mib_per_hour == pytest.approx((last.memory_mib - 400) / 2 * 60, rel=1e-3)
    endurance.show(result)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[:-1])) <= 80
    assert ("Nothing grew." in lines) == (not words)


def test_minutes_are_measured() -> None:
    done = command("realtime", "bench", "--source", DATA / "bob_clip.mp4", "--minutes", "0.05")
    last = json.loads(done.stdout.splitlines()[-1])
    assert last.keys() == set(EnduranceResult.__struct_fields__)
    assert done.returncode == (1 if last["grown"] else 0), done.stderr
    assert [last["first"], last["last"]] == last["slices"]
    assert last["slice_s"] == 1.5
    assert last["first"]["memory_mib"] > 50
