"""What happens to a frame: pose, figure, the subject's parts moved into it, rendering, picture."""

import logging
import time
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np

from engines.choose import Choice
from realtime.figure import Figure
from realtime.frame import Frame, Rgb
from realtime.live.badge import Badge
from realtime.live.lesson import Lesson
from realtime.live.openpose_source import PosedFrame
from realtime.live.performer_profile import Profile
from realtime.live.retarget import Retargeter
from realtime.meter import Meter
from realtime.pose.blur_meter import ADVICE, BlurMeter
from realtime.pose.estimation.economy import Economy
from realtime.pose.track import PoseTrack, TrackedPose
from realtime.references.bones import Limbs, limbs_of
from realtime.references.inputs import ReferenceInputs
from realtime.references.reproject import Rendering, Reprojector, is_near
from realtime.subject import Subject

LOG = logging.getLogger(__name__)
CHAIN = (
    *("pose_wait", "pose", "figure"),
    *("parts_wait", "parts"),
    *("render_wait", "render"),
    *("show_wait", "show"),
    *("encode_wait", "encode"),
)
"""The parts of a frame's way, one after the other: `pose` estimates, fills and smooths, `figure` normalizes and draws,
`parts` moves the subject's parts into the pose, `show` fades and marks, and before each thread's work a frame waits for
it. Added up they are the latency."""
BESIDE = ("parts_wait", "parts", "render_wait", "render")
"""What is no part of a reprojected frame's way, but goes on beside it; see `FigureFrame.reproject`."""
STAGES = (*CHAIN, "latency")
"""What is metered; `latency` is from capture to encoded."""
FADE_S = 0.4
"""How long a new subject takes to replace the one before, and how long it takes to leave or come back."""


class SubjectRenderer(Protocol):
    """A subject ready to be rendered; belongs to one thread at a time."""

    @property
    def subject(self) -> Subject:
        """Who is shown."""

    @property
    def choice(self) -> Choice:
        """What computes it now."""

    @property
    def replaced(self) -> int:
        """Broken pictures so far, in whose place the last good one was shown."""

    face_every: int
    """See `realtime.render.Renderer.face_every`."""

    def step(self, figure: Figure) -> Rgb:
        """Render the next frame, uint8 [H, W, 3]; see `realtime.render.Renderer.step`."""

    def cut(self) -> Rendering | None:
        """The last picture with its person cut out; see `realtime.render.Renderer.cut`. None if it was broken, too."""


@dataclass(frozen=True, slots=True)
class FigureFrame:
    """A frame whose person has become a subject's figure, and what renders that subject."""

    frame: Frame
    figure: Figure
    renderer: SubjectRenderer
    picture: Rgb | None = None
    """uint8 [H, W, 3], once it is rendered."""
    reproject: Limbs | None = None
    """Set if it is shown without waiting for its picture: the last rendering is moved into these limbs."""

    @property
    def no_person(self) -> bool:
        """Nobody is there, and has not been for `FillConfig.lost_s`: the last figure has faded."""
        return self.figure.pose is None


