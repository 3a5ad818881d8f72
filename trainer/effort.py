"""What a training takes: the time of its steps, over all stops and machines, and where they are computed."""

from pathlib import Path
from typing import NamedTuple

from trainer.checkpoint import Checkpoints, State


class Effort(NamedTuple):
    """Of one stage; a part of its checkpoints."""

    timed_s: float = 0.0
    timed_steps: int = 0
    """Took that long; the steps of a training that began before they were timed are not among them."""
    machine: str | None = None
    """The last one that it ran on."""

    @classmethod
    def of(cls, state: State) -> "Effort":
        """What a checkpoint says; older ones say nothing."""
        return cls(**state["loop"].get("effort", {}))

    def after(self, step_s: float) -> "Effort":
        """With one step more."""
        return self._replace(timed_s=self.timed_s + step_s, timed_steps=self.timed_steps + 1)

    def total_s(self, steps: int) -> float | None:
        """Time of all steps: those that were not timed count as the others did on average; None if none was timed."""
        return steps * self.timed_s / self.timed_steps if self.timed_steps else None


def measure_effort(checkpoints: Path) -> tuple[float | None, str | None]:
    """Hours of all stages of a run together, where all are known, and the machine of the last one."""
    best = sorted(checkpoints.glob("*_best.pt"), key=lambda path: path.stat().st_mtime_ns)
    stages = [path.name.removesuffix("_best.pt") for path in best]
    states = [state for stage in stages if (state := Checkpoints(checkpoints, stage).newest())]
    efforts = [Effort.of(state) for state in states]
    seconds = [effort.total_s(state["step"]) for effort, state in zip(efforts, states, strict=True)]
    known_s = [each_s for each_s in seconds if each_s is not None]
    hours = sum(known_s) / 3600 if known_s and len(known_s) == len(seconds) else None
    return hours, next((effort.machine for effort in reversed(efforts) if effort.machine), None)
