"""Keeps what a stage has learnt: saves it, takes it up again, and goes back when the training diverges."""

import logging
import time

from engines.errors import UserError
from trainer.training.checkpoint import Checkpoints, State
from trainer.training.distributed import together
from trainer.training.fabric import Fabric, machine_words
from trainer.training.optimize import DivergedError
from trainer.training.stage import Score, Stage
from trainer.training.training_time import TrainingTime

log = logging.getLogger(__name__)

ROLLBACKS = 3
"""So often a stage that diverged goes on from an earlier state, at half the rate each time."""


class CheckpointManager:
    """One stage and its checkpoints, which the first process writes and all read."""

    def __init__(self, stage: Stage, checkpoints: Checkpoints, fabric: Fabric) -> None:
        self._stage, self._checkpoints, self._fabric = stage, checkpoints, fabric
        self._rollbacks, self._best = 0, float("inf")
        self._effort = TrainingTime(machine=machine_words(fabric))
        self._saved_at_s = time.monotonic()

    def step(self) -> dict[str, float]:
        """Train the stage's next step, and time it; see `Stage.step`."""
        began_s = time.perf_counter()
        losses = self._stage.step()
        self._effort = self._effort.after(time.perf_counter() - began_s)
        return losses

    @property
    def unsaved_s(self) -> float:
        """Time since the last save."""
        return time.monotonic() - self._saved_at_s

    def take_up(self) -> None:
        """Go on from the newest whole checkpoint; write a first one if there is none, so that there is a way back."""
        state = self._checkpoints.newest()
        self._fabric.barrier()  # nobody writes before all have looked
        if state is None:
            self.save(None)
        else:
            self._load(state, state["loop"]["rollbacks"])

    def save(self, score: Score | None) -> None:
        """Write the state; `score` is its figure, if one was taken."""
        best = score is not None and score.distance <= self._best
        if score and best:
            self._best = score.distance
        loop = {"rollbacks": self._rollbacks, "best": self._best, "effort": self._effort._asdict()}
        state = {"loop": loop, **self._stage.state_dict()}
        with together(self._fabric):
            if self._fabric.is_global_zero:
                self._checkpoints.save(self._stage.step_number, state, best=best)
        self._saved_at_s = time.monotonic()

    def roll_back(self, reason: DivergedError) -> None:
        """Go back to the last checkpoint, the second time to the one before, and so on, and lower the rate.

        Raises:
            UserError: it has been tried often enough.
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
        assert state, "take_up has written one"
        self._load(state, self._rollbacks)
        if self._fabric.is_global_zero:
            log.warning(
                "The %s diverged at step %d (%s): going on from step %d with %g of the rate.",
                *(stage.name, failed, reason, stage.step_number, stage.lr_scale),
            )

    def _load(self, state: State, rollbacks: int) -> None:
        self._fabric.barrier()  # all have read it: what lies after it may go
        self._rollbacks, self._best = rollbacks, state["loop"]["best"]
        self._effort = TrainingTime.of(state)._replace(machine=self._effort.machine)
        self._stage.load_state_dict(state)
        self._stage.lr_scale = 0.5**rollbacks
        if self._fabric.is_global_zero:
            self._checkpoints.forget_after(self._stage.step_number)
