"""The past of generators with references in torch: moved by a flow, and blended with what the network paints.

The slow, plain twins on the host are `realtime.references.composite.PastMover` and `realtime.references.blend`. Values
are whole numbers 0..255 in float32, rounded wherever the host rounds, so that both give the same pictures.

Letters: h w positions of 4x4 pixels, H W pixels; patches are [1, h, w, 48], channels in the order (row, column, RGB).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

PATCH = 4
PIXELS = PATCH * PATCH
RGB = 3 * PIXELS


class Mover:
    """Fetches the pixels of a picture from where a flow says, bilinearly; beyond the edge it repeats.

    Args:
        h, w: positions.
        device: where the pictures are.
    """

    def __init__(self, h: int, w: int, device: torch.device) -> None:
        y, x = (torch.arange(side * PATCH, dtype=torch.float32, device=device) for side in (h, w))
        self._places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
        self._scale = 2 / torch.tensor([w * PATCH - 1, h * PATCH - 1], dtype=torch.float32, device=device)

    def move(self, picture: Tensor, flow: Tensor) -> Tensor:
        """Move patches uint8 [1, h, w, 48].

        Args:
            picture: what is moved.
            flow: float32 [1, h, w, 2], offsets in pixels, x and y, from the middles of the positions.

        Returns:
            float32 [1, h, w, 48].
        """
        offsets = F.interpolate(flow.permute(0, 3, 1, 2), scale_factor=PATCH, mode="bilinear", align_corners=False)
        grid = (self._places + offsets.permute(0, 2, 3, 1)) * self._scale - 1
        pixels = _from_patches(picture).float()
        moved = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=True)
        return _to_patches(moved.round())


def blend(output: Tensor, parts: Tensor, past: Tensor, plate: Tensor) -> Tensor:
    """The picture, float32 [1, h, w, 48].

    Args:
        output: uint8 [1, h, w, 96]: paint 48, then mask, keep and copy, 16 each, shares in 255ths.
        parts, past, plate: [1, h, w, 48].
    """
    paint, *shares = torch.split(output.float(), [RGB, PIXELS, PIXELS, PIXELS], dim=-1)
    mask, keep, copy = (share.repeat_interleave(3, dim=-1) for share in shares)
    return _mix(mask, _mix(copy, parts, _mix(keep, past, paint)), plate)


def _mix(share: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """`one` where the share is 255, `other` where it is 0; all whole numbers."""
    return ((one * share / 255).round() + (other * (255 - share) / 255).round()).clamp(max=255)


def _from_patches(patches: Tensor) -> Tensor:
    """[1, h, w, 48] to [1, 3, H, W]."""
    _, h, w, _ = patches.shape
    pixels = patches.reshape(h, w, PATCH, PATCH, 3).permute(4, 0, 2, 1, 3)
    return pixels.reshape(1, 3, h * PATCH, w * PATCH)


def _to_patches(pictures: Tensor) -> Tensor:
    """[1, 3, H, W] to [1, h, w, 48]."""
    _, _, height, width = pictures.shape
    h, w = height // PATCH, width // PATCH
    return pictures.reshape(3, h, PATCH, w, PATCH).permute(1, 3, 2, 4, 0).reshape(1, h, w, RGB)
