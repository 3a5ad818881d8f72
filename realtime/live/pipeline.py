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
from realtime.pose.measure import HeadBox, head_box
from realtime.pose.track import PoseTrack
from realtime.render import Renderer
from realtime.subject import Subject

LOG = logging.getLogger(__name__)
STAGES = ("pose", "figure", "render", "encode", "latency")
"""What is metered: `pose` estimates, fills and smooths, `figure` normalizes and draws, `latency` is from capture to
encoded."""


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
    """Frame to figure. Owns what is known of the performer: track and range."""

    def __init__(self, subject: Subject, track: PoseTrack, meter: Meter, *, profile: Profile | None = None) -> None:
        self._track = track
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
            if isinstance(frame, PosedFrame):
                tracked = self._track.step_seen(frame.pose, frame.captured_at_s)
            else:
                tracked = self._track.step(frame.rgb, frame.captured_at_s)
        with self._meter.time("figure"):
            if self._blur is not None:
                self._blur.see(frame.rgb, tracked.seen)
                if self._blur.blurred:
                    LOG.warning(ADVICE)
                    self._blur = None  # once is enough
            if tracked.new_person:
                self._fitting.reset()
            pose = self._fitting.fit(tracked.pose, frame) if tracked.pose else None
            canvas = self._subject.draw(pose)
            return FigureFrame(frame, canvas, head_box(pose) if pose else None)


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
