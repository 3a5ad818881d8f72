"""Saving, resuming, rolling back, and what is written down, with the smallest of stages."""

import errno
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from engines.errors import UserError
from engines.files import disk_full_message, draft_of, replace_file
from realtime.frame import Rgb
from realtime.video import count_frames
from trainer.config import CheckpointConfig, Machine
from trainer.training.checkpoint import Checkpoints, TrainingTime, load_checkpoint, measure_training_time
from trainer.training.distributed import Fabric, assemble
from trainer.training.loop import train
from trainer.training.optimize import means, optimizer_step
from trainer.training.stage import Score
from trainer.training.training_log import SHEET_ROWS, LossLog, Preview


@pytest.fixture
def fabric() -> Fabric:
    return assemble(Machine(accelerator="cpu"), 1)


class Slope:
    """Minimises the fourth power of a number: from 1 it goes to 0 at a low rate, out of all bounds at a high one."""

    name, fps, pictures_per_step = "slope", 30.0, 1

    def __init__(self, fabric: Fabric, rate: float, steps: int = 40) -> None:
        self.steps, self.step_number, self.lr_scale = steps, 0, 1.0
        self.network = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.network.weight)
        self._fabric, self._rate = fabric, rate
        self.optimizer = torch.optim.SGD(self.network.parameters(), rate)

    def step(self) -> dict[str, float]:
        self.optimizer.param_groups[0]["lr"] = self.lr_scale * self._rate
        loss = self.network.weight.pow(4).sum()
        optimizer_step(self._fabric, loss, self)
        self.step_number += 1
        return means(self._fabric, {"loss": loss})

    def validate(self, frames: int, show: Callable[[Rgb], object]) -> Score:
        for _ in range(min(3, frames)):
            show(np.zeros((32, 32, 3), np.uint8))
        # Best in the middle of the training.
        return Score(1.0, 2.0, float(abs(self.step_number - 20)))

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step_number, "network": self.network.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step_number = state["step"]
        self.network.load_state_dict(state["network"])

    def close(self) -> None:
        """Nothing is open."""


