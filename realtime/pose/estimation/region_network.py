"""The networks of the pose estimator, each looking at a region of the picture."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.backends import Precision
from engines.load import load_engine
from realtime.pose.estimation.region import Floats, Region

_FOLDER = Path(__file__).parent / "networks"

Rgba = NDArray[np.uint8]
"""H W 4; the fourth channel means nothing: OpenCV crops four channels in less than half the time of three."""


class RegionNetwork:
    """A network that sees an S S 3 crop of the picture, in fixed buffers.

    Args:
        name: of the file in `networks/`, without its ending.
        outputs: names of the wanted ones, in the order they shall be returned.
        threads: cores that one run may use.
        precision: "f32", or "bf16", which takes 0.6 of the time on a processor that has it, and f32's on another.
        signed: pixels go in as -1..1 with black outside of the picture (as the detectors want it), else as 0..1 with
            the picture's edge continued (as the landmark networks want it).
    """

    def __init__(
        self, name: str, outputs: tuple[str, ...], threads: int, *, precision: Precision = "f32", signed: bool = False
    ) -> None:
        self._engine = load_engine(_FOLDER / f"{name}.tflite", precision=precision, threads=threads, outputs=outputs)
        (tensor,) = self._engine.inputs.values()
        self._input: Floats = tensor[0]
        self._outputs: list[Floats] = [self._engine.outputs[output][0] for output in outputs]
        self._crop = np.zeros((*self._input.shape[:2], 4), np.uint8)
        self._rgb = np.zeros(self._input.shape, np.uint8)
        self._signed = signed

    @property
    def side(self) -> int:
        """S: pixels along a side of the crop."""
        return len(self._crop)

    def __call__(self, rgba: Rgba, region: Region) -> list[Floats]:
        """Look at a region of a picture (H W 4); the outputs (without batch axis) hold until the next call."""
        cv2.warpAffine(
            rgba,
            region.crop_matrix(self.side),
            (self.side, self.side),
            dst=self._crop,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT if self._signed else cv2.BORDER_REPLICATE,
        )
        cv2.cvtColor(self._crop, cv2.COLOR_RGBA2RGB, dst=self._rgb)
        np.multiply(self._rgb, (2 if self._signed else 1) / 255, out=self._input, dtype=np.float32)
        if self._signed:
            self._input -= 1
        self._engine.run()
        return self._outputs


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)), in a form that cannot overflow."""
    halves: Floats = np.tanh(logits * np.float32(0.5))
    return halves * np.float32(0.5) + np.float32(0.5)
