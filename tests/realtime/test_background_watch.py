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


def garble(player: FailoverRenderer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine that plays compute noise."""
    engine: Any = player._renderer._chain._engine
    run = engine.run

    def garbled() -> None:
        run()
        noise(engine.outputs["picture"])

    monkeypatch.setattr(engine, "run", garbled)


def test_an_engine_that_begins_to_compute_garbage_is_replaced(
    alice: Subject, moves: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    player = FailoverRenderer(alice, [F32, BF16], 1)
    good = [player.step(figure) for figure in moves]
    assert (player.choice, player.replaced) == (F32, 0), "good pictures are left alone"
    garble(player, monkeypatch)
    for figure in 2 * moves:  # a window grows until all of the picture is garbage
        player.step(figure)
    assert (player.choice, player.replaced) == (BF16, 3)
    again = [player.step(figure) for figure in moves]
    assert np.abs(again[-1].astype(int) - good[-1]).mean() < 4


def test_garbage_from_the_first_picture_on_is_never_shown(
    alice: Subject, moves: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    player = FailoverRenderer(alice, [F32, BF16], 1)
    garble(player, monkeypatch)
    assert all(np.array_equal(player.step(figure), alice.plate) for figure in moves[:3])
    assert (player.choice, player.replaced) == (BF16, 3)
    assert not np.array_equal(player.step(moves[3]), alice.plate)


def test_what_no_engine_gives_a_background_is_shown(
    alice: Subject, moves: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the paper's generators, which paint all of the picture."""
    monkeypatch.setattr(BackgroundWatch, "sees", lambda watch, picture: False)
    player = FailoverRenderer(alice, [F32, BF16], 1)
    assert all(not np.array_equal(player.step(figure), alice.plate) for figure in moves[:5])
    assert (player.choice, player.replaced) == (F32, 0)


def test_what_had_the_background_once_is_expected_to_have_it(alice: Subject) -> None:
    unlike = 255 - alice.plate
    watch = BackgroundWatch(alice.plate)
    assert not watch.sees(unlike)
    assert not watch.expected
    assert watch.sees(alice.plate)
    assert watch.expected
    moved = BackgroundWatch(np.full_like(alice.plate, 128))
    assert moved.sees(np.full_like(alice.plate, 128))
    assert not moved.expected, "the camera moved: there is no background"
