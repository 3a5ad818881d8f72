"""Checkpoints: a stage's whole state in one file, when it is saved and resumed, and the way back from divergence."""

import logging
import os
import pickle
import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch

from engines.errors import UserError
from engines.files import draft_of, replace_file, sync_folder
from trainer.training.distributed import Fabric, describe_machine, fail_together
from trainer.training.optimize import DivergedError
from trainer.training.stage import Score, Stage

LOG = logging.getLogger(__name__)

ROLLBACKS = 3
"""So often a stage that diverged goes on from an earlier state, at half the learning rate each time."""

State = dict[str, Any]


class Checkpoints:
    """The files of one stage: <folder>/<stage>_<step>.pt, of which the last few are kept, and <stage>_best.pt.

    Args:
        folder: where they are; it is made when the first one is written.
        stage: the stage's name.
        keep: how many to keep beside the best one; at least 1.
    """

    def __init__(self, folder: Path, stage: str, keep: int = 3) -> None:
        self._folder, self._stage, self._keep = folder, stage, keep

    @property
    def best(self) -> Path:
        """Path of the best one."""
        return self._folder / f"{self._stage}_best.pt"

    @property
    def exist(self) -> bool:
        """Whether there is any, damaged or not."""
        return bool(self._paths())

    def save(self, step: int, state: State, *, best: bool = False) -> None:
        """Write `state`, then delete the oldest; `best` marks it as the best so far."""
        path = self._folder / f"{self._stage}_{step:08d}.pt"
        with replace_file(path) as file:
            torch.save(state, file)
        if best:
            self._mark_best(path)
        for old in self._paths()[self._keep :]:
            old.unlink()

    def _mark_best(self, path: Path) -> None:
        """Give a checkpoint a second name: it takes no space, and replaces the last one in a single move."""
        draft = draft_of(self.best)
        draft.unlink(missing_ok=True)
        try:
            os.link(path, draft)
        except OSError:  # some file systems know no second names
            with path.open("rb") as written, replace_file(self.best) as file:
                shutil.copyfileobj(written, file)
        else:
            draft.replace(self.best)
            sync_folder(self._folder)

    def load_best(self) -> State:
        """The state in which the stage did best on held-out footage.

        Raises:
            UserError: it is missing or damaged.
        """
        return load_checkpoint(self.best)

    def reached(self, steps: int) -> bool:
        """Whether the stage has been trained for so many steps."""
        newest = self.newest()
        return newest is not None and bool(newest["step"] >= steps)

    def newest(self, *, skip: int = 0) -> State | None:
        """The state of the newest checkpoint that is not damaged; None if there has never been one.

        Args:
            skip: pass over so many undamaged ones, as long as an older one is left.

        Raises:
            UserError: all are damaged.
        """
        found: State | None = None
        paths = self._paths()
        for path in paths:
            try:
                found = load_checkpoint(path)
            except UserError as error:
                LOG.warning("%s It is passed over.", error)
                continue
            if skip == 0:
                return found
            skip -= 1
        if paths and found is None:
            raise UserError(f"All of {self._folder / self._stage}_*.pt are damaged: delete them and train again.")
        return found

    def forget_after(self, step: int) -> None:
        """Delete the checkpoints of later steps, and drafts that a killed process has left."""
        later = [path for path in self._paths() if _step(path) > step]
        for path in (*later, *self._folder.glob(f"{self._stage}_*.pt.*.new")):
            path.unlink()

    def _paths(self) -> list[Path]:
        """The newest first."""
        return sorted(self._folder.glob(f"{self._stage}_{'[0-9]' * 8}.pt"), key=_step, reverse=True)


def load_checkpoint(path: Path) -> State:
    """Read a checkpoint, without running anything in it.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"There is no checkpoint {path}: run `trainer train` first.") from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise UserError(f"The checkpoint {path} is damaged.") from error
    return state


class TrainingTime(NamedTuple):
    """How long a stage has trained, over all interruptions; a part of its checkpoints."""

    total_s: float
    """Sum of its steps' times."""
    machine: str
    """What trained it last."""


