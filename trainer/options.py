"""How a training is carried out. None of it changes what is learnt, so a run may go on with others than it began."""

import os
import time
from dataclasses import dataclass
from typing import Literal

from engines.errors import UserError

PATIENCE_S = 60.0
"""Longer than a process takes to end, on a machine that is busy with others, too (13 s were seen)."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where to train. A run may go on elsewhere than it began."""

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    """What computes; auto: the GPUs, if there are any."""
    devices: int | Literal["auto"] = "auto"
    """Processes per machine, one per GPU, which share --batch; auto: as many as torchrun or SLURM started, otherwise
    one, or as many GPUs as divide --batch."""
    precision: Literal["auto", "bf16", "f32"] = "auto"
    """bf16 computes in bfloat16 where that does no harm; auto: bf16 where the device has it."""


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """How often to look and to save; none of it changes what is learnt."""

    validate_every: int = 500
    """Steps between looks: held-out footage played as a sheet, a film and metrics. The state is saved with each."""
    save_minutes: float = 5.0
    """Time between further saves."""
    keep: int = 3
    """Saved states to keep beside the best one."""

    def __post_init__(self) -> None:
        if self.validate_every < 1 or self.keep < 1 or self.save_minutes < 0:
            raise UserError("--validate-every and --keep must be at least 1, and --save-minutes at least 0.")


def outlasts(parent: int) -> bool:
    """Whether what has started this process of a training is still there after `PATIENCE_S`.

    A mistake that the first process finds, too, ends that at once: then it has told of it, and the others need not.
    SLURM lets them live, so there only the first process tells.
    """
    if "SLURM_PROCID" in os.environ:
        return False
    ends_at_s = time.monotonic() + PATIENCE_S
    while os.getppid() == parent and time.monotonic() < ends_at_s:
        time.sleep(0.05)
    return os.getppid() == parent


def first_process() -> bool:
    """Whether this is the first of a training's processes, as far as the environment tells."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
