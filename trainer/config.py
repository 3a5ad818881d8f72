"""What a training run is told. Everything else follows from the footage."""

from dataclasses import dataclass

from engines.errors import UserError


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of "1024x512", or of "512", a square.

    Raises:
        UserError: it is neither.
    """
    sides = text.split("x")
    if len(sides) not in (1, 2) or not all(side.isdecimal() for side in sides):
        raise UserError(f"--size must be like 512 or 1024x512, not {text!r}.")
    return int(sides[0]), int(sides[-1])


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Shape of a compact network: channels and residual blocks at 1/4, 1/8 and 1/16 of the picture."""

    widths: tuple[int, int, int]
    blocks: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The `live` preset: a compact generator that runs on an ordinary CPU."""

    steps: int = 8000
    """Steps of the body's generator."""
    face_steps: int = 2000
    """Steps of the face network, after the body's."""
    batch: int = 3
    """Chains that take part in a step."""
    chains: int = 12
    """Chains that are alive; they take turns, so that successive steps see different scenes."""
    unroll: int = 2
    """Frames per step that the gradient flows through; at least 2, for the discriminator judges pairs."""
    window_px: int = 256
    """Training looks through a square window of this size that lies on the person."""
    life_frames: int = 150
    """A chain runs on its own outputs for so many frames on average before it starts anew."""
    seed: int = 0

    generator: NetworkConfig = NetworkConfig(widths=(48, 96, 192), blocks=(1, 1, 4))
    face: NetworkConfig = NetworkConfig(widths=(48, 96, 128), blocks=(1, 1, 2))
    ndf: int = 32
    """Width of the discriminators."""

    rate: float = 8e-4
    """Adam's learning rate of the generator; the discriminator's is a third."""
    warmup: int = 300
    """Steps without the adversarial losses."""
    freeze_at: float = 0.6
    """After this part of the steps BatchNorm keeps its statistics: the network is then just what is exported."""
    ema_decay: float = 0.998

    l1_weight: float = 30.0
    adversarial_weight: float = 1.0
    matching_weight: float = 4.0
    perceptual_weight: float = 4.0
    perceptual_px: int = 128
    """Side of the crop on a keypoint that the perceptual loss sees."""
    mask_weight: float = 1.5
    """Cost of not showing the empty room."""

    def __post_init__(self) -> None:
        if self.unroll < 2:
            raise UserError(f"--unroll must be at least 2, not {self.unroll}.")
        if self.chains < self.batch:
            raise UserError(f"--chains must be at least --batch, {self.batch}, not {self.chains}.")
        if self.window_px % 32 or self.perceptual_px > self.window_px:
            raise UserError(
                f"--window-px must be a multiple of 32 and at least --perceptual-px ({self.perceptual_px}), "
                f"not {self.window_px}."
            )
