"""`engines` on the processor, as a user runs it."""

import json
import re
import shutil
from pathlib import Path

import pytest

from engines.backends import FALLBACK_ORDER, known_backend
from engines.cache import Cache, engine_key
from engines.engine import BrokenOutputError
from engines.parity import Parity
from realtime.engine_tools import doctor
from realtime.engine_tools.cli import bench_paper
from realtime.engine_tools.doctor import DoctorReport
from realtime.subject import Subject, load_subject
from realtime.subject_engines import EngineConfig, choose_engines
from tests.support.commands import DATA, assert_refused, command, command_here
from tests.support.subjects import poison, sign


@pytest.fixture
def toy(toy_subject: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    """A toy subject of one's own, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(toy_subject, tmp_path / "toy")
    return load_subject(str(tmp_path / "toy"))


def test_build_list_prune(toy: Subject) -> None:
    done = command("engines", "build", toy.folder, "--backend", "openvino")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])["rows"]
    assert {(row["precision"], row["network"]) for row in rows} == {
        (precision, network) for precision in ("int8", "bf16", "f32") for network in ("generator", "face")
    }
    for row in rows:
        assert Parity(row["step_db"], row["chain_db"]).holds(row["precision"])
    listed = command("engines", "list").stdout
    number = r"\d+\.\d"
    assert listed.count("toy/") == 6
    assert (
        len(re.findall(rf"toy/\w+ +│ openvino \w+ +│ {number} +│ {number} +│ {number} +│ \d{{4}}-\d\d-\d\d │", listed))
        == 6
    )
    assert max(map(len, listed.splitlines())) <= 80
    assert "99.0" in listed
    assert re.search("0 deleted, 6 left", command("engines", "prune").stdout)
    assert re.search("6 deleted, 0 left", command("engines", "prune", "--limit-mib", "0").stdout)


def test_engines_that_differ_only_in_threads_are_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for threads in (1, 2):
        key = engine_key(DATA / "alice_clip.mp4", "openvino", "f32", options=f"{threads} threads")
        Cache().get_or_build(key, "hands", lambda _: {})
    rows = [line for line in command_here("engines", "list").stdout.splitlines() if "openvino" in line]
    assert len(rows) == 1
    assert "hands (2)" in rows[0]


def test_build_refuses(toy: Subject) -> None:
    assert_refused(command_here("engines", "build", toy.folder, "--target", "sm89"), "--backend tensorrt-rtx")
    assert_refused(command_here("engines", "prune", "--limit-mib", "-1"), "at least 0")
    poison(toy.generator, toy.generator, float("nan"))
    assert_refused(command_here("engines", "build", toy.folder), "generator.onnx is damaged")
    sign(toy.folder)
    assert_refused(command_here("engines", "build", toy.folder), "generator.onnx is broken", "not finite")


def test_doctor(toy: Subject) -> None:
    done = command("engines", "doctor", toy.folder, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report.keys() == set(DoctorReport.__struct_fields__)
    backends = {each["name"]: each for each in report["backends"]}
    assert list(backends) == [each.name for each in FALLBACK_ORDER]
    assert backends["openvino"]["state"] == "works"
    assert backends["openvino"]["ms"].keys() == {"int8", "bf16", "f32"}
    for each in backends.values():
        assert each["state"] == "works" or each["advice"]
    assert report["backend"] in backends
    assert 0 < report["live_fps"] < 31
    assert report["live_ms"] > 0
    plain = command("engines", "doctor", toy.folder)
    assert "Recommended: --backend" in plain.stdout
    for each in backends.values():
        if each["state"] == "missing":
            assert each["advice"] in plain.stdout


@pytest.mark.parametrize("failure", [BrokenOutputError("not finite"), RuntimeError("no kernel image")])
def test_doctor_outlives_a_backend_that_fails(
    toy: Subject, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise failure

    monkeypatch.setattr(doctor, "trial", failing)
    report = doctor._examine_backend(known_backend("openvino"), toy, 1)
    assert (report.state, report.advice) == ("fails", str(failure))


def test_bench(toy: Subject) -> None:
    done = command("engines", "bench", toy.generator, "--runs", "2", "--threads", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])["rows"]
    assert {(row["backend"], row["precision"]) for row in rows} >= {
        ("openvino", "int8"), ("openvino", "bf16"), ("openvino", "f32"), ("onnxruntime", "f32"), ("torch", "f32"),
    }  # fmt: skip
    for row in rows:
        assert 0 < row["ms"]["p50"] <= row["ms"]["p95"]
        assert row["gmacs"] > 0
        assert row["threads"] == 1
    assert all(row["peak_percent"] > 0 for row in rows)
    assert_refused(command("engines", "bench", toy.folder, "--runs", "0"), "--runs")


def test_the_papers_generator_is_the_baseline() -> None:
    row = bench_paper(2)
    assert row is not None
    assert "paper" in row.backend
    assert row.gmacs == pytest.approx(111 / row.ms.p50 * 1000, rel=0.02)


def test_auto_is_the_default_and_explains_itself(toy: Subject) -> None:
    said: list[str] = []
    best = choose_engines(toy, EngineConfig(), said.append)[0]
    assert str(best) in said[-1]
    assert said[0] == "Finding out what runs toy fastest on this machine (once, a few seconds)."
    done = command("realtime", "bench", "--subject", toy.folder, "--seconds", "1")
    assert "Finding out" not in done.stdout
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["backend"], last["precision"], last["replaced"]) == (*best, 0)
