"""Train a refiner: batches that depend on the seed and the step alone, checkpoints that go on exactly, a measure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engines.files import replace_file, write_file
from realtime.pose.estimation.refined_points import (
    BODY_AROUND,
    BODY_POINTS,
    BODY_SIDE_PX,
    HAND_AROUND,
    HAND_POINTS,
    HAND_SIDE_PX,
    prior_maps,
)
from trainer.refiner.augment import Example, example
from trainer.refiner.network import RefinerNetwork, RefinerShape, read_points
from trainer.refiner.people import Crops
from trainer.training.optimize import moving_average

SHAPES = {
    "body": RefinerShape(len(BODY_POINTS), BODY_SIDE_PX, (48, 96, 128)),
    "hand": RefinerShape(HAND_POINTS, HAND_SIDE_PX, (32, 64, 96)),
}
_EMA = 0.998
_OWN_PRIORS = 0.5
"""Share of the steps whose priors are the network's own."""
_HEAT_CELLS = 1.0
"""Spread of the place that the logits are drawn to, cells."""
_HEAT_WEIGHT, _PRESENCE_WEIGHT = 0.3, 0.3
_FLOOR = 0.002
"""Smallest deviation that the loss believes, in sizes of the region: below it the truth itself is rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinerConfig:
    """What a training of a refiner depends on."""

    kind: str
    steps: int
    batch: int = 32
    seed: int = 0
    learning_rate: float = 2e-3
    warmup_steps: int = 200
    certain: bool = False
    """Without the uncertainty: the plain absolute error is the loss."""


def batch_of(crops: Crops, rows: NDArray[np.intp], config: RefinerConfig, step: int) -> list[Example]:
    """The examples of a step."""
    dice = np.random.default_rng([config.seed, step])
    shape = SHAPES[config.kind]
    return [
        example(
            crops.pictures[n], crops.xy[n], crops.seen[n], crops.visibility[n], shape, dice,
            other=crops.pictures[dice.choice(rows)],
        )
        for n in dice.choice(rows, config.batch)
    ]  # fmt: skip


@torch.no_grad()
def own_priors(network: RefinerNetwork, examples: list[Example], dice: np.random.Generator) -> list[Example]:
    """The examples with priors as the network makes them for itself while it follows: what it has said, a step behind.

    Errors that it is content with must not stay: it learns to leave them.
    """
    picture, prior, *_ = stacked(examples)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(picture, prior)
    xy, _, _ = read_points(output.float())
    grid, every = prior.shape[-1], np.ones(prior.shape[1], np.bool_)
    return [
        replace(
            each,
            prior=prior_maps(said - each.step * np.float32(dice.uniform(0, 1)), every, grid),
        )
        for each, said in zip(examples, xy.numpy(), strict=True)
    ]


def stacked(examples: list[Example]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Pictures B 3 S S in 0..1, priors, true xy, weights, presence."""
    pictures = torch.from_numpy(np.stack([each.picture for each in examples])).permute(0, 3, 1, 2)
    return (
        pictures.float().div(255).contiguous(memory_format=torch.channels_last),
        torch.from_numpy(np.stack([each.prior for each in examples])),
        torch.from_numpy(np.stack([each.xy for each in examples])),
        torch.from_numpy(np.stack([each.weight for each in examples])),
        torch.tensor([each.present for each in examples]),
    )


def loss_of(network: RefinerNetwork, examples: list[Example], *, certain: bool = False) -> Tensor:
    """Laplacian likelihood of the points, cross-entropy of their places and of the presence."""
    picture, prior, truth, weight, present = stacked(examples)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(picture, prior)
    output = output.float()
    xy, log_deviation, presence = read_points(output)
    error = (xy - truth).abs().mean(dim=2)
    deviation = log_deviation.exp() + _FLOOR
    likelihood = 20 * error if certain else error / deviation + deviation.log()
    grid = output.shape[-1]
    cells = (torch.arange(grid) + 0.5) / grid
    bell = (-0.5 * ((cells - truth[..., None]) * grid / _HEAT_CELLS) ** 2).exp()
    target = bell[:, :, 1, :, None] * bell[:, :, 0, None, :]
    target = target / target.sum(dim=(2, 3), keepdim=True).clamp_min(1e-6)
    places = -(target * F.log_softmax(output[:, : truth.shape[1]].flatten(2), dim=2).view_as(target)).sum(dim=(2, 3))
    asked = weight.sum().clamp_min(1)
    loss: Tensor = (
        ((likelihood + _HEAT_WEIGHT * places) * weight).sum() / asked
        + _PRESENCE_WEIGHT * F.binary_cross_entropy_with_logits(presence, present)
    )  # fmt: skip
    return loss


