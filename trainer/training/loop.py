"""The training loop, the same for every stage: step, validate, log, save; it resumes where it was stopped."""

import signal
import threading
from pathlib import Path

from engines.files import disk_full_message
from trainer.config import CheckpointConfig
from trainer.training.checkpoint import CheckpointManager, Checkpoints
from trainer.training.distributed import Fabric, any_process, fail_together
from trainer.training.optimize import DivergedError
from trainer.training.stage import Score, Stage
from trainer.training.training_log import TrainingLog

VALIDATION_FRAMES = 150
"""Held-out frames per validation, at most."""


def train(stage: Stage, run: Path, fabric: Fabric, config: CheckpointConfig) -> bool:
    """Train a stage to its end, or until Ctrl-C or SIGTERM, which save first.

    Writes into `run`: checkpoints/<stage>_*.pt, <stage>.jsonl (losses of every step), tensorboard/<stage>/, and
    previews/<stage>_<step>.jpg and .mp4.

    Returns:
        Whether the stage is finished.

    Raises:
        UserError: it keeps diverging, or the disk is full.
    """
    manager = CheckpointManager(stage, Checkpoints(run / "checkpoints", stage.name, config.keep), fabric)
    with Interruptible() as stop, disk_full_message("the training's files", run):
        manager.resume()
        if stage.step_number >= stage.steps:
            return True
        with fail_together(fabric):
            log = TrainingLog(stage, run) if fabric.is_global_zero else None
        stopping = False
        try:
            while stage.step_number < stage.steps and not stopping:
                try:
                    losses = manager.step()
                except DivergedError as reason:
                    manager.roll_back(reason)
                    if log:
                        log.reopen()
                    continue
                validating = stage.step_number % config.validate_every == 0 or stage.step_number == stage.steps
                score: Score | None = None
                with fail_together(fabric):
                    if log:
                        score = validate(stage, log) if validating else None
                        log.step(losses, score)
                score = fabric.broadcast(score) if validating else None
                stopping, due = any_process(fabric, stop.is_set(), manager.unsaved_s >= 60 * config.save_minutes)
                if score or due or stopping:
                    manager.save(score)
        finally:
            stage.close()
            if log:
                log.close()
    return stage.step_number >= stage.steps


def validate(stage: Stage, log: TrainingLog) -> Score:
    """Score the stage on held-out footage, with a preview."""
    with log.preview() as preview:
        return stage.validate(VALIDATION_FRAMES, preview.add)


class Interruptible:
    """Turns Ctrl-C and SIGTERM into an event, so that the loop can finish its step and save."""

    def __enter__(self) -> threading.Event:
        stop = threading.Event()
        self._old = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
        return stop

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
