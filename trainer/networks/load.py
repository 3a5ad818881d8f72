"""Build networks by their configuration, and load weights into them.

All generators and face networks take and give 4x4 patches, so the same renderer plays every preset:
A generator maps (packed B 144 h w, plate B 48 h w) to (picture, mask), both B 48 h w: see `CompactGenerator`.
A face network maps packed B 96 h w to a residual B 48 h w: see `CompactFace`.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from engines.errors import UserError
from realtime.parts.limb_frames import CHANNELS as COORDINATES
from trainer.config import CompactConfig, Network
from trainer.networks.compact import CompactFace, CompactGenerator
from trainer.networks.parts import PartsGenerator
from trainer.networks.patches import CHANNELS, from_patches, to_patches
from trainer.networks.pix2pixhd import GlobalGenerator, LocalEnhancer


def build_generator(config: Network, *, background: bool, references: bool = False, coarse: bool = False) -> nn.Module:
    """A new generator.

    Args:
        config: its shape.
        background: it composites over the plate; a compact one always does.
        references: moved parts and limb coordinates come in, in place of the previous figure.
        coarse: leave the local enhancer out.
    """
    if isinstance(config, CompactConfig):
        if references:
            return PartsGenerator(COORDINATES, config.widths, config.blocks)
        return CompactGenerator(config.widths, config.blocks)
    if references:
        return CompositeParts(GlobalGenerator(9, config.ngf, config.downsamplings, config.blocks, 6))
    c_in, c_out = (9, 4) if background else (6, 3)
    network: nn.Module = GlobalGenerator(c_in, config.ngf, config.downsamplings, config.blocks, c_out)
    if config.enhancer_blocks and not coarse:
        assert isinstance(network, GlobalGenerator)
        network = LocalEnhancer(network, c_in, config.ngf // 2, config.enhancer_blocks, c_out)
    return Composite(network) if background else Paper(network)


def build_face(config: Network) -> nn.Module:
    """A new face network."""
    if isinstance(config, CompactConfig):
        return CompactFace(config.widths, config.blocks)
    return PaperFace(GlobalGenerator(6, config.ngf, config.downsamplings, config.blocks))


class Paper(nn.Module):
    """EDN's generator: figure (in 0..1) and previous output in, the whole picture out; there is no plate."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, packed: Tensor, plate: Tensor) -> tuple[Tensor, Tensor]:
        """See the module."""
        figure, _, past = torch.split(packed, CHANNELS, dim=1)
        picture = to_patches(self.network(torch.cat([(from_patches(figure) + 1) / 2, from_patches(past)], 1)).float())
        return picture, torch.ones_like(picture)


class Composite(nn.Module):
    """The same family with the previous figure as well, and a mask that composites the person over the plate."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, packed: Tensor, plate: Tensor) -> tuple[Tensor, Tensor]:
        """See the module."""
        pictures = torch.cat([from_patches(part) for part in torch.split(packed, CHANNELS, dim=1)], 1)
        rgb, mask = torch.split(self.network(pictures).float(), [3, 1], dim=1)
        mask = to_patches(((mask + 1) / 2).expand(-1, 3, -1, -1))
        return mask * to_patches(rgb) + (1 - mask) * plate, mask


class CompositeParts(nn.Module):
    """The same family with moved parts and past: it paints, keeps, copies, or leaves the background.

    Limb coordinates come in, too, as the compact networks have them; these look at whole pixels, so it leaves them.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, packed: Tensor, plate: Tensor) -> tuple[Tensor, Tensor]:
        """See `PartsGenerator`."""
        pictures = packed[:, :CHANNELS], packed[:, -2 * CHANNELS : -CHANNELS], packed[:, -CHANNELS:]
        figure, parts, past = map(from_patches, pictures)
        rgb, logits = torch.split(self.network(torch.cat([figure, parts, past], 1)).float(), [3, 3], dim=1)
        shares = torch.softmax(torch.cat([torch.ones_like(logits[:, :1]), 4 * logits[:, 1:]], 1), dim=1)
        paint, keep, copy = torch.split(shares, 1, dim=1)
        person = paint * rgb + keep * past + copy * parts
        mask = to_patches(((logits[:, :1] + 1) / 2).expand(-1, 3, -1, -1))
        return mask * to_patches(person) + (1 - mask) * plate, mask


class PaperFace(nn.Module):
    """EDN's FaceGAN: the head's figure and picture to a residual."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, packed: Tensor) -> Tensor:
        """See the module."""
        figure, picture = torch.split(packed, CHANNELS, dim=1)
        return to_patches(self.network(torch.cat([(from_patches(figure) + 1) / 2, from_patches(picture)], 1)).float())


def load_pretrained(path: Path, shapes: Mapping[str, tuple[int, ...]], name: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file that comes with the package.

    Args:
        path: the file.
        shapes: of the tensors that must be in it, and no others, by name.
        name: what the error calls the network.

    Raises:
        UserError: the file is missing, damaged, or holds other tensors.
    """
    if not path.is_file():
        raise UserError(f"The network {path} is missing: install bodydouble again.")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise UserError(f"The network {path} cannot be read ({error}): install bodydouble again.") from error
    if {key: tuple(tensor.shape) for key, tensor in tensors.items()} != shapes:
        raise UserError(f"{path} does not hold the convolutions of {name}: install bodydouble again.")
    return tensors


def load_matching(network: nn.Module, state: Mapping[str, Tensor]) -> int:
    """Load the tensors of `state` whose name and shape `network` has, too; returns how many."""
    own = network.state_dict()
    found = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    network.load_state_dict(found, strict=False)
    return len(found)


def freeze_statistics(network: nn.Module, averaged: nn.Module) -> None:
    """Put every BatchNorm of `network` into eval mode, with the running statistics of the averaged network."""
    for ours, theirs in zip(network.modules(), averaged.modules(), strict=True):
        if isinstance(ours, nn.BatchNorm2d):
            ours.load_state_dict(theirs.state_dict() | dict(ours.named_parameters()))
            ours.eval()
