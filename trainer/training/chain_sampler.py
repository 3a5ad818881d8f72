"""Which frames and which part of them every chain sees, step by step.

It follows from the seed and the chain's number alone, so a resumed run sees the very same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realtime.pose.measure import HeadBox, head_box, stature_px
from realtime.pose.pose import Floats, Pose
from realtime.pose.skeleton import BODY, INDEX, LEFT_HAND, RIGHT_HAND
from trainer.config import TrainConfig
from trainer.footage.prepared import Footage

SURROUNDINGS = 0.2
"""Of the person, in statures: hair, skirt, the near part of the shadow."""
MOST_SHRUNK = 1.4
"""A chain sees at most so many times its window."""
TURNS = 12
"""So many views of the body are told apart, all around."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a chain sees of the picture."""

    x: int
    y: int
    """Corner."""
    width: int
    height: int
    """In the batch's pixels."""
    k: float
    """The batch's pixels by the picture's, at most 1."""

    @property
    def part(self) -> tuple[slice, slice]:
        """The picture's rows and columns."""
        return (
            slice(self.y, self.y + round(self.height / self.k)),
            slice(self.x, self.x + round(self.width / self.k)),
        )


@dataclass(frozen=True, slots=True)
class ChainStep:
    """The frames of one chain in one step."""

    start: int
    restart: bool
    window: Window
    focus: tuple[int, int]
    """Corner of the perceptual crop inside the window."""
    hand: tuple[int, int] | None
    """Corner of the crop around a hand inside the window; None if there is none."""
    head: HeadBox | None
    """The last frame's head in the window's pixels; None if it is not seen, or the window cuts it off."""
    salt: int
    """Seed of this segment's augmentation."""


def window_size(footage: Footage, config: TrainConfig) -> tuple[int, int]:
    """Width and height of what training looks through."""
    whole = footage.about.width_px, footage.about.height_px
    return (config.window_px, config.window_px) if config.window_px else whole


def focus_size(footage: Footage, config: TrainConfig) -> tuple[int, int]:
    """Width and height of the perceptual crop."""
    return (config.perceptual_px, config.perceptual_px) if config.perceptual_px else window_size(footage, config)


