"""What a generator with references sees of a pose beside its figure: the same in training and live."""

from typing import NamedTuple

import numpy as np

from engines.engine import Box
from realtime.frame import Rgb
from realtime.patches import PATCH
from realtime.pose.pose import Floats, Pose
from realtime.references.atlas import Atlas
from realtime.references.bones import Limbs, limbs_of
from realtime.references.choose import Chooser
from realtime.references.composite import Compositor, around
from realtime.references.limb_frames import CHANNELS, Bytes, LimbFrames, Window


class MovedParts(NamedTuple):
    """One frame's inputs, for a window of H W pixels, in h w positions of 4x4 pixels."""

    coordinates: Bytes
    """uint8 h w `limb_frames.CHANNELS`: the limbs' coordinates."""
    picture: Rgb
    """uint8 H W 3: the parts moved into the pose, over the plate."""
    flow: Floats
    """float32 h w 2: offsets in pixels to where the limbs were in the frame before; 0 if there was none."""
    box: Box | None
    """The positions that the limbs reach; None for nobody."""
    limbs: Limbs | None
    """None for nobody."""
    covers: Floats
    """New, float32 h w in 0..1: how much of each position the limbs cover."""

    def copied(self) -> "MovedParts":
        """The same in memory of its own: what `ReferenceInputs` gives is written over in the next step."""
        return self._replace(coordinates=self.coordinates.copy(), flow=self.flow.copy())


class ReferenceInputs:
    """Owns what follows from the poses before: which references are shown, and where the limbs were.

    Args:
        atlas: of the subject.
        plate: uint8 [H, W, 3], the empty background, whole.
        window: the part of the picture to make; the whole by default.
    """

    def __init__(self, atlas: Atlas, plate: Rgb, window: Window | None = None) -> None:
        window = window or Window(0, 0, plate.shape[1], plate.shape[0])
        self._widths = atlas.widths
        self._frames, self._chooser = LimbFrames(window), Chooser(atlas)
        self._compositor = Compositor(plate, window)
        shape = window.height // PATCH, window.width // PATCH
        self._coordinates = np.empty((*shape, CHANNELS), np.uint8)
        self._flow = np.zeros((*shape, 2), np.float32)
        self._limbs: Limbs | None = None

    def reset(self) -> None:
        """Begin anew: nobody was there before."""
        self._chooser.reset()
        self._limbs = None

    def follow(self, pose: Pose | None, *, frame: int | None = None, apart: int = 0) -> None:
        """Take a pose as `step` does, but make nothing of it."""
        if pose is None:
            self.reset()
        else:
            self._limbs = limbs_of(pose, self._widths)
            self._chooser.step(self._limbs, frame=frame, apart=apart)

    def step(self, pose: Pose | None, *, frame: int | None = None, apart: int = 0) -> MovedParts:
        """The inputs of the next frame; coordinates and flow are the same arrays every time.

        Args:
            pose: in the picture's pixels; None for nobody.
            frame, apart: as in `Chooser.step`.
        """
        before, self._limbs = self._limbs, None if pose is None else limbs_of(pose, self._widths)
        self._frames.place(self._limbs)
        self._frames.write(self._coordinates)
        if self._limbs is None:
            self._chooser.reset()
            choices = {}
        else:
            choices = self._chooser.step(self._limbs, frame=frame, apart=apart)
        covers = self._frames.flow(before or self._limbs, self._flow)
        if before is None:
            self._flow[...] = 0
        picture = self._compositor.compose(self._frames, choices)
        box = around(self._frames.fields) if self._frames.fields else None
        return MovedParts(self._coordinates, picture, self._flow, box, self._limbs, covers)