class PosePipeline:
    """Frame to figure. Owns what is known of the performer: track and range.

    Args:
        track: who is followed.
        renderer: of the subject that is shown first.
        meter: where durations go.
        profile: the performer's, if it was calibrated.
        live: whether somebody is in front of a camera now, who can be advised on its light.
    """

    def __init__(
        self,
        track: PoseTrack,
        renderer: SubjectRenderer,
        meter: Meter,
        *,
        profile: Profile | None = None,
        live: bool = True,
    ) -> None:
        self._track = track
        self._blur = BlurMeter() if live else None
        self._meter = meter
        self._renderer = renderer
        self._retargeter = Retargeter(renderer.subject.manifest, profile)
        self._lesson: Lesson | None = None
        self._others: tuple[int, bool] | None = None
        """The number of the source from which somebody else comes, and whether it is live."""

    @property
    def notice(self) -> str | None:
        """What the performer should know now."""
        lesson = self._lesson  # once: another thread may change it meanwhile
        return self._retargeter.notice if lesson is None else lesson.notice

    @property
    def calibrating(self) -> bool:
        """Whether the performer is being told where to stand, or how that went."""
        return self._lesson is not None

    def calibrate(self, name: str | None) -> None:
        """Learn from now on where the performer stands near and far; a name keeps it. From any thread."""
        self._lesson = Lesson(name)

    def forget(self, source: int, *, live: bool) -> None:
        """Whoever comes in frames from this source on is somebody else, be it live or not; from any thread."""
        self._others = source, live

    def economize(self, economy: Economy) -> None:
        """Leave something out of the estimation; see `Estimator.economize`. From any one thread."""
        self._track.economize(economy)

    def step(self, frame: Frame, renderer: SubjectRenderer) -> FigureFrame:
        """Estimate, fill and smooth, normalize, and draw for whoever `renderer` shows."""
        if renderer is not self._renderer:
            self._renderer = renderer
            self._retargeter.exchange(renderer.subject.manifest)
        others = self._others  # once: another thread may change it meanwhile
        if others is not None and frame.source >= others[0]:
            self._begin_anew(live=others[1])
            if self._others is others:
                self._others = None
        self._meter.add("pose_wait", time.perf_counter() - frame.waiting_since_s)
        with self._meter.time("pose"):
            if isinstance(frame, PosedFrame):
                tracked = self._track.step_seen(frame.pose, frame.captured_at_s)
            else:
                tracked = self._track.step(frame.rgb, frame.captured_at_s)
        with self._meter.time("figure"):
            if self._blur is not None and not isinstance(frame, PosedFrame):
                self._blur.see(frame.rgb, tracked.seen)
                if self._blur.blurred:
                    LOG.warning(ADVICE)
                    self._blur = None  # once is enough
            if tracked.new_person:
                self._retargeter.reset()
            self._learn(tracked, frame)
            pose = self._retargeter.fit(tracked.pose, frame) if tracked.pose else None
            figure = renderer.subject.figure(pose)
        return FigureFrame(replace(frame, done_at_s=time.perf_counter()), figure, renderer)

    def _begin_anew(self, *, live: bool) -> None:
        self._lesson, self._blur = None, BlurMeter() if live else None
        self._track.reset()
        self._retargeter.reset()

    def _learn(self, tracked: TrackedPose, frame: Frame) -> None:
        lesson = self._lesson
        if lesson is None:
            return
        profile = lesson.step(tracked, frame)
        if profile is not None:
            self._retargeter.use(profile)
        if lesson.over and self._lesson is lesson:
            self._lesson = None

    def idle(self, frame: Frame, renderer: SubjectRenderer) -> FigureFrame:
        """The frame as if nobody were in it: what is shown while the source gives no pictures."""
        return FigureFrame(frame, renderer.subject.figure(None), renderer)


class PartsPipeline:
    """Moves the subject's parts into a figure's pose, if it has any, while the renderer is at the figure before.

    Every figure that it has stepped over has to be rendered: parts and the past are moved from one to the next.

    Args:
        meter: where durations go.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._subject: Subject | None = None
        self._inputs: ReferenceInputs | None = None

    def step(self, drawn: FigureFrame) -> FigureFrame:
        """The figure with the parts of the subject that its renderer shows."""
        self._meter.add("parts_wait", time.perf_counter() - drawn.frame.waiting_since_s)
        with self._meter.time("parts"):
            subject = drawn.renderer.subject
            if subject is not self._subject:
                self._subject = subject
                self._inputs = ReferenceInputs(subject.atlas, subject.plate) if subject.atlas else None
            figure = drawn.figure
            if self._inputs and figure.pose is None:
                self._inputs.reset()  # there is nothing to move
            elif self._inputs:
                figure = replace(figure, moved=self._inputs.step(figure.pose).copied())
        return replace(drawn, frame=replace(drawn.frame, done_at_s=time.perf_counter()), figure=figure)


class RenderPipeline:
    """Figure to picture, by the subject's networks.

    Args:
        meter: where durations go.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.face_every = 1
        """See `realtime.render.Renderer.face_every`; from any thread."""

    def step(self, drawn: FigureFrame) -> FigureFrame:
        """The figure with its picture."""
        self._meter.add("render_wait", time.perf_counter() - drawn.frame.waiting_since_s)
        with self._meter.time("render"):
            drawn.renderer.face_every = self.face_every
            picture = drawn.renderer.step(drawn.figure)
        return replace(drawn, frame=replace(drawn.frame, done_at_s=time.perf_counter()), picture=picture)


