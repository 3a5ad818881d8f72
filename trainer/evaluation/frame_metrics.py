"""Metrics of a chain's frames: similarity to the truth, distance of the detected pose, flicker.

What is compared, in pixels of the subject's picture:
  body   the box around the keypoints that were drawn, BODY_MARGIN of the stature wider on each side for hair and cloth
  face   `head_box` of the same pose, the square that the face network works in
Boxes end at the picture's edge; one below LEAST_PX of a side is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from torch import Tensor

from engines.parity import psnr_db
from realtime.frame import Rgb
from realtime.pose.estimation.estimator import Estimator
from realtime.pose.measure import head_box, stature_px
from realtime.pose.pose import Floats, Pose
from trainer.evaluation.metrics import FeatureDistance, LpipsLike, OpticalFlow, PixelBox, ssim
from trainer.evaluation.playback import PlaybackFrame
from trainer.networks.patches import from_rgb

BODY_MARGIN = 0.1
LEAST_PX = 16
DETECTED = 0.5
"""Least confidence of a keypoint that counts as detected."""


class Similarity(msgspec.Struct, frozen=True, kw_only=True):
    """Means over the measured frames, in one crop."""

    ssim: float
    psnr: float
    """dB."""
    lpips_like: float


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Means over the measured frames of a chain; null where there was nothing to measure, e.g. no truth."""

    body: Similarity | None
    face: Similarity | None
    pose_distance: float | None
    """Percent of the stature (nose to ankle): mean over all keypoints detected both in the output and in the truth,
    or, without a truth, in the driver's pose as it was drawn."""
    missed: float | None
    """Keypoints per picture that are detected in the truth (in the drawn pose) and not in the output."""
    flicker: float | None
    """Warping error of successive pictures in the body box, divided by that of the footage."""
    efficientnet: float | None
    """`FeatureDistance` in the body box."""
    pose_distance_px: float | None
    """`pose_distance` in pixels of the output."""
    measured: int
    """Frames that were measured and had somebody in them."""


def boxes(pose: Pose, shape: tuple[int, ...]) -> tuple[PixelBox | None, PixelBox | None]:
    """The body's box and the face's, inside of a picture of that shape (H, W, ...)."""
    sure = pose.xy[pose.confidence > 0]
    margin = np.float32(BODY_MARGIN * stature_px(pose))
    head = head_box(pose)
    centre, half = np.array([head.x, head.y], np.float32), np.float32(head.side_px / 2)
    return (
        _box(sure.min(axis=0) - margin, sure.max(axis=0) + margin, shape),
        _box(centre - half, centre + half, shape),
    )


class MetricNetworks:
    """The networks that metrics need; slow to load, so the metrics of several chains share them."""

    def __init__(self, estimator: Estimator) -> None:
        self.lpips_like, self.efficientnet = LpipsLike(), FeatureDistance()
        self._estimator = estimator

    def pose(self, picture: Rgb) -> Pose | None:
        """The pose in a single picture, estimated twice: the second time from the regions of the first, as live."""
        self._estimator.reset()
        self._estimator.estimate(picture)
        return self._estimator.estimate(picture)


@dataclass(frozen=True, slots=True)
class MeasuredFrame:
    """What the metrics of every chain need of a frame's footage."""

    past: PlaybackFrame
    now: PlaybackFrame
    truth: bool
    """Whether the footage shows the subject."""
    wanted: Pose
    """What should be detected in the output."""
    flow: OpticalFlow
    """Of the footage, from `past` to `now`."""

    @classmethod
    def of(
        cls, past: PlaybackFrame, now: PlaybackFrame, networks: MetricNetworks, *, truth: bool
    ) -> "MeasuredFrame | None":
        """None where nobody is in the footage, or the figure is fading out because nobody was detected for a while."""
        wanted = networks.pose(now.footage) if truth else now.pose
        if wanted is None or now.pose is None or now.seen is None:
            return None
        if min(pose.confidence.max() for pose in (now.pose, now.seen)) < DETECTED:
            return None
        return cls(past, now, truth, wanted, OpticalFlow(past.footage, now.footage))


