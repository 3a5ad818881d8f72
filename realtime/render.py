"""The temporal renderer: figure in, picture out, and its own previous output back in (EDN, section 3.2).

The networks work at a quarter of the resolution: every 4x4 patch of pixels is one position with 48 channels, in the
order (row, column, RGB), uint8. The previous output goes back just as the network left it.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.engine import Box, Engine, OutputGuard
from engines.recurrent import MovingEngine, make_recurrent
from engines.windowed import WindowedEngine
from realtime.figure import Figure
from realtime.frame import Rgb
from realtime.patches import CHANNELS, PATCH, WHOLE, PatchView, pixels_of, to_patches
from realtime.pose.measure import HeadBox
from realtime.references.atlas import Atlas
from realtime.references.blend import blend, mask_of
from realtime.references.composite import PastMover
from realtime.references.inputs import MovedParts, ReferenceInputs
from realtime.references.limb_frames import CHANNELS as COORDINATES
from realtime.references.reproject import Rendering
from realtime.window import WindowFollower

NO_RESIDUAL = 128
"""The face network's uint8 output is the residual plus this."""


class FigureChain:
    """A generator that sees the figure, the previous figure, and its previous output.

    Args:
        generator: engine with input "packed" uint8 [1, H/4, W/4, 144] (figure, previous figure, previous output), or
            96 channels (figure, previous output), and output "picture" uint8 [1, H/4, W/4, 48].
        plate: uint8 [H, W, 3], which every chain starts from.
        blank: what a figure with nobody in it is filled with, `Style.blank`.
    """

    def __init__(self, generator: Engine, plate: Rgb, blank: int) -> None:
        self._engine = make_recurrent(generator)
        self._figure, self._output = PatchView(self._engine.input, 0), PatchView(self._engine.output, 0)
        self._start = np.full_like(self._engine.input, blank), to_patches(plate)[None]

    def reset(self) -> None:
        """Start a new chain: its past is the plate with nobody in it."""
        self._engine.reset(*self._start)

    def step(self, figure: Figure) -> Rgb:
        """Run the generator; returns a new picture, uint8 [H, W, 3]."""
        self._figure.write(figure.rgb)
        self._engine.run()
        return self._output.read()


class ReferenceChain:
    """A generator that sees the figure, limb coordinates, the moved parts, and its previous output, moved as well.

    Args:
        generator: engine with input "packed" uint8 [1, H/4, W/4, 144+L] (figure, coordinates, parts, past) and output
            "picture" uint8 [1, H/4, W/4, 96], see `realtime.references.blend`.
        plate: uint8 [H, W, 3], which every chain starts from.
        atlas: of the subject.
        apart: references from fewer than so many frames away from a figure's are not shown.
    """

    def __init__(self, generator: Engine, plate: Rgb, atlas: Atlas, apart: int) -> None:
        packed = generator.inputs["packed"]
        channels = packed.shape[-1]
        assert channels == 3 * CHANNELS + COORDINATES, f"{channels} channels, want {3 * CHANNELS + COORDINATES}"
        self._engine, self._plate, self._apart = generator, plate, apart
        self._inputs, self._mover = ReferenceInputs(atlas, plate), PastMover(plate.shape[:2])
        self._coordinates = packed[0, ..., CHANNELS : CHANNELS + COORDINATES]
        places = 0, CHANNELS + COORDINATES, channels - CHANNELS
        self._figure, self._parts, self._past = (PatchView(packed, first) for first in places)
        self._output, self._paint = generator.outputs["picture"], PatchView(generator.outputs["picture"], 0)
        self._last: Rgb | None = None
        self._seen: tuple[MovedParts, Box] | None = None
        """What the last picture was rendered from, and where."""

    def reset(self) -> None:
        """Start a new chain: its past is the plate with nobody in it."""
        self._inputs.reset()
        self._last = self._seen = None

    def step(self, figure: Figure) -> Rgb:
        """Run the generator; returns a new picture, uint8 [H, W, 3]."""
        moved = figure.moved or self._inputs.step(figure.pose, frame=figure.frame, apart=self._apart)
        past = self._plate if self._last is None else self._mover.move(self._last, moved.flow, moved.box)
        box = self._engine.box if isinstance(self._engine, WindowedEngine) else WHOLE
        self._figure.write(figure.rgb, box)
        self._coordinates[box] = moved.coordinates[box]
        self._parts.write(moved.picture, box)
        self._past.write(past, box)
        self._engine.run()
        picture, part = self._plate.copy(), pixels_of(box)
        sources = moved.picture[part], past[part], self._plate[part]
        picture[part] = blend(self._output[0][box], self._paint.read(box), *sources)
        self._last, self._seen = picture, (moved, box)
        return picture.copy()

    def cut(self, picture: Rgb) -> Rendering | None:
        """The last picture, perhaps changed since then, with its person cut out; None if nobody is in it."""
        if self._seen is None:
            return None
        moved, box = self._seen
        share = np.zeros_like(picture)
        share[pixels_of(box)] = mask_of(self._output[0][box])
        return Rendering.of(picture, share, self._plate, moved)


