"""From a picture to a pose: the interface of estimators, and our own.

Ours is the graph of MediaPipe Holistic (model complexity 1, without the smoothing of its results) on our own engines.
"""

from typing import Protocol

import cv2
import numpy as np

from engines.errors import UserError
from realtime.frame import Rgb
from realtime.meter import Meter
from realtime.pose.estimation.blazepose import BodyTracker
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.economy import LOOK_EVERY, Economy
from realtime.pose.estimation.face import FaceTracker, openpose_face
from realtime.pose.estimation.first_look import FirstLook
from realtime.pose.estimation.hands import HandTracker
from realtime.pose.estimation.refined_body import RefinedBodyTracker
from realtime.pose.estimation.refined_hands import RefinedHandTracker
from realtime.pose.pose import Pose
from realtime.pose.skeleton import BODY, FACE, LEFT_HAND, RIGHT_HAND, K

ESTIMATION_STAGES = ("body", "hands", "face")
"""What `PoseEstimator.meter` times; the body includes the picture's conversion and the detector."""
_HANDS = {"left": LEFT_HAND, "right": RIGHT_HAND}


class Estimator(Protocol):
    """Estimates the pose of one person; it may remember, so give it every frame of one stream, in order."""

    @property
    def track_id(self) -> int:
        """Changes whenever somebody else is followed, as far as it can tell people apart."""

    def estimate(self, rgb: Rgb) -> Pose | None:
        """The pose in a picture (H W 3 uint8 RGB), in its pixels; None where there is nobody."""

    def reset(self) -> None:
        """Forget the person."""

    def next_person(self) -> None:
        """Follow another person, if there are several and it can tell them apart; quick, from any thread."""

    def economize(self, economy: Economy) -> None:
        """Leave something out from the next picture on, as far as it can; from any one thread."""


def load_estimator(config: PoseConfig = PoseConfig(), *, threads: int) -> Estimator:
    """Load the estimator that `config` names.

    Args:
        config: which one, and what our own estimates; the library takes no such options.
        threads: cores that one estimate may use; the library takes what it wants.

    Raises:
        UserError: its package is not installed, or it can do nothing of what `config` asks.
        ValueError: unknown name.
    """
    if config.estimator in ("own", "refined"):
        return PoseEstimator(threads, config)
    if config.estimator == "mediapipe":
        if config != PoseConfig(estimator="mediapipe"):
            raise UserError(
                "The mediapipe library sees everything of one person of its own choice: leave out --pose-parts, "
                "--pose-effort and --person, or --pose mediapipe."
            )
        from realtime.pose.estimation.mediapipe import HolisticEstimator

        return HolisticEstimator()
    raise ValueError(f"estimator must be own, refined or mediapipe, not {config.estimator!r}")


def _trackers(
    threads: int, config: PoseConfig
) -> tuple[BodyTracker | RefinedBodyTracker, HandTracker | RefinedHandTracker | None]:
    body = BodyTracker(threads, config)
    if config.estimator == "own":
        return body, HandTracker(threads) if config.hands else None
    return RefinedBodyTracker(body, threads), RefinedHandTracker(threads) if config.hands else None


class PoseEstimator:
    """Estimates the pose of one person, frame after frame.

    It remembers where body, hands and face were, so give it every frame of one stream, in order.

    Args:
        threads: cores that one estimate may use.
        config: what is estimated, at what cost, and of whom.
    """

    def __init__(self, threads: int = 1, config: PoseConfig = PoseConfig()) -> None:
        self.meter = Meter(*ESTIMATION_STAGES)
        self._effort = config.pose_effort
        self._body, self._hands = _trackers(threads, config)
        self._face = FaceTracker(threads) if config.face else None
        self._first_look = FirstLook() if config.estimator == "refined" else None
        self._rgba = np.zeros((0, 0, 4), np.uint8)
        self.economize(Economy())

    def reset(self) -> None:
        """Forget the person: the next estimate is as that of a new estimator."""
        self._body.reset()
        self._lose()

    @property
    def track_id(self) -> int:
        """Grows whenever somebody else is followed; who comes back in the same clothes is the same person."""
        return self._body.track_id

    def next_person(self) -> None:
        """Follow the next person to the right from the next picture on, after the last one the first.

        May be called from any thread. Nothing happens where there is nobody else.
        """
        self._body.next_person()

    def economize(self, economy: Economy) -> None:
        """Leave something out from the next picture on, beyond what the config's effort does; from any one thread.

        What has to be loaded for it is loaded at first, which takes a moment, while pictures are estimated as before.
        """
        thrifty = self._effort != "full"
        hands_take_turns = thrifty or economy.hands_every > 1
        self._body.use("bf16" if economy.fast_body or thrifty else "f32")
        if isinstance(self._body, RefinedBodyTracker):
            self._body.look_every = LOOK_EVERY if thrifty else economy.body_every
        if isinstance(self._hands, RefinedHandTracker):
            self._hands.look_every = LOOK_EVERY if hands_take_turns else 1
        elif isinstance(self._hands, HandTracker):
            self._hands.look_every = max(2, economy.hands_every) if hands_take_turns else 1
        if self._face is not None:
            self._face.look_every = max(economy.face_every, 2 if self._effort == "lite" else 1)

    def estimate(self, rgb: Rgb) -> Pose | None:
        """Estimate the pose in a picture.

        Args:
            rgb: H W 3, uint8, RGB, any size.

        Returns:
            The pose in pixels of `rgb`, None where there is nobody. The confidence of a body keypoint is the smaller of
            its visibility and its presence, that of a hand or the face its presence, 0 where it is not seen.

        Raises:
            ValueError: not a picture.
        """
        if rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size or rgb.dtype != np.uint8:
            raise ValueError(f"want a picture H W 3 uint8, not {rgb.shape} {rgb.dtype}")
        if rgb.shape[:2] != self._rgba.shape[:2]:  # a browser's camera may change its size at any time
            self.reset()
            self._rgba = np.zeros((*rgb.shape[:2], 4), np.uint8)
        with self.meter.time("body"):
            cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA, dst=self._rgba)
            track_id = self.track_id
            body = self._body.track(self._rgba)
        if body is None or self.track_id != track_id:
            self._lose()  # hands and face were somebody else's
        if body is None:
            return None
        xy = np.zeros((K, 2), np.float32)
        depth = np.zeros(K, np.float32)
        confidence = np.zeros(K, np.float32)
        deviation = np.full(K, np.nan, np.float32)
        xy[BODY], depth[BODY], confidence[BODY] = body.xy, body.depth, np.minimum(body.visibility, body.presence)
        deviation[BODY] = body.deviation
        if self._hands is not None:
            with self.meter.time("hands"):
                for side, hand in self._hands.track(self._rgba, body).items():
                    part = _HANDS[side]
                    xy[part], depth[part], confidence[part] = hand.xy, hand.depth, hand.presence
                    deviation[part] = hand.deviation
        if self._face is not None:
            with self.meter.time("face"):
                seen = self._first_look.as_seen(body) if self._first_look else body
                face = self._face.track(self._rgba, seen)
            if face is not None:
                xy[FACE], depth[FACE] = openpose_face(face.xy), openpose_face(face.depth)
                confidence[FACE] = face.presence
        return Pose(xy, depth, confidence, deviation)

    def _lose(self) -> None:
        if self._hands is not None:
            self._hands.reset()
        if self._face is not None:
            self._face.reset()
