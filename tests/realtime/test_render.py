"""The temporal renderer."""

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.choose import Choice
from engines.engine import BrokenOutputError, OutputGuard, Size
from engines.parity import SAME_DB, psnr_db
from engines.windowed import WindowedEngine
from realtime.figure import Figure
from realtime.patches import CHANNELS, PatchView, from_patches, to_patches
from realtime.pose.figure import limbs
from realtime.pose.measure import HeadBox
from realtime.pose.skeleton import INDEX
from realtime.references.blend import OUTPUTS
from realtime.references.inputs import ReferenceInputs
from realtime.references.limb_frames import CHANNELS as COORDINATES
from realtime.render import NO_RESIDUAL, FaceRenderer, Renderer, crop_head, feather
from realtime.subject import load_subject
from realtime.subject_clips import load_clips
from realtime.subject_engines import load_renderer
from realtime.window import window_sizes
from tests.support.local_network import LocalNetwork
from tests.support.references import dancer, toy_atlas
from tests.support.standing_pose import standing

SIZE = 64
FLAT = np.full((SIZE, SIZE, 3), 90, np.uint8)
"""A background of one colour: then a network may put out one colour, too."""
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
    engine, plate = ScriptedEngine(144, "picture", SIZE), FLAT
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
    engine, plate = ScriptedEngine(144, "picture", SIZE), FLAT
    renderer, figure = Renderer(engine, None, plate), picture()
    renderer.step(figure_of(figure))
    renderer.step(figure_of(figure))
    renderer.reset()
    renderer.step(figure_of(figure))
    assert np.array_equal(engine.seen[0], engine.seen[2])


def test_every_frame_starts_a_new_chain_while_nobody_is_there() -> None:
    engine, plate = ScriptedEngine(144, "picture", SIZE), FLAT
    renderer, blank = Renderer(engine, None, plate), Figure(np.zeros((SIZE, SIZE, 3), np.uint8), None)
    renderer.step(figure_of(picture()))
    for _ in range(2):
        renderer.step(blank)
        assert np.array_equal(engine.seen[-1][0, ..., 96:], to_patches(plate)), "no ghost of the person is left"


def test_a_chain_begins_after_a_blank_figure() -> None:
    engine = ScriptedEngine(144, "picture", SIZE)
    Renderer(engine, None, FLAT, blank=255).step(figure_of(picture()))
    assert (engine.seen[0][..., 48:96] == 255).all()


def test_pictures_are_not_overwritten_later() -> None:
    renderer = Renderer(ScriptedEngine(144, "picture", SIZE), None, FLAT)
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


def test_the_face_network_may_run_in_every_second_picture_and_at_once_when_the_face_is_back() -> None:
    engine = ScriptedEngine(96, "residual", 32)
    renderer = Renderer(ScriptedEngine(144, "picture", SIZE), engine, FLAT)
    renderer.face_every = 2
    somebody, nobody = figure_of(picture()), Figure(picture(), None)
    runs = []
    for figure in (somebody, somebody, somebody, nobody, somebody, somebody):
        renderer.step(figure)
        runs.append(len(engine.seen))
    assert runs == [1, 1, 2, 2, 3, 3]
    renderer.face_every = 1
    for _ in range(3):
        renderer.step(somebody)
    assert len(engine.seen) == 6


def test_a_residual_goes_along_with_the_head() -> None:
    face = FaceRenderer(ScriptedEngine(96, "residual", 32, NO_RESIDUAL + 40))
    one = np.full((SIZE, SIZE, 3), 100, np.uint8)
    for x in (20, 40):
        refined = one.copy()
        face.refine(refined, one, HeadBox(x, 30, 24), every=2)
        assert refined[30, x, 0] in (139, 140)
        assert np.array_equal(refined[:, 60 - x], one[:, 0]), "nothing where it was"


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


PLATE = np.full((512, 512, 3), 90, np.uint8)
WHOLE = 128, 128


def walker(at: int) -> Figure:
    """Somebody who walks to and fro, and turns a dim stripe of shadow along."""
    pose = standing(x=150 + 100 * np.sin(at / 6), y=60, scale=2)
    rgb = limbs.draw(pose, *PLATE.shape[:2])
    left, top = pose.xy[INDEX["left_ankle"]].astype(int)
    rgb[top : top + 8, left : left + 40] = 30
    return Figure(rgb, pose)


def windowed_beside_whole() -> tuple[Renderer, WindowedEngine, Renderer]:
    plate = to_patches(PLATE)[None]
    engine = WindowedEngine(
        LocalNetwork(plate, WHOLE), lambda size: LocalNetwork(plate, size), window_sizes(PLATE), plate
    )
    engine.wait()
    return Renderer(engine, None, PLATE), engine, Renderer(LocalNetwork(plate, WHOLE), None, PLATE)


def test_windows_that_move_and_change_their_size_change_nothing() -> None:
    """For a network that looks at one place only: its past is where it was, in and out of the window."""
    windowed, engine, whole = windowed_beside_whole()
    boxes = set()
    for at in range(40):
        assert np.array_equal(windowed.step(walker(at)), whole.step(walker(at))), f"frame {at}"
        boxes.add(str(engine.box))
    assert len(boxes) > 3


