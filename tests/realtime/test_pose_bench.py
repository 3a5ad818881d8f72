"""`realtime bench-pose` as its users meet it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from realtime.pose_tools.bench import CHUNK, PoseBenchResult
from realtime.video import read_video
from realtime.video_writer import VideoWriter
from tests.support.commands import DATA, assert_refused, command, command_here


def test_figures_for_people_and_programs() -> None:
    arguments: list[str | Path] = [
        "--source",
        DATA / "alice_clip.mp4",
        "--frames",
        "12",
        "--pose-parts",
        "hands",
        "--pose-effort",
        "lite",
    ]
    done = command("realtime", "bench-pose", *arguments)
    assert done.returncode == 0, done.stderr
    assert "frame to pose" in done.stdout
    last = json.loads(done.stdout.splitlines()[-1])
    assert last.keys() == set(PoseBenchResult.__struct_fields__)
    assert last["frames"] == last["seen"] == 12
    assert (last["skipped"], last["estimator"]) == (0, "refined")
    assert (last["parts"], last["effort"], last["cores"]) == ("hands", "lite", 1)
    assert set(last["stages_ms"]) == {"body", "hands"}
    for figures in (last["ms"], *last["stages_ms"].values()):
        assert 0 < figures["p50"] <= figures["p95"]
        assert figures["mean"] > 0
    assert last["processor_ms"] > 0


def test_side_by_side_with_the_library(tmp_path: Path) -> None:
    """An environment's Python that answers as the worker does: here without the library, so the protocol alone."""
    stand_in = tmp_path / "python"
    stand_in.write_text(f"""#!{sys.executable}
import json, sys
print("ready", flush=True)
while header := sys.stdin.buffer.readline():
    count, height, width = json.loads(header)
    assert len(sys.stdin.buffer.read(count * height * width * 3)) == count * height * width * 3
    print(json.dumps([[10.0] * count, [20.0] * count]), flush=True)
""")
    stand_in.chmod(0o755)
    arguments: list[str | Path] = ["--source", DATA / "alice_clip.mp4", "--frames", "5", "--pose-parts", "body"]
    done = command("realtime", "bench-pose", *arguments, "--mediapipe-python", stand_in)
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["mediapipe_ms"] == {"mean": 10_000, "p50": 10_000, "p95": 10_000}
    assert last["mediapipe_processor_ms"] == 20_000
    assert last["ratio"] == pytest.approx(last["ms"]["mean"] / 10_000, abs=1e-3)


def test_a_library_that_ends_is_told_of(tmp_path: Path) -> None:
    stand_in = tmp_path / "python"
    stand_in.write_text(f"#!{sys.executable}\nprint('ready', flush=True)\n")
    stand_in.chmod(0o755)
    arguments: list[str | Path] = ["--source", DATA / "alice_clip.mp4", "--frames", "5", "--pose-parts", "body"]
    assert_refused(command("realtime", "bench-pose", *arguments, "--mediapipe-python", stand_in), "mediapipe", "ended")


def test_it_begins_where_somebody_is(tmp_path: Path) -> None:
    """bob walks into an empty picture: what was measured there would be the detector that looks for him."""
    done = command("realtime", "bench-pose", "--source", DATA / "bob_clip.mp4", "--frames", "6", "--pose-parts", "body")
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["skipped"] > 10
    assert last["frames"] == last["seen"] == 6
    assert "somebody in 6 of 6 frames" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--source", "no.mp4"], ["no.mp4", "bob"]),
        (["--frames", "0"], ["--frames"]),
        (["--cores", "4096"], ["--cores", "4096"]),
        (["--person", "0"], ["--person", "0"]),
        (["--mediapipe-python", "/no/python"], ["/no/python"]),
        (["--mediapipe-python", "/bin/true"], ["mediapipe==0.10.21"]),
    ],
)
def test_mistakes_get_one_sentence(arguments: list[str], words: list[str]) -> None:
    assert_refused(command_here("realtime", "bench-pose", *arguments), *words)


def test_a_video_without_anybody(tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    with VideoWriter(path, 30) as writer:
        for _ in range(CHUNK + 2):
            writer.write(np.full((64, 64, 3), 90, np.uint8))
    assert_refused(command("realtime", "bench-pose", "--source", path, "--frames", "2"), "Nobody is seen", "empty.mp4")


def test_a_video_in_which_somebody_is_seen_too_shortly(tmp_path: Path) -> None:
    path, (alice, _) = tmp_path / "short.mp4", next(read_video(DATA / "alice_clip.mp4"))
    with VideoWriter(path, 30) as writer:
        for number in range(CHUNK + 4):
            writer.write(alice if number < 3 else np.zeros_like(alice))
    refused = command("realtime", "bench-pose", "--source", path, "--frames", "4", "--pose-parts", "body")
    assert_refused(refused, "short.mp4", "too few frames", str(CHUNK))
