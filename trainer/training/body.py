"""Stage one: the body's temporal generator, trained on its own long chains.

A chain trained for two frames, as in the paper, decays when it runs for hours. So each element of the batch is a chain
that goes on from its own last output for hundreds of frames before it starts anew.

Letters: R frames of B chains in a step, H W pixels.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor

from realtime.frame import Rgb
from realtime.references.inputs import ReferenceInputs
from trainer.config import TrainConfig
from trainer.footage.prepared import Footage
from trainer.networks.load import build_generator, freeze_statistics, load_base, load_matching
from trainer.networks.patches import PATCH, from_bytes, from_patches, from_rgb, to_patches, to_rgb
from trainer.training.augment import disturb_chains
from trainer.training.chain_sampler import CropRect, window_size
from trainer.training.chains import ChainState, PersistentChains, RecurrentGenerator
from trainer.training.dataset import Batch, Loader, cropped, downscaled, moved_parts_batch
from trainer.training.distributed import Fabric, spare_cores
from trainer.training.losses import DiscriminatorTrainer, StepLosses, load_perceptual, weighted_l1
from trainer.training.optimize import (
    CLIP_NORM,
    Stateful,
    TrainedNetwork,
    load_states,
    moving_average,
    optimizer_step,
    save_states,
)
from trainer.training.stage import ChainValidation, Score


class BodyStage:
    """The generator, its moving average, the chains that it renders, and its losses.

    Args:
        footage: of the person; a part of it is held out, and the stage is scored on it.
        config: what is learnt and how.
        fabric: what computes.
        others: footage of other people, whom some of the chains show.
        coarse: train the global generator alone, at half the size (pix2pixHD's first stage).
    """

    def __init__(
        self,
        footage: Footage,
        config: TrainConfig,
        fabric: Fabric,
        *,
        others: Sequence[Footage] = (),
        coarse: bool = False,
    ) -> None:
        torch.manual_seed(config.seed)
        self.name, self._reduce = ("coarse", 2) if coarse else ("body", 1)
        self.steps, self.step_number = config.coarse_steps if coarse else config.steps, 0
        self.fps, self.pictures_per_step, self.lr_scale = footage.about.fps, config.batch * config.unroll, 1.0
        self._footage, self._config, self._fabric, self._others = footage, config, fabric, others
        width, height = (side // PATCH // self._reduce for side in window_size(footage, config))
        self._blank = float(from_bytes(torch.tensor(footage.style.blank)))
        self._chains = PersistentChains((height, width), self._blank, config, fabric)
        self.generator = build_generator(
            config.generator, background=config.background, references=config.references, coarse=coarse
        )
        self.trained = TrainedNetwork(self.generator, config.learning_rate, config, fabric)
        self.ema = moving_average(self.generator, config.ema_decay)
        self._losses = BodyLosses(config, fabric)
        self._loader: Loader | None = None

    def initialize_from(self, state: dict[str, Any]) -> int:
        """Take over the matching weights of another training's `state_dict`; returns how many tensors matched."""
        matched = load_matching(self.generator, state["network"])
        self.ema.module.load_state_dict(self.generator.state_dict())
        self._losses.initialize_from(state["losses"])
        return matched

    def initialize_pretrained(self) -> None:
        """Take over the generator that comes with the package, if this one has its shape."""
        load_base(self.generator)
        self.ema.module.load_state_dict(self.generator.state_dict())

    def step(self) -> dict[str, float]:
        """Train one step; returns the losses by name, the mean over all processes. May raise `DivergedError`."""
        losses, _, _ = self.roll_out()
        optimizer_step(self._fabric, losses.total, self.trained, clip=CLIP_NORM)
        return self.finish(losses)

    def roll_out(self) -> tuple[StepLosses, Batch, Tensor]:
        """Render the next R frames of this step's chains: the losses, the batch, and the last frames, B 3 H W.

        The discriminators make their step, the generator does not yet.
        """
        config, fabric = self._config, self._fabric
        if self._loader is None:
            self._loader = Loader(
                [self._footage, *self._others],
                config,
                self.step_number,
                device=fabric.device,
                share=(fabric.global_rank, fabric.world_size),
                processes=min(spare_cores(fabric), config.batch // fabric.world_size),
            )
        batch = self._loader.next().reduced(self._reduce)
        self._prepare()
        outputs, masks = self._render(batch)
        return self._losses.compute(batch, outputs, masks, self.step_number), batch, outputs[-1]

    def finish(self, losses: StepLosses) -> dict[str, float]:
        """Update the average after the generator has changed; returns the losses' means over all processes."""
        self.ema.update_parameters(self.generator)
        self.step_number += 1
        return losses.means(self._fabric)

    def _prepare(self) -> None:
        """Set the learning rates, and from `freeze_norm_at` on freeze BatchNorm: the network is as it is exported."""
        progress = self.step_number / self.steps
        self.trained.set_learning_rate(progress, self.lr_scale)
        self._losses.set_learning_rate(progress, self.lr_scale)
        self.generator.train()
        if progress >= self._config.freeze_norm_at:
            freeze_statistics(self.generator, self.ema.module)

    def _render(self, batch: Batch) -> tuple[list[Tensor], Tensor]:
        """R frames of every chain, B 3 H W each, with a gradient through all of them, and their masks, R B 48 h w."""
        config, plate = self._config, to_patches(batch.plate)
        past = self._chains.get(batch.chains, batch.restart | (not config.temporal), plate)
        seeds = [(config.seed, self.step_number, chain) for chain in batch.chains]
        past = replace(past, picture=disturb_chains(past.picture, plate, config.feedback_noise, seeds))
        generator = RecurrentGenerator(self.trained, plate, past, temporal=config.temporal)
        parts = batch.parts or repeat(None)
        frames = [generator.step(to_patches(figure), each) for figure, each in zip(batch.figures, parts, strict=False)]
        self._chains.put(batch.chains, generator.past)
        pictures, masks = zip(*frames, strict=True)
        return [from_patches(picture) for picture in pictures], torch.stack(masks)

    @torch.no_grad()
    def validate(self, frames: int, show: Callable[[Rgb], object]) -> Score:
        """Score the averaged generator's chain over held-out footage, as live; shows figure | truth | output."""
        validation = ChainValidation(len(self._footage.held_out(frames)))
        for _, figure, truth, picture in self.play_held_out(frames):
            output = to_rgb(picture)
            validation.add(output, truth, partial(self.distance, picture, truth))
            show(np.concatenate([figure, truth, output], axis=1))
        return validation.score()

    @torch.no_grad()
    def play_held_out(self, frames: int) -> Iterator[tuple[int, Rgb, Rgb, Tensor]]:
        """The averaged generator's chain over held-out footage: index, figure, truth, and output 1 3 H W in [-1, 1]."""
        footage, device = self._footage, self._fabric.device
        plate = to_patches(from_rgb(downscaled(footage.plate, self._reduce)).to(device))
        past = ChainState(torch.full_like(plate, self._blank), plate)
        generator = RecurrentGenerator(self.ema.module.eval(), plate, past, temporal=self._config.temporal)
        inputs = ReferenceInputs(footage.atlas, footage.plate) if footage.atlas else None
        with closing(footage.reader()) as reader:
            for index in footage.held_out(frames):
                if footage.poses[index] is None:  # as `Renderer.step`: while nobody is there every frame starts anew
                    generator.past = past
                figure, truth = (
                    downscaled(picture, self._reduce) for picture in (footage.figure(index).rgb, reader.read(index))
                )
                parts = None
                if inputs:
                    moved = inputs.step(footage.poses[index], frame=index, apart=footage.apart)
                    parts = moved_parts_batch([moved], device)
                with self._fabric.autocast():
                    picture, _ = generator.step(to_patches(from_rgb(figure).to(device)), parts)
                yield index, figure, truth, from_patches(picture)

    def distance(self, picture: Tensor | Rgb, truth: Rgb) -> float:
        """Perceptual distance of a picture, 1 3 H W in [-1, 1] or uint8 H W 3, from the truth."""
        output = picture if isinstance(picture, Tensor) else from_rgb(picture)
        return self._losses.distance(output, from_rgb(truth))

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {"step": self.step_number, **self.trained.state_dict(), **save_states(self._parts())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.close()
        self.step_number = state["step"]
        self.trained.load_state_dict(state)
        load_states(self._parts(), state)

    def _parts(self) -> dict[str, Stateful]:
        return {"chains": self._chains, "ema": self.ema, "losses": self._losses}

    def close(self) -> None:
        """Stop reading footage."""
        if self._loader:
            self._loader.close()
            self._loader = None


def turns_of(step_number: int, config: TrainConfig, *, share: tuple[int, int]) -> list[int]:
    """The chains of this process whose crops are compared in a step: of a batch `config.crops` in turns.

    Args:
        step_number: the step's.
        config: the training's.
        share: (i, n) for the i-th of n processes that share each batch; chains are counted within it.
    """
    part, parts = share
    here = config.batch // parts
    first = step_number * config.crops
    chains = (turn % config.batch for turn in range(first, first + config.crops))
    return [chain % here for chain in chains if chain // here == part]


class BodyLosses:
    """All losses of the body's stage, with the discriminators, which train on the way.

    One discriminator, of several scales, is given [x_t-1, x_t, y_t-1, y_t] (EDN, section 3.2). A second one is given
    single pictures, the same crop of them as the perceptual loss.
    """

    def __init__(self, config: TrainConfig, fabric: Fabric) -> None:
        self._config, self._fabric = config, fabric
        self._frames, weight = 2 if config.temporal else 1, config.image_weight
        self._discriminator = DiscriminatorTrainer(6 * self._frames, config.scales, config, fabric)
        self._image_discriminator = DiscriminatorTrainer(6, 1, config, fabric, weight=weight) if weight else None
        self._perceptual = load_perceptual(config.vgg19).to(fabric.device)

    def initialize_from(self, state: dict[str, Any]) -> None:
        """Take over the matching weights of the large discriminator from another training's `state_dict`."""
        load_matching(self._discriminator.network, state["discriminator"]["network"])

    def set_learning_rate(self, progress: float, lr_scale: float) -> None:
        """Follow the schedule, as `TrainedNetwork.set_learning_rate`."""
        for discriminator in self._parts().values():
            discriminator.set_learning_rate(progress, lr_scale)

    def compute(self, batch: Batch, outputs: Sequence[Tensor], masks: Tensor, step_number: int) -> StepLosses:
        """The losses of R outputs, B 3 H W in [-1, 1], and masks, R B 48 h w in 0..1.

        The number of the step decides which chain's crop is compared, and whether there are adversarial losses yet.

        Raises:
            DivergedError: a discriminator's loss is not finite.
        """
        config = self._config
        l1 = config.l1_weight * self._l1(torch.stack([*outputs]), batch)
        losses = StepLosses({"l1": l1, "mask": config.mask_weight * masks.mean()})
        losses = losses.merge(self._crop_losses(batch, outputs[-1], step_number))
        if step_number >= config.warmup_steps:
            pairs = (torch.cat([*frames[-self._frames :]], dim=1) for frames in (batch.figures, outputs, batch.truths))
            losses = losses.merge(self._discriminator.step(*pairs))
        return losses

    def distance(self, output: Tensor, truth: Tensor) -> float:
        """Perceptual distance of pictures 1 3 H W in [-1, 1]."""
        device = self._fabric.device
        with self._fabric.autocast():
            return float(self._perceptual(output.to(device), truth.to(device)))

    def _l1(self, outputs: Tensor, batch: Batch) -> Tensor:
        """L1; with a known background, what differs from it counts up to five times: the person and the shadow."""
        if not self._config.background:
            return (outputs - batch.truths).abs().mean()
        person = (batch.truths - batch.plate).abs().mean(dim=2, keepdim=True)
        return weighted_l1(outputs, batch.truths, 1 + 4 * (5 * person).clamp(max=1))

    def _crop_losses(self, batch: Batch, output: Tensor, step_number: int) -> StepLosses:
        """Perceptual, texture, image-GAN and hand losses on crops of some chains' last frames.

        The chains take turns. A process with none whose turn it is sends a crop through all networks nevertheless,
        since all processes train the image discriminator, but its losses are 0.
        """
        config, fabric = self._config, self._fabric
        turns = turns_of(step_number, config, share=(fabric.global_rank, fabric.world_size))
        scale, chains = fabric.world_size * len(turns) / config.crops, turns or [0]
        figure, fake, real = (
            torch.cat([cropped(pictures[chain : chain + 1], batch.focus[chain]) for chain in chains])
            for pictures in (batch.figures[-1], output, batch.truths[-1])
        )
        with fabric.autocast():
            perceptual, texture = self._perceptual.compare(fake, real, texture=config.texture_weight > 0)
        terms = {"vgg": scale * config.perceptual_weight * perceptual}
        if config.texture_weight:
            terms["texture"] = scale * config.texture_weight * texture
        losses = StepLosses(terms)
        if self._image_discriminator and step_number >= config.warmup_steps:
            losses = losses.merge(self._image_discriminator.step(figure, fake, real, scale=scale), "image ")
        if config.hand_weight:
            hand = self._hand_loss(output, batch.truths[-1], {chain: batch.hands[chain] for chain in chains})
            losses = losses.merge(StepLosses({"hand": scale * config.hand_weight * hand}))
        return losses

    def _hand_loss(self, output: Tensor, truth: Tensor, hands: Mapping[int, CropRect | None]) -> Tensor:
        """L1 and perceptual loss on the crops around chains' hands, the mean over the chains; 0 without a hand."""
        found = {chain: hand for chain, hand in hands.items() if hand}
        if not found:
            return torch.zeros((), device=output.device)
        fake, real = (
            torch.cat([cropped(pictures[chain : chain + 1], hand) for chain, hand in found.items()])
            for pictures in (output, truth)
        )
        with self._fabric.autocast():
            perceptual: Tensor = self._perceptual(fake, real)
        loss = self._config.l1_weight * (fake - real).abs().mean() + self._config.perceptual_weight * perceptual
        return loss * (len(found) / len(hands))

    def state_dict(self) -> dict[str, Any]:
        """The discriminators' weights and optimizers."""
        return save_states(self._parts())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        load_states(self._parts(), state)

    def _parts(self) -> dict[str, DiscriminatorTrainer]:
        image = self._image_discriminator
        return {"discriminator": self._discriminator} | ({"image_discriminator": image} if image else {})
