"""What a training run is told. Everything else follows from the footage."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from engines.errors import UserError


class CompactConfig(msgspec.Struct, frozen=True, kw_only=True, tag="compact"):
    """Shape of a compact network: channels and residual blocks at 1/4, 1/8 and 1/16 of the picture."""

    widths: tuple[int, int, int]
    blocks: tuple[int, int, int]

    def __str__(self) -> str:
        return f"compact {','.join(map(str, self.widths))} x {','.join(map(str, self.blocks))}"


class Pix2PixHDConfig(msgspec.Struct, frozen=True, kw_only=True, tag="pix2pixhd"):
    """Shape of a network of pix2pixHD's: the global generator, and the local enhancer around it."""

    ngf: int = 64
    """Channels of the global generator's first layer; the enhancer has half as many."""
    downsamplings: int = 4
    blocks: int = 9
    enhancer_blocks: int = 0
    """Residual blocks of the local enhancer; 0 leaves it out."""

    def __str__(self) -> str:
        enhancer = f", {self.enhancer_blocks} in the enhancer" if self.enhancer_blocks else ""
        return f"pix2pixHD, ngf {self.ngf}, {self.downsamplings} downsamplings, {self.blocks} blocks{enhancer}"


Network = CompactConfig | Pix2PixHDConfig


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One preset; the defaults are those of `live`, a compact generator that runs on an ordinary CPU."""

    steps: int = 8000
    """Steps of the body's generator."""
    coarse_steps: int = 0
    """Steps of the global generator alone, at half the size, before the local enhancer joins it."""
    face_steps: int = 2000
    """Steps of the face network, after the body's."""
    joint_steps: int = 0
    """Steps of both together, after the face's, at a tenth of the rates; the losses on the head reach the body, too."""
    batch: int = 3
    """Chains that take part in a step."""
    chains: int = 12
    """Chains that are alive; they take turns, so that successive steps see different scenes."""
    unroll: int = 2
    """Frames per step that the gradient flows through; at least 2, for the discriminator judges pairs."""
    window_px: int = 256
    """Training looks through a square window of this size that lies on the person; 0 is the whole picture."""
    mean_chain_frames: int = 150
    """A chain runs on its own outputs for so many frames on average before it starts anew."""
    view_balance: float = 0.5
    """How much more often rarely filmed views of the body are learnt: 0 as often as filmed, 1 all equally often."""
    seed: int = 0

    temporal: bool = True
    """Each frame follows from the one before, and pairs are judged; without it every frame begins anew (pix2pixHD)."""
    background: bool = True
    """The room is known: the network predicts a mask and composites the person, with the shadow, over the plate."""
    references: bool = True
    """Every part of the person is taken from the frame of the footage that shows it best and moved into the pose; the
    generator may copy it, keep its own past, or paint."""
    generator: Network = CompactConfig(widths=(48, 96, 192), blocks=(1, 1, 2))
    face: Network = CompactConfig(widths=(48, 96, 128), blocks=(1, 1, 2))
    ndf: int = 32
    """Width of the discriminators."""
    scales: int = 2
    """Sizes at which the discriminator judges."""

    learning_rate: float = 8e-4
    """Adam's learning rate of the generator, constant for the first half of the steps."""
    discriminator_learning_rate: float = 2.7e-4
    lr_schedule: Literal["cosine", "linear"] = "cosine"
    """How the rates fall in the second half."""
    warmup_steps: int = 300
    """Steps without the adversarial losses."""
    freeze_norm_at: float = 0.6
    """After this part of the steps BatchNorm keeps its statistics: the network is then just what is exported."""
    ema_decay: float = 0.998
    """Of the moving average of the weights, which is what is exported; 0 exports the weights themselves."""

    l1_weight: float = 30.0
    adversarial_weight: float = 1.0
    feature_matching_weight: float = 4.0
    perceptual_weight: float = 4.0
    perceptual_px: int = 128
    """Side of the crop on head, hand or another keypoint that the perceptual loss sees; 0 is the whole window."""
    vgg19: Path | None = None
    """Perceptual network in place of the built-in VGG16: torchvision's vgg19-dcbb9e9d.pth, as the paper has it."""
    image_weight: float = 0.5
    """Of the second discriminator: it judges single pictures, through the perceptual loss's crop."""
    hand_weight: float = 0.5
    """Of L1 and perceptual loss on a crop around a hand, beside the whole."""
    texture_weight: float = 0.0
    """Of the difference of Gram matrices of the perceptual features: the statistics of cloth, not its place."""
    mask_weight: float = 1.5
    """Cost of not showing the empty room."""

    feedback_noise: float = 0.4
    """Part of the fed-back pictures that are spoilt: a quarter of them loses the person, the others get noise."""
    part_dropout: float = 0.05
    """Part of the steps in which a hand, an arm, a foot or the face is missing from the figure."""
    keypoint_noise: float = 0.004
    """Noise of the keypoints in statures, in a quarter of the steps."""
    motion_blur: float = 0.05
    """Part of the steps in which the figure is smeared along its motion."""
    far_references: float = 0.2
    """Share of the steps in which references near in time are left out, as they are for a performer."""
    zoom_out: float = 0.05
    """Part of the chains that see a larger part of the picture made smaller."""

    def __post_init__(self) -> None:
        if self.unroll < 2:
            raise UserError(f"--unroll must be at least 2, not {self.unroll}.")
        if self.chains < self.batch:
            raise UserError(f"--chains must be at least --batch, {self.batch}, not {self.chains}.")
        if self.references and self.coarse_steps:
            raise UserError("--coarse-steps is for generators without references: set --references False.")
        if self.references and not self.background:
            raise UserError("References are laid over the background: give --references False, or a static camera.")
        if self.joint_steps and not self.face_steps:
            raise UserError("--joint-steps trains the face network further: --face-steps must be more than 0.")
        if self.window_px % 32 or (self.window_px and self.perceptual_px > self.window_px):
            raise UserError(
                f"--window-px must be a multiple of 32 and at least --perceptual-px ({self.perceptual_px}), "
                f"not {self.window_px}."
            )


