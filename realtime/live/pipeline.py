"""What happens to a frame: pose, figure, picture."""

import logging
import time
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np

from engines.choose import Choice
from realtime.frame import Frame, Rgb
from realtime.live.openpose_source import PosedFrame
from realtime.live.performer_profile import Profile
from realtime.live.retarget import Retargeter
from realtime.meter import Meter
from realtime.pose.blur_meter import ADVICE, BlurMeter
from realtime.pose.figure.styles import Figure
from realtime.pose.track import PoseTrack
from realtime.subject import Subject

LOG = logging.getLogger(__name__)
CHAIN = ("pose_wait", "pose", "figure", "render_wait", "render", "encode_wait", "encode")
"""The parts of a frame's way, one after the other: `pose` estimates, fills and smooths, `figure` normalizes and draws,
and before each thread's work a frame waits for it. Added up they are the latency."""
STAGES = (*CHAIN, "latency")
"""What is metered; `latency` is from capture to encoded."""
FADE_S = 0.4
"""How long a new subject takes to replace the one before."""


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

    def step(self, figure: Figure) -> Rgb:
        """Render the next frame, uint8 [H, W, 3]; see `realtime.render.Renderer.step`."""


@dataclass(frozen=True, slots=True)
class FigureFrame:
    """A frame whose person has become a subject's figure, and what renders that subject."""

    frame: Frame
    figure: Figure
    renderer: SubjectRenderer

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
    """

    def __init__(
        self, track: PoseTrack, renderer: SubjectRenderer, meter: Meter, *, profile: Profile | None = None
    ) -> None:
        self._track = track
        self._blur: BlurMeter | None = BlurMeter()
        self._meter = meter
        self._renderer = renderer
        self._retargeter = Retargeter(renderer.subject.manifest, profile)

    @property
    def notice(self) -> str | None:
        """What the performer should know now."""
        return self._retargeter.notice

    def step(self, frame: Frame, renderer: SubjectRenderer) -> FigureFrame:
        """Estimate, fill and smooth, normalize, and draw for whoever `renderer` shows."""
        if renderer is not self._renderer:
            self._renderer = renderer
            self._retargeter.exchange(renderer.subject.manifest)
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
            pose = self._retargeter.fit(tracked.pose, frame) if tracked.pose else None
            figure = renderer.subject.figure(pose)
        return FigureFrame(replace(frame, done_at_s=time.perf_counter()), figure, renderer)

    def idle(self, frame: Frame, renderer: SubjectRenderer) -> FigureFrame:
        """The frame as if nobody were in it: what is shown while the source gives no pictures."""
        return FigureFrame(frame, renderer.subject.figure(None), renderer)


class RenderPipeline:
    """Figure to picture. When the subject changes the last picture fades into the new ones, if their sizes agree."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._renderer: SubjectRenderer | None = None
        self._last: Frame | None = None
        self._faded: Frame | None = None
        """The last picture of the subject before, while it still shows, with the time when it was replaced."""

    def step(self, drawn: FigureFrame) -> Frame:
        """Render the subject in the figure's pose."""
        self._meter.add("render_wait", time.perf_counter() - drawn.frame.waiting_since_s)
        with self._meter.time("render"):
            rgb = drawn.renderer.step(drawn.figure)
            if drawn.renderer is not self._renderer:
                self._renderer, self._faded = drawn.renderer, self._last
            rgb = self._fade(rgb, drawn.frame.captured_at_s)
        self._last = replace(drawn.frame, rgb=rgb, done_at_s=time.perf_counter())
        return self._last

    def _fade(self, rgb: Rgb, at_s: float) -> Rgb:
        if self._faded is None:
            return rgb
        share = (at_s - self._faded.captured_at_s) / FADE_S
        if share >= 1 or self._faded.rgb.shape != rgb.shape:
            self._faded = None
            return rgb
        return np.asarray(cv2.addWeighted(self._faded.rgb, 1 - share, rgb, share, 0), np.uint8)
