"""Persistent chains: each plays the footage onwards from where its last step ended; they take turns in the batch.

Which frames a step sees follows from the seed and the step's number alone, so a resumed run sees the very same ones.
"""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from realtime.frame import Rgb
from realtime.pose.measure import head_box
from realtime.pose.skeleton import BODY, LEFT_HAND, RIGHT_HAND
from trainer.config import TrainConfig
from trainer.footage import Footage, PictureReader
from trainer.networks.patches import from_bytes


@dataclass(frozen=True, slots=True)
class Segment:
    """The frames of one chain in one step."""

    start: int
    restart: bool
    x: int
    y: int
    """Corner of the window."""
    focus: tuple[int, int]
    """Corner of the perceptual crop inside the window."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's material. R frames of B chains, window W."""

    figures: Tensor
    """R B 3 W W in [-1, 1]."""
    truths: Tensor
    """R B 3 W W in [-1, 1]."""
    plate: Tensor
    """B 3 W W in [-1, 1]."""
    restart: Tensor
    """B bool: these chains start anew."""
    chains: list[int]
    """Which chains take part."""
    focus: list[tuple[int, int]]
    """Corner (x, y) of each chain's perceptual crop."""

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        figures, truths, plate, restart = (
            part.to(device, non_blocking=True) for part in (self.figures, self.truths, self.plate, self.restart)
        )
        return replace(self, figures=figures, truths=truths, plate=plate, restart=restart)


def chain_plan(footage: Footage, config: TrainConfig, chain: int) -> Iterator[Segment]:
    """The endless plan of one chain."""
    rng = np.random.default_rng((config.seed, chain))
    last = footage.training_frames - config.unroll
    start, x, y = last + 1, 0, 0
    while True:
        restart = start > last or rng.random() < config.unroll / config.life_frames
        if restart:
            start = int(rng.integers(0, last + 1))
            x, y = _window(footage, config, start, rng)
        yield Segment(start, restart, x, y, _focus(footage, config, start, x, y, rng))
        start += config.unroll


def _window(footage: Footage, config: TrainConfig, index: int, rng: np.random.Generator) -> tuple[int, int]:
    """A window around a random keypoint of the person; one in five anywhere, to learn that the rest is the room."""
    room = np.maximum(0, np.array([footage.about.width_px, footage.about.height_px]) - config.window_px)
    pose = footage.poses[index]
    if pose is None or not room.any() or rng.random() < 0.2:
        corner = rng.uniform(0, room)
    else:
        point = pose.xy[rng.integers(BODY.start, BODY.stop)]
        corner = point - rng.uniform(0.2, 0.8, 2) * config.window_px
    # Multiples of four, so that the window's patches are the whole picture's patches.
    x, y = np.clip(np.round(corner / 4) * 4, 0, room)
    return int(x), int(y)


def _focus(
    footage: Footage, config: TrainConfig, index: int, x: int, y: int, rng: np.random.Generator
) -> tuple[int, int]:
    """A crop on the head, a hand or another keypoint; what people look at more often."""
    room = config.window_px - config.perceptual_px
    pose, kind = footage.poses[index], rng.random()
    jitter = rng.uniform(-16, 16, 2)
    part = rng.integers(BODY.start, BODY.stop)
    if pose is None:
        return room // 2, room // 2
    if kind < 0.35:
        head = head_box(pose)
        centre = np.array([head.x, head.y])
    else:
        hands = [pose.xy[hand.start + 9] for hand in (LEFT_HAND, RIGHT_HAND) if pose.confidence[hand.start] > 0]
        centre = hands[int(kind * 1000) % len(hands)] if hands and kind < 0.6 else pose.xy[part]
    corner = np.clip(centre + jitter - (x, y) - config.perceptual_px / 2, 0, room)
    return int(corner[0]), int(corner[1])


class Loader:
    """Decodes, draws and stacks batches ahead of training, in one thread, in order.

    Args:
        footage: where the frames come from.
        config: which chains there are, and how many of them take part in a step.
        first_step: the step of the first batch.
        rank: which of the equal shares of every batch to load.
        ranks: how many shares there are.
    """

    def __init__(
        self, footage: Footage, config: TrainConfig, first_step: int, *, rank: int = 0, ranks: int = 1
    ) -> None:
        self._footage, self._config = footage, config
        share = config.batch // ranks
        self._share = slice(rank * share, (rank + 1) * share)
        self._plans = [chain_plan(footage, config, chain) for chain in range(config.chains)]
        self._step = first_step
        for turn in range(first_step * config.batch):
            next(self._plans[turn % config.chains])
        self._readers = [footage.reader() for _ in self._plans]
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
        """Stop the thread and close the files."""
        self._stop.set()
        self._thread.join()
        for reader in self._readers:
            reader.close()

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                self._offer(self._batch())
        except BaseException as error:  # noqa: BLE001 - handed over to `next`, which raises it
            self._offer(error)

    def _offer(self, item: Batch | BaseException) -> None:
        while not self._stop.is_set():
            try:
                self._ready.put(item, timeout=0.2)
                break
            except queue.Full:
                continue

    def _batch(self) -> Batch:
        turns = range(self._step * self._config.batch, (self._step + 1) * self._config.batch)
        chains = [turn % self._config.chains for turn in turns][self._share]
        self._step += 1
        segments = [next(self._plans[chain]) for chain in chains]
        rows = [self._read(segment, self._readers[chain]) for chain, segment in zip(chains, segments, strict=True)]
        figures, truths, plates = (np.stack(column) for column in zip(*rows, strict=True))
        return Batch(
            figures=_tensor(figures.swapaxes(0, 1)),
            truths=_tensor(truths.swapaxes(0, 1)),
            plate=_tensor(plates),
            restart=torch.tensor([segment.restart for segment in segments]),
            chains=chains,
            focus=[segment.focus for segment in segments],
        )

    def _read(self, segment: Segment, reader: PictureReader) -> tuple[Rgb, Rgb, Rgb]:
        side = self._config.window_px
        window = np.s_[segment.y : segment.y + side, segment.x : segment.x + side]
        indices = range(segment.start, segment.start + self._config.unroll)
        figures = np.stack([self._footage.figure(index)[window] for index in indices])
        truths = np.stack([reader.read(index)[window] for index in indices])
        return figures, truths, self._footage.plate[window]


def _tensor(pictures: Rgb) -> Tensor:
    """[..., H, W, 3] bytes to [..., 3, H, W] in [-1, 1]."""
    return from_bytes(torch.from_numpy(np.ascontiguousarray(np.moveaxis(pictures, -1, -3))))
