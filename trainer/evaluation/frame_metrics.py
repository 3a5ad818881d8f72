"""Metrics of a roll-out: how like the truth it is, whether the pose is kept, how it flickers.

What is compared, in pixels of the subject's picture:
  body   the box around the keypoints that were drawn, BODY_MARGIN of the stature wider on each side for hair and cloth
  face   `head_box` of the same pose, the square that the face network works in
Boxes end at the picture's edge; one below LEAST_PX of a side is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import torch
from torch import Tensor

from engines.parity import psnr_db
from realtime.frame import Rgb
from realtime.pose.estimation.estimator import Estimator
from realtime.pose.measure import head_box, stature_px
from realtime.pose.pose import Floats, Pose
from trainer.evaluation.metrics import Box, FeatureDistance, LpipsLike, OpticalFlow, ssim
from trainer.evaluation.playback import PlaybackFrame

BODY_MARGIN = 0.1
LEAST_PX = 16
SURE = 0.5
"""A keypoint less confident than this counts as not detected."""


class Similarity(msgspec.Struct, frozen=True, kw_only=True):
    """Means over the measured frames of one crop."""

    ssim: float
    psnr: float
    """dB."""
    lpips_like: float


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """What was found; null where there was nothing to measure, e.g. no truth."""

    body: Similarity | None
    face: Similarity | None
    pose_distance: float | None
    """Percent of the stature (nose to ankle): mean over all keypoints detected both in the output and in the truth,
    or, without a truth, in the driver's pose as it was drawn."""
    missed: float | None
    """Keypoints per picture that are detected in the truth (in the drawn pose) and not in the output."""
    flicker: float | None
    """Warped difference of successive pictures in the body box, over the same of the footage; 1 is as calm as that."""
    efficientnet: float | None
    """Distance of EfficientNet's features, body."""
    pose_distance_px: float | None
    """The same in pixels of the output."""
    measured: int
    """Frames that were measured and had somebody in them."""


def boxes(pose: Pose, shape: tuple[int, ...]) -> tuple[Box | None, Box | None]:
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
    """What looks at pictures; expensive to load, so several judges share it."""

    def __init__(self, estimator: Estimator) -> None:
        self.lpips_like, self.efficientnet = LpipsLike(), FeatureDistance()
        self._estimator = estimator

    def pose(self, picture: Rgb) -> Pose | None:
        """The pose in a picture by itself; the second look has the regions of the first, as live."""
        self._estimator.reset()
        self._estimator.estimate(picture)
        return self._estimator.estimate(picture)


@dataclass(frozen=True, slots=True)
class MeasuredFrame:
    """A frame that is measured, and what every judge of it needs of the footage."""

    past: PlaybackFrame
    now: PlaybackFrame
    truth: bool
    """Whether the footage shows the subject."""
    wanted: Pose
    """What should be detected in the output."""
    flow: OpticalFlow
    """Of the footage."""

    @classmethod
    def of(
        cls, past: PlaybackFrame, now: PlaybackFrame, eyes: MetricNetworks, *, truth: bool
    ) -> "MeasuredFrame | None":
        """None where nobody is in the footage, or the figure is fading because nobody was seen for a while."""
        wanted = eyes.pose(now.footage) if truth else now.pose
        if wanted is None or now.pose is None or now.seen is None or min(map(_surest, (now.pose, now.seen))) < SURE:
            return None
        return cls(past, now, truth, wanted, OpticalFlow(past.footage, now.footage))