class DeviceReferenceChain:
    """A `ReferenceChain` on an engine that moves the previous output, and blends the picture, on its own device.

    What is copied there for a frame: figure, coordinates, moved parts, and the flow.
    """

    def __init__(self, generator: MovingEngine, plate: Rgb, atlas: Atlas, apart: int) -> None:
        self._start, self._apart = to_patches(plate)[None], apart
        self._engine = generator.moving(self._start)
        new = self._engine.input
        self._inputs = ReferenceInputs(atlas, plate)
        self._coordinates = new[0, ..., CHANNELS : CHANNELS + COORDINATES]
        self._figure, self._parts = PatchView(new, 0), PatchView(new, CHANNELS + COORDINATES)
        self._picture = PatchView(self._engine.picture, 0)
        self._new = True

    def reset(self) -> None:
        """Start a new chain: its past is the plate with nobody in it."""
        self._inputs.reset()
        self._engine.reset(self._start)
        self._new = True

    def step(self, figure: Figure) -> Rgb:
        """Run the generator; returns a new picture, uint8 [H, W, 3]."""
        self._figure.write(figure.rgb)
        moved = figure.moved or self._inputs.step(figure.pose, frame=figure.frame, apart=self._apart)
        self._coordinates[...] = moved.coordinates
        self._parts.write(moved.picture)
        self._engine.flow[0] = 0 if self._new else moved.flow
        self._engine.run()
        self._new = False
        return self._picture.read()


def reference_picture(plate: Rgb) -> Callable[[Engine], Rgb]:
    """How to see, beside any chain, what a generator with references has just put out; see `engines.parity.Rollout`."""

    def picture(engine: Engine) -> Rgb:
        packed, output = engine.inputs["packed"], engine.outputs["picture"]
        parts, past = (
            PatchView(packed, first).read() for first in (CHANNELS + COORDINATES, 2 * CHANNELS + COORDINATES)
        )
        return blend(output[0], PatchView(output, 0).read(), parts, past, plate)

    return picture


class Renderer:
    """Renders a subject frame by frame; owns the chain of its outputs.

    Args:
        generator: see `FigureChain`, and with an atlas `ReferenceChain`. A `WindowedEngine` renders only where the
            person is, and nobody is just the plate.
        face: engine with input "packed" uint8 [1, F/4, F/4, 96] (the head's part of the figure and of the picture)
            and output "residual" uint8 [1, F/4, F/4, 48], or None for no face network.
        plate: uint8 [H, W, 3], the empty background that every chain starts from.
        blank: what a figure with nobody in it is filled with, `Style.blank`.
        atlas: of the subject, for a generator with references.
        apart: as in `ReferenceChain`.
    """

    def __init__(
        self,
        generator: Engine,
        face: Engine | None,
        plate: Rgb,
        *,
        blank: int = 0,
        atlas: Atlas | None = None,
        apart: int = 0,
    ) -> None:
        self._chain = _chain(generator, plate, blank, atlas, apart)
        self._face = FaceRenderer(face) if face else None
        self._last = plate
        self.face_every = 1
        """The face network runs in one of so many pictures; its residual goes along with the head in the others."""
        self._plate = plate
        self._windowed = generator if isinstance(generator, WindowedEngine) else None
        self._follower = WindowFollower(plate)
        output = generator.outputs["picture"]
        # Channels that the plate does not vary in need not vary in the picture; shares vary, unless nobody is there.
        self._guard = OutputGuard(output[..., :CHANNELS], to_patches(plate)[None])
        self.reset()

    def reset(self) -> None:
        """Start a new chain: its past is the plate with nobody in it."""
        self._chain.reset()
        self._follower.reset()
        if self._face:
            self._face.reset()

    def step(self, figure: Figure) -> Rgb:
        """Render the next frame; while nobody is there every frame starts a new chain, so no ghost stays behind.

        Returns:
            A new picture, uint8 [H, W, 3].

        Raises:
            BrokenOutputError: a network has computed NaN or infinity.
        """
        if figure.pose is None:
            self.reset()
        picture = self._step_window(figure, self._windowed) if self._windowed else self._step_whole(figure)
        if self._face and figure.head:
            self._face.refine(picture, figure.rgb, figure.head, every=self.face_every)
        elif self._face:
            self._face.reset()
        self._last = picture
        return picture

    def cut(self) -> Rendering | None:
        """The last picture with its person cut out, to be moved by a `Reprojector`.

        Returns:
            None if nobody is in it, or it has no mask on this machine's side: of generators without references, and of
            engines that move the past on their own device.
        """
        return self._chain.cut(self._last) if isinstance(self._chain, ReferenceChain) else None

    def _step_whole(self, figure: Figure) -> Rgb:
        picture = self._chain.step(figure)
        self._guard.check()
        return picture

    def _step_window(self, figure: Figure, engine: WindowedEngine) -> Rgb:
        if figure.pose is None:
            return self._plate.copy()
        engine.box = self._follower.step(figure.pose, engine.sizes)
        picture = self._chain.step(figure)
        self._guard.check(engine.box)
        self._follower.see(picture)
        return picture


