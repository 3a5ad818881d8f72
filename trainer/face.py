"""Stage two: the face network, trained with the body's generator frozen (EDN, section 3.3: FaceGAN).

Its material is what the exported generator renders, live renderer and all: so it mends the very faults that viewers see.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from engines.load import load_engine
from realtime.frame import Rgb
from realtime.pose.measure import head_box
from realtime.render import Renderer, crop_head, feather
from trainer.config import TrainConfig
from trainer.footage import Footage
from trainer.losses import discriminator_loss, feature_matching, lsgan
from trainer.metrics import psnr_db
from trainer.networks.compact import CompactFace
from trainer.networks.discriminator import MultiScaleDiscriminator
from trainer.networks.patches import from_bytes, from_patches, to_bytes, to_patches
from trainer.perceptual import PerceptualLoss

BATCH = 8


@dataclass(frozen=True, slots=True)
class Heads:
    """Head patches of N frames, uint8 [N, 3, F, F]."""

    figures: Tensor
    pictures: Tensor
    """As the body's generator rendered them."""
    truths: Tensor


def face_side_px(size_px: int) -> int:
    """Side of the head's patch: about what a head near the camera takes, a multiple of 32."""
    return max(32, size_px // 4 // 32 * 32)


def render_heads(footage: Footage, generator: Path, indices: range, *, threads: int, every: int = 2) -> Heads:
    """Run the exported generator over consecutive frames and cut out the heads of every `every`-th."""
    side = face_side_px(footage.size_px)
    renderer = Renderer(load_engine(generator, precision="bf16", threads=threads), None, footage.plate)
    reader = footage.reader()
    rows: list[tuple[Rgb, Rgb, Rgb]] = []
    for index in track(indices, description="Rendering heads"):
        figure, pose = footage.figure(index), footage.poses[index]
        picture = renderer.step(figure, None)
        if pose is not None and index % every == 0:
            head = head_box(pose)
            rows.append(tuple(crop_head(source, head, side) for source in (figure, picture, reader.read(index))))  # type: ignore[arg-type]
    reader.close()
    return Heads(*(torch.from_numpy(np.stack(column)).permute(0, 3, 1, 2).contiguous() for column in zip(*rows, strict=True)))


class FaceStage:
    """A residual for the head, LSGAN + feature matching + perceptual + L1 on the head alone."""

    name = "face"

    def __init__(self, heads: Heads, held_out: Heads, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.steps, self.step_number = config.face_steps, 0
        self.side_px = heads.figures.shape[-1]
        self._heads, self._held_out, self._config = heads, held_out, config
        self.network = CompactFace(config.face.widths, config.face.blocks).to(memory_format=torch.channels_last)
        nn.init.zeros_(self.network.trunk.head.weight)
        self.ema = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay), use_buffers=True)
        self._discriminator = MultiScaleDiscriminator(6, config.ndf, 1).to(memory_format=torch.channels_last)
        self._perceptual = PerceptualLoss()
        betas = (0.5, 0.999)
        self._g_optimizer = torch.optim.Adam(self.network.parameters(), config.rate, betas, fused=True)
        self._d_optimizer = torch.optim.Adam(self._discriminator.parameters(), config.rate / 3, betas, fused=True)
        self._feather = torch.from_numpy(feather(self.side_px))

    def step(self) -> dict[str, float]:
        """Train one step; returns the losses by name."""
        config = self._config
        rng = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step_number)
        chosen = torch.randint(len(self._heads.figures), (BATCH,), generator=rng)
        figure, picture, truth = self._take(self._heads, chosen)
        fall = 0.02 + 0.98 * (1 + np.cos(np.pi * self.step_number / self.steps)) / 2
        for optimizer, rate in ((self._g_optimizer, config.rate), (self._d_optimizer, config.rate / 3)):
            for group in optimizer.param_groups:
                group["lr"] = rate * fall
        self.network.train()
        with torch.autocast("cpu", torch.bfloat16):
            output = self._refine(self.network, figure, picture)
            losses = {
                "l1": config.l1_weight * (output - truth).abs().mean(),
                "vgg": config.perceptual_weight * self._perceptual(output[:2], truth[:2]),
            }
            self._discriminator.requires_grad_(True)
            real = self._discriminator(torch.cat([figure, truth], dim=1))
            d_loss = discriminator_loss(real, self._discriminator(torch.cat([figure, output.detach()], dim=1)))
            self._d_optimizer.zero_grad(set_to_none=True)
            d_loss.backward()
            self._d_optimizer.step()
            self._discriminator.requires_grad_(False)
            fake = self._discriminator(torch.cat([figure, output], dim=1))
            losses["gan"] = config.adversarial_weight * lsgan(fake, 1.0)
            losses["fm"] = config.matching_weight * feature_matching(fake, real)
        self._g_optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self._g_optimizer.step()
        self.ema.update_parameters(self.network)
        self.step_number += 1
        return {**{name: float(loss.detach()) for name, loss in losses.items()}, "d": float(d_loss)}

    @torch.no_grad()
    def validate(self, frames: int) -> tuple[tuple[float, float], Rgb]:
        """PSNR in dB of held-out heads without and with the face network, and a sheet (figure | truth | without | with)."""
        chosen = torch.linspace(0, len(self._held_out.figures) - 1, min(frames, len(self._held_out.figures))).long()
        figure, picture, truth = self._take(self._held_out, chosen)
        output = self._refine(self.ema.module.eval(), figure, picture)
        columns = [to_bytes(part).permute(0, 2, 3, 1).numpy() for part in (figure, truth, picture, output)]
        rows = list(range(0, len(chosen), max(1, len(chosen) // 8)))[:8]
        sheet = np.concatenate([np.concatenate([column[row] for column in columns], axis=1) for row in rows])
        without, with_ = (
            float(np.mean([psnr_db(picture, truth) for picture, truth in zip(column, columns[1], strict=True)]))
            for column in columns[2:]
        )
        return (without, with_), sheet

    def _refine(self, network: nn.Module, figure: Tensor, picture: Tensor) -> Tensor:
        packed = torch.cat([to_patches(figure), to_patches(picture)], dim=1)
        residual = from_patches(network(packed.contiguous(memory_format=torch.channels_last)))
        return picture + self._feather * residual

    def _take(self, heads: Heads, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return from_bytes(heads.figures[chosen]), from_bytes(heads.pictures[chosen]), from_bytes(heads.truths[chosen])

    def state_dict(self) -> dict[str, object]:
        """Everything that the next step depends on."""
        return {"step": self.step_number} | {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on exactly where `state_dict` was taken."""
        assert isinstance(state["step"], int)
        self.step_number = state["step"]
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def close(self) -> None:
        """Nothing to let go of: the heads are in memory."""

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "network": self.network,
            "ema": self.ema,
            "discriminator": self._discriminator,
            "g_optimizer": self._g_optimizer,
            "d_optimizer": self._d_optimizer,
        }
