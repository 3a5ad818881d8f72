"""Engines that compute finite garbage."""

from itertools import islice
from typing import Any

import numpy as np
import pytest

from engines.choose import Choice
from realtime.figure import Figure
from realtime.frame import Rgb
from realtime.live.background_watch import BackgroundWatch
from realtime.live.failover import FailoverRenderer
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.normalization.normalizer import Normalizer
from realtime.pose.track import PoseTrack
from realtime.subject import Subject, load_subject
from realtime.video import read_video
from tests.support.commands import DATA

F32, BF16 = Choice("openvino", "f32"), Choice("openvino", "bf16")
PICTURES = 12


@pytest.fixture(scope="module")
def alice() -> Subject:
    return load_subject("alice")


@pytest.fixture(scope="module")
def moves(alice: Subject) -> list[Figure]:
    """Of bob."""
    track = PoseTrack.of(PoseConfig(pose_parts="body", estimator="own"))
    normalizer, figures = None, list[Figure]()
    for rgb, at_s in islice(read_video(DATA / "bob_clip.mp4", 3.0), PICTURES):
        normalizer = normalizer or Normalizer(alice.manifest.motion, (rgb.shape[1], rgb.shape[0]))
        pose = track.step(rgb, at_s).pose
        figures.append(alice.figure(normalizer.normalize(pose, at_s) if pose else None))
    assert all(figure.pose for figure in figures)
    return figures


def noise(picture: Rgb) -> None:
    picture[...] = np.random.default_rng(0).integers(0, 256, picture.shape, np.uint8)


def test_an_engine_that_begins_to_compute_garbage_is_replaced(
    alice: Subject, moves: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    player = FailoverRenderer(alice, [F32, BF16], 1)
    good = [player.step(figure) for figure in moves]
    assert (player.choice, player.replaced) == (F32, 0), "good pictures are left alone"
    engine: Any = player._renderer._chain._engine

    def garbled() -> None:
        run()
        noise(engine.outputs["picture"])

    run = engine.run
    monkeypatch.setattr(engine, "run", garbled)
    for figure in 2 * moves:  # a window grows until all of the picture is garbage
        player.step(figure)
    assert (player.choice, player.replaced) == (BF16, 3)
    again = [player.step(figure) for figure in moves]
    assert np.abs(again[-1].astype(int) - good[-1]).mean() < 4


def test_what_never_had_the_background_is_left_alone(alice: Subject) -> None:
    unlike = 255 - alice.plate
    watch = BackgroundWatch(alice.plate)
    assert not watch.is_lost(unlike)
    assert not watch.is_lost(alice.plate)
    assert watch.is_lost(unlike)
    moved = BackgroundWatch(np.full_like(alice.plate, 128))
    assert not moved.is_lost(np.full_like(alice.plate, 128))
    assert not moved.is_lost(unlike)
