"""What happens to a frame."""

from dataclasses import dataclass, replace

from realtime.frame import Frame, Rgb
from realtime.meter import Meter
from realtime.pose.config import PoseConfig
from realtime.pose.estimate import PoseEstimator
from realtime.pose.figure import draw
from realtime.pose.measure import HeadBox, head_box
from realtime.pose.normalize import Normalizer
from realtime.pose.smooth import Smoother
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

    def __init__(self, subject: Subject, meter: Meter, pose: PoseConfig, *, threads: int) -> None:
        self._estimator = PoseEstimator(threads, pose)
        self._smoother = Smoother()
        self._normalizer = Normalizer(subject.manifest.motion)
        self._size_px = subject.manifest.size_px
        self._meter = meter

    def next_person(self) -> None:
        """Follow the next person, if there are several; from any thread."""
        self._estimator.next_person()

    def step(self, frame: Frame) -> Drawn:
        """Estimate, smooth, normalize, draw."""
        with self._meter.time("pose"):
            pose = self._estimator.estimate(frame.rgb)
        with self._meter.time("figure"):
            if pose is None:
                self._smoother.reset()
            else:
                pose = self._normalizer.normalize(self._smoother.smooth(pose, frame.captured_at_s))
            return Drawn(frame, draw(pose, self._size_px), head_box(pose) if pose else None)


class RenderPipeline:
    """Figure to picture. Owns the chain of outputs."""

    def __init__(self, renderer: Renderer, meter: Meter) -> None:
        self._renderer = renderer
        self._meter = meter

    def step(self, drawn: Drawn) -> Frame:
        """Render the target in the figure's pose."""
        with self._meter.time("render"):
            return replace(drawn.frame, rgb=self._renderer.step(drawn.figure, drawn.head))
