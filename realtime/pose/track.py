"""The pose of one person over time: estimated, filled in where keypoints are missed, smoothed; in training as live."""

from dataclasses import dataclass, replace

from realtime.frame import Rgb
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.economy import Economy
from realtime.pose.estimation.estimator import Estimator, load_estimator
from realtime.pose.fill_missing import FillConfig, Filler
from realtime.pose.normalization.motion_range import Stand, observe
from realtime.pose.pose import Pose
from realtime.pose.smooth import Smoother, SmoothStep


@dataclass(frozen=True, slots=True)
class TrackedPose:
    """The pose in one frame, in its pixels."""

    seen: Pose | None
    """The raw estimate; None where nobody was found."""
    pose: Pose | None
    """Filled and smoothed, what is drawn; None once nobody has been there for `FillConfig.lost_s`."""
    new_person: bool = False
    """The estimator has gone over to somebody else: nothing learnt of the last person holds."""
    smoothed: SmoothStep | None = None
    """How `pose` came to be, for `look_back`."""

    @property
    def stand(self) -> Stand | None:
        """Where the person stands by the smoothed pose; None unless both feet are seen, not only filled in."""
        feet = self.seen is not None and observe(self.seen) is not None
        return observe(self.pose) if feet and self.pose is not None else None


class PoseTrack:
    """Follows one person through the frames of one stream, to be given in order.

    Args:
        estimator: what finds the pose in a picture; None where poses come from elsewhere, by `step_seen`.
        fill: how long missed keypoints stay.
    """

    def __init__(self, estimator: Estimator | None = None, *, fill: FillConfig = FillConfig()) -> None:
        self._estimator = estimator
        self._track_id = None if estimator is None else estimator.track_id
        self._filler, self._smoother = Filler(fill), Smoother()

    @property
    def track_id(self) -> int | None:
        """Changes with the picture in which somebody else is followed; None where poses come from elsewhere."""
        return self._track_id

    @classmethod
    def of(cls, config: PoseConfig = PoseConfig(), *, threads: int = 1) -> "PoseTrack":
        """A track with the estimator of a config; see `load_estimator`."""
        return cls(load_estimator(config, threads=threads))

    def step(self, rgb: Rgb, at_s: float) -> TrackedPose:
        """Take the next picture, H W 3 uint8 RGB, taken at `at_s` seconds."""
        assert self._estimator is not None, "a track without an estimator is given poses, not pictures"
        seen = self._estimator.estimate(rgb)
        # Who was away and comes back in the same clothes keeps the track_id, and with it what is known of them.
        new_person = seen is not None and self._estimator.track_id != self._track_id
        if new_person:
            self._track_id = self._estimator.track_id
            self._forget()
        return replace(self.step_seen(seen, at_s), new_person=new_person)

    def step_seen(self, seen: Pose | None, at_s: float) -> TrackedPose:
        """Take the next pose, of a picture taken at `at_s` seconds; None for nobody."""
        pose = self._filler.fill(seen, at_s)
        if pose is None:
            self._smoother.reset()
            return TrackedPose(seen, None)
        smoothed = self._smoother.step(pose, at_s)
        return TrackedPose(seen, smoothed.pose, smoothed=smoothed)

    def reset(self) -> None:
        """Forget the person: the next one starts anew."""
        if self._estimator is not None:
            self._estimator.reset()
        self._forget()

    def next_person(self) -> None:
        """Follow the next person from the next picture on; see `Estimator.next_person`. From any thread."""
        if self._estimator is not None:
            self._estimator.next_person()

    def economize(self, economy: Economy) -> None:
        """Leave something out from the next picture on; see `Estimator.economize`. From any one thread."""
        if self._estimator is not None:
            self._estimator.economize(economy)

    def _forget(self) -> None:
        self._filler.reset()
        self._smoother.reset()