def test_nobody_is_the_plate_and_costs_nothing() -> None:
    windowed, engine, _ = windowed_beside_whole()
    for at in range(15):
        windowed.step(walker(at))
    assert engine.box != engine.whole_box
    blank = Figure(np.zeros_like(PLATE), None)
    shown = windowed.step(blank)
    assert np.array_equal(shown, PLATE)
    shown[...] = 0
    assert np.array_equal(windowed.step(blank), PLATE), "a picture of its own"
    windowed.step(walker(0))
    assert engine.box == engine.whole_box, "a new chain"


def test_a_broken_window_is_found_beside_a_good_background() -> None:
    windowed, engine, _ = windowed_beside_whole()
    for at in range(15):
        windowed.step(walker(at))
    guard = OutputGuard(engine.outputs["picture"], to_patches(PLATE)[None])
    engine.outputs["picture"][0][engine.box][..., 5] = 0
    guard.check()
    with pytest.raises(BrokenOutputError, match="1 of 48 channels are 0 everywhere"):
        guard.check(engine.box)


class LocalReferenceNetwork(LocalNetwork):
    """Paints the figure and keeps some of its past."""

    def __init__(self, size: Size) -> None:
        super().__init__(np.zeros((1, *WHOLE, CHANNELS), np.uint8), size)
        self.inputs = MappingProxyType({"packed": np.zeros((1, *size, 3 * CHANNELS + COORDINATES), np.uint8)})
        self.outputs = MappingProxyType({"picture": np.zeros((1, *size, OUTPUTS), np.uint8)})

    def run(self) -> None:
        packed, output = self.inputs["packed"], self.outputs["picture"]
        output[..., :CHANNELS] = packed[..., :CHANNELS] // 2 + packed[..., -2 * CHANNELS : -CHANNELS] // 4
        output[..., CHANNELS : CHANNELS + 16] = 255 * packed[..., :CHANNELS].any(axis=-1, keepdims=True)
        output[..., CHANNELS + 16 :] = 60


def test_parts_that_are_moved_ahead_change_nothing() -> None:
    size_px = PLATE.shape[0]
    atlas = toy_atlas([(0, dancer(scale=4))], size_px)
    alone, told = (Renderer(LocalReferenceNetwork(WHOLE), None, PLATE, atlas=atlas) for _ in range(2))
    inputs = ReferenceInputs(atlas, PLATE)
    for at in range(9):
        pose = None if at == 4 else dancer(x=60.0 + 6 * at, y=30.0, scale=2)
        figure = Figure(limbs.draw(pose, size_px, size_px), pose)
        ahead = replace(figure, moved=inputs.step(pose).copied())
        assert np.array_equal(told.step(ahead), alone.step(figure)), f"frame {at}"


def test_a_new_chain_moves_nothing_from_the_one_before() -> None:
    size_px = PLATE.shape[0]
    atlas = toy_atlas([(0, dancer(scale=4))], size_px)
    renderer, fresh = (Renderer(LocalReferenceNetwork(WHOLE), None, PLATE, atlas=atlas) for _ in range(2))
    inputs, pictures = ReferenceInputs(atlas, PLATE), []
    for at in range(2):
        pose = dancer(x=60.0 + 20 * at, y=30.0, scale=2)
        figure = Figure(limbs.draw(pose, size_px, size_px), pose, moved=inputs.step(pose).copied())
        renderer.reset()
        pictures.append(renderer.step(figure))
    still = inputs.step(pose).copied()
    assert np.abs(still.flow).max() < 1e-3
    expected = fresh.step(replace(figure, moved=still))
    np.testing.assert_array_equal(pictures[1], expected)


def test_windows_change_nothing_with_references_either() -> None:
    size_px = PLATE.shape[0]
    atlas = toy_atlas([(0, dancer(scale=4))], size_px)
    outside = np.zeros((1, *WHOLE, OUTPUTS), np.uint8)
    engine = WindowedEngine(LocalReferenceNetwork(WHOLE), LocalReferenceNetwork, window_sizes(PLATE), outside)
    engine.wait()
    windowed = Renderer(engine, None, PLATE, atlas=atlas)
    whole = Renderer(LocalReferenceNetwork(WHOLE), None, PLATE, atlas=atlas)
    boxes = set()
    for at in range(18):
        pose = dancer(x=60.0 + 6 * at, y=30.0, scale=2)
        figure = Figure(limbs.draw(pose, size_px, size_px), pose)
        assert np.array_equal(windowed.step(figure), whole.step(figure)), f"frame {at}"
        boxes.add(str(engine.box))
    assert len(boxes) > 1


def test_alice_in_windows_is_alice() -> None:
    """The bundled network sees past the window's edge, so not to the bit."""
    subject, choice = load_subject("alice"), Choice("openvino", "int8")
    windowed = load_renderer(subject, choice, 1, face=False)
    whole = Renderer(choice.load(subject.generator, 1), None, subject.plate, atlas=subject.atlas)
    poses = (load_clips(subject.folder) or [])[:24]
    pictures = [[renderer.step(subject.figure(pose)) for renderer in (windowed, whole)] for pose in poses]
    found_db = [psnr_db(*pair) for pair in pictures]
    assert found_db[0] == SAME_DB, "a chain begins with the whole picture"
    assert found_db[-1] < SAME_DB, "and goes on in windows"
    assert min(found_db) > 30