@dataclass(slots=True)
class FrameMetrics:
    """Adds up the metrics of one chain."""

    eyes: MetricNetworks
    _body: list[tuple[float, ...]] = field(default_factory=list)
    _face: list[tuple[float, ...]] = field(default_factory=list)
    _features: list[float] = field(default_factory=list)
    _away_px: list[Floats] = field(default_factory=list)
    _away: list[Floats] = field(default_factory=list)
    _missed: list[int] = field(default_factory=list)
    _flicker: list[tuple[float, float]] = field(default_factory=list)

    @property
    def measured(self) -> int:
        """Frames so far."""
        return len(self._missed)

    def see(self, measured: MeasuredFrame, past: Rgb, now: Rgb) -> None:
        """FrameMetrics the output `now`, uint8 H W 3, that came after the output `past`."""
        assert measured.now.pose is not None
        body, face = boxes(measured.now.pose, now.shape)
        if measured.truth:
            for box, rows in ((body, self._body), (face, self._face)):
                if box is not None:
                    rows.append(self._compare(now, measured.now.footage, box))
            if body is not None:
                self._features.append(self.eyes.efficientnet(*_crops(now, measured.now.footage, body)))
        self._detect(measured, now)
        self._watch(measured, past, now, body)

    def metrics(self) -> Metrics:
        """The means so far."""
        away, away_px = (np.concatenate([*rows, np.zeros(0)]) for rows in (self._away, self._away_px))
        theirs = sum(pair[1] for pair in self._flicker)
        return Metrics(
            body=_similarity(self._body),
            face=_similarity(self._face),
            pose_distance=_mean(100 * away),
            missed=_mean(self._missed),
            flicker=round(sum(pair[0] for pair in self._flicker) / theirs, 4) if theirs else None,
            efficientnet=_mean(self._features),
            pose_distance_px=_mean(away_px),
            measured=self.measured,
        )

    def _compare(self, output: Rgb, truth: Rgb, box: Box) -> tuple[float, float, float]:
        left, top, right, bottom = box
        a, b = (picture[top:bottom, left:right] for picture in (output, truth))
        return ssim(a, b), psnr_db(a, b), self.eyes.lpips_like(*_crops(output, truth, box))

    def _detect(self, measured: MeasuredFrame, now: Rgb) -> None:
        wanted, found = measured.wanted, self.eyes.pose(now)
        there = wanted.confidence >= SURE
        both = there & (found.confidence >= SURE) if found else np.zeros_like(there)
        self._missed.append(int(there.sum() - both.sum()))
        if found is not None:
            away_px = np.linalg.norm(found.xy - wanted.xy, axis=1)[both]
            self._away_px.append(away_px)
            self._away.append(away_px / stature_px(wanted))

    def _watch(self, measured: MeasuredFrame, past: Rgb, now: Rgb, body: Box | None) -> None:
        """Against the truth both move as the truth does; a driver moves elsewhere, so each in its own way."""
        assert measured.now.seen is not None
        before, after = measured.past.footage, measured.now.footage
        flow = measured.flow if measured.truth else OpticalFlow(past, now)
        theirs, _ = boxes(measured.now.seen, after.shape)
        if body is not None and theirs is not None and measured.past.pose is not None:
            pair = flow.warping_error(past, now, body), measured.flow.warping_error(before, after, theirs)
            if pair[0] is not None and pair[1] is not None:
                self._flicker.append((pair[0], pair[1]))


def _surest(pose: Pose) -> float:
    return float(pose.confidence.max())


def _box(low: Floats, high: Floats, shape: tuple[int, ...]) -> Box | None:
    left, top = (int(value) for value in np.floor(np.clip(low, 0, shape[1::-1])))
    right, bottom = (int(value) for value in np.ceil(np.clip(high, 0, shape[1::-1])))
    return (left, top, right, bottom) if min(right - left, bottom - top) >= LEAST_PX else None


def _crops(a: Rgb, b: Rgb, box: Box) -> tuple[Tensor, Tensor]:
    """Both as 1 3 H W, -1..1."""
    left, top, right, bottom = box
    x, y = (
        torch.from_numpy(np.ascontiguousarray(picture[top:bottom, left:right])).permute(2, 0, 1)[None] / 127.5 - 1
        for picture in (a, b)
    )
    return x, y


def _similarity(rows: Sequence[tuple[float, ...]]) -> Similarity | None:
    if not rows:
        return None
    means = (round(float(mean), 4) for mean in np.mean(rows, axis=0))
    return Similarity(**dict(zip(Similarity.__struct_fields__, means, strict=True)))


def _mean(values: Sequence[float] | Floats) -> float | None:
    return round(float(np.mean(values)), 4) if len(values) else None
