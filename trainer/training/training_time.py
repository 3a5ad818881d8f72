"""What a training takes: the time of its steps, over all stops and machines, and where they are computed."""

from pathlib import Path
from typing import NamedTuple

from trainer.training.checkpoint import Checkpoints, State, load_checkpoint


class TrainingTime(NamedTuple):
    """Of one stage; a part of its checkpoints."""

    timed_s: float = 0.0
    timed_steps: int = 0
    """Took that long; the steps of a training that began before they were timed are not among them."""
    machine: str | None = None
    """The last one that it ran on."""

    @classmethod
    def of(cls, state: State) -> "TrainingTime":
        """What a checkpoint says; older ones say nothing."""
        return cls(**state["loop"].get("effort", {}))

    def after(self, step_s: float) -> "TrainingTime":
        """With one step more."""
        return self._replace(timed_s=self.timed_s + step_s, timed_steps=self.timed_steps + 1)

    def total_s(self, steps: int) -> float | None:
        """Time of all steps: those that were not timed count as the others did on average; None if none was timed."""
        return steps * self.timed_s / self.timed_steps if self.timed_steps else None


def measure_training_time(checkpoints: Path) -> tuple[float | None, str | None]:
    """Hours of all stages of a run together, None where one is not known, and the machine of the last one."""
    hours, machine = list[float | None](), None
    for best in sorted(checkpoints.glob("*_best.pt"), key=lambda path: path.stat().st_mtime_ns):
        state = Checkpoints(checkpoints, best.name.removesuffix("_best.pt")).newest() or load_checkpoint(best)
        effort = TrainingTime.of(state)
        total_s = effort.total_s(state["step"])
        hours.append(total_s and total_s / 3600)
        machine = effort.machine or machine
    known = [each for each in hours if each is not None]
    return sum(known) if known and len(known) == len(hours) else None, machine
