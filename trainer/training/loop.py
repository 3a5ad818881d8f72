"""The training loop, the same for every stage: step, look, log, save; it goes on where it was stopped."""

import signal
import threading
from pathlib import Path

from trainer.config import CheckpointConfig
from trainer.files import disk_full_message
from trainer.training.checkpoint import Checkpoints
from trainer.training.checkpoint_manager import CheckpointManager
from trainer.training.distributed import agree, together
from trainer.training.fabric import Fabric
from trainer.training.optimize import DivergedError
from trainer.training.stage import Score, Stage
from trainer.training.training_log import Record

LOOK_FRAMES = 150
"""Of held-out footage per look."""


def train(stage: Stage, run: Path, fabric: Fabric, upkeep: CheckpointConfig) -> bool:
    """Train a stage to its end, or until Ctrl-C or SIGTERM, which save first.

    Writes into `run`: checkpoints/<stage>_*.pt, <stage>.jsonl (losses of every step), tensorboard/<stage>/, and
    previews/<stage>_<step>.jpg and .mp4.

    Returns:
        Whether the stage is finished.

    Raises:
        UserError: it keeps diverging, or there is no room to write.
    """
    keeper = CheckpointManager(stage, Checkpoints(run / "checkpoints", stage.name, upkeep.keep), fabric)
    with Interruptible() as stop, disk_full_message("the training's files", run):
        keeper.take_up()
        if stage.step_number >= stage.steps:
            return True
        with together(fabric):
            record = Record(stage, run) if fabric.is_global_zero else None
        stopping = False
        try:
            while stage.step_number < stage.steps and not stopping:
                try:
                    losses = keeper.step()
                except DivergedError as reason:
                    keeper.roll_back(reason)
                    if record:
                        record.reopen()
                    continue
                at_look = stage.step_number % upkeep.validate_every == 0 or stage.step_number == stage.steps
                score: Score | None = None
                with together(fabric):
                    if record:
                        score = look(stage, record) if at_look else None
                        record.step(losses, score)
                score = fabric.broadcast(score) if at_look else None
                stopping, due = agree(fabric, stop.is_set(), keeper.unsaved_s >= 60 * upkeep.save_minutes)
                if score or due or stopping:
                    keeper.save(score)
        finally:
            stage.close()
            if record:
                record.close()
    return stage.step_number >= stage.steps


def look(stage: Stage, record: Record) -> Score:
    """Try the stage on held-out footage, with pictures."""
    with record.preview() as preview:
        return stage.validate(LOOK_FRAMES, preview.add)


class Interruptible:
    """Turns Ctrl-C and SIGTERM into an event, so that the loop can finish its step and save."""

    def __enter__(self) -> threading.Event:
        stop = threading.Event()
        self._old = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
        return stop

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
