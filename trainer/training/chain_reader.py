"""What the chains of a batch see: figures and truths of a step's frames, and the parts moved into their poses.

Figures are drawn as they are needed, which is as fast as reading them, and some of them are augmented on the way.
"""

import signal
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from realtime.frame import Rgb
from realtime.pose.pose import Pose
from realtime.references.atlas import Atlas
from realtime.references.inputs import MovedParts, ReferenceInputs
from realtime.references.limb_frames import Window
from trainer.config import TrainConfig
from trainer.footage.prepared import Footage
from trainer.training.augment import DROPPABLE_PARTS, drop_part, jitter, smear_figure, zoom
from trainer.training.chain_sampler import ChainStep, ChainWindow

FAR_REFERENCE_GAP_S = 8.0
"""Least time between a frame and its references in `far_references` of the steps, in place of `Footage.apart`."""
FOLLOWED_FRAMES = 8
"""Frames before a step that the choice of references follows, as live it follows all before."""
SHADOW_REACH = 0.38
"""How far from the figure the person and its shadow reach, in heights of the picture."""


class ChainPictures(NamedTuple):
    """R frames of one chain, in a window H W."""

    figures: Rgb
    """uint8 R H W 3."""
    truths: Rgb
    """uint8 R H W 3."""
    plate: Rgb
    """uint8 H W 3."""
    parts: list[MovedParts]
    """Of each of the R frames; none without references."""


class Reader(Protocol):
    """Reads what it is asked for, in that order."""

    def ask(self, chain: int, step: ChainStep) -> None:
        """Ask for what a chain sees in a step."""

    def answer(self) -> ChainPictures:
        """The next answer; waits for it."""

    def close(self) -> None:
        """Close the files."""


class ChainReader:
    """Reads, draws and augments the frames of one chain, and moves the references to them.

    Args:
        footage: where the frames come from.
        config: the length of steps, and the augmentation.
    """

    def __init__(self, footage: Footage, config: TrainConfig) -> None:
        self._footage, self._config, self._pictures = footage, config, footage.reader()

    def read(self, step: ChainStep) -> ChainPictures:
        """What the chain sees in a step."""
        window = step.window
        indices = range(step.start, step.start + self._config.unroll)
        truths = np.stack([_shrink(self._pictures.read(index)[window.part], window) for index in indices])
        rng, plate = np.random.default_rng(step.seed), _shrink(self._footage.plate[window.part], window)
        poses = self._poses(step, indices, rng)
        figures = self._figures(window, poses, smeared=rng.random() < self._config.motion_blur)
        atlas = self._footage.atlas
        parts = self._parts(atlas, step, indices, poses, rng) if atlas else []
        if self._config.background:
            reach_px, blank = SHADOW_REACH * self._footage.about.height_px, self._footage.style.blank
            truths = np.stack(
                [within_reach(*pair, plate, blank, reach_px) for pair in zip(truths, figures, strict=True)]
            )
        return ChainPictures(figures, truths, plate, parts)

    def close(self) -> None:
        """Close the file."""
        self._pictures.close()

    def _poses(self, step: ChainStep, indices: range, rng: np.random.Generator) -> list[Pose | None]:
        """The poses of the frame before and of the R frames, in the pixels of the picture or of a shrunk window.

        Some are augmented, all of a step alike.
        """
        config, window = self._config, step.window
        dropped, shaken = rng.random() < config.part_dropout, rng.random() < 0.25
        part = str(rng.choice(list(DROPPABLE_PARTS)))

        def augmented(pose: Pose) -> Pose:
            if window.k < 1:
                pose = zoom(pose, (window.x, window.y), window.k)
            if shaken and config.keypoint_noise:
                pose = jitter(pose, config.keypoint_noise, rng)
            return drop_part(pose, part) if dropped else pose

        poses = [self._footage.poses[index] for index in range(max(0, indices.start - 1), indices.stop)]
        changed = [None if pose is None else augmented(pose) for pose in poses]
        return [None] * (len(indices) + 1 - len(changed)) + changed

    def _figures(self, window: ChainWindow, poses: Sequence[Pose | None], *, smeared: bool) -> Rgb:
        """The figures of all poses but the first in the window, uint8 R H W 3."""
        figures = []
        for past, pose in pairwise(poses):
            figure = self._footage.draw(pose)
            figures.append(smear_figure(figure, past, pose) if smeared and past and pose else figure)
        x, y = (window.x, window.y) if window.k == 1 else (0, 0)
        return np.stack(figures)[:, y : y + window.height, x : x + window.width]

    def _parts(
        self, atlas: Atlas, step: ChainStep, indices: range, poses: Sequence[Pose | None], rng: np.random.Generator
    ) -> list[MovedParts]:
        """The parts of all poses but the first in the window. A frame and its neighbours never are their own reference.

        Sometimes none near in time is: a performer's poses are farther from all references than the subject's own.
        """
        footage, window = self._footage, step.window
        far = rng.random() < self._config.far_references
        apart = round(FAR_REFERENCE_GAP_S * footage.about.fps) if far else footage.apart
        x, y = (window.x, window.y) if window.k == 1 else (0, 0)
        plate = footage.plate if window.k == 1 else _shrink(footage.plate[window.part], window)
        inputs = ReferenceInputs(atlas, plate, Window(x, y, window.width, window.height))
        if not step.restart:  # what was shown before decides what is shown now
            for index in range(max(0, indices.start - FOLLOWED_FRAMES), indices.start - 1):
                pose = footage.poses[index]
                zoomed = zoom(pose, (window.x, window.y), window.k) if pose and window.k < 1 else pose
                inputs.follow(zoomed, frame=index, apart=apart)
            inputs.follow(poses[0], frame=indices.start - 1, apart=apart)
        frames = []
        for index, pose in zip(indices, poses[1:], strict=True):
            frame = inputs.step(pose, frame=index, apart=apart)
            frames.append(frame.copied())
        return frames


