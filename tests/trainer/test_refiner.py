"""The refiner's examples, its network's twin on numpy, and that it learns."""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from realtime.pose.estimation.first_look import corrected
from realtime.pose.estimation.refined_points import BODY_POINTS, STRIDE, decode, prior_maps
from trainer.refiner import first_look
from trainer.refiner.augment import example
from trainer.refiner.network import RefinerNetwork, RefinerShape, read_points
from trainer.refiner.people import Crops
from trainer.refiner.train import SHAPES, RefinerConfig, batch_of, score, train

CROP_PX = 128
SMALL = RefinerShape(points=21, side_px=64, widths=(16, 16, 16))


def dots(count: int, points: int) -> Crops:
    """Crops of P dots on grey, each of a colour of its own, that jump by a few pixels between the frames."""
    rng = np.random.default_rng(5)
    angle = 2 * np.pi * np.arange(points) / points
    ring = 64 + 24 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    colors = rng.integers(0, 255, (points, 3)).tolist()
    pictures, tracks = [], []
    for _ in range(count):
        track = ring + rng.normal(0, 3, (3, points, 2))
        picture = np.full((CROP_PX, CROP_PX, 3), 128, np.uint8)
        for (x, y), color in zip(track[0], colors, strict=True):
            cv2.circle(picture, (round(x * 16), round(y * 16)), 48, color, -1, cv2.LINE_AA, 4)
        pictures.append(picture)
        tracks.append(track.astype(np.float32))
    return Crops(
        np.stack(pictures),
        np.stack(tracks),
        np.full((count, points), 2, np.uint8),
        np.full((count, points, 2), np.nan, np.float32),
        np.arange(count, dtype=np.int32),
    )


def test_a_prior_is_a_bell_where_the_point_is_and_nothing_where_none_is_known() -> None:
    maps = prior_maps(np.array([[0.25, 0.75], [0.5, 0.5]], np.float32), np.array([True, False]), 20)
    row, column = np.unravel_index(maps[0].argmax(), maps[0].shape)
    assert (row, column) in {(14, 4), (14, 5), (15, 4), (15, 5)}
    assert 0.5 < maps[0].max() <= 1
    assert not maps[1].any()


def test_what_is_live_reads_as_in_training() -> None:
    output = torch.randn(1, 2 * 23 + 1, 40, 40, generator=torch.Generator().manual_seed(0)) * 3
    xy, log_deviation, presence = read_points(output)
    live = decode(output[0].numpy())
    np.testing.assert_allclose(live.xy, xy[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(live.deviation, log_deviation[0].exp().numpy(), rtol=1e-4)
    assert live.presence == pytest.approx(float(presence.sigmoid()), abs=1e-5)


@pytest.mark.parametrize("kind", ["body", "hand"])
def test_an_example_is_as_its_dice_say_and_its_points_are_where_the_picture_shows_them(kind: str) -> None:
    shape = SHAPES[kind]
    crops = dots(1, shape.points)
    first, second = (
        example(
            crops.pictures[0], crops.xy[0], crops.seen[0], crops.visibility[0], shape, np.random.default_rng(3),
            other=crops.pictures[0],
        )
        for _ in range(2)
    )  # fmt: skip
    np.testing.assert_array_equal(first.picture, second.picture)
    np.testing.assert_array_equal(first.prior, second.prior)
    assert first.picture.shape == (shape.side_px, shape.side_px, 3)
    assert first.prior.shape == (shape.points, shape.side_px // STRIDE, shape.side_px // STRIDE)
    plain = example(
        crops.pictures[0], crops.xy[0], crops.xy[0, 1], crops.visibility[0], shape, np.random.default_rng(3), plain=True
    )
    differs = np.abs(plain.picture.astype(int) - 128).max(axis=2) > 30
    at = (plain.xy * shape.side_px).astype(int)
    assert differs[at[:, 1], at[:, 0]].mean() > 0.8


def test_it_learns_goes_on_from_a_checkpoint_exactly_and_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SHAPES, "hand", SMALL)
    crops = dots(60, SMALL.points)
    rows, held_out = np.arange(50), np.arange(50, 60)
    config = RefinerConfig(kind="hand", steps=60, batch=8, warmup_steps=5)

    def weights(run: Path) -> NDArray[np.float32]:
        state = torch.load(run / "network.pt", weights_only=True)
        return np.concatenate([value.float().numpy().ravel() for value in state.values()])

    steps = [found for _, found in train(crops, rows, held_out, config, tmp_path / "whole", every=30) if found]
    assert steps[-1].tracked < 0.6 * score(RefinerNetwork(SMALL), crops, held_out, "hand").tracked
    list(islice(train(crops, rows, held_out, config, tmp_path / "parts", every=30), 30))
    list(train(crops, rows, held_out, config, tmp_path / "parts", every=30))
    np.testing.assert_array_equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_a_batch_depends_on_seed_and_step_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES, "hand", SMALL)
    crops = dots(4, SMALL.points)
    config = RefinerConfig(kind="hand", steps=1, batch=3)
    first, again, later = (batch_of(crops, np.arange(4), config, step) for step in (7, 7, 8))
    assert all((a.picture == b.picture).all() for a, b in zip(first, again, strict=True))
    assert not all((a.picture == b.picture).all() for a, b in zip(first, later, strict=True))


def test_the_first_looks_correction_is_found_however_people_stand_and_some_looks_go_wild() -> None:
    rng = np.random.default_rng(2)
    count, points = 400, len(BODY_POINTS)
    truth = rng.uniform(40, 280, (count, points, 2)).astype(np.float32)
    shoulder, hip = BODY_POINTS.index("left_shoulder"), BODY_POINTS.index("left_hip")
    seen = truth.copy()
    for side in ("left", "right"):
        start, end = BODY_POINTS.index(f"{side}_shoulder"), BODY_POINTS.index(f"{side}_hip")
        seen[:, start] += 0.1 * (truth[:, end] - truth[:, start])
    seen += rng.normal(0, 0.5, seen.shape).astype(np.float32)
    seen[::20] += rng.normal(0, 60, (20, 1, 2)).astype(np.float32) * (np.arange(points) == shoulder)[:, None]
    crops = Crops(
        np.zeros((count, 1, 1, 3), np.uint8),
        np.stack([truth] * 3, axis=1),
        np.full((count, points), 2, np.uint8),
        seen,
        np.zeros(count, np.int32),
    )
    found = corrected(seen, first_look.fit(crops, np.arange(count)))
    off, before = (np.linalg.norm(each - truth, axis=2) for each in (found, seen))
    assert np.median(before[:, shoulder]) > 8
    assert np.median(off[:, shoulder]) < 2.5
    assert np.median(off[:, hip]) < 1.5
