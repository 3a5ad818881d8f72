"""The temporal renderer."""

from types import MappingProxyType

import numpy as np
import pytest
from numpy.typing import NDArray

from realtime.patches import CHANNELS, PatchView, from_patches, to_patches
from realtime.pose.figure.styles import Figure
from realtime.pose.measure import HeadBox
from realtime.render import NO_RESIDUAL, FaceRenderer, Renderer, crop_head, feather
from tests.support.standing_pose import standing

SIZE = 64
RNG = np.random.default_rng(0)


class ScriptedEngine:
    """An engine whose network is a Python function: what the renderer feeds it can then be seen."""

    def __init__(self, channels_in: int, output: str, side_px: int, value: int | None = None) -> None:
        h = side_px // 4
        self.inputs = MappingProxyType({"packed": np.zeros((1, h, h, channels_in), np.uint8)})
        self.outputs = MappingProxyType({output: np.zeros((1, h, h, CHANNELS), np.uint8)})
        self.seen: list[NDArray[np.uint8]] = []
        self._output, self._value = output, value

    def run(self) -> None:
        self.seen.append(self.inputs["packed"].copy())
        self.outputs[self._output][...] = len(self.seen) if self._value is None else self._value


def picture() -> NDArray[np.uint8]:
    return RNG.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)


def figure_of(rgb: NDArray[np.uint8]) -> Figure:
    """A picture as if it were drawn of somebody."""
    return Figure(rgb, standing(scale=0.5))


def test_patches_round_trip_and_order() -> None:
    one = picture()
    patches = to_patches(one)
    assert patches.shape == (SIZE // 4, SIZE // 4, 48)
    assert np.array_equal(patches[2, 3, 4 * 3 * 1 + 3 * 2 : 4 * 3 * 1 + 3 * 2 + 3], one[2 * 4 + 1, 3 * 4 + 2])
    assert np.array_equal(from_patches(patches), one)


@pytest.mark.parametrize("first", [0, 48, 96])
def test_fast_copies_equal_the_slow_twin(first: int) -> None:
    buffer = np.zeros((1, SIZE // 4, SIZE // 4, 144), np.uint8)
    view, one = PatchView(buffer, first), picture()
    view.write(one)
    assert np.array_equal(buffer[0, :, :, first : first + 48], to_patches(one))
    assert np.array_equal(view.read(), one)
    assert buffer[..., :first].sum() == buffer[..., first + 48 :].sum() == 0
    view.write(one[:, ::-1])  # not contiguous
    assert np.array_equal(view.read(), one[:, ::-1])


def test_wrong_sizes_are_named() -> None:
    view = PatchView(np.zeros((1, 8, 8, 48), np.uint8), 0)
    with pytest.raises(AssertionError, match=r"\(16, 16, 3\)"):
        view.write(np.zeros((16, 16, 3), np.uint8))


def test_feeds_back_its_own_output_and_the_figure_before() -> None:
    engine, plate = ScriptedEngine(144, "picture", SIZE), picture()
    renderer = Renderer(engine, None, plate)
    figures = [picture() for _ in range(3)]
    outputs = [renderer.step(figure_of(figure)) for figure in figures]
    assert [int(output[0, 0, 0]) for output in outputs] == [1, 2, 3]
    first, second, third = (packed[0] for packed in engine.seen)
    assert np.array_equal(
        first, np.concatenate([to_patches(figures[0]), to_patches(figures[0]) * 0, to_patches(plate)], 2)
    )
    assert np.array_equal(second[..., 48:96], to_patches(figures[0]))
    assert (second[..., 96:] == 1).all()
    assert np.array_equal(third[..., :48], to_patches(figures[2]))
    assert (third[..., 96:] == 2).all()


def test_reset_starts_a_new_chain() -> None:
    engine, plate = ScriptedEngine(144, "picture", SIZE), picture()
    renderer, figure = Renderer(engine, None, plate), picture()
    renderer.step(figure_of(figure))
    renderer.step(figure_of(figure))
    renderer.reset()
    renderer.step(figure_of(figure))
    assert np.array_equal(engine.seen[0], engine.seen[2])


def test_every_frame_starts_a_new_chain_while_nobody_is_there() -> None:
    engine, plate = ScriptedEngine(144, "picture", SIZE), picture()
    renderer, blank = Renderer(engine, None, plate), Figure(np.zeros((SIZE, SIZE, 3), np.uint8), None)
    renderer.step(figure_of(picture()))
    for _ in range(2):
        renderer.step(blank)
        assert np.array_equal(engine.seen[-1][0, ..., 96:], to_patches(plate)), "no ghost of the person is left"


def test_a_chain_begins_after_a_blank_figure() -> None:
    engine = ScriptedEngine(144, "picture", SIZE)
    Renderer(engine, None, picture(), blank=255).step(figure_of(picture()))
    assert (engine.seen[0][..., 48:96] == 255).all()


def test_pictures_are_not_overwritten_later() -> None:
    renderer = Renderer(ScriptedEngine(144, "picture", SIZE), None, picture())
    first = renderer.step(figure_of(picture()))
    kept = first.copy()
    renderer.step(figure_of(picture()))
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("head", [HeadBox(30, 20, 24), HeadBox(2, 1, 30), HeadBox(63, 63, 20.5), HeadBox(-90, 20, 24)])
def test_face_adds_its_residual_only_inside_the_head(head: HeadBox) -> None:
    one = np.full((SIZE, SIZE, 3), 100, np.uint8)
    refined = one.copy()
    FaceRenderer(ScriptedEngine(96, "residual", 32, NO_RESIDUAL + 40)).refine(refined, one, head)
    ys, xs = np.nonzero((refined != one).any(axis=2))
    if head.x < -50:
        assert not len(xs)
        return
    assert len(xs)
    assert np.abs(xs - head.x).max() <= head.side_px / 2
    assert np.abs(ys - head.y).max() <= head.side_px / 2
    x, y = (min(SIZE - 1, max(0, round(v))) for v in (head.x, head.y))
    assert refined[y, x, 0] in (139, 140)


def test_no_residual_changes_nothing() -> None:
    one = picture()
    refined = one.copy()
    FaceRenderer(ScriptedEngine(96, "residual", 32, NO_RESIDUAL)).refine(refined, one, HeadBox(30, 30, 20))
    assert np.array_equal(refined, one)


def test_head_crop_is_scaled_by_the_head() -> None:
    canvas = np.zeros((200, 200, 3), np.uint8)
    canvas[80:120, 80:120] = 255
    for side in (80.0, 160.0):
        crop = crop_head(canvas, HeadBox(99.5, 99.5, side), 64)
        assert crop.mean() / 255 == pytest.approx((40 / side) ** 2, rel=0.05)


def test_feather_is_one_inside_and_zero_at_the_edge() -> None:
    weights = feather(32)
    assert weights.shape == (32, 32)
    assert weights[0].max() == weights[:, -1].max() == 0
    assert weights[10:22, 10:22].min() == 1