@dataclass(slots=True)
class FrameMetrics:
    """The metrics of one chain, frame by frame."""

    networks: MetricNetworks
    _body: list[tuple[float, ...]] = field(default_factory=list)
    _face: list[tuple[float, ...]] = field(default_factory=list)
    _features: list[float] = field(default_factory=list)
    _distances_px: list[Floats] = field(default_factory=list)
    _distances: list[Floats] = field(default_factory=list)
    _missed: list[int] = field(default_factory=list)
    _flicker: list[tuple[float, float]] = field(default_factory=list)

    @property
    def measured(self) -> int:
        """Frames so far."""
        return len(self._missed)

    def add(self, measured: MeasuredFrame, past: Rgb, now: Rgb) -> None:
        """Measure the output `now`, uint8 H W 3, which followed the output `past`."""
        assert measured.now.pose is not None
        body, face = boxes(measured.now.pose, now.shape)
        if measured.truth:
            for box, rows in ((body, self._body), (face, self._face)):
                if box is not None:
                    rows.append(self._compare(now, measured.now.footage, box))
            if body is not None:
                self._features.append(self.networks.efficientnet(*_crops(now, measured.now.footage, body)))
        self._add_pose(measured.wanted, self.networks.pose(now))
        self._add_flicker(measured, past, now, body)

    def metrics(self) -> Metrics:
        """The means so far."""
        distances, distances_px = (
            np.concatenate([*rows, np.zeros(0)]) for rows in (self._distances, self._distances_px)
        )
        ours, theirs = (sum(column) for column in zip(*self._flicker, strict=True)) if self._flicker else (0.0, 0.0)
        return Metrics(
            body=_similarity(self._body),
            face=_similarity(self._face),
            pose_distance=_mean(100 * distances),
            missed=_mean(self._missed),
            flicker=round(ours / theirs, 4) if theirs else None,
            efficientnet=_mean(self._features),
            pose_distance_px=_mean(distances_px),
            measured=self.measured,
        )

    def _compare(self, output: Rgb, truth: Rgb, box: PixelBox) -> tuple[float, float, float]:
        """The values of `Similarity` for one frame."""
        left, top, right, bottom = box
        a, b = (picture[top:bottom, left:right] for picture in (output, truth))
        return ssim(a, b), psnr_db(a, b), self.networks.lpips_like(*_crops(output, truth, box))

    def _add_pose(self, wanted: Pose, found: Pose | None) -> None:
        """Compare the pose that was found in the output with the one that should be there."""
        there = wanted.confidence >= DETECTED
        both = there & (found.confidence >= DETECTED) if found else np.zeros_like(there)
        self._missed.append(int(there.sum() - both.sum()))
        if found is not None:
            distances_px = np.linalg.norm(found.xy - wanted.xy, axis=1)[both]
            self._distances_px.append(distances_px)
            self._distances.append(distances_px / stature_px(wanted))

    def _add_flicker(self, measured: MeasuredFrame, past: Rgb, now: Rgb, body: PixelBox | None) -> None:
        """Compare warping errors of output and footage; the output has the truth's flow, or without a truth its own."""
        assert measured.now.seen is not None
        before, after = measured.past.footage, measured.now.footage
        flow = measured.flow if measured.truth else OpticalFlow(past, now)
        theirs, _ = boxes(measured.now.seen, after.shape)
        if body is not None and theirs is not None and measured.past.pose is not None:
            pair = flow.warping_error(past, now, body), measured.flow.warping_error(before, after, theirs)
            if pair[0] is not None and pair[1] is not None:
                self._flicker.append((pair[0], pair[1]))


def _box(low: Floats, high: Floats, shape: tuple[int, ...]) -> PixelBox | None:
    """The box from `low` to `high`, (x, y), cut off at the picture's edges; None if too little is left."""
    left, top = (int(value) for value in np.floor(np.clip(low, 0, shape[1::-1])))
    right, bottom = (int(value) for value in np.ceil(np.clip(high, 0, shape[1::-1])))
    return (left, top, right, bottom) if min(right - left, bottom - top) >= LEAST_PX else None


def _crops(a: Rgb, b: Rgb, box: PixelBox) -> tuple[Tensor, Tensor]:
    """Both pictures' parts as 1 3 H W in [-1, 1]."""
    left, top, right, bottom = box
    return from_rgb(a[top:bottom, left:right]), from_rgb(b[top:bottom, left:right])


def _similarity(rows: Sequence[tuple[float, ...]]) -> Similarity | None:
    if not rows:
        return None
    means = (round(float(mean), 4) for mean in np.mean(rows, axis=0))
    return Similarity(**dict(zip(Similarity.__struct_fields__, means, strict=True)))


def _mean(values: Sequence[float] | Floats) -> float | None:
    return round(float(np.mean(values)), 4) if len(values) else None