class ShowPipeline:
    """Picture to what everybody sees; where there is none yet, the last one is moved into the figure's pose.

    When the subject changes the last picture fades into the new ones, if their sizes agree; while `faded` the subject's
    empty background takes their place, by and by.

    Args:
        meter: where durations go.
        badge: whether pictures say that they are generated.
    """

    def __init__(self, meter: Meter, *, badge: bool = False) -> None:
        self._meter = meter
        self._renderer: SubjectRenderer | None = None
        self._rendered: tuple[SubjectRenderer, Rendering] | None = None
        """The newest picture that can be moved, and what rendered it."""
        self._reprojector: tuple[SubjectRenderer, Reprojector] | None = None
        self._badge = Badge()
        self._last: Rgb | None = None
        self._before: Rgb | None = None
        """The last picture of the subject before, while it still shows."""
        self._presence = 1.0
        """How much of the present subject is seen, 0..1."""
        self.last: Frame | None = None
        """The picture that was shown last, as everybody sees it."""
        self.badge = badge
        """Whether pictures carry the badge; from any thread."""
        self.faded = False
        """Whether only the background is to be seen; from any thread."""
        self._absence = 0.0
        """How much of the background is seen, 0..1."""
        self._at_s = 0.0
        """When the newest picture was captured."""

    def keep(self, rendered: FigureFrame) -> None:
        """Move the picture that was just rendered into the figures that follow; from the thread that rendered it."""
        if rendered.no_person:
            self._rendered = None
        elif (cut := rendered.renderer.cut()) is not None:
            self._rendered = rendered.renderer, cut

    def has_rendering(self, renderer: SubjectRenderer) -> bool:
        """Whether there is a picture of a renderer that can be moved into other poses; from any thread."""
        rendered = self._rendered
        return rendered is not None and rendered[0] is renderer

    def reprojectable(self, drawn: FigureFrame) -> Limbs | None:
        """The limbs of a figure, if there is a picture that can be moved into them; from any thread."""
        rendered, pose, atlas = self._rendered, drawn.figure.pose, drawn.renderer.subject.atlas
        if rendered is None or pose is None or atlas is None or rendered[0] is not drawn.renderer:
            return None
        limbs = limbs_of(pose, atlas.widths)
        return limbs if is_near(limbs, rendered[1].limbs) else None

    def step(self, drawn: FigureFrame) -> Frame | None:
        """What is shown of a figure; None if there is neither a picture of it nor one to move."""
        movable = self._movable(drawn) if drawn.picture is None else None
        if drawn.picture is None and movable is None:
            return None
        self._meter.add("show_wait", time.perf_counter() - drawn.frame.waiting_since_s)
        with self._meter.time("show"):
            rgb = drawn.picture if movable is None else self._reproject(drawn.renderer, *movable)
            assert rgb is not None, "a picture, or one to move"
            if drawn.renderer is not self._renderer:
                self._renderer, self._before, self._presence = drawn.renderer, self._last, 0.0
            share = self._share(drawn.frame.captured_at_s)
            self._last = rgb = self._come(rgb, share)
            rgb = self._leave(rgb, drawn.renderer.subject.plate, share)
            rgb = self._badge.burn(rgb) if self.badge else rgb
        self.last = replace(drawn.frame, rgb=rgb, done_at_s=time.perf_counter())
        return self.last

    def _movable(self, drawn: FigureFrame) -> tuple[Rendering, Limbs] | None:
        """The last rendering, if it is of a figure's subject, and the limbs that it is to be moved into."""
        rendered = self._rendered  # once: another thread may change it meanwhile
        if rendered is None or drawn.reproject is None or rendered[0] is not drawn.renderer:
            return None
        return rendered[1], drawn.reproject

    def _reproject(self, renderer: SubjectRenderer, rendering: Rendering, limbs: Limbs) -> Rgb:
        """A rendering in another pose."""
        if self._reprojector is None or self._reprojector[0] is not renderer:
            self._reprojector = renderer, Reprojector(renderer.subject.plate)
        return self._reprojector[1].step(rendering, limbs)

    def _share(self, at_s: float) -> float:
        """The share of a fade since the picture before: nothing jumps because pictures failed to come for a while."""
        since_s, self._at_s = min(at_s - self._at_s, FADE_S / 6), at_s
        return since_s / FADE_S

    def _come(self, rgb: Rgb, share: float) -> Rgb:
        self._presence = min(1.0, self._presence + share)
        if self._before is None or self._presence == 1 or self._before.shape != rgb.shape:
            self._before = None
            return rgb
        return _blend(rgb, self._before, self._presence)

    def _leave(self, rgb: Rgb, plate: Rgb, share: float) -> Rgb:
        self._absence = min(1.0, max(0.0, self._absence + (share if self.faded else -share)))
        return rgb if not self._absence else _blend(plate, rgb, self._absence)


def _blend(one: Rgb, other: Rgb, share: float) -> Rgb:
    """`share` of `one`, the rest of the other."""
    return np.asarray(cv2.addWeighted(one, share, other, 1 - share, 0), np.uint8)
