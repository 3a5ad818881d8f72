"""Build networks by their configuration, and load weights into them.

The same renderer plays every preset, since all networks take and give 4x4 patches, in [-1, 1]:
A generator maps (packed, plate B 48 h w) to (picture, mask), both B 48 h w. Packed is B 144 h w, as described in
`CompactGenerator`, or with references B 144+L h w, as in `ReferenceGenerator`.
A face network maps packed B 96 h w (figure, picture) to a residual B 48 h w.
"""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from engines.errors import UserError
from realtime.references.limb_frames import CHANNELS as COORDINATES
from trainer.config import CompactConfig, Network
from trainer.networks.compact import CompactFace, CompactGenerator
from trainer.networks.patches import CHANNELS
from trainer.networks.pix2pixhd import (
    CompositeGenerator,
    GlobalGenerator,
    LocalEnhancer,
    PaperFace,
    WholePictureGenerator,
)
from trainer.networks.references import CompactReferenceGenerator, GlobalReferenceGenerator

BASE = Path(__file__).with_name("base.safetensors")
"""The generator that trainings start with; `scripts/make_base.py` writes it."""


def build_generator(config: Network, *, background: bool, references: bool = False, coarse: bool = False) -> nn.Module:
    """A new generator.

    Args:
        config: its family and shape.
        background: it composites over the plate; a compact one always does.
        references: its inputs are moved parts, moved past and limb coordinates, in place of the previous figure and
            output.
        coarse: leave the local enhancer out.
    """
    if isinstance(config, CompactConfig):
        if references:
            return CompactReferenceGenerator(COORDINATES, config.widths, config.blocks)
        return CompactGenerator(config.widths, config.blocks)
    if references:
        return GlobalReferenceGenerator(GlobalGenerator(9, config.ngf, config.downsamplings, config.blocks, 6))
    c_in, c_out = (9, 4) if background else (6, 3)
    network: nn.Module = GlobalGenerator(c_in, config.ngf, config.downsamplings, config.blocks, c_out)
    if config.enhancer_blocks and not coarse:
        assert isinstance(network, GlobalGenerator)
        network = LocalEnhancer(network, c_in, config.ngf // 2, config.enhancer_blocks, c_out)
    return CompositeGenerator(network) if background else WholePictureGenerator(network)


def packed_channels(*, references: bool) -> int:
    """Channels of a generator's input, see `trainer.training.chains.pack_inputs`."""
    return 3 * CHANNELS + (COORDINATES if references else 0)


def build_face(config: Network) -> nn.Module:
    """A new face network."""
    if isinstance(config, CompactConfig):
        return CompactFace(config.widths, config.blocks)
    return PaperFace(GlobalGenerator(6, config.ngf, config.downsamplings, config.blocks))


def load_base(network: nn.Module) -> bool:
    """Load the generator that comes with the package, trained on many people, if `network` has its shape.

    Returns:
        Whether it has, so whether it is loaded.

    Raises:
        UserError: the file is missing or damaged.
    """
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    weights = _load_tensors(BASE)
    if {name: tuple(value.shape) for name, value in weights.items()} != shapes:
        return False
    network.load_state_dict(weights)
    return True


def load_pretrained(path: Path, shapes: Mapping[str, tuple[int, ...]], name: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file that comes with the package.

    Args:
        path: the file.
        shapes: of the tensors that must be in it, and no others, by name.
        name: what the error calls the network.

    Raises:
        UserError: the file is missing, damaged, or holds other tensors.
    """
    tensors = _load_tensors(path)
    if {key: tuple(tensor.shape) for key, tensor in tensors.items()} != shapes:
        raise UserError(f"{path} does not hold the convolutions of {name}: install bodydouble again.")
    return tensors


def _load_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"The network {path} is missing: install bodydouble again.")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"The network {path} cannot be read ({error}): install bodydouble again.") from error


def load_matching(network: nn.Module, state: Mapping[str, Tensor]) -> int:
    """Load the tensors of `state` whose name and shape `network` has, too; returns how many."""
    own = network.state_dict()
    found = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    network.load_state_dict(found, strict=False)
    return len(found)


def averaged_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The averaged network's `state_dict`, from that of its `AveragedModel`."""
    return {name.removeprefix("module."): value for name, value in state.items() if name.startswith("module.")}


def freeze_statistics(network: nn.Module, averaged: nn.Module) -> None:
    """Put every BatchNorm of `network` into eval mode, with the running statistics of the averaged network."""
    for ours, theirs in zip(network.modules(), averaged.modules(), strict=True):
        if isinstance(ours, nn.BatchNorm2d):
            ours.load_state_dict(theirs.state_dict() | dict(ours.named_parameters()))
            ours.eval()
