"""The metrics themselves, against values computed by hand or by others."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from engines.errors import UserError
from engines.parity import SAME_DB
from realtime.frame import Rgb
from realtime.pose.estimation.estimator import PoseEstimator
from realtime.pose.figure.limbs import draw
from realtime.pose.pose import Pose
from realtime.video import read_video
from tests.support.commands import DATA
from tests.support.standing_pose import standing
from trainer.evaluation.drift import measure_drift, plan_drift
from trainer.evaluation.frame_metrics import FrameMetrics, MeasuredFrame, MetricNetworks, Metrics, boxes
from trainer.evaluation.metrics import LPIPS_WEIGHTS, FeatureDistance, LpipsLike, OpticalFlow
from trainer.evaluation.playback import PlaybackFrame
from trainer.networks import efficientnet
from trainer.networks.efficientnet import EfficientNet
from trainer.networks.vgg import Vgg16


def as_picture(rgb: Rgb) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float() / 127.5 - 1


def stripes() -> Rgb:
    y, x, channel = np.mgrid[:70, :90, :3]
    rgb: Rgb = ((x * 5 + y * 3 + channel * 40) % 256).astype(np.uint8)
    return rgb


def speckles() -> Rgb:
    noise = np.random.default_rng(0).normal(0, 400, (96, 128, 3))
    return (128 + cv2.GaussianBlur(noise, (0, 0), 3)).clip(0, 245).astype(np.uint8)


def test_efficientnet_is_that_of_the_package_it_comes_from() -> None:
    # Mean magnitudes: efficientnet_lite_pytorch 0.1.0 in float32, with the original file and padding for this size
    wanted = (5.80914, 10.04855, 9.10298, 5.57840, 2.18583)
    levels = EfficientNet().features(as_picture(stripes()))
    assert [tuple(level.shape[1:]) for level in levels] == [
        (16, 35, 45), (24, 18, 23), (40, 9, 12), (112, 5, 6), (320, 3, 3)
    ]  # fmt: skip
    assert [float(level.abs().mean()) for level in levels] == pytest.approx(wanted, rel=0.004)


def test_lpips_like_is_the_formula() -> None:
    a, b = as_picture(stripes()), as_picture(stripes()[:, ::-1])
    wanted = 0.0
    for levels in zip(Vgg16().features(a), Vgg16().features(b), LPIPS_WEIGHTS, strict=True):
        x, y = (features[0].double().numpy() for features in levels[:2])
        x, y = (features / np.sqrt((features**2).sum(axis=0) + 1e-20) for features in (x, y))
        wanted += levels[2] * ((x - y) ** 2).sum(axis=0).mean()
    assert LpipsLike()(a, b) == pytest.approx(wanted, rel=1e-4)
    assert wanted > 0.05


@pytest.mark.parametrize("distance", [LpipsLike, FeatureDistance])
def test_distances_grow_with_blur(distance: type[LpipsLike | FeatureDistance]) -> None:
    far, rgb = distance(), speckles()
    blurred = [as_picture(np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigma), np.uint8)) for sigma in (1, 3, 6)]
    away = [far(as_picture(rgb), one) for one in (as_picture(rgb), *blurred)]
    assert away[0] == pytest.approx(0, abs=1e-6)
    assert away == sorted(away)
    assert away[-1] < 1


def test_a_damaged_efficientnet(tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    with pytest.raises(UserError, match="missing"):
        EfficientNet(path)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read"):
        EfficientNet(path)
    tensors = load_file(efficientnet.EFFICIENTNET_WEIGHTS)
    save_file({name: tensor for name, tensor in tensors.items() if name != "stem.bias"}, path)
    with pytest.raises(UserError, match="does not hold"):
        EfficientNet(path)


def test_movement_is_no_flicker_but_flashes_are() -> None:
    past = speckles()
    moved = np.roll(past, 3, axis=1)
    inside = (16, 16, 112, 80)
    still = OpticalFlow(past, past).warping_error(past, past, inside)
    assert still == 0
    carried = OpticalFlow(past, moved).warping_error(past, moved, inside)
    assert carried is not None
    assert carried < 0.1 * np.abs(past.astype(float) - moved).mean()
    flash = OpticalFlow(past, past).warping_error(past, np.asarray(past + np.uint8(10)), inside)
    assert flash == pytest.approx(10, abs=1e-4)


def shown(number: int, footage: Rgb, pose: Pose) -> PlaybackFrame:
    return PlaybackFrame(number, footage, pose, pose, draw(pose, len(footage)))


@pytest.fixture(scope="module")
def networks() -> MetricNetworks:
    return MetricNetworks(PoseEstimator(threads=2))


@pytest.fixture(scope="module")
def two_frames() -> list[PlaybackFrame]:
    estimator, frames = PoseEstimator(threads=2), list[PlaybackFrame]()
    for number, (rgb, _) in enumerate(islice(read_video(DATA / "alice_clip.mp4"), 2)):
        square = np.asarray(cv2.resize(rgb[:, : len(rgb)], (256, 256), interpolation=cv2.INTER_AREA), np.uint8)
        pose = estimator.estimate(square)
        assert pose is not None
        frames.append(shown(number, square, pose))
    return frames


def measured_metrics(
    networks: MetricNetworks, frames: list[PlaybackFrame], outputs: list[Rgb], *, truth: bool = True
) -> Metrics:
    past, now = frames
    measured = MeasuredFrame.of(past, now, networks, truth=truth)
    assert measured is not None
    metrics = FrameMetrics(networks)
    metrics.add(measured, *outputs)
    return metrics.metrics()


def test_the_truth_itself_is_perfect(networks: MetricNetworks, two_frames: list[PlaybackFrame]) -> None:
    found = measured_metrics(networks, two_frames, [frame.footage for frame in two_frames])
    for crop in (found.body, found.face):
        assert crop is not None
        assert (crop.ssim, crop.psnr) == (1, SAME_DB)
        assert crop.lpips_like == pytest.approx(0, abs=1e-4)
    assert (found.pose_distance, found.pose_distance_px, found.missed, found.flicker) == (0, 0, 0, 1)
    assert found.efficientnet == pytest.approx(0, abs=1e-4)


def test_a_shifted_output_is_off_by_its_shift(networks: MetricNetworks, two_frames: list[PlaybackFrame]) -> None:
    shift = np.array([[1, 0, 3], [0, 1, 4]], np.float32)
    outputs = [
        np.asarray(cv2.warpAffine(frame.footage, shift, (256, 256), borderMode=cv2.BORDER_REPLICATE), np.uint8)
        for frame in two_frames
    ]
    found = measured_metrics(networks, two_frames, outputs)
    assert found.pose_distance_px == pytest.approx(5, abs=0.7)
    assert found.flicker == pytest.approx(1, abs=0.25), "who is only in another place does not flicker"
    assert found.body is not None
    assert found.body.ssim < 0.95


def test_an_empty_room_misses_everything(networks: MetricNetworks, two_frames: list[PlaybackFrame]) -> None:
    grey = np.full((256, 256, 3), 120, np.uint8)
    found = measured_metrics(networks, two_frames, [grey, grey])
    wanted = networks.pose(two_frames[1].footage)
    assert wanted is not None
    assert found.missed == (wanted.confidence >= 0.5).sum()
    assert found.pose_distance is None
    driven = measured_metrics(networks, two_frames, [grey, grey], truth=False)
    assert driven.body is None
    assert driven.missed == (two_frames[1].pose.confidence >= 0.5).sum()  # type: ignore[union-attr]


def test_nobody_and_a_fading_figure_are_not_measured(networks: MetricNetworks, two_frames: list[PlaybackFrame]) -> None:
    past, now = two_frames
    pose = now.pose
    assert pose is not None
    faded = Pose(pose.xy, pose.depth, np.zeros_like(pose.confidence))
    empty = np.full((256, 256, 3), 120, np.uint8)
    for frame in (replace(now, seen=faded, pose=faded), replace(now, footage=empty), replace(now, pose=None)):
        assert MeasuredFrame.of(past, frame, networks, truth=True) is None


def test_boxes_end_at_the_edge() -> None:
    body, face = boxes(standing(), (128, 128))
    # Stature 18 + 32 + 20.1 + 18; keypoints from the right hand's 35 to the left one's 93, from the face's 17 to 116.
    assert body == (26, 8, 102, 125)
    assert face is not None
    left, top, right, bottom = face
    assert right - left == pytest.approx(bottom - top, abs=1)
    assert boxes(standing(x=-500), (128, 128)) == (None, None)


class Copier:
    """A chain that shows the truth, or `loss` grey levels less after so many frames."""

    def __init__(self, truths: list[Rgb], *, after: int = 10**9) -> None:
        self._truths, self._after, self._age = truths, after, 0

    def reset(self) -> None:
        self._age = 0

    def step(self, figure: Rgb, pose: Pose | None) -> Rgb:
        self._age += 1
        assert pose is not None
        truth = self._truths[int(pose.xy[0, 0])]
        return np.asarray(truth + np.uint8(10 if self._age <= self._after else 100))


def numbered(number: int) -> Pose:
    pose = standing()
    xy = pose.xy.copy()
    xy[0, 0] = number
    return Pose(xy, pose.depth, pose.confidence)


@pytest.mark.parametrize(("after", "wanted_db"), [(10**9, 0.0), (150, 20.0)])
def test_drift(after: int, wanted_db: float) -> None:
    poses = [numbered(i) for i in range(30)]
    truths = [np.full((8, 8, 3), 3 * i, np.uint8) for i in range(30)]
    plan = plan_drift(poses, 200, every=2)
    assert plan is not None
    steps: list[None] = []
    drift = measure_drift(
        plan,
        poses,
        lambda _: truths[0],
        dict(enumerate(truths)),
        Copier(truths, after=after),
        lambda: steps.append(None),
    )
    # 100 frames are compared, half of them older than 150: 10 against 100 levels is 20 dB. The fresh chain plays 150.
    assert drift == pytest.approx(wanted_db / 2, abs=0.5)
    assert len(steps) == plan.steps == 200 + 150


@given(st.lists(st.booleans(), max_size=80), st.integers(0, 300), st.integers(1, 7))
def test_a_drift_plan_is_an_unbroken_walk(present: list[bool], length: int, every: int) -> None:
    poses = [standing() if there else None for there in present]
    plan = plan_drift(poses, length, every)
    runs = "".join("x" if there else " " for there in present).split()
    longest = max(map(len, runs), default=0)
    if plan is None:
        assert min(longest, length) < 20
        return
    assert len(plan.frames) == length
    assert all(poses[frame] is not None for frame in plan.frames)
    assert all(abs(a - b) == 1 for a, b in zip(plan.frames, plan.frames[1:], strict=False)), "no jumps"
    assert max(plan.frames) - min(plan.frames) < longest
    assert min(plan.compared) >= plan.fresh
