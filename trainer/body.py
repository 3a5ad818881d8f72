"""Stage one: the body's temporal generator, trained on its own long chains.

The method's weak spot is that a chain trained for two frames decays when it runs for hours. So each element of the
batch is a chain that goes on from its own last output for hundreds of frames before it starts anew.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.frame import Rgb
from trainer.adversary import Adversary, adam, average, descend, set_rate
from trainer.config import TrainConfig
from trainer.dataset import Batch, Loader
from trainer.footage import Footage
from trainer.losses import weighted_l1
from trainer.metrics import psnr_db
from trainer.networks.compact import CompactGenerator
from trainer.networks.patches import from_bytes, from_patches, to_bytes, to_patches
from trainer.perceptual import PerceptualLoss


class BodyStage:
    """Generator against a two-scale discriminator that judges [x_t-1, x_t, y_t-1, y_t] (EDN, section 3.2)."""

    name = "body"

    def __init__(self, footage: Footage, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.steps, self.step_number = config.steps, 0
        self._footage, self._config = footage, config
        self._no_figure = float(from_bytes(torch.tensor(footage.style.blank)))
        self.generator = CompactGenerator(config.generator.widths, config.generator.blocks)
        self.generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = average(self.generator, config.ema_decay)
        self._optimizer = adam(self.generator, config.rate)
        self._adversary = Adversary(12, 2, config)
        self._perceptual = PerceptualLoss()
        side = config.window_px // 4
        self._figures, self._pictures = (torch.zeros(config.chains, 48, side, side) for _ in range(2))
        self._loader: Loader | None = None

    def step(self) -> dict[str, float]:
        """Train one step; returns the losses by name."""
        config = self._config
        self._loader = self._loader or Loader(self._footage, config, self.step_number)
        batch = self._loader.next()
        self._prepare()
        rng = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step_number)
        pictures, masks = self._roll_out(batch, rng)

        losses = {
            "l1": config.l1_weight * self._l1(pictures, batch),
            "mask": config.mask_weight * masks.mean(),
            "vgg": config.perceptual_weight * self._perceive(pictures, batch),
        }
        if self.step_number >= config.warmup:
            figures, truths = (torch.cat([*frames[-2:]], dim=1) for frames in (batch.figures, batch.truths))
            fakes = torch.cat([from_patches(picture) for picture in pictures[-2:]], dim=1)
            losses |= self._adversary.judge(figures, fakes, truths)
        total = torch.stack([loss for name, loss in losses.items() if name != "d"]).sum()
        descend(self._optimizer, total, self.generator.parameters())
        self.ema.update_parameters(self.generator)
        self.step_number += 1
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _roll_out(self, batch: Batch, rng: torch.Generator) -> tuple[list[Tensor], Tensor]:
        """Render R frames of every chain, the gradient flowing through all of them, and carry the chains on."""
        figures = [to_patches(figure) for figure in batch.figures]
        plate = to_patches(batch.plate)
        new = batch.restart[:, None, None, None]
        past_figure = torch.where(new, self._no_figure, self._figures[batch.chains])
        past_picture = disturb(torch.where(new, plate, self._pictures[batch.chains]), plate, rng)
        pictures, masks = [], []
        with torch.autocast("cpu", torch.bfloat16):
            for figure in figures:
                packed = torch.cat([figure, past_figure, past_picture], dim=1)
                picture, mask = self.generator(packed.contiguous(memory_format=torch.channels_last), plate)
                pictures.append(picture)
                masks.append(mask)
                past_figure, past_picture = figure, picture
        self._figures[batch.chains], self._pictures[batch.chains] = past_figure, past_picture.detach()
        return pictures, torch.stack(masks)

    def _l1(self, pictures: list[Tensor], batch: Batch) -> Tensor:
        """L1 that counts the person and the shadow, which are where the truth is not the plate, several times."""
        person = (batch.truths - batch.plate).abs().mean(dim=2, keepdim=True)
        weight = 1 + 4 * (5 * person).clamp(max=1)
        return weighted_l1(torch.stack([from_patches(picture) for picture in pictures]), batch.truths, weight)

    def _perceive(self, pictures: list[Tensor], batch: Batch) -> Tensor:
        """The perceptual loss on a crop of one chain's last frame, each chain in turn: the network is a heavy one."""
        chain = self.step_number % len(batch.focus)
        x, y = batch.focus[chain]
        side = self._config.perceptual_px
        crop = np.s_[chain : chain + 1, :, y : y + side, x : x + side]
        with torch.autocast("cpu", torch.bfloat16):
            loss: Tensor = self._perceptual(from_patches(pictures[-1])[crop], batch.truths[-1][crop])
        return loss

    def _prepare(self) -> None:
        """Set the learning rates; when its time has come, freeze BatchNorm: the network is then what is exported."""
        config, done = self._config, self.step_number / self.steps
        set_rate(self._optimizer, config.rate, done)
        set_rate(self._adversary.optimizer, config.rate / 3, done)
        self.generator.train()
        if done >= config.freeze_at:
            freeze_statistics(self.generator, self.ema.module)

    @torch.no_grad()
    def validate(self, frames: int) -> tuple[tuple[float, float], Rgb]:
        """Run the averaged generator on its own outputs over held-out footage, as live.

        Returns:
            PSNR in dB of the chain's first and last tenth, and a sheet of (figure | truth | output) rows.
        """
        footage = self._footage
        first = footage.training_frames
        indices = range(first, min(first + frames, len(footage.poses)))
        generator = self.ema.module.eval()
        plate = to_patches(_batch_of(footage.plate))
        past_figure, past_picture = torch.full_like(plate, self._no_figure), plate
        reader, psnrs, rows = footage.reader(), [], []
        for n, index in enumerate(indices):
            canvas, truth = footage.figure(index), reader.read(index)
            figure = to_patches(_batch_of(canvas))
            with torch.autocast("cpu", torch.bfloat16):
                past_picture, _ = generator(torch.cat([figure, past_figure, past_picture], dim=1), plate)
            past_figure = figure
            output = to_bytes(from_patches(past_picture))[0].permute(1, 2, 0).numpy()
            psnrs.append(psnr_db(output, truth))
            if n % max(1, len(indices) // 6) == max(1, len(indices) // 6) - 1:
                rows.append(np.concatenate([canvas, truth, output], axis=1))
        reader.close()
        tenth = max(1, len(psnrs) // 10)
        ends = float(np.mean(psnrs[:tenth])), float(np.mean(psnrs[-tenth:]))
        return ends, np.concatenate(rows)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        return {"step": self.step_number, "figures": self._figures, "pictures": self._pictures, **parts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.close()
        self.step_number = state["step"]
        self._figures, self._pictures = state["figures"], state["pictures"]
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "generator": self.generator,
            "ema": self.ema,
            "optimizer": self._optimizer,
            "discriminator": self._adversary.network,
            "d_optimizer": self._adversary.optimizer,
        }

    def close(self) -> None:
        """Stop reading footage."""
        if self._loader:
            self._loader.close()
            self._loader = None


def disturb(picture: Tensor, plate: Tensor, rng: torch.Generator) -> Tensor:
    """Spoil some of the fed-back pictures, so that the network trusts the figure more than its own past.

    A tenth of the chains lose the person (as at a start), three tenths get noise, patches of it coarse and fine.
    """
    b, _, h, w = picture.shape
    kind = torch.rand(b, 1, 1, 1, generator=rng)
    coarse = F.interpolate(torch.randn(b, 48, max(1, h // 8), max(1, w // 8), generator=rng), (h, w), mode="bilinear")
    fine = torch.randn(picture.shape, generator=rng)
    strength = 0.15 * torch.rand(b, 1, 1, 1, generator=rng)
    noisy = (picture + strength * (coarse + fine)).clamp(-1, 1)
    return torch.where(kind < 0.1, plate, torch.where(kind < 0.4, noisy, picture))


def freeze_statistics(network: nn.Module, averaged: nn.Module) -> None:
    """Let every BatchNorm use fixed statistics, those of the averaged network, from now on."""
    for ours, theirs in zip(network.modules(), averaged.modules(), strict=True):
        if isinstance(ours, nn.BatchNorm2d):
            ours.load_state_dict(theirs.state_dict() | dict(ours.named_parameters()))
            ours.eval()


def _batch_of(picture: Rgb) -> Tensor:
    return from_bytes(torch.from_numpy(picture).permute(2, 0, 1)[None])