@dataclass(frozen=True, slots=True)
class RefinerScore:
    """How far points are from the truth, in thousandths of the region's side, over crops of people never trained on."""

    first: float
    """Mean error of the first look after a constant offset per point is taken off, where it saw them."""
    refined: float
    """Mean error of what the refiner makes of the first look."""
    tracked: float
    """Mean error from the points of the frame before."""
    calibration: float
    """Median of error over stated deviation; ln 2 = 0.69 when the deviation is right."""
    presence: float
    """Mean presence of parts that are there."""


@torch.no_grad()
def score(network: RefinerNetwork, crops: Crops, rows: NDArray[np.intp], kind: str) -> RefinerScore:
    """Measure a network on crops, undisturbed."""
    network.eval()
    shape, dice = SHAPES[kind], np.random.default_rng(0)
    found: dict[str, list[NDArray[np.float32]]] = {"seen": [], "before": []}
    first, deviations, presences = [], [], []
    for n in rows:
        before = crops.xy[n, 1]
        for name, prior in (("seen", crops.seen[n]), ("before", before)):
            each = example(crops.pictures[n], crops.xy[n], prior, crops.visibility[n], shape, dice, plain=True)
            picture, maps, truth, weight, _ = stacked([each])
            xy, log_deviation, presence = read_points(network(picture, maps))
            asked = torch.where(weight[0] > 0, 1.0, torch.nan)
            found[name].append(((xy - truth)[0] * asked[:, None]).numpy())
            if name == "before":
                deviations.append((log_deviation[0].exp() + _FLOOR).numpy())
                presences.append(float(presence.sigmoid()))
        low, high = crops.xy[n, 0].min(axis=0), crops.xy[n, 0].max(axis=0)
        size_px = float((high - low).max()) * (BODY_AROUND if kind == "body" else HAND_AROUND)
        first.append((crops.seen[n] - crops.xy[n, 0]) / size_px * asked.numpy()[:, None])
    network.train()
    raw = np.stack(first)
    raw = raw - np.nanmedian(raw, axis=0) if np.isfinite(raw).any() else raw
    errors = {name: np.linalg.norm(np.stack(each), axis=2) for name, each in found.items()}
    return RefinerScore(
        _mean(np.linalg.norm(raw, axis=2)),
        _mean(errors["seen"]),
        _mean(errors["before"]),
        float(np.nanmedian(np.abs(np.stack(found["before"])).mean(axis=2) / np.stack(deviations))),
        float(np.mean(presences)),
    )


def _mean(errors: NDArray[np.float32]) -> float:
    return float(1000 * np.nanmean(errors)) if np.isfinite(errors).any() else float("nan")


def train(
    crops: Crops, rows: NDArray[np.intp], held_out: NDArray[np.intp], config: RefinerConfig, run: Path, every: int = 500
) -> Iterator[tuple[int, RefinerScore | None]]:
    """Train until `config.steps`, from the run's checkpoint if there is one; yields every step, sometimes with a score.

    Writes `config.json`, every `every` steps `checkpoint.pt` and `network.pt` (averaged weights), and `scores.jsonl`.
    """
    run.mkdir(parents=True, exist_ok=True)
    write_file(run / "config.json", json.dumps(asdict(config), indent=2).encode())
    torch.manual_seed(config.seed)
    network = RefinerNetwork(SHAPES[config.kind])
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = moving_average(network, _EMA)
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=0.01)
    state, start = run / "checkpoint.pt", 0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        network.load_state_dict(saved["network"])
        averaged.load_state_dict(saved["averaged"])
        optimizer.load_state_dict(saved["optimizer"])
        start = saved["step"]
    for step in range(start, config.steps):
        examples = batch_of(crops, rows, config, step)
        dice = np.random.default_rng([config.seed, step, 1])
        if step >= config.warmup_steps and dice.random() < _OWN_PRIORS:
            examples = own_priors(network, examples, dice)
        loss = loss_of(network, examples, certain=config.certain)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.param_groups[0]["lr"] = config.learning_rate * _rate(step, config)
        optimizer.step()
        averaged.update_parameters(network)
        done = step + 1
        if done % every and done != config.steps:
            yield done, None
            continue
        _save(
            {"network": network.state_dict(), "averaged": averaged.state_dict(), "optimizer": optimizer.state_dict(),
             "step": done}, state,
        )  # fmt: skip
        mean = averaged.module
        assert isinstance(mean, RefinerNetwork)
        _save(mean.state_dict(), run / "network.pt")
        found = score(mean, crops, held_out, config.kind)
        with (run / "scores.jsonl").open("a") as log:
            log.write(json.dumps({"step": done, "loss": round(loss.item(), 4), **asdict(found)}) + "\n")
        yield done, found


def _save(values: Mapping[str, Any], path: Path) -> None:
    """Write a file of torch's, whole or not at all."""
    with replace_file(path) as file:
        torch.save(values, file)


def _rate(step: int, config: RefinerConfig) -> float:
    """Linear warm-up, then a cosine to a fiftieth."""
    warm = min(1.0, (step + 1) / config.warmup_steps)
    return warm * (0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * min(1.0, step / config.steps)))))
