"""Playback: a subject rendered from a video exactly as live, but without threads, so that no frame is dropped."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engines.errors import UserError
from realtime.figure import Figure
from realtime.frame import Rgb
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.normalization.normalizer import Normalizer
from realtime.pose.pose import Pose
from realtime.pose.track import PoseTrack
from realtime.references.bones import limbs_of
from realtime.references.reproject import Rendering, Reprojector
from realtime.subject import Subject
from realtime.subject_engines import EngineConfig, choose_engines, load_renderer
from realtime.video import count_frames, frame_rate, read_video
from trainer.footage.crop import Crop, Framing

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class VideoSpan:
    """The part of a video that is played."""

    start_s: float = 0.0
    """Second of the video to start at."""
    end_s: float = math.inf
    """Second of the video to end at."""
    last_s: float = math.inf
    """Play only so many seconds at the end, e.g. 40: what a training on this video held out."""

    def __post_init__(self) -> None:
        if not 0 <= self.start_s < self.end_s:
            raise UserError(f"--start-s must be from 0 to below --end-s, not {self.start_s:g} to {self.end_s:g}.")
        if not self.last_s > 0:  # NaN, too
            raise UserError(f"--last-s must be more than 0, not {self.last_s:g}.")

    def span_s(self, length_s: float) -> tuple[float, float]:
        """Its begin and end, which is excluded, in a video of this length, 0 when unknown."""
        if math.isfinite(self.last_s):
            return max(self.start_s, length_s - self.last_s), self.end_s
        return self.start_s, self.end_s


@dataclass(frozen=True, slots=True)
class PlaybackFrame:
    """A frame of a video as the renderer takes it."""

    number: int
    """Index in the span, from 0."""
    footage: Rgb
    """uint8 H W 3: the crop of the video's frame. If the video shows the subject, this is the truth."""
    seen: Pose | None
    """The stabilized pose in the footage's pixels, None while nobody is there."""
    pose: Pose | None
    """The pose that is drawn, in the output's pixels; the same as `seen` if the video shows the subject."""
    figure: Rgb
    """uint8 H W 3."""


class VideoPlayback:
    """A video as figures of a subject.

    Args:
        subject: what the figures are drawn for.
        video: its frames are the footage.
        part: of the video.
        engines: how many cores the pose estimator may use.
        pose: which estimator, and whose pose.
        self_driven: the video shows the subject: poses are drawn where they are; else they are normalized, as live.
        box: x, y, width, height of the crop; by default the subject's own crop in a video of the subject that is as
            large as its footage, else the largest centred one.

    Raises:
        UserError: the video cannot be read, has no frame in that part, or the box does not fit.
    """

    def __init__(
        self,
        subject: Subject,
        video: Path,
        part: VideoSpan,
        engines: EngineConfig,
        pose: PoseConfig = PoseConfig(),
        *,
        self_driven: bool,
        box: tuple[int, int, int, int] | None = None,
    ) -> None:
        self.subject, self.video, self.fps = subject, video, frame_rate(video)
        length_s = count_frames(video) / self.fps
        self._begin_s, self._end_s = part.span_s(length_s)
        self.frames = max(0, round((min(self._end_s, length_s) - self._begin_s) * self.fps))
        """About how many, 0 when unknown."""
        self._threads, self._pose, self.self_driven = engines.threads, pose, self_driven
        self._crop = self._framed(box)

    def play(self) -> Iterator[PlaybackFrame]:
        """Every frame in order, from a new pose estimator."""
        manifest = self.subject.manifest
        config, crop = self._pose.for_skeleton(manifest.skeleton_version), self._crop
        track = PoseTrack.of(config, threads=self._threads)
        normalizer: Normalizer | None = None
        for number, rgb, at_s in self._read():
            pose = track.step(rgb, at_s).pose
            seen = shown = crop.pose(pose) if pose else None
            if pose and not self.self_driven:
                size_px = rgb.shape[1], rgb.shape[0]
                normalizer = normalizer or Normalizer(manifest.motion, size_px, proportions=manifest.proportions)
                shown = normalizer.normalize(pose, at_s)
            yield PlaybackFrame(number, crop.picture(rgb), seen, shown, self.subject.figure(shown).rgb)

    def footage(self, numbers: set[int]) -> dict[int, Rgb]:
        """Some frames' pictures, as in `PlaybackFrame.footage`."""
        return {number: self._crop.picture(rgb) for number, rgb, _ in self._read() if number in numbers}

    def _framed(self, box: tuple[int, int, int, int] | None) -> Crop:
        _, rgb, _ = next(self._read())
        size_px, training = (rgb.shape[1], rgb.shape[0]), self.subject.manifest.training
        if box is not None:
            return Crop.chosen(box, size_px, self.subject.size_px)
        if self.self_driven and training.footage_px not in (None, size_px):
            LOG.warning(
                "%s is %dx%d, but %s was trained on %dx%d: its middle is used, choose another part with --crop.",
                *(self.video, *size_px, self.subject.manifest.name, *training.footage_px),
            )
        return (Framing.of(self.subject.manifest) if self.self_driven else Framing(self.subject.size_px)).crop(rgb)

    def _read(self) -> Iterator[tuple[int, Rgb, float]]:
        half_s = 0.5 / self.fps
        number = 0
        for rgb, at_s in read_video(self.video, self._begin_s - half_s):
            if at_s > self._end_s - half_s:
                break
            yield number, rgb, at_s
            number += 1
        if not number:
            raise UserError(f"The video {self.video} has no picture from {self._begin_s:g} s on: choose another part.")


class PlaybackChain:
    """A subject's networks running on their own outputs.

    Args:
        subject: has the networks.
        engines: how they run.
        memory: without it every frame starts a new chain: frame by frame.
        face: whether the face network runs.
    """

    def __init__(self, subject: Subject, engines: EngineConfig, *, memory: bool = True, face: bool = True) -> None:
        self.choice, *_ = choose_engines(subject, engines, LOG.info)
        """The engines that run them."""
        self._renderer = load_renderer(subject, self.choice, engines.threads, face=face)
        self._memory = memory

    def reset(self) -> None:
        """Start anew."""
        self._renderer.reset()

    def step(self, figure: Rgb, pose: Pose | None) -> Rgb:
        """Render a figure, uint8 H W 3, of a pose."""
        if not self._memory:
            self._renderer.reset()
        return self._renderer.step(Figure(figure, pose))


class ReprojectedChain(PlaybackChain):
    """Every picture is the one before, moved into the frame's pose; the first one of a person is their own.

    So it is live where pictures do not wait for the networks, see `realtime.live.quality.Level.reproject`.

    Args:
        subject: has the networks, and references.
        engines: how they run.
    """

    def __init__(self, subject: Subject, engines: EngineConfig) -> None:
        super().__init__(subject, engines)
        assert subject.atlas, "only pictures of subjects with references can be moved"
        self._widths, self._reprojector = subject.atlas.widths, Reprojector(subject.plate)
        self._cut: Rendering | None = None

    def reset(self) -> None:
        """Start anew."""
        super().reset()
        self._cut = None

    def step(self, figure: Rgb, pose: Pose | None) -> Rgb:
        """Move the picture before into a pose, and render its own."""
        last, picture = self._cut, super().step(figure, pose)
        self._cut = self._renderer.cut()
        return picture if last is None or pose is None else self._reprojector.step(last, limbs_of(pose, self._widths))
