"""`engines build --backend tensorrt-rtx` and `engines verify`, as somebody without a GPU sees them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.choose import Choice
from engines.cores import usable_cores
from engines.verify import Check, VerifyConfig
from realtime.engine_tools import verify
from realtime.engine_tools.verify import verify_subject
from realtime.subject import Subject, load_subject
from realtime.subject_clips import save_clips
from realtime.subject_engines import EngineConfig
from tests.support.commands import assert_refused, command, command_here
from tests.support.fake_gpu import needs_no_gpu, needs_rtx
from tests.support.standing_pose import standing
from tests.support.subjects import sign

QUICK = ("--timed", "2", "--steps", "3", "--long-steps", "8")


@pytest.fixture
def alice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Alice with a few moves to check with, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "alice"
    shutil.copytree(load_subject("alice").folder, folder)
    save_clips(folder, [standing(scale=3, x=4.0 * step) for step in range(4)])
    sign(folder)
    return folder


@needs_rtx
def test_builds_ahead_of_time(alice: Path) -> None:
    from engines.nvidia.tensorrt_rtx import read_header

    done = command("engines", "build", alice, "--backend", "tensorrt-rtx", "--target", "sm89", "sm120")
    assert done.returncode == 0, done.stdout + done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert [row["network"] for row in last["rows"]] == ["generator", "face"]
    for row in last["rows"]:
        assert read_header(Path(row["file"]).read_bytes()).targets == ("sm89", "sm120")
    rtx = ("build", alice, "--backend", "tensorrt-rtx", "--target")
    assert_refused(command("engines", *rtx, "sm90"), "sm120, not for sm90")
    assert_refused(command("engines", *rtx, "sm89", "--precision", "int8"), "must be one of f16, f32")


@needs_no_gpu
def test_verify_without_a_device_is_one_sentence(alice: Path) -> None:
    for backend in ("tensorrt", "tensorrt-rtx", "torch-tensorrt", "torch-cuda"):
        assert_refused(command_here("engines", "verify", alice, "--backend", backend), "install")
    refused = command_here("engines", "verify", alice, "--backend", "openvino", "--precision", "f16")
    assert_refused(refused, "must be one of", "openvino, not f16")


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "--timed", "0"),
        ("verify", "--long-steps", "-1"),
        ("bench", "--runs", "0"),
    ],
)
def test_counts_below_one_are_one_sentence(arguments: tuple[str, str, str]) -> None:
    command_name, option, *_ = arguments
    assert_refused(command_here("engines", command_name, "alice", *arguments[1:]), f"{option} must be at least 1, not")


@pytest.mark.parametrize(
    ("command_name", "threads", "wrong"),
    [
        ("build", ["0"], 0),
        ("build", ["1000"], 1000),
        ("doctor", ["1000"], 1000),
        ("verify", ["1000"], 1000),
        ("bench", ["1", "1000"], 1000),
        ("bench", [], 0),
    ],
)
def test_cores_that_are_not_there_are_one_sentence(command_name: str, threads: list[str], wrong: int) -> None:
    refused = command_here("engines", command_name, "alice", "--threads", *threads)
    assert_refused(refused, f"--threads must be from 1 to {usable_cores()}, the cores", f"not {wrong}.")


def test_verify_runs_on_the_processor(alice: Path) -> None:
    done = command("engines", "verify", alice, "--backend", "openvino", "--precision", "bf16", *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "parity of face" in done.stdout
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["passed"] is True
    names = [check["name"] for check in last["checks"]]
    parity = ["parity", "latency", "memory does not grow", "long chain"]
    assert names == ["build and load", "load again", *parity, "windows as the whole picture", "parity of face"]


def test_what_verify_checks(alice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Choice, int]] = []

    def check(_: Subject, choice: Choice, threads: int, config: VerifyConfig) -> Iterator[Check]:
        asked.append((choice, threads))
        return iter(())

    monkeypatch.setattr(verify, "check_subject", check)
    for options in ([], ["--precision", "f32", "--threads", str(usable_cores())]):
        assert command_here("engines", "verify", alice, "--backend", "openvino", *options).returncode == 0
    assert asked == [(("openvino", "int8"), EngineConfig.threads), (("openvino", "f32"), usable_cores())]


def test_a_failed_check_is_code_1(alice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.verify.LEAK_BYTES", -(2**60))
    config = VerifyConfig(timed=1, steps=1, long_steps=1)
    with pytest.raises(SystemExit) as end:
        verify_subject(str(alice), backend="openvino", precision="f32", config=config, json=True)
    assert end.value.code == 1
