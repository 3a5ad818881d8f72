"""The training loop, the same for every stage: step, log, look, save; it goes on where it was stopped."""

import json
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import cv2
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from realtime.frame import Rgb
from trainer.checkpoint import load_checkpoint, save_checkpoint


class Stage(Protocol):
    """What the loop needs to know of a stage."""

    name: str
    steps: int
    step_number: int

    def step(self) -> dict[str, float]:
        """Train one step; returns the losses by name."""

    def validate(self, frames: int) -> tuple[tuple[float, float], Rgb]:
        """PSNR in dB at the start and at the end of a held-out run, and a picture to look at."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""

    def close(self) -> None:
        """Let go of threads and files."""


def train(stage: Stage, run: Path, *, look_every: int = 500, look_frames: int = 150) -> bool:
    """Train a stage to its end, or until Ctrl-C or SIGTERM, which save first.

    Writes into `run`: <stage>.pt (checkpoint), <stage>.jsonl (losses), <stage>_<step>.jpg (preview sheets).

    Returns:
        Whether the stage is finished.
    """
    run.mkdir(parents=True, exist_ok=True)
    checkpoint = run / f"{stage.name}.pt"
    if checkpoint.exists():
        stage.load_state_dict(load_checkpoint(checkpoint))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Interruptible() as stop, Progress(*columns, TextColumn("{task.fields[losses]}")) as progress:
        task = progress.add_task(f"Training {stage.name}", total=stage.steps, completed=stage.step_number, losses="")
        try:
            while stage.step_number < stage.steps and not stop.is_set():
                losses = stage.step()
                progress.update(task, completed=stage.step_number, losses=_words(losses))
                if stage.step_number % look_every == 0 or stage.step_number == stage.steps:
                    ends, sheet = stage.validate(look_frames)
                    _log(run / f"{stage.name}.jsonl", stage.step_number, losses, ends)
                    progress.console.print(
                        f"{stage.name} {stage.step_number}: {_words(losses)}, chain {ends[0]:.2f} -> {ends[1]:.2f} dB"
                    )
                    cv2.imwrite(str(run / f"{stage.name}_{stage.step_number:06d}.jpg"), sheet[:, :, ::-1])
                    save_checkpoint(checkpoint, stage.state_dict())
            save_checkpoint(checkpoint, stage.state_dict())
        finally:
            stage.close()
    return stage.step_number >= stage.steps


class Interruptible:
    """Turns Ctrl-C and SIGTERM into an event, so that the loop can finish its step and save."""

    def __enter__(self) -> threading.Event:
        stop = threading.Event()
        self._old = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
        return stop

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)


def _words(losses: Mapping[str, float]) -> str:
    return " ".join(f"{name} {loss:.3f}" for name, loss in losses.items())


def _log(path: Path, step: int, losses: Mapping[str, float], ends: tuple[float, float]) -> None:
    row = {"step": step, **{name: round(loss, 5) for name, loss in losses.items()}, "chain_psnr_db": ends}
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")
