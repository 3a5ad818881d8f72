"""From what is seen of a person, frame by frame, to what is drawn: filled, then smoothed, in training as live."""

from realtime.pose.fill_missing import FillConfig, Filler
from realtime.pose.pose import Pose
from realtime.pose.smooth import SmoothConfig, Smoother


class PoseStabilizer:
    """Owns what is remembered of one person's moves."""

    def __init__(self, fill: FillConfig | None = None, smooth: SmoothConfig | None = None) -> None:
        self._filler, self._smoother = Filler(fill), Smoother(smooth)

    def reset(self) -> None:
        """Forget the person."""
        self._filler.reset()
        self._smoother.reset()

    def step(self, seen: Pose | None, at_s: float) -> Pose | None:
        """Take what the estimator saw at `at_s` seconds, None for nobody, in the order of time.

        Returns:
            The pose to draw; None once nobody has been there for `FillConfig.lost_s`: whoever comes then starts anew.
        """
        pose = self._filler.fill(seen, at_s)
        if pose is None:
            self._smoother.reset()
            return None
        return self._smoother.smooth(pose, at_s)