LIVE = TrainConfig()

PAPER = TrainConfig(
    steps=200_000,
    coarse_steps=35_000,
    face_steps=35_000,
    batch=1,
    chains=1,
    window_px=0,
    mean_chain_frames=2,
    view_balance=0.0,
    background=False,
    references=False,
    generator=Pix2PixHDConfig(enhancer_blocks=3),
    face=Pix2PixHDConfig(downsamplings=3, blocks=5),
    ndf=64,
    scales=3,
    learning_rate=2e-4,
    discriminator_learning_rate=2e-4,
    lr_schedule="linear",
    warmup_steps=0,
    ema_decay=0.0,
    l1_weight=0.0,
    feature_matching_weight=10.0,
    perceptual_weight=10.0,
    perceptual_px=0,
    image_weight=0.0,
    hand_weight=0.0,
    mask_weight=0.0,
    feedback_noise=0.0,
    part_dropout=0.0,
    keypoint_noise=0.0,
    motion_blur=0.0,
    zoom_out=0.0,
)
"""*Everybody Dance Now* as published, for pictures of 1024x512: the coarse generator at 512x256, then the enhancer."""

GPU = replace(
    PAPER,
    steps=60_000,
    coarse_steps=0,
    face_steps=15_000,
    batch=8,
    chains=64,
    unroll=3,
    mean_chain_frames=150,
    view_balance=0.5,
    background=True,
    generator=Pix2PixHDConfig(),
    lr_schedule="cosine",
    warmup_steps=300,
    ema_decay=0.999,
    l1_weight=10.0,
    mask_weight=1.5,
    image_weight=0.5,
    hand_weight=0.5,
    feedback_noise=0.4,
    part_dropout=0.05,
    keypoint_noise=0.004,
    motion_blur=0.05,
    zoom_out=0.05,
)
"""The paper's family with what was learnt since: long chains, the known room, averaged weights; any size."""

PresetName = Literal["live", "gpu", "paper"]
PRESETS: Mapping[PresetName, TrainConfig] = {"live": LIVE, "gpu": GPU, "paper": PAPER}


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of "1024x512", or of "512", a square.

    Raises:
        UserError: it is neither.
    """
    sides = text.split("x")
    if len(sides) not in (1, 2) or not all(side.isdecimal() for side in sides):
        raise UserError(f"--size must be like 512 or 1024x512, not {text!r}.")
    return int(sides[0]), int(sides[-1])
