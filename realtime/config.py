"""What a person decides when a session starts; everything else comes with the subject."""

import os
from dataclasses import dataclass

from engines.backends import Auto, BackendName, Precision
from engines.errors import UserError
from realtime.pose.estimation.load import EstimatorName


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How the networks run on this machine."""

    backend: Auto | BackendName = "auto"
    """What runs the subject's networks: auto measures once which is fastest here."""
    precision: Auto | Precision = "auto"
    """Arithmetic of the subject's networks; those of the pose have their own."""
    pose: EstimatorName = "own"
    """What estimates poses: this program, or the mediapipe library (needs pip install 'bodydouble[mediapipe]')."""
    threads: int = max(1, (os.cpu_count() or 2) - 1)
    """Cores for the renderer; one more is busy with the pose."""

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise UserError(f"--threads must be at least 1, not {self.threads}.")
