"""What a person decides when something is measured by `realtime bench`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from engines.errors import UserError
from engines.values import Inline, SubjectName
from realtime.live.quality import FULL, QualityConfig
from realtime.pose.estimation.config import PoseConfig
from realtime.subject_engines import EngineConfig


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Which session is measured, and what of it."""

    subject: SubjectName = "alice"
    """Who is shown: a name, or the path of a subject's folder."""
    source: Annotated[str, tyro.conf.arg(metavar="VIDEO")] = "bob"
    """The video that drives it: a path, an URL, a folder of pictures, or a bundled performer's name."""
    seconds: float = 20.0
    """How long to measure, after a warm-up; with --scaling, each row. With --minutes it has no effect."""
    browser: bool = False
    """Measure to the page of a real Chromium: first picture, pictures per second, and the way from capture to page."""
    compare: bool = False
    """Measure beside the usual way: MediaPipe's Holistic, the paper's networks in torch, an encoder for every
    viewer."""
    scaling: bool = False
    """Measure smaller pictures, one core and all, and 1 to 100 viewers."""
    minutes: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """Measure for so long whether memory and latency stay as they are; exit code 1 if they grow."""
    mediapipe_python: Annotated[Path | None, tyro.conf.arg(metavar="PYTHON")] = None
    """With --compare: Python of another environment that has mediapipe 0.10.21, if this one has not."""
    engines: Annotated[EngineConfig, Inline] = EngineConfig()
    """How the networks run."""
    pose: Annotated[PoseConfig, Inline] = PoseConfig()
    """What estimates the pose, and whose."""
    quality: Annotated[QualityConfig, Inline] = FULL
    """How much is computed."""

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise UserError(f"--seconds must be more than 0, not {self.seconds:g}.")
        if self.minutes is not None and self.minutes <= 0:
            raise UserError(f"--minutes must be more than 0, not {self.minutes:g}.")
        modes = {"browser": self.browser, "compare": self.compare, "scaling": self.scaling, "minutes": self.minutes}
        chosen = [f"--{name}" for name, value in modes.items() if value]
        if len(chosen) > 1:
            raise UserError(f"{' and '.join(chosen)} are measured one at a time: give one of them.")
        if (self.compare or self.scaling) and self.quality != FULL:
            raise UserError(f"{chosen[0]} measures everything at full quality: leave out --quality and --cpu-share.")
        if self.mediapipe_python is not None and not self.compare:
            raise UserError("--mediapipe-python is for --compare: give both.")
