"""Stage one: the body's temporal generator, trained on its own long chains.

The method's weak spot is that a chain trained for two frames decays when it runs for hours. So each element of the
batch is a chain that goes on from its own last output for hundreds of frames before it starts anew.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from engines.errors import UserError
from realtime.frame import Rgb
from trainer.config import TrainConfig
from trainer.footage.prepared import Footage
from trainer.networks.load import build_generator
from trainer.networks.patches import CHANNELS, PATCH, from_bytes, from_patches, to_bytes, to_patches
from trainer.networks.weights import freeze_statistics, take_fitting
from trainer.training.augment import disturb
from trainer.training.chain_sampler import focus_size, hand_side_px, window_size
from trainer.training.dataset import Batch, Loader
from trainer.training.discriminator_trainer import DiscriminatorTrainer
from trainer.training.fabric import Fabric
from trainer.training.losses import weighted_l1
from trainer.training.optimize import CLIP, Trainable, adam, average, means, optimizer_step, set_learning_rate, total
from trainer.training.perceptual import load_perceptual
from trainer.training.stage import Score
from trainer.training.validation import ChainValidation


class BodyStage:
    """Generator against a discriminator of several scales that judges [x_t-1, x_t, y_t-1, y_t] (EDN, section 3.2).

    A second one judges single pictures, through a crop on what people look at.

    Args:
        footage: what to learn from.
        config: how.
        fabric: where; its processes share each batch.
        coarse: train the global generator alone, at half the size (pix2pixHD's first stage).
    """

    def __init__(self, footage: Footage, config: TrainConfig, fabric: Fabric, *, coarse: bool = False) -> None:
        if fabric.world_size > 1 and config.chains % config.batch:
            raise UserError(f"With several processes chains must be a multiple of batch, {config.batch}.")
        torch.manual_seed(config.seed)
        self.name, self._reduce = ("coarse", 2) if coarse else ("body", 1)
        self.steps, self.step_number = config.coarse_steps if coarse else config.steps, 0
        self.fps, self.pictures_per_step, self.lr_scale = footage.about.fps, config.batch * config.unroll, 1.0
        self._footage, self._config, self._fabric = footage, config, fabric
        self._no_figure = float(from_bytes(torch.tensor(footage.style.blank)))
        self.generator = build_generator(config.generator, background=config.background, coarse=coarse)
        self.generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._generate = fabric.setup_module(self.generator)
        self.ema = average(self.generator, config.ema_decay)
        self._optimizer = adam(self.generator, config.learning_rate)
        self._judged = 2 if config.temporal else 1
        self._discriminator = DiscriminatorTrainer(6 * self._judged, config.scales, config, fabric)
        weight = config.image_weight
        self._image_discriminator = DiscriminatorTrainer(6, 1, config, fabric, weight=weight) if weight else None
        self._perceptual = load_perceptual(config.vgg19).to(fabric.device)
        width, height = (side // PATCH // self._reduce for side in window_size(footage, config))
        shape = (config.chains, CHANNELS, height, width)
        self._figures, self._pictures = (torch.zeros(shape, device=fabric.device) for _ in range(2))
        self._loader: Loader | None = None

    def begin_with(self, state: dict[str, Any]) -> int:
        """Take over whatever fits of another training's `state_dict`: of this person smaller, or of another person.

        Returns:
            How many of the generator's tensors fitted.
        """
        taken = take_fitting(self.generator, state["generator"])
        self.ema.module.load_state_dict(self.generator.state_dict())
        take_fitting(self._discriminator.network, state["discriminator"])
        return taken

    def step(self) -> dict[str, float]:
        """Train one step; returns the losses by name, the mean over all processes. May raise `DivergedError`."""
        losses, _, _ = self.roll_on()
        optimizer_step(self._fabric, total(losses), self.trainable, clip=CLIP)
        return self.finish(losses)

    @property
    def trainable(self) -> Trainable:
        """What `optimizer_step` moves."""
        return self.generator, self._optimizer

    def roll_on(self) -> tuple[dict[str, Tensor], Batch, Tensor]:
        """Let the chains that take part in this step render their next frames; the discriminators train on the way.

        Returns:
            The losses by name, what was shown, and the last frames, B 3 H W in [-1, 1]; the generator has not moved.
        """
        config, fabric = self._config, self._fabric
        if self._loader is None:
            share = (fabric.global_rank, fabric.world_size)
            self._loader = Loader(self._footage, config, self.step_number, share)
        batch = self._loader.next().to(fabric.device).reduced(self._reduce)
        self._prepare()
        pictures, masks = self._roll_out(batch)

        outputs = [from_patches(picture) for picture in pictures]
        losses = {
            "l1": config.l1_weight * self._l1(torch.stack(outputs), batch),
            "mask": config.mask_weight * masks.mean(),
            **self._look(outputs[-1], batch),
        }
        if self.step_number >= config.warmup_steps:
            judged = (torch.cat([*frames[-self._judged :]], dim=1) for frames in (batch.figures, outputs, batch.truths))
            losses |= self._discriminator.judge(*judged)
        return losses, batch, outputs[-1]

    def finish(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        """What follows after the generator has moved; returns the losses' means over all processes."""
        self.ema.update_parameters(self.generator)
        self.step_number += 1
        return means(self._fabric, losses)

    def _roll_out(self, batch: Batch) -> tuple[list[Tensor], Tensor]:
        """Render R frames of every chain, the gradient flowing through all of them, and carry the chains on."""
        figures = [to_patches(figure) for figure in batch.figures]
        plate = to_patches(batch.plate)
        new = batch.restart[:, None, None, None] | (not self._config.temporal)
        past_figure = torch.where(new, self._no_figure, self._figures[batch.chains])
        past_picture = self._disturb(torch.where(new, plate, self._pictures[batch.chains]), plate, batch.chains)
        pictures, masks = [], []
        for figure in figures:
            packed = torch.cat([figure, past_figure, past_picture], dim=1)
            picture, mask = self._generate(packed.contiguous(memory_format=torch.channels_last), plate)
            pictures.append(picture)
            masks.append(mask)
            if self._config.temporal:
                past_figure, past_picture = figure, picture
        self._figures[batch.chains], self._pictures[batch.chains] = past_figure, past_picture.detach()
        return pictures, torch.stack(masks)

    def _disturb(self, pictures: Tensor, plate: Tensor, chains: list[int]) -> Tensor:
        """Each chain has noise of its own, which follows from the seed and the step, not from the process it is in."""
        rows = []
        for row, chain in enumerate(chains):
            seed = np.random.SeedSequence((self._config.seed, self.step_number, chain)).generate_state(1, np.uint64)
            rng = torch.Generator(self._fabric.device).manual_seed(int(seed[0]))
            rows.append(disturb(pictures[row : row + 1], plate[row : row + 1], self._config.feedback_noise, rng))
        return torch.cat(rows)

    def _l1(self, outputs: Tensor, batch: Batch) -> Tensor:
        """L1; where the room is known, person and shadow count several times: they are where the truth differs."""
        if not self._config.background:
            return (outputs - batch.truths).abs().mean()
        person = (batch.truths - batch.plate).abs().mean(dim=2, keepdim=True)
        return weighted_l1(outputs, batch.truths, 1 + 4 * (5 * person).clamp(max=1))

    def _look(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The perceptual losses on crops of one chain's last frame, each chain in turn: the network is a heavy one.

        Every process takes part with a chain, for the discriminator is trained by all, but only one of them counts.
        """
        config, fabric, here = self._config, self._fabric, len(batch.focus)
        owner, chain = divmod(self.step_number % (here * fabric.world_size), here)
        share = float(fabric.world_size) if owner == fabric.global_rank else 0.0
        focus = self._crop(batch.focus[chain], focus_size(self._footage, config))
        figure, fake, real = (
            part[chain : chain + 1, :, *focus] for part in (batch.figures[-1], output, batch.truths[-1])
        )
        with fabric.autocast():
            seen, texture = self._perceptual.compare(fake, real, texture=config.texture_weight > 0)
        losses = {"vgg": share * config.perceptual_weight * seen}
        if config.texture_weight:
            losses["texture"] = share * config.texture_weight * texture
        if self._image_discriminator and self.step_number >= config.warmup_steps:
            judged = self._image_discriminator.judge(figure, fake, real, share=share)
            losses |= {f"image {name}": loss for name, loss in judged.items()}
        corner = batch.hands[chain]
        if config.hand_weight:
            losses["hand"] = torch.zeros((), device=output.device)
        if config.hand_weight and corner is not None:
            side = hand_side_px(self._footage)
            hand = self._crop(corner, (side, side))
            fake, real = (part[chain : chain + 1, :, *hand] for part in (output, batch.truths[-1]))
            with fabric.autocast():
                seen = self._perceptual(fake, real)
            both = config.l1_weight * (fake - real).abs().mean() + config.perceptual_weight * seen
            losses["hand"] = share * config.hand_weight * both
        return losses

    def _crop(self, corner: tuple[int, int], size: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of a crop that the plan knows in the pictures' full size."""
        (x, y), (width, height) = ((a // self._reduce, b // self._reduce) for a, b in (corner, size))
        return slice(y, y + height), slice(x, x + width)

    def _prepare(self) -> None:
        """Set the learning rates; when its time has come, freeze BatchNorm: the network is then what is exported."""
        config, done = self._config, self.step_number / self.steps
        set_learning_rate(self._optimizer, self.lr_scale * config.learning_rate, done, config.lr_schedule)
        for discriminator in self._discriminators().values():
            set_learning_rate(
                discriminator.optimizer,
                self.lr_scale * config.discriminator_learning_rate,
                done,
                config.lr_schedule,
            )
        self.generator.train()
        if done >= config.freeze_norm_at:
            freeze_statistics(self.generator, self.ema.module)

    @torch.no_grad()
    def validate(self, frames: int, show: Callable[[Rgb], object]) -> Score:
        """Run the averaged generator on its own outputs over held-out footage, as live; shows figure | truth | output.

        Returns:
            PSNR of the chain's first and last tenth, and the perceptual distance of its second half.
        """
        trial = ChainValidation(len(self._footage.held_out(frames)))
        for _, canvas, truth, picture in self.perform(frames):
            output = to_bytes(picture)[0].permute(1, 2, 0).cpu().numpy()
            trial.note(output, truth, partial(self.distance, picture, truth))
            show(np.concatenate([canvas, truth, output], axis=1))
        return trial.score()

    @torch.no_grad()
    def perform(self, frames: int) -> Iterator[tuple[int, Rgb, Rgb, Tensor]]:
        """The averaged generator's chain over held-out footage: index, figure, truth, and output 1 3 H W."""
        footage = self._footage
        generator = self.ema.module.eval()
        plate = to_patches(self._batch_of(smaller(footage.plate, self._reduce)))
        past_figure, past_picture = torch.full_like(plate, self._no_figure), plate
        reader = footage.reader()
        for index in footage.held_out(frames):
            canvas, truth = (smaller(picture, self._reduce) for picture in (footage.figure(index), reader.read(index)))
            figure = to_patches(self._batch_of(canvas))
            with self._fabric.autocast():
                picture, _ = generator(torch.cat([figure, past_figure, past_picture], dim=1), plate)
            if self._config.temporal:
                past_figure, past_picture = figure, picture
            yield index, canvas, truth, from_patches(picture)
        reader.close()

    def distance(self, picture: Tensor | Rgb, truth: Rgb) -> float:
        """Perceptual distance of a picture, 1 3 H W in [-1, 1] or uint8 H W 3, from the truth."""
        seen = picture if isinstance(picture, Tensor) else self._batch_of(picture)
        with self._fabric.autocast():
            return float(self._perceptual(seen, self._batch_of(truth)))

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
        owners = torch.arange(len(carried), device=carried.device) % batch // (batch // fabric.world_size)
        ours = (owners == fabric.global_rank)[:, None, None, None]
        total = fabric.all_reduce(torch.where(ours, carried, 0.0), reduce_op="sum")
        assert isinstance(total, Tensor)
        return total

    def _batch_of(self, picture: Rgb) -> Tensor:
        return from_bytes(torch.from_numpy(picture).to(self._fabric.device).permute(2, 0, 1)[None])

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        parts: dict[str, nn.Module | torch.optim.Optimizer] = {
            "generator": self.generator,
            "ema": self.ema,
            "optimizer": self._optimizer,
        }
        for name, discriminator in self._discriminators().items():
            parts |= {
                f"{name}discriminator": discriminator.network,
                f"{name}d_optimizer": discriminator.optimizer,
            }
        return parts

    def _discriminators(self) -> dict[str, DiscriminatorTrainer]:
        return {"": self._discriminator} | ({"image_": self._image_discriminator} if self._image_discriminator else {})

    def close(self) -> None:
        """Stop reading footage."""
        if self._loader:
            self._loader.close()
            self._loader = None


def smaller(picture: Rgb, k: int) -> Rgb:
    """The picture in 1/k of the size."""
    height, width, _ = picture.shape
    return np.asarray(cv2.resize(picture, (width // k, height // k), interpolation=cv2.INTER_AREA), np.uint8)
