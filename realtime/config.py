"""What a person decides when a session starts; everything else comes with the subject."""

import os
from dataclasses import dataclass
from typing import Literal

from engines.errors import UserError


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How the networks run on this machine."""

    backend: Literal["auto", "tensorrt", "tensorrt-rtx", "torch-tensorrt", "openvino", "onnxruntime", "torch"] = "auto"
    """What runs the subject's networks: auto measures once which is fastest here."""
    precision: Literal["auto", "int8", "f16", "bf16", "f32"] = "auto"
    """Arithmetic of the subject's networks; those of the pose have their own."""
    threads: int = max(1, (os.cpu_count() or 2) - 1)
    """Cores for the renderer; one more is busy with the pose."""

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise UserError(f"--threads must be at least 1, not {self.threads}.")