def losses(run: Path) -> list[float]:
    rows = [json.loads(line) for line in (run / "slope.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    return [row["loss"] for row in rows]


def test_a_healthy_training_is_left_alone(fabric: Fabric, tmp_path: Path) -> None:
    stage = Slope(fabric, 0.1)
    assert train(stage, tmp_path, fabric, CheckpointConfig(validate_every=10))
    weight, seen = torch.ones(1, requires_grad=True), []
    for _ in range(40):
        loss = weight.pow(4).sum()
        (gradient,) = torch.autograd.grad(loss, weight)
        weight = (weight - 0.1 * gradient).detach().requires_grad_()
        seen.append(float(loss.detach()))
    assert losses(tmp_path) == seen
    assert stage.lr_scale == 1


def test_it_goes_back_and_on_at_half_the_rate(fabric: Fabric, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stage = Slope(fabric, 0.9)
    assert train(stage, tmp_path, fabric, CheckpointConfig(validate_every=10))
    assert 0 < stage.lr_scale < 1
    assert "The slope diverged at step" in caplog.text
    seen = losses(tmp_path)
    assert len(seen) == 40
    assert all(np.isfinite(seen))
    assert seen[-1] < seen[0]
    state = Checkpoints(tmp_path / "checkpoints", "slope").newest()
    assert state
    assert 0.5 ** state["loop"]["rollbacks"] == stage.lr_scale, "and when it is taken up again, too"


def test_it_gives_up_with_an_explanation(fabric: Fabric, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"slope diverged at step \d+ .* 3 rollbacks .*lower learning_rate"):
        train(Slope(fabric, 100.0), tmp_path, fabric, CheckpointConfig())
    state = Checkpoints(tmp_path / "checkpoints", "slope").newest()
    assert state
    assert state["network"]["weight"] == 1


def training_time(checkpoint: Path) -> TrainingTime:
    return TrainingTime(**load_checkpoint(checkpoint)["loop"]["time"])


def test_the_time_of_all_steps_is_added_up(fabric: Fabric, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    began_s = time.monotonic()
    train(Slope(fabric, 0.1, steps=30), tmp_path, fabric, CheckpointConfig(validate_every=10))
    first = training_time(folder / "slope_00000030.pt")
    assert training_time(folder / "slope_00000010.pt").total_s < first.total_s
    train(Slope(fabric, 0.1, steps=40), tmp_path, fabric, CheckpointConfig(validate_every=10))
    whole = training_time(folder / "slope_00000040.pt")
    assert 0 < first.total_s < whole.total_s < time.monotonic() - began_s
    hours, machine = measure_training_time(folder)
    assert hours == pytest.approx(whole.total_s / 3600)
    assert machine
    assert re.fullmatch(r"\d+ CPU cores?, (bf16|f32)", machine)


def test_the_best_is_kept_beside_the_last(fabric: Fabric, tmp_path: Path) -> None:
    train(Slope(fabric, 0.1), tmp_path, fabric, CheckpointConfig(validate_every=4, keep=2))
    checkpoints = Checkpoints(tmp_path / "checkpoints", "slope")
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["slope_00000036.pt", "slope_00000040.pt", "slope_best.pt"]
    assert torch.load(checkpoints.best, weights_only=True)["step"] == 20


def test_the_best_is_copied_where_files_have_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    checkpoints = Checkpoints(tmp_path, "s", keep=1)
    for step in range(3):
        checkpoints.save(step, {"step": step}, best=step < 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s_00000002.pt", "s_best.pt"]
    assert checkpoints.load_best() == {"step": 1}


def test_newest_whole_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = Checkpoints(tmp_path, "s", keep=3)
    assert checkpoints.newest() is None
    for step in range(5):
        checkpoints.save(step, {"step": step})
    assert checkpoints.newest() == {"step": 4}
    (tmp_path / "s_00000004.pt").write_bytes(b"\0" * 100)
    assert checkpoints.newest() == {"step": 3}
    assert "s_00000004.pt is damaged" in caplog.text
    assert checkpoints.newest(skip=1) == checkpoints.newest(skip=9) == {"step": 2}
    checkpoints.forget_after(2)
    assert [path.name for path in tmp_path.iterdir()] == ["s_00000002.pt"]
    (tmp_path / "s_00000002.pt").write_bytes(b"")
    with pytest.raises(UserError, match="delete them"):
        checkpoints.newest()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    draft_of(path).symlink_to("/dev/full")
    refused = pytest.raises(UserError, match="no space for it in")
    with refused, disk_full_message("it", tmp_path), replace_file(path) as file:
        torch.save({"weights": torch.zeros(1000, 1000)}, file)
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("file", b"old")]
    with pytest.raises(OSError, match="Permission"), disk_full_message("it", tmp_path):
        raise PermissionError(13, "Permission denied")


def test_a_loss_log_forgets_what_will_be_done_again(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    log = LossLog(path, 2)
    log.write(3, {"loss": 1 / 3})
    log.close()
    assert [json.loads(line) for line in path.read_text().splitlines()][1:] == [{"step": 2}, {"step": 3, "loss": 1 / 3}]


@pytest.mark.parametrize("count", [1, 5, 11, 12, 13, 100])
def test_a_preview_has_evenly_spread_rows(tmp_path: Path, count: int) -> None:
    with Preview(tmp_path / "p", 30) as preview:
        for value in range(count):
            preview.add(np.full((16, 16, 3), value, np.uint8))
    shown = preview.sheet[::16, 0, 0].astype(int)
    assert min(count, SHEET_ROWS) <= len(shown) < 2 * SHEET_ROWS
    assert len(set(np.diff(shown))) <= 1
    assert shown[-1] > 0.8 * (count - 1) or count == 1
    assert count_frames(tmp_path / "p.mp4") == count
    sheet = cv2.imread(str(tmp_path / "p.jpg"))
    assert sheet is not None
    assert sheet.shape == preview.sheet.shape
