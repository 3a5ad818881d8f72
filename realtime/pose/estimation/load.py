"""Load what estimates poses."""

from dataclasses import replace
from typing import Protocol

from engines.errors import UserError
from realtime.frame import Rgb
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.pose import Pose


class Estimator(Protocol):
    """Estimates the pose of one person; it may remember, so give it every frame of one stream, in order."""

    @property
    def track_id(self) -> int:
        """Changes whenever it goes over to somebody else, as far as it can tell people apart."""

    def estimate(self, rgb: Rgb) -> Pose | None:
        """The pose in a picture (H W 3 uint8 RGB), in its pixels; None where there is nobody."""

    def reset(self) -> None:
        """Forget the person."""

    def next_person(self) -> None:
        """Follow another person, if there are several and it can tell them apart; quick, from any thread."""


def load_estimator(config: PoseConfig = PoseConfig(), *, threads: int) -> Estimator:
    """Load the estimator that `config` names.

    Args:
        config: which one; what else it says is for our own only.
        threads: cores that one estimate may use; the library takes what it wants.

    Raises:
        UserError: its package is not installed, or it can do nothing of what `config` asks.
        ValueError: unknown name.
    """
    if config.estimator == "own":
        from realtime.pose.estimation.estimator import PoseEstimator

        return PoseEstimator(threads, config)
    if config.estimator == "mediapipe":
        if replace(config, estimator="own") != PoseConfig():
            raise UserError(
                "The mediapipe library sees everything of one person of its own choice: leave out --pose-parts, "
                "--pose-effort and --person, or --pose mediapipe."
            )
        from realtime.pose.estimation.mediapipe import HolisticEstimator

        return HolisticEstimator()
    raise ValueError(f"estimator must be own or mediapipe, not {config.estimator!r}")