def _chain(
    generator: Engine, plate: Rgb, blank: int, atlas: Atlas | None, apart: int
) -> FigureChain | ReferenceChain | DeviceReferenceChain:
    if atlas is None:
        return FigureChain(generator, plate, blank)
    if isinstance(generator, MovingEngine):
        return DeviceReferenceChain(generator, plate, atlas, apart)
    return ReferenceChain(generator, plate, atlas, apart)


class FaceRenderer:
    """Adds the face network's residual to a picture (EDN, section 3.3: FaceGAN), scaled by the head, soft-edged."""

    def __init__(self, engine: Engine) -> None:
        packed = engine.inputs["packed"]
        self._engine = engine
        self._figure, self._picture = PatchView(packed, 0), PatchView(packed, CHANNELS)
        self._residual = PatchView(engine.outputs["residual"], 0)
        self._guard = OutputGuard(engine.outputs["residual"])
        self._side_px = packed.shape[1] * PATCH
        self._feather = feather(self._side_px)[:, :, None]
        self._feathered = np.zeros((self._side_px, self._side_px, 3), np.float32)
        self._pictures = 0

    def reset(self) -> None:
        """Forget the last residual: the next one is computed."""
        self._pictures = 0

    def refine(self, picture: Rgb, figure: Rgb, head: HeadBox, *, every: int = 1) -> None:
        """Change `picture` in place inside the head's square; the network runs in one of `every` pictures."""
        if self._pictures % every == 0:
            self._run(picture, figure, head)
        self._pictures += 1
        half = head.side_px / 2
        x0, x1 = np.clip([int(head.x - half), int(head.x + half) + 2], 0, picture.shape[1])
        y0, y1 = np.clip([int(head.y - half), int(head.y + half) + 2], 0, picture.shape[0])
        if x1 > x0 and y1 > y0:
            to_patch = _frame_to_patch(HeadBox(head.x - x0, head.y - y0, head.side_px), self._side_px)
            back = cv2.warpAffine(
                self._feathered, to_patch, (int(x1 - x0), int(y1 - y0)), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            )
            window = picture[y0:y1, x0:x1]
            window[...] = cv2.add(window, back, dtype=cv2.CV_8U)

    def _run(self, picture: Rgb, figure: Rgb, head: HeadBox) -> None:
        self._figure.write(crop_head(figure, head, self._side_px))
        self._picture.write(crop_head(picture, head, self._side_px))
        self._engine.run()
        self._guard.check()
        self._feathered = (self._residual.read().astype(np.float32) - NO_RESIDUAL) * self._feather


def crop_head(picture: Rgb, head: HeadBox, side_px: int) -> Rgb:
    """The head's square resampled to uint8 [side_px, side_px, 3]; outside of the picture the edge repeats."""
    return np.asarray(
        cv2.warpAffine(
            picture,
            _frame_to_patch(head, side_px),
            (side_px, side_px),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.uint8,
    )


def feather(side_px: int) -> NDArray[np.float32]:
    """[side_px, side_px] weights in 0..1: 1 in the middle, falling smoothly to 0 over the outer quarter."""
    ramp = np.clip((1 - np.abs(np.linspace(-1, 1, side_px))) * 4, 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return np.asarray(ramp[:, None] * ramp[None, :], np.float32)


def _frame_to_patch(head: HeadBox, side_px: int) -> NDArray[np.float64]:
    """The affine map from picture pixels to the head's patch, pixel centres at integers."""
    k = side_px / head.side_px
    middle = (side_px - 1) / 2
    return np.array([[k, 0, middle - k * head.x], [0, k, middle - k * head.y]])
