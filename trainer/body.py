"""Stage one: the body's temporal generator, trained on its own long chains.

The method's weak spot is that a chain trained for two frames decays when it runs for hours. So each element of the
batch is a chain that goes on from its own last output for hundreds of frames before it starts anew.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.errors import UserError
from realtime.frame import Rgb
from trainer.adversary import Adversary
from trainer.config import TrainConfig
from trainer.dataset import Batch, Loader
from trainer.descent import CLIP, adam, average, descend, means, set_rate
from trainer.fabric import Fabric
from trainer.footage import Footage
from trainer.losses import weighted_l1
from trainer.metrics import psnr_db
from trainer.networks.compact import CompactGenerator
from trainer.networks.patches import from_bytes, from_patches, to_bytes, to_patches
from trainer.perceptual import PerceptualLoss
from trainer.stage import Score

DISTANCE_EVERY = 3
"""Frames between those whose perceptual distance is taken: the network is a heavy one."""


class BodyStage:
    """Generator against a two-scale discriminator that judges [x_t-1, x_t, y_t-1, y_t] (EDN, section 3.2)."""

    name = "body"

    def __init__(self, footage: Footage, config: TrainConfig, fabric: Fabric) -> None:
        if fabric.world_size > 1 and config.chains % config.batch:
            raise UserError(f"With several processes --chains must be a multiple of --batch, {config.batch}.")
        torch.manual_seed(config.seed)
        self.steps, self.step_number, self.pace = config.steps, 0, 1.0
        self.fps, self.pictures_per_step = footage.about.fps, config.batch * config.unroll
        self._footage, self._config, self._fabric = footage, config, fabric
        self._no_figure = float(from_bytes(torch.tensor(footage.style.blank)))
        self.generator = CompactGenerator(config.generator.widths, config.generator.blocks)
        self.generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._generate = fabric.setup_module(self.generator)
        self.ema = average(self.generator, config.ema_decay)
        self._optimizer = adam(self.generator, config.rate)
        self._adversary = Adversary(12, 2, config, fabric)
        self._perceptual = PerceptualLoss().to(fabric.device)
        side = config.window_px // 4
        self._figures, self._pictures = (
            torch.zeros(config.chains, 48, side, side, device=fabric.device) for _ in range(2)
        )
        self._loader: Loader | None = None

    def step(self) -> dict[str, float]:
        """Train one step; returns the losses by name, the mean over all processes. May raise `DivergedError`."""
        config, fabric = self._config, self._fabric
        self._loader = self._loader or Loader(
            self._footage, config, self.step_number, rank=fabric.global_rank, ranks=fabric.world_size
        )
        batch = self._loader.next().to(fabric.device)
        self._prepare()
        pictures, masks = self._roll_out(batch)

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
        descend(fabric, self.generator, self._optimizer, total, CLIP)
        self.ema.update_parameters(self.generator)
        self.step_number += 1
        return means(fabric, losses)

    def _roll_out(self, batch: Batch) -> tuple[list[Tensor], Tensor]:
        """Render R frames of every chain, the gradient flowing through all of them, and carry the chains on."""
        figures = [to_patches(figure) for figure in batch.figures]
        plate = to_patches(batch.plate)
        new = batch.restart[:, None, None, None]
        past_figure = torch.where(new, self._no_figure, self._figures[batch.chains])
        past_picture = torch.where(new, plate, self._pictures[batch.chains])
        past_picture = torch.cat(
            [
                disturb(past_picture[row : row + 1], plate[row : row + 1], self._noise(chain))
                for row, chain in enumerate(batch.chains)
            ]
        )
        pictures, masks = [], []
        for figure in figures:
            packed = torch.cat([figure, past_figure, past_picture], dim=1)
            picture, mask = self._generate(packed.contiguous(memory_format=torch.channels_last), plate)
            pictures.append(picture)
            masks.append(mask)
            past_figure, past_picture = figure, picture
        self._figures[batch.chains], self._pictures[batch.chains] = past_figure, past_picture.detach()
        return pictures, torch.stack(masks)

    def _noise(self, chain: int) -> torch.Generator:
        """Random numbers that depend on the seed, the step and the chain: not on the process that has the chain."""
        seed = np.random.SeedSequence((self._config.seed, self.step_number, chain)).generate_state(1, np.uint64)
        return torch.Generator(self._fabric.device).manual_seed(int(seed[0]))

    def _l1(self, pictures: list[Tensor], batch: Batch) -> Tensor:
        """L1 that counts the person and the shadow, which are where the truth is not the plate, several times."""
        person = (batch.truths - batch.plate).abs().mean(dim=2, keepdim=True)
        weight = 1 + 4 * (5 * person).clamp(max=1)
        return weighted_l1(torch.stack([from_patches(picture) for picture in pictures]), batch.truths, weight)

    def _perceive(self, pictures: list[Tensor], batch: Batch) -> Tensor:
        """The perceptual loss on a crop of one chain's last frame, each chain in turn: the network is a heavy one."""
        fabric, here = self._fabric, len(batch.focus)
        rank, row = divmod(self.step_number % (here * fabric.world_size), here)
        if rank != fabric.global_rank:
            return torch.zeros((), device=fabric.device)
        x, y = batch.focus[row]
        side = self._config.perceptual_px
        crop = np.s_[row : row + 1, :, y : y + side, x : x + side]
        with fabric.autocast():
            loss: Tensor = self._perceptual(from_patches(pictures[-1])[crop], batch.truths[-1][crop])
        return loss * fabric.world_size  # the mean over the processes is this one's

    def _prepare(self) -> None:
        """Set the learning rates; when its time has come, freeze BatchNorm: the network is then what is exported."""
        config, done = self._config, self.step_number / self.steps
        set_rate(self._optimizer, self.pace * config.rate, done)
        set_rate(self._adversary.optimizer, self.pace * config.rate / 3, done)
        self.generator.train()
        if done >= config.freeze_at:
            freeze_statistics(self.generator, self.ema.module)

    @torch.no_grad()
    def validate(self, frames: int, show: Callable[[Rgb], object]) -> Score:
        """Run the averaged generator on its own outputs over held-out footage, as live; shows figure | truth | output.

        Returns:
            PSNR of the chain's first and last tenth, and the perceptual distance of the last.
        """
        footage = self._footage
        first = footage.training_frames
        indices = range(first, min(first + frames, len(footage.poses)))
        tenth = max(1, len(indices) // 10)
        generator = self.ema.module.eval()
        plate = to_patches(self._batch_of(footage.plate))
        past_figure, past_picture = torch.full_like(plate, self._no_figure), plate
        reader, psnrs_db, distances = footage.reader(), [], []
        for index in indices:
            canvas, truth = footage.figure(index), reader.read(index)
            figure = to_patches(self._batch_of(canvas))
            with self._fabric.autocast():
                past_picture, _ = generator(torch.cat([figure, past_figure, past_picture], dim=1), plate)
                if index in indices[-tenth::DISTANCE_EVERY]:
                    distances.append(float(self._perceptual(from_patches(past_picture), self._batch_of(truth))))
            past_figure = figure
            output = to_bytes(from_patches(past_picture))[0].permute(1, 2, 0).cpu().numpy()
            psnrs_db.append(psnr_db(output, truth))
            show(np.concatenate([canvas, truth, output], axis=1))
        reader.close()
        return Score(*(float(np.mean(part)) for part in (psnrs_db[:tenth], psnrs_db[-tenth:], distances)))

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        carried = {"figures": self._everywhere(self._figures), "pictures": self._everywhere(self._pictures)}
        return {"step": self.step_number, **carried, **parts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.close()
        self.step_number = state["step"]
        self._figures, self._pictures = (state[name].to(self._fabric.device) for name in ("figures", "pictures"))
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _everywhere(self, carried: Tensor) -> Tensor:
        """What each process carries on of its own chains, together."""
        fabric, batch = self._fabric, self._config.batch
        ours = torch.arange(len(carried)) % batch // (batch // fabric.world_size) == fabric.global_rank
        total = fabric.all_reduce(carried * ours.to(carried)[:, None, None, None], reduce_op="sum")
        assert isinstance(total, Tensor)
        return total

    def _batch_of(self, picture: Rgb) -> Tensor:
        return from_bytes(torch.from_numpy(picture).to(self._fabric.device).permute(2, 0, 1)[None])

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
    device = picture.device
    kind = torch.rand(b, 1, 1, 1, generator=rng, device=device)
    coarse = torch.randn(b, 48, max(1, h // 8), max(1, w // 8), generator=rng, device=device)
    coarse = F.interpolate(coarse, (h, w), mode="bilinear")
    fine = torch.randn(picture.shape, generator=rng, device=device)
    strength = 0.15 * torch.rand(b, 1, 1, 1, generator=rng, device=device)
    noisy = (picture + strength * (coarse + fine)).clamp(-1, 1)
    return torch.where(kind < 0.1, plate, torch.where(kind < 0.4, noisy, picture))


def freeze_statistics(network: nn.Module, averaged: nn.Module) -> None:
    """Let every BatchNorm use fixed statistics, those of the averaged network, from now on."""
    for ours, theirs in zip(network.modules(), averaged.modules(), strict=True):
        if isinstance(ours, nn.BatchNorm2d):
            ours.load_state_dict(theirs.state_dict() | dict(ours.named_parameters()))
            ours.eval()
