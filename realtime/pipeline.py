"""What happens to a frame."""

from dataclasses import dataclass, replace

from realtime.fitting import Fitting
from realtime.frame import Frame, Rgb
from realtime.meter import Meter
from realtime.pose.load import Estimator
from realtime.pose.measure import HeadBox, head_box
from realtime.pose.smooth import Smoother
from realtime.poses import PosedFrame
from realtime.profile import Profile
from realtime.render import Renderer
from realtime.subject import Subject

STAGES = ("pose", "figure", "render", "encode", "latency")
"""What is metered; `latency` is from capture to encoded."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A frame whose person has become a figure in the target's room."""

    frame: Frame
    figure: Rgb
    head: HeadBox | None
    """None while nobody is there."""


class PosePipeline:
    """Frame to figure. Owns what is known of the performer: track, smoothing, range."""

    def __init__(self, subject: Subject, estimator: Estimator, meter: Meter, *, profile: Profile | None = None) -> None:
        self._estimator = estimator
        self._smoother = Smoother()
        self._fitting = Fitting(subject.manifest, profile)
        self._size_px = subject.manifest.size_px
        self._style = subject.style
        self._meter = meter

    @property
    def notice(self) -> str | None:
        """What the performer should know now."""
        return self._fitting.notice

    def step(self, frame: Frame) -> Drawn:
        """Estimate, smooth, normalize, draw."""
        with self._meter.time("pose"):
            pose = frame.pose if isinstance(frame, PosedFrame) else self._estimator.estimate(frame.rgb)
        with self._meter.time("figure"):
            if pose is None:
                self._smoother.reset()
            else:
                pose = self._fitting.fit(self._smoother.smooth(pose, frame.captured_at_s), frame)
            return Drawn(frame, self._style.draw(pose, self._size_px), head_box(pose) if pose else None)


class RenderPipeline:
    """Figure to picture. Owns the chain of outputs."""

    def __init__(self, renderer: Renderer, meter: Meter) -> None:
        self._renderer = renderer
        self._meter = meter

    def step(self, drawn: Drawn) -> Frame:
        """Render the target in the figure's pose."""
        with self._meter.time("render"):
            return replace(drawn.frame, rgb=self._renderer.step(drawn.figure, drawn.head))
