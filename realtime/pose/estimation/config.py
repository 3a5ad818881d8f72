"""What a person decides about pose estimation."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import tyro

from engines.errors import UserError
from realtime.pose.skeleton import REFINED, UNREFINED

EstimatorName = Literal["refined", "own", "mediapipe"]
Followed = Literal["main", "nearest", "left", "right"]


@dataclass(frozen=True, kw_only=True)
class PoseConfig:
    """What estimates poses, how much of them and at what cost, and which person is followed."""

    estimator: Annotated[EstimatorName, tyro.conf.arg(name="pose")] = "refined"
    """What estimates poses: refined, this program; own, the same without the networks that refine joints; or the
    mediapipe library (the extra mediapipe). A subject is played with the one of the first two that it learnt with."""
    pose_parts: Literal["all", "hands", "face", "body"] = "all"
    """Body, hands and face; body and hands; body and face; the body alone, which takes a third of the time of all."""
    pose_effort: Literal["full", "fast", "lite"] = "full"
    """full: every network in every frame. fast: the large ones take turns, a small one follows body and hands in every
    frame, and the body is estimated in bf16. lite: fast, with a smaller network for the body,
    and the face in every second frame."""
    person: Followed | int = "main"
    """Who is followed when there are several people: the one who is large and central, the largest, the one at the
    left or right edge of the picture, or the Nth from the left."""

    def __post_init__(self) -> None:
        if isinstance(self.person, int) and self.person < 1:
            raise UserError(f"--person must be main, nearest, left, right, or a number from 1 on, not {self.person}.")

    @property
    def skeleton_version(self) -> int:
        """Where on the body its keypoints are: `skeleton.REFINED` or `UNREFINED`."""
        return REFINED if self.estimator == "refined" else UNREFINED

    def for_skeleton(self, version: int) -> "PoseConfig":
        """The same, with the estimator that sees the keypoints of a skeleton version; the library stays the library."""
        if self.estimator == "mediapipe" or self.skeleton_version == version:
            return self
        return replace(self, estimator="refined" if version == REFINED else "own")

    @property
    def hands(self) -> bool:
        """Whether hands are estimated."""
        return self.pose_parts in ("all", "hands")

    @property
    def face(self) -> bool:
        """Whether the face is estimated."""
        return self.pose_parts in ("all", "face")
