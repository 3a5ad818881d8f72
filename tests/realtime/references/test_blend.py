"""The blend in bytes against the one that training computes in floats."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realtime.patches import PatchView, from_patches
from realtime.references.blend import OUTPUTS, blend
from realtime.references.limb_frames import CHANNELS as COORDINATES
from trainer.networks.patches import from_bytes, to_bytes
from trainer.networks.references import ReferenceGenerator

RNG = np.random.default_rng(0)
H, W = 8, 12


class Deciding(ReferenceGenerator):
    """Puts out what it is told."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def decide(self, packed: Tensor) -> Tensor:
        return self.output


def patches(channels: int) -> NDArray[np.uint8]:
    return RNG.integers(0, 256, (1, H, W, channels)).astype(np.uint8)


def floats(values: NDArray[np.uint8]) -> Tensor:
    return from_bytes(torch.from_numpy(values).permute(0, 3, 1, 2))


def test_it_is_that_of_training() -> None:
    output, packed, plate = patches(OUTPUTS), patches(144 + COORDINATES), patches(48)
    want, _ = Deciding(floats(output))(floats(packed), floats(plate))
    parts, past = (from_patches(packed[0, ..., first : first + 48]) for first in (48 + COORDINATES, 96 + COORDINATES))
    found = blend(output[0], PatchView(output, 0).read(), parts, past, from_patches(plate[0]))
    away = np.abs(found.astype(int) - from_patches(to_bytes(want)[0].permute(1, 2, 0).numpy()))
    assert away.max() <= 2, "every share and product is rounded"


def test_the_background_stays_as_it_is() -> None:
    output, plate = patches(OUTPUTS), from_patches(patches(48)[0])
    output[..., 48:64] = 0
    other = np.zeros_like(plate)
    assert np.array_equal(blend(output[0], other, other, other, plate), plate)
