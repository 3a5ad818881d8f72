"""The benches behind `realtime bench`: their modes as people meet them, and what they are made of."""

import json
import os
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from engines.choose import Choice
from engines.errors import UserError
from engines.install import missing_message
from realtime.bench_tools import compare, endurance, scaling
from realtime.bench_tools.browser import BrowserBenchResult
from realtime.bench_tools.compare import PARTS, CompareResult, Ours
from realtime.bench_tools.config import BenchConfig
from realtime.bench_tools.endurance import EnduranceResult, Slice, summary
from realtime.bench_tools.renderer import can_shrink, small_renderer, whole_renderer
from realtime.bench_tools.scaling import HEIGHTS_PX, VIEWERS, ScalingResult, SizeRow, on_cores, viewer_percent
from realtime.bench_tools.stamp import BITS, TICK_S, age_s, stamped
from realtime.bench_tools.usual import Cost, ViewerEncoder, open_holistic, time_paper_step
from realtime.bench_tools.viewers import ViewersRow, bench_viewers
from realtime.frame import Rgb
from realtime.live.bench import BenchResult
from realtime.pose.estimation.config import PoseConfig
from realtime.subject import load_subject
from realtime.subject_clips import SubjectClips
from realtime.video import read_video
from server.encoder import LiveEncoder, Rung
from server.stream import RUNGS
from tests.support.commands import DATA, assert_refused, command
from tests.support.stamps import read_stamp


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
    ("options", "words"),
    [
        ({"browser": True, "scaling": True}, "--browser and --scaling are .* one of them"),
        ({"compare": True, "minutes": 2}, "--compare and --minutes"),
        ({"minutes": 0}, "--minutes must be more than 0"),
        ({"seconds": 0}, "--seconds must be more than 0"),
        ({"mediapipe_python": Path("python")}, "--mediapipe-python is for --compare"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        BenchConfig(**options)


def test_a_source_that_is_not_there() -> None:
    assert_refused(command("realtime", "bench", "--browser", "--source", "no.mp4"), "no.mp4", "bob")


def test_without_chromium(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert_refused(command("realtime", "bench", "--browser"), "Chromium", "apt install chromium", "CHROMIUM")


def test_a_browser_is_watched(chromium_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", chromium_path)
    done = command("realtime", "bench", "--browser", "--seconds", "5")
    assert done.returncode == 0, done.stderr
    assert "capture to page" in done.stdout
    assert max(map(len, done.stdout.splitlines()[:-3])) <= 80
    last = json.loads(done.stdout.splitlines()[-1])
    assert last.keys() == set(BrowserBenchResult.__struct_fields__)
    assert last["pictures"] >= 2
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


INT8 = Choice("openvino", "int8")
LIVE = BenchResult(
    fps=30.0,
    latency_ms={"p50": 50.0, "p95": 60.0, "p99": 70.0},
    stages_ms={},
    rendered_fps=30.0,
    seen=1.0,
    dropped=0,
    size=512,
    backend="openvino",
    precision="int8",
    threads=1,
    replaced=0,
    quality="full",
    cpu_share=0.5,
)


def test_both_ways_see_the_same_frame() -> None:
    renderer, pose = whole_renderer(load_subject("alice"), INT8, 1), PoseConfig(pose_parts="body")
    ours, encoder = Ours(renderer, pose), ViewerEncoder()
    for rgb, _ in islice(read_video(DATA / "alice_clip.mp4"), 2):
        picture, costs_ms = ours.step(rgb)
        assert picture.shape == (512, 512, 3)
        assert costs_ms is not None
        assert costs_ms.keys() == set(PARTS)
        assert min(costs_ms.values()) > 0
        assert min(encoder.time(picture)) > 0
    _, nobody = Ours(renderer, pose).step(renderer.subject.plate)
    assert nobody is None


OURS_MS = [{"pose": 10.0, "figure": 1.0, "networks": 20.0, "encode": 2.0}] * 2
USUAL = {"pose": Cost(ms=30, core_ms=40), "networks": Cost(ms=1965, core_ms=3955), "encode": Cost(ms=5, core_ms=5)}


def test_ratios_of_the_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    result = compare.summary(OURS_MS, USUAL, LIVE)
    assert result.parts["pose"].ratio == 0.25
    assert result.parts["figure"].usual is None
    assert (result.core_ms.ours_core_ms, result.core_ms.ratio) == (33, 0.00825)
    assert (result.usual_fps, result.fps_ratio) == (0.5, 60)
    assert (result.usual_latency_ms, result.latency_ratio) == (2000, 0.025)
    compare.show(result)
    assert max(map(len, capsys.readouterr().out.splitlines()[:-1])) <= 80


def test_what_the_comparison_lacks_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with open_holistic(None) as pose:
        assert isinstance(pose, str)
    networks = time_paper_step((512, 512), 1)
    assert isinstance(networks, str)
    result = compare.summary(OURS_MS, USUAL | {"pose": pose, "networks": networks}, LIVE)
    assert result.parts["encode"].ratio == 0.4
    assert result.fps_ratio is result.core_ms.ratio is result.usual_latency_ms is None
    compare.show(result)
    out = capsys.readouterr().out
    assert "[mediapipe]" in out
    assert "--mediapipe-python" in out
    assert "[train]" in out


@pytest.mark.parametrize("height_px", [256, 384])
def test_a_subject_s_networks_paint_smaller_pictures(height_px: int) -> None:
    alice = load_subject("alice")
    assert can_shrink(alice, INT8)
    renderer = small_renderer(alice, height_px, INT8, 1)
    assert renderer.subject.size_px == (height_px, height_px)
    pose = SubjectClips.of(alice).poses[10]
    assert pose is not None
    k = height_px / alice.manifest.height_px
    small = type(pose)(pose.xy * np.float32(k), pose.depth * np.float32(k), pose.confidence)
    picture = renderer.step(renderer.subject.figure(small))
    assert picture.shape == (height_px, height_px, 3)
    painted = np.abs(picture.astype(int) - renderer.subject.plate).max(axis=2) > 40
    assert 0.01 < painted.mean() < 0.5
    ys, xs = np.nonzero(painted)
    assert abs(np.median(xs) - np.median(small.xy[:, 0])) < height_px / 8
    assert abs(np.median(ys) - np.median(small.xy[:, 1])) < height_px / 3


def test_viewers_of_another_process_are_counted() -> None:
    pictures = [np.full((64, 64, 3), grey, np.uint8) for grey in range(0, 250, 10)]
    row = bench_viewers(pictures, 2, seconds=1.5)
    assert row.viewers == 2
    assert row.core_ms > 0
    assert row.fps > 0
    assert row.received_mbit_s > 0


def test_tables_of_sizes_and_viewers(capsys: pytest.CaptureFixture[str]) -> None:
    viewers = [ViewersRow(viewers=n, core_ms=4 + n / 10, fps=30, received_mbit_s=1.25) for n in (1, 11, 101)]
    assert viewer_percent(viewers) == pytest.approx(0.3)
    assert viewer_percent(viewers[:1]) == 0
    sizes = [SizeRow(height_px=512, cores=2, fps=28.5, latency_ms=LIVE.latency_ms, core_ms=61.3, dropped=12)]
    scaling.show(ScalingResult(sizes=sizes, viewers=viewers, viewer_percent=0.3, backend="openvino", precision="int8"))
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines()[:-1])) <= 80
    for figure in ("512", "28.5", "61.3", "101", "14.1", "0.3 %"):
        assert figure in out


def thread_cores(_: None) -> set[int]:
    """On which cores any thread of this process may run, with all libraries loaded that a session loads."""
    return set().union(*(os.sched_getaffinity(int(task.name)) for task in Path("/proc/self/task").iterdir()))


def test_a_process_on_one_core_has_no_thread_on_another() -> None:
    allowed = os.sched_getaffinity(0)
    assert on_cores(1, thread_cores, None) == {max(allowed)}
    assert os.sched_getaffinity(0) == allowed


@pytest.mark.long
def test_sizes_cores_and_viewers_are_measured() -> None:
    done = command("realtime", "bench", "--scaling", "--seconds", "1", timeout_s=1200)
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last.keys() == set(ScalingResult.__struct_fields__)
    assert {row["height_px"] for row in last["sizes"]} == set(HEIGHTS_PX)
    assert {row["cores"] for row in last["sizes"]} == {1, len(os.sched_getaffinity(0))}
    assert [row["viewers"] for row in last["viewers"]] == list(VIEWERS)


@pytest.mark.long
def test_the_usual_way_is_measured(tmp_path: Path) -> None:
    """With the paper's networks in torch, and a stand-in for the environment that has mediapipe."""
    stand_in = tmp_path / "python"
    stand_in.write_text(f"""#!{sys.executable}
import json, sys
print("ready", flush=True)
while header := sys.stdin.buffer.readline():
    count, height, width = json.loads(header)
    sys.stdin.buffer.read(count * height * width * 3)
    print(json.dumps([[0.04] * count, [0.05] * count]), flush=True)
""")
    stand_in.chmod(0o755)
    arguments: list[str | Path] = ["--source", DATA / "alice_clip.mp4", "--seconds", "1"]
    done = command("realtime", "bench", "--compare", *arguments, "--mediapipe-python", stand_in, timeout_s=1200)
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last.keys() == set(CompareResult.__struct_fields__)
    assert last["missing"] == {}
    assert last["parts"]["pose"]["usual"] == {"ms": 40, "core_ms": 50}
    assert last["parts"]["networks"]["ratio"] < 0.1
    assert last["core_ms"]["ratio"] < 0.1