def measure_training_time(checkpoints: Path) -> tuple[float, str | None]:
    """Hours of all stages of a run together, and the machine of the last one."""
    stages = []
    for best in sorted(checkpoints.glob("*_best.pt"), key=lambda path: path.stat().st_mtime_ns):
        state = Checkpoints(checkpoints, best.name.removesuffix("_best.pt")).newest() or load_checkpoint(best)
        stages.append(TrainingTime(**state["loop"]["time"]))
    return sum(stage.total_s for stage in stages) / 3600, stages[-1].machine if stages else None


class CheckpointManager:
    """Saves and resumes one stage, and rolls it back when it diverges; the first process writes, all read."""

    def __init__(self, stage: Stage, checkpoints: Checkpoints, fabric: Fabric) -> None:
        self._stage, self._checkpoints, self._fabric = stage, checkpoints, fabric
        self._rollbacks, self._best, self._trained_s = 0, float("inf"), 0.0
        self._saved_at_s = time.monotonic()

    def step(self) -> dict[str, float]:
        """Train the stage's next step, and time it; see `Stage.step`."""
        began_s = time.perf_counter()
        losses = self._stage.step()
        self._trained_s += time.perf_counter() - began_s
        return losses

    @property
    def unsaved_s(self) -> float:
        """Time since the last save."""
        return time.monotonic() - self._saved_at_s

    def resume(self) -> None:
        """Load the newest undamaged checkpoint, or write a first one, so that `roll_back` always finds one."""
        state = self._checkpoints.newest()
        self._fabric.barrier()  # nobody writes before all have read
        if state is None:
            self.save(None)
        else:
            self._load(state, state["loop"]["rollbacks"])

    def save(self, score: Score | None) -> None:
        """Write the state, and mark it as the best if `score` is the best so far."""
        best = score is not None and score.distance <= self._best
        if score and best:
            self._best = score.distance
        time_spent = TrainingTime(self._trained_s, describe_machine(self._fabric))
        loop = {"rollbacks": self._rollbacks, "best": self._best, "time": time_spent._asdict()}
        state = {"loop": loop, **self._stage.state_dict()}
        with fail_together(self._fabric):
            if self._fabric.is_global_zero:
                self._checkpoints.save(self._stage.step_number, state, best=best)
        self._saved_at_s = time.monotonic()

    def roll_back(self, reason: DivergedError) -> None:
        """Go back to the last checkpoint, the second time to the one before, and so on; halve the learning rate.

        Raises:
            UserError: that was done `ROLLBACKS` times already.
        """
        stage, failed = self._stage, self._stage.step_number + 1
        if self._rollbacks == ROLLBACKS:
            raise UserError(
                f"The training of the {stage.name} diverged at step {failed} ({reason}), and so it did after "
                f"{ROLLBACKS} rollbacks with lower rates: look at the previews, and begin anew with a lower "
                "learning_rate or lower weights of the losses; the last good state is kept."
            ) from reason
        self._rollbacks += 1
        state = self._checkpoints.newest(skip=self._rollbacks - 1)
        assert state, "resume has written one"
        self._load(state, self._rollbacks)
        if self._fabric.is_global_zero:
            LOG.warning(
                "The %s diverged at step %d (%s): going on from step %d with %g of the rate.",
                *(stage.name, failed, reason, stage.step_number, stage.lr_scale),
            )

    def _load(self, state: State, rollbacks: int) -> None:
        self._fabric.barrier()  # all have read it: later ones may be deleted
        self._rollbacks, self._best = rollbacks, state["loop"]["best"]
        self._trained_s = TrainingTime(**state["loop"]["time"]).total_s
        self._stage.load_state_dict(state)
        self._stage.lr_scale = 0.5**rollbacks
        if self._fabric.is_global_zero:
            self._checkpoints.forget_after(self._stage.step_number)


def _step(path: Path) -> int:
    return int(path.stem.rpartition("_")[2])
