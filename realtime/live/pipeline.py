"""What happens to a frame."""

import logging
from dataclasses import dataclass, replace

from realtime.frame import Frame, Rgb
from realtime.live.failover import FailoverRenderer
from realtime.live.openpose_source import PosedFrame
from realtime.live.performer_profile import Profile
from realtime.live.retarget import Retargeter
from realtime.meter import Meter
from realtime.pose.blur_meter import ADVICE, BlurMeter
from realtime.pose.estimation.load import Estimator
from realtime.pose.measure import HeadBox, head_box
from realtime.pose.stabilize import PoseStabilizer
from realtime.render import Renderer
from realtime.subject import Subject

LOG = logging.getLogger(__name__)
STAGES = ("pose", "figure", "render", "encode", "latency")
"""What is metered; `latency` is from capture to encoded."""


@dataclass(frozen=True, slots=True)
class FigureFrame:
    """A frame whose person has become a figure in the target's room."""

    frame: Frame
    figure: Rgb
    head: HeadBox | None
    """None while nobody is there: `no_person`."""

    @property
    def no_person(self) -> bool:
        """Nobody is there, and has not been for `FillConfig.lost_s`: the last figure has faded."""
        return self.head is None


class PosePipeline:
    """Frame to figure. Owns what is known of the performer: track, smoothing, range."""

    def __init__(self, subject: Subject, estimator: Estimator, meter: Meter, *, profile: Profile | None = None) -> None:
        self._estimator, self._track_id = estimator, estimator.track_id
        self._stabilizer = PoseStabilizer()
        self._blur: BlurMeter | None = BlurMeter()
        self._fitting = Retargeter(subject.manifest, profile)
        self._subject = subject
        self._meter = meter

    @property
    def notice(self) -> str | None:
        """What the performer should know now."""
        return self._fitting.notice

    def step(self, frame: Frame) -> FigureFrame:
        """Estimate, fill and smooth, normalize, draw."""
        with self._meter.time("pose"):
            seen = frame.pose if isinstance(frame, PosedFrame) else self._estimator.estimate(frame.rgb)
        with self._meter.time("figure"):
            if self._blur is not None:
                self._blur.see(frame.rgb, seen)
                if self._blur.blurred:
                    LOG.warning(ADVICE)
                    self._blur = None  # once is enough
            if seen is not None and self._track_id != self._estimator.track_id:
                self._begin_anew()
            pose = self._stabilizer.step(seen, frame.captured_at_s)
            if pose is not None:
                pose = self._fitting.fit(pose, frame)
            canvas = self._subject.draw(pose)
            return FigureFrame(frame, canvas, head_box(pose) if pose else None)

    def _begin_anew(self) -> None:
        """Somebody else is followed: the figure does not glide over to them, nor is it placed by another's range.

        Who was away and is back in the same clothes is no other: their range is worth more than a new guess.
        """
        self._track_id = self._estimator.track_id
        self._stabilizer.reset()
        self._fitting.reset()


class RenderPipeline:
    """Figure to picture. Owns the chain of outputs."""

    def __init__(self, renderer: Renderer | FailoverRenderer, meter: Meter) -> None:
        self._renderer = renderer
        self._meter = meter

    def step(self, drawn: FigureFrame) -> Frame:
        """Render the target in the figure's pose; while nobody is there, the chain starts from the empty room."""
        with self._meter.time("render"):
            if drawn.no_person:
                self._renderer.reset()
            return replace(drawn.frame, rgb=self._renderer.step(drawn.figure, drawn.head))
