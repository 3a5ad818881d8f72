"""Batches of persistent chains: each goes on in the footage where its last step ended; the chains take turns."""

import queue
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from realtime.frame import Rgb
from realtime.pose.measure import HeadBox
from realtime.references.inputs import MovedParts
from trainer.config import TrainConfig
from trainer.footage.prepared import Footage
from trainer.networks.patches import from_bytes, to_patches
from trainer.training.chain_reader import LocalReader, ProcessReader, Reader
from trainer.training.chain_sampler import ChainStep, CropRect, sample_chains
from trainer.training.chains import MovedPartsBatch

CPU = torch.device("cpu")
AHEAD = 2
"""Batches that are asked for before one is fetched, so that processes always have something to read."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step trains on: R frames of B chains, in windows H W."""

    figures: Tensor
    """R B 3 H W in [-1, 1]."""
    truths: Tensor
    """R B 3 H W in [-1, 1]."""
    plate: Tensor
    """B 3 H W in [-1, 1]."""
    restart: Tensor
    """B bool: whether each chain starts anew."""
    chains: list[int]
    """The numbers of the B chains."""
    focus: list[CropRect]
    """What the perceptual loss compares of each chain."""
    hands: list[CropRect | None]
    """The surroundings of a hand, where there is one."""
    heads: list[HeadBox | None]
    """The head in each chain's last frame, unless the window cuts it off."""
    parts: list[MovedPartsBatch] | None = None
    """Of each of the R frames, for a generator with references."""

    def reduced(self, k: int) -> "Batch":
        """The same in pictures of 1/k of the size."""
        if k == 1:
            return self
        assert self.parts is None, "only the paper's networks are trained at half the size, and they have no references"
        figures, truths = (
            torch.stack([F.avg_pool2d(frame, k) for frame in part]) for part in (self.figures, self.truths)
        )
        return replace(
            self,
            figures=figures,
            truths=truths,
            plate=F.avg_pool2d(self.plate, k),
            focus=[rect.reduced(k) for rect in self.focus],
            hands=[rect and rect.reduced(k) for rect in self.hands],
            heads=[
                head and HeadBox((head.x + 0.5) / k - 0.5, (head.y + 0.5) / k - 0.5, head.side_px / k)
                for head in self.heads
            ],
        )


class Loader:
    """Decodes, draws and stacks batches ahead of training, in one thread of its own, in order.

    Args:
        footage: where the frames come from; of several people the chains show one after the other.
        config: how many chains there are, how many of them take part in a step, and the augmentation.
        first_step: the step of the first batch.
        device: where the batches go, as bytes: as floats they are four times as large.
        share: (i, n) loads the i-th of n equal parts of every batch.
        processes: so many read; 0 leaves that to the thread.
    """

    def __init__(
        self,
        footage: Sequence[Footage],
        config: TrainConfig,
        first_step: int,
        *,
        device: torch.device = CPU,
        share: tuple[int, int] = (0, 1),
        processes: int = 0,
    ) -> None:
        self._config, self._device = config, device
        part, parts = share
        rows = config.batch // parts
        self._rows = slice(part * rows, (part + 1) * rows)
        self._samplers = sample_chains(footage, config)
        self._step = first_step
        for turn in range(first_step * config.batch):
            next(self._samplers[turn % config.chains])
        self._readers: list[Reader] = [ProcessReader(footage, config) for _ in range(processes)]
        self._readers = self._readers or [LocalReader(footage, config)]
        self._ready: queue.Queue[Batch | BaseException] = queue.Queue(maxsize=3)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="loader", daemon=True)
        self._thread.start()

    def next(self) -> Batch:
        """The next step's batch."""
        batch = self._ready.get()
        if isinstance(batch, BaseException):
            raise batch
        return batch

    def close(self) -> None:
        """Stop the thread and the processes, and close the files."""
        self._stop.set()
        self._thread.join()
        for reader in self._readers:
            reader.close()

    def _work(self) -> None:
        asked = deque[list[tuple[int, ChainStep]]]()
        try:
            while not self._stop.is_set():
                while len(asked) < AHEAD:
                    asked.append(self._ask())
                self._offer(self._batch(asked.popleft()))
        except BaseException as error:  # noqa: BLE001 - handed over to `next`, which raises it
            self._offer(error)

    def _offer(self, item: Batch | BaseException) -> None:
        while not self._stop.is_set():
            try:
                self._ready.put(item, timeout=0.2)
                break
            except queue.Full:
                continue

    def _ask(self) -> list[tuple[int, ChainStep]]:
        """Ask for the next batch: the chains and their steps."""
        turns = range(self._step * self._config.batch, (self._step + 1) * self._config.batch)
        self._step += 1
        chains = [turn % self._config.chains for turn in turns[self._rows]]
        asked = [(chain, next(self._samplers[chain])) for chain in chains]
        for chain, step in asked:
            self._reader(chain).ask(chain, step)
        return asked

    def _reader(self, chain: int) -> Reader:
        return self._readers[chain % len(self._readers)]

    def _batch(self, asked: Sequence[tuple[int, ChainStep]]) -> Batch:
        chains, steps = [chain for chain, _ in asked], [step for _, step in asked]
        rows = [self._reader(chain).answer() for chain in chains]
        figures, truths, plates, parts = zip(*rows, strict=True)
        device = self._device
        return Batch(
            figures=_tensor(np.stack(figures, axis=1), device),
            truths=_tensor(np.stack(truths, axis=1), device),
            plate=_tensor(np.stack(plates), device),
            restart=torch.tensor([step.restart for step in steps], device=device),
            chains=chains,
            focus=[step.focus for step in steps],
            hands=[step.hand for step in steps],
            heads=[step.head for step in steps],
            parts=[moved_parts_batch(frames, device) for frames in zip(*parts, strict=True)] or None,
        )


def cropped(pictures: Tensor, rect: CropRect) -> Tensor:
    """A part of pictures B C H W."""
    return pictures[:, :, rect.y : rect.y + rect.height, rect.x : rect.x + rect.width]


def downscaled(picture: Rgb, k: int) -> Rgb:
    """The picture in 1/k of the size."""
    height, width, _ = picture.shape
    return np.asarray(cv2.resize(picture, (width // k, height // k), interpolation=cv2.INTER_AREA), np.uint8)


def moved_parts_batch(frames: Sequence[MovedParts], device: torch.device = CPU) -> MovedPartsBatch:
    """One frame of every chain, on a device."""
    coordinates = _channels_first(np.stack([frame.coordinates for frame in frames]), device)
    picture = _tensor(np.stack([frame.picture for frame in frames]), device)
    flow = _channels_first(np.stack([frame.flow for frame in frames]), device)
    return MovedPartsBatch(from_bytes(coordinates), to_patches(picture), flow)


def _tensor(pictures: Rgb, device: torch.device) -> Tensor:
    """[..., H, W, 3] bytes to [..., 3, H, W] in [-1, 1]."""
    return from_bytes(_channels_first(pictures, device))


def _channels_first(array: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(array).to(device).movedim(-1, -3).contiguous()
