"""The face network with all that trains it: for the stage that trains it alone, and for the one with the body.

Letters: B heads, F the side of their patches, H W pictures.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.pose.measure import HeadBox
from realtime.render import feather
from trainer.config import TrainConfig
from trainer.networks.load import build_face
from trainer.networks.patches import from_patches, to_patches
from trainer.training.discriminator_trainer import DiscriminatorTrainer
from trainer.training.fabric import Fabric
from trainer.training.losses import StepLosses
from trainer.training.optimize import Trainable, adam, average, set_learning_rate
from trainer.training.perceptual import load_perceptual


def face_side_px(height_px: int) -> int:
    """Side of the head's patch: about what a head near the camera takes, a multiple of 32."""
    return max(32, height_px // 4 // 32 * 32)


def crop_heads(pictures: Tensor, heads: Sequence[HeadBox], side_px: int) -> Tensor:
    """`realtime.render.crop_head` with a gradient: pictures B 3 H W and a square in each to B 3 F F."""
    places = torch.arange(side_px, device=pictures.device) - (side_px - 1) / 2

    def along(centres: list[float], size: int) -> Tensor:
        """Where the patch's columns or rows lie, B F, in -1..1 from edge to edge of the picture."""
        boxes = torch.tensor([centres, [head.side_px / side_px for head in heads]], device=pictures.device)
        return (2 * (boxes[0, :, None] + boxes[1, :, None] * places) + 1) / size - 1

    height, width = pictures.shape[-2:]
    x, y = along([head.x for head in heads], width), along([head.y for head in heads], height)
    grid = torch.stack((x[:, None, :].expand(-1, side_px, -1), y[:, :, None].expand(-1, -1, side_px)), dim=-1)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)


class FaceTrainer:
    """Adds a residual to heads; LSGAN + feature matching + perceptual + L1 on the head alone (EDN, section 3.3).

    Args:
        side_px: F.
        config: how to train.
        fabric: where.
    """

    def __init__(self, side_px: int, config: TrainConfig, fabric: Fabric) -> None:
        self.side_px, self._config = side_px, config
        self.network = build_face(config.face)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._residual = fabric.setup_module(self.network)
        self.ema = average(self.network, config.ema_decay)
        self._optimizer = adam(self.network, config.learning_rate)
        self._discriminator = DiscriminatorTrainer(6, 1, config, fabric)
        self._autocast = fabric.autocast
        self.perceptual = load_perceptual(config.vgg19).to(fabric.device)
        self._feather = torch.from_numpy(feather(side_px)).to(fabric.device)

    @property
    def trainable(self) -> Trainable:
        """What `optimizer_step` moves."""
        return self.network, self._optimizer

    def prepare(self, done: float, lr_scale: float) -> None:
        """Set the learning rates, of which `done`, 0..1, and `lr_scale` decide; the network is ready for a step."""
        config = self._config
        set_learning_rate(self._optimizer, lr_scale * config.learning_rate, done, config.lr_schedule)
        set_learning_rate(
            self._discriminator.optimizer, lr_scale * config.discriminator_learning_rate, done, config.lr_schedule
        )
        self.network.train()

    def mend(self, figure: Tensor, picture: Tensor, *, averaged: bool = False) -> Tensor:
        """Heads as the network in training, or its average, makes them better; all B 3 F F in [-1, 1]."""
        network = self.ema.module.eval() if averaged else self._residual
        packed = torch.cat([to_patches(figure), to_patches(picture)], dim=1)
        residual = from_patches(network(packed.contiguous(memory_format=torch.channels_last)))
        return picture + self._feather * residual

    def losses(
        self, figure: Tensor, output: Tensor, truth: Tensor, *, seen: int, seen_share: float, share: float = 1.0
    ) -> StepLosses:
        """Judge mended heads, B 3 F F; the discriminator trains on the way.

        Args:
            figure, output, truth: what was drawn, what came out, what was there.
            seen: so many of them go through the perceptual network, 0 to B: it is a heavy one.
            seen_share: how much this process's perceptual loss counts; the mean over all processes is 1.
            share: how much all else counts.

        Returns:
            The weighted losses "l1", "vgg", "gan", "fm", and the discriminator's own, "d".

        Raises:
            DivergedError: the discriminator's loss is not finite.
        """
        config = self._config
        vgg = torch.zeros((), device=output.device)
        if seen:
            with self._autocast():
                vgg = self.perceptual(output[:seen], truth[:seen])
        losses = {
            "l1": share * config.l1_weight * (output - truth).abs().mean(),
            "vgg": config.perceptual_weight * (vgg * seen_share),
        }
        return StepLosses(losses).merge(self._discriminator.step(figure, output, truth, scale=share))

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "network": self.network,
            "ema": self.ema,
            "optimizer": self._optimizer,
            "discriminator": self._discriminator.network,
            "d_optimizer": self._discriminator.optimizer,
        }