def hand_side_px(footage: Footage) -> int:
    """Side of the crop around a hand."""
    return max(16, footage.about.height_px // 8 // 8 * 8)


def sample_chain(footage: Footage, config: TrainConfig, chain: int) -> Iterator[ChainStep]:
    """The endless plan of one chain."""
    rng = np.random.default_rng((config.seed, chain))
    last = footage.training_frames - config.unroll
    chances = start_chances(footage.poses[: last + 1], config.view_balance)
    start, window = last + 1, Window(0, 0, 0, 0, 1.0)
    while True:
        restart = start > last or rng.random() < config.unroll / config.mean_chain_frames
        if restart:
            start = int(rng.choice(last + 1, p=chances))
            window = _window(footage, config, start, rng)
        pose = footage.poses[start]
        focus, hand = _focus(footage, config, pose, window, rng), _hand(footage, pose, window, rng)
        head = _head(footage, footage.poses[start + config.unroll - 1], window)
        yield ChainStep(start, restart, window, focus, hand, head, int(rng.integers(2**32)))
        start += config.unroll


def start_chances(poses: Sequence[Pose | None], even: float) -> NDArray[np.float64]:
    """How likely a chain starts at each of N frames, [N], sum 1: rare turns of the body oftener than they were filmed.

    Args:
        poses: the frames'; those with nobody count as a turn of their own.
        even: 0 makes all frames equally likely, 1 all turns.
    """
    _, turns, counts = np.unique([_turn(pose) for pose in poses], return_inverse=True, return_counts=True)
    chances = (counts / len(poses))[turns] ** -even
    return np.asarray(chances / chances.sum(), np.float64)


def _turn(pose: Pose | None) -> int:
    """Which way the shoulders face."""
    if pose is None:
        return TURNS
    left, right = INDEX["left_shoulder"], INDEX["right_shoulder"]
    angle = np.arctan2(pose.depth[left] - pose.depth[right], pose.xy[left, 0] - pose.xy[right, 0])
    return round(float(angle) / (2 * np.pi) * TURNS) % TURNS


def _window(footage: Footage, config: TrainConfig, index: int, rng: np.random.Generator) -> Window:
    """A window somewhere on the person and around, where the shadow falls; one in ten anywhere in the room."""
    whole = np.array([footage.about.width_px, footage.about.height_px])
    size = np.array(window_size(footage, config))
    shrunk, most = rng.random() < config.zoom_out, float((whole / size).min())
    k = 1 / rng.uniform(1, min(MOST_SHRUNK, most)) if shrunk and most > 1 else 1.0
    part = size / k
    room = np.maximum(0, whole - part)
    pose = footage.poses[index]
    if pose is None or not room.any() or rng.random() < 0.1:
        corner = rng.uniform(0, room)
    else:
        body, margin_px = pose.xy[BODY], SURROUNDINGS * stature_px(pose)
        corner = rng.uniform(body.min(axis=0) - margin_px, body.max(axis=0) + margin_px) - part / 2
    # Multiples of four, so that the window's patches are the whole picture's patches.
    x, y = np.clip(np.round(corner / 4) * 4, 0, room // 4 * 4)
    return Window(int(x), int(y), int(size[0]), int(size[1]), k)


def _focus(
    footage: Footage, config: TrainConfig, pose: Pose | None, window: Window, rng: np.random.Generator
) -> tuple[int, int]:
    """A crop on the head, a hand or another keypoint; what people look at more often."""
    size = focus_size(footage, config)
    kind, jitter_px, part = rng.random(), rng.uniform(-16, 16, 2), int(rng.integers(BODY.start, BODY.stop))
    if pose is None:
        centre = np.array([window.width / 2, window.height / 2], np.float32)
    elif kind < 0.35:
        head = head_box(pose)
        centre = _inside(window, np.array([head.x, head.y]))
    else:
        hands = _hands(pose)
        centre = _inside(window, hands[int(kind * 1000) % len(hands)] if hands and kind < 0.6 else pose.xy[part])
    return _corner(centre + jitter_px, size, window)


def _hand(footage: Footage, pose: Pose | None, window: Window, rng: np.random.Generator) -> tuple[int, int] | None:
    """A crop on a hand that lies within the window."""
    choice, side = int(rng.integers(2)), hand_side_px(footage)
    places = [_inside(window, hand) for hand in _hands(pose)] if pose else []
    seen = [place for place in places if (place > 0).all() and (place < (window.width, window.height)).all()]
    return _corner(seen[choice % len(seen)], (side, side), window) if seen else None


def _head(footage: Footage, pose: Pose | None, window: Window) -> HeadBox | None:
    """The square around a head; only the picture's edge may cut it off, for so it does live."""
    if pose is None:
        return None
    box, (rows, columns) = head_box(pose), window.part
    for centre, part, size in (
        (box.x, columns, footage.about.width_px),
        (box.y, rows, footage.about.height_px),
    ):
        low, high = max(0.0, centre - box.side_px / 2), min(float(size), centre + box.side_px / 2)
        if not part.start <= low < high <= part.stop:
            return None
    x, y = _inside(window, np.array([box.x, box.y])).tolist()
    return HeadBox(x, y, box.side_px * window.k)


def _hands(pose: Pose) -> list[Floats]:
    """The middles of the hands that are seen."""
    return [pose.xy[hand.start + 9] for hand in (LEFT_HAND, RIGHT_HAND) if pose.confidence[hand.start] > 0]


def _inside(window: Window, point: NDArray[np.floating]) -> Floats:
    """A place of the picture in the window's pixels."""
    return np.asarray((point - (window.x, window.y)) * window.k, np.float32)


def _corner(centre: NDArray[np.floating], size: tuple[int, int], window: Window) -> tuple[int, int]:
    """Of a crop of this size around a place, moved into the window."""
    room = np.maximum(0, np.array([window.width, window.height]) - size)
    x, y = np.clip(centre - np.array(size) / 2, 0, room)
    return int(x), int(y)
