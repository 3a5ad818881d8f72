"""A calibration in the midst of a session: the performer is told what to do, and the others watch."""

import logging

from engines.errors import UserError
from realtime.frame import Frame
from realtime.live.calibrate import GIVE_UP_S, Calibration
from realtime.live.performer_profile import Profile, save_profile
from realtime.pose.track import TrackedPose

TOLD_S = 6.0
"""So long it is said how it went."""
LOG = logging.getLogger(__name__)


class Lesson:
    """Learns where the performer stands near and far, frame by frame.

    Args:
        name: keeps what is learnt as this performer's profile.
    """

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._calibration = Calibration()
        self._ended_at_s: float | None = None
        self.notice = ""
        """What to do now, or how it went."""
        self.over = False
        """Whether that has been said long enough."""

    def step(self, tracked: TrackedPose, frame: Frame) -> Profile | None:
        """Look at the next frame; returns the profile with the one that completes it."""
        at_s = frame.captured_at_s
        if self._ended_at_s is not None:
            self.over = at_s - self._ended_at_s > TOLD_S
            return None
        hint = self._calibration.see(tracked, at_s)
        if self._calibration.gave_up:
            self._end(f"Gave up after {GIVE_UP_S:.0f} s. {hint} Then calibrate again.", at_s)
        elif self._calibration.done:
            return self._profile(frame)
        else:
            self.notice = hint
        return None

    def _profile(self, frame: Frame) -> Profile | None:
        height_px, width_px, _ = frame.rgb.shape
        try:
            profile = self._calibration.profile((width_px, height_px))
            if self._name is not None:
                save_profile(self._name, profile)
        except UserError as error:
            self._end(str(error), frame.captured_at_s)
            return None
        self._end("Thank you. You are calibrated.", frame.captured_at_s)
        return profile

    def _end(self, sentence: str, at_s: float) -> None:
        LOG.info(sentence)
        self.notice, self._ended_at_s = sentence, at_s
