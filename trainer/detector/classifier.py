"""Tell a subject's videos from real footage of the same person (EDN, section 6: the fake detector).

It sees two successive frames at a time, of the body and of the face, for what gives a video away is often its changes.
Its two classes are real footage and the subject's rendering of the very same moves, so moves and places tell nothing.
EfficientNet looks, as it was trained on ImageNet, and a logistic regression on what it sees decides: with minutes of
footage there is too little for a network of its own, which learnt its few clips by heart (docs/log.md).

Letters: N pairs, D features.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from engines.errors import UserError
from engines.files import write_file
from trainer.detector.clips import Pairs
from trainer.networks.efficientnet import EfficientNet

DECAY = 1e-3
"""Cost of large weights: with more features than pairs they would explain anything."""
LEAST_SPREAD = 1e-3
"""A feature that varies less than this is not blown up."""


class About(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What is known of a detector; in its file as metadata."""

    subject: str
    size_px: tuple[int, int]
    """Videos are seen at this size."""
    footage_px: tuple[int, int] | None = None
    crop: tuple[int, int, int, int] | None = None
    """In videos as large as the subject's footage (width, height): the part that is seen (x, y, width, height)."""
    training_clips: int
    """Of each class."""
    held_out_clips: int
    """Of each class; never seen while training."""
    accuracy: float
    """Held-out clips told rightly, 0.5 being chance."""
    pair_accuracy: float
    """Held-out pairs of frames told rightly."""


class Features:
    """What EfficientNet sees in pairs of frames."""

    def __init__(self) -> None:
        self._network = EfficientNet()

    @torch.inference_mode()
    def __call__(self, pairs: Pairs) -> Tensor:
        """N D: of body and face, at every level, the mean of each channel now, and of its change since the past."""
        found = []
        for pictures in (pairs.bodies, pairs.faces):
            past, now = (_pictures(half) for half in np.split(pictures, 2, axis=1))
            for level in self._network.features(torch.cat([past, now])):
                before, after = level.chunk(2)
                found += [after.mean(dim=(2, 3)), (after - before).abs().mean(dim=(2, 3))]
        return torch.cat(found, dim=1)


class Detector(NamedTuple):
    """A logistic regression on `Features`."""

    mean: Tensor
    """D."""
    spread: Tensor
    """D."""
    weight: Tensor
    """D + 1, the last one for a constant."""

    def logits(self, features: Tensor) -> Tensor:
        """N D to N: above 0 is fake."""
        return (features - self.mean) / self.spread @ self.weight[:-1] + self.weight[-1]


class Clip(NamedTuple):
    """Features, N D each, of the same moves."""

    real: Tensor
    fake: Tensor


def train_detector(clips: Sequence[Clip]) -> Detector:
    """Find the weights for which all clips together are the least surprising."""
    classes = [torch.cat(column) for column in zip(*clips, strict=True)]
    features = torch.cat(classes)
    wanted = torch.cat([torch.full((len(rows),), fake) for rows, fake in zip(classes, (0.0, 1.0), strict=True)])
    mean, spread = features.mean(dim=0), features.std(dim=0) + LEAST_SPREAD
    detector = Detector(mean, spread, torch.zeros(features.shape[1] + 1, requires_grad=True))
    optimizer = torch.optim.LBFGS([detector.weight], max_iter=200, line_search_fn="strong_wolfe")

    def surprise() -> float:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(detector.logits(features), wanted)
        loss = loss + DECAY * detector.weight[:-1].square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    optimizer.step(surprise)  # type: ignore[no-untyped-call]
    return detector._replace(weight=detector.weight.detach())


def accuracy(detector: Detector, clips: Sequence[Clip]) -> tuple[float, float]:
    """Part of the clips, by their mean logit, and of the pairs, that are told rightly; both classes count alike."""
    # The real ones' turned round, so that above 0 is right for both.
    right = [logits for real, fake in clips for logits in (-detector.logits(real), detector.logits(fake))]
    whole = [float(logits.mean()) > 0 for logits in right]
    return float(np.mean(whole)), float((torch.cat(right) > 0).float().mean())


def save_detector(detector: Detector, about: About, path: Path) -> None:
    """Write a detector, whole or not at all."""
    write_file(path, save(detector._asdict(), {"detector": msgspec.json.encode(about).decode()}))


def load_detector(path: Path) -> tuple[Detector, About]:
    """Read what `save_detector` wrote.

    Raises:
        UserError: the file is missing or is no detector.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = msgspec.json.decode((file.metadata() or {}).get("detector", ""), type=About)
            return Detector(*(file.get_tensor(name) for name in Detector._fields)), about
    except (OSError, SafetensorError, msgspec.DecodeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} is not a detector ({reason}): make one with `trainer detector train`.") from error


def _pictures(pictures: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures)).float() / 127.5 - 1
