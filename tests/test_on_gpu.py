"""The prepared script for whoever has a GPU for a quarter of an hour, without one."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from realtime.subject import load_subject

SCRIPT = Path(__file__).parents[1] / "scripts" / "on_gpu.py"


def die() -> Iterator[dict[str, Any]]:
    yield {"before": 1}
    os._exit(7)


def linger(seconds: float) -> Iterator[dict[str, Any]]:
    yield {"before": 1}
    time.sleep(seconds)
    yield {"after": 1}


def stumble() -> Iterator[dict[str, Any]]:
    raise RuntimeError("first line\nsecond line")
    yield {}


def test_what_fails_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    from on_gpu import Report

    report = Report(tmp_path)
    assert report.run("dies", 60.0, die) == {"before": 1, "failed": "its process ended with exit code 7"}
    assert report.run("stumbles", 60.0, stumble) == {"failed": "RuntimeError: first line"}
    assert "after" not in report.run("lingers", 0.01, linger, 60.0), "it ends when its time is up"
    assert report.parts["lingers"]["failed"] == "its 0 s were up"
    assert report.run("late", 0.0, die) == {"failed": "no time was left"}
    assert json.loads((tmp_path / "report.json").read_text()) == report.parts
    assert "- stumbles: failed RuntimeError: first line" in (tmp_path / "report.md").read_text().splitlines()


def test_a_trial(toy_run: Path, toy_flags: list[str], tmp_path: Path) -> None:
    """A few steps on the processor; the unknown subject takes nothing else along."""
    out = tmp_path / "out"
    command: list[str | Path] = [sys.executable, SCRIPT, toy_run, "--out", out, "--name", "new"]
    command += ["--steps", "2", "--minutes", "8"]
    command += ["--subject", "nobody", "--backend", "openvino", *toy_flags[2:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=480, check=False)
    assert done.returncode == 0, done.stderr
    parts = json.loads((out / "report.json").read_text())
    assert [*parts] == [
        *("data", "machine", "nobody on openvino in int8", "batches", "body", "finish", "new on openvino in int8")
    ]
    assert 0 < parts["data"]["mb"] < 50
    assert parts["nobody on openvino in int8"]["failed"].startswith("There is no subject 'nobody'")
    assert parts["batches"]["2"].keys() == {"step_s", "images_per_s", "peak_gib"}
    assert parts["body"]["begins_at_step"] == 4
    assert (parts["body"]["steps"], parts["body"]["batch"]) == (2, 2)
    assert [row["step"] for row in parts["finish"]["validations"]] == [1, 2]
    assert parts["new on openvino in int8"]["passed"]
    assert parts["new on openvino in int8"]["fps"] > 0
    assert [name for name, figures in parts.items() if "failed" in figures] == ["nobody on openvino in int8"]
    assert load_subject(str(out / "subject" / "new")).manifest.training.steps == 2
    table = (out / "report.md").read_text()
    for row in ("| new on openvino in int8 | True |", "| 2 |", "| body | 2 |", "- body: begins_at_step 4"):
        assert row in table
    again = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (again.returncode, again.stdout) == (2, "")
    assert "is there already: choose another --out" in again.stderr