class LocalReader:
    """A `Reader` that reads when the answer is fetched."""

    def __init__(self, footage: Sequence[Footage], config: TrainConfig) -> None:
        self._footage, self._config = footage, config
        self._readers: dict[int, ChainReader] = {}
        self._asked = deque[tuple[int, ChainStep]]()

    def ask(self, chain: int, step: ChainStep) -> None:
        """Ask for what a chain sees in a step."""
        self._asked.append((chain, step))

    def answer(self) -> ChainPictures:
        """The next answer."""
        chain, step = self._asked.popleft()
        if chain not in self._readers:
            self._readers[chain] = ChainReader(self._footage[chain % len(self._footage)], self._config)
        return self._readers[chain].read(step)

    def close(self) -> None:
        """Close the files."""
        for reader in self._readers.values():
            reader.close()


class ProcessReader:
    """A `Reader` in a process of its own, which reads ahead of the answers' fetching."""

    def __init__(self, footage: Sequence[Footage], config: TrainConfig) -> None:
        context = get_context("spawn")  # a fork would take the locks of this process's threads along
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, footage, config), name="reader", daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, chain: int, step: ChainStep) -> None:
        """Ask for what a chain sees in a step."""
        self._connection.send((chain, step))

    def answer(self) -> ChainPictures:
        """The next answer; waits for it, and raises what reading it has raised."""
        answer: ChainPictures | BaseException = self._connection.recv()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.terminate()
        self._process.join()


def _serve(connection: Connection, footage: Sequence[Footage], config: TrainConfig) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training, which saves and ends this process
    cv2.setNumThreads(1)
    reader = LocalReader(footage, config)
    while True:
        try:
            reader.ask(*connection.recv())
            connection.send(reader.answer())
        except EOFError:
            return
        except Exception as error:  # noqa: BLE001 - handed over to `answer`, which raises it
            connection.send(error)


def within_reach(truth: Rgb, figure: Rgb, plate: Rgb, blank: int, reach_px: float) -> Rgb:
    """The truth within reach of the figure, the plate beyond, blended over a fifth of the reach.

    The network cannot know of a shadow whose owner is outside of the window: it would learn to draw shadows everywhere.
    """
    far_px = cv2.distanceTransform((figure == blank).all(axis=2).astype(np.uint8), cv2.DIST_L2, 5)
    near = np.clip((reach_px - far_px) / (0.2 * reach_px), 0, 1)[:, :, None]
    return np.asarray(np.round(near * truth + (1 - near) * plate), np.uint8)


def _shrink(picture: Rgb, window: ChainWindow) -> Rgb:
    """A window's part of a picture, resized to the batch's pixels."""
    if window.k == 1:
        return picture
    return np.asarray(cv2.resize(picture, (window.width, window.height), interpolation=cv2.INTER_AREA), np.uint8)
