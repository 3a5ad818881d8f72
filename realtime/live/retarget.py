"""The performer's pose fitted to the subject: whatever the picture's size, with a calibrated profile or without."""

import logging

from realtime.frame import Frame
from realtime.live.performer_profile import Profile
from realtime.pose.normalization.normalizer import Normalizer
from realtime.pose.pose import Pose
from realtime.subject import Manifest

HALF_BODY = "Your feet are not in the picture, so the legs just stand: step back to move them."
PATIENCE_S = 2.0
"""It is said after so long, not to somebody who is just walking in."""
NOTICE_S = 6.0
"""So long the page shows it; it darkens the picture."""

logger = logging.getLogger(__name__)


class Retargeter:
    """Owns the normalizer for the present size of the performer's picture.

    Args:
        manifest: the subject's.
        profile: the performer's, if there is one.
    """

    def __init__(self, manifest: Manifest, profile: Profile | None = None) -> None:
        self._manifest, self._profile = manifest, profile
        self._normalizer: Normalizer | None = None
        self._size_px = (0, 0)
        self._half_since_s: float | None = None
        self._logged = False
        self.notice: str | None = None
        """What the performer should know now."""

    def reset(self) -> None:
        """Another performer: what was learnt of the last one goes.

        A profile stays. It was chosen by name, and clothes, which is all that tells people apart, do not overrule that.
        """
        self._half_since_s = self.notice = None
        self._logged = False
        if self._normalizer is not None:
            self._normalizer.reset()

    def use(self, profile: Profile) -> None:
        """Fit by another profile from now on."""
        self._profile, self._normalizer = profile, None

    def exchange(self, manifest: Manifest) -> None:
        """Fit into another subject's picture from now on; what is known of the performer stays."""
        self._manifest = manifest
        if self._normalizer is not None:
            self._normalizer.exchange(manifest.motion, manifest.proportions)

    def fit(self, pose: Pose, frame: Frame) -> Pose:
        """Map a pose in the frame's pixels to the subject's; a picture of another size begins anew."""
        height, width, _ = frame.rgb.shape
        if self._normalizer is None or self._size_px != (width, height):
            self._size_px = (width, height)
            self._normalizer = self._begin()
        mapped = self._normalizer.normalize(pose, frame.captured_at_s)
        self._watch(self._normalizer.half_body, frame.captured_at_s)
        return mapped

    def _begin(self) -> Normalizer:
        known = self._profile.range_in(self._size_px) if self._profile else None
        if self._profile is not None and known is None:
            logger.warning(
                "The profile is for a picture of %d x %d, this one has %d x %d: it is not used. Calibrate again.",
                *(self._profile.width_px, self._profile.height_px, *self._size_px),
            )
        return Normalizer(self._manifest.motion, self._size_px, known=known, proportions=self._manifest.proportions)

    def _watch(self, half_body: bool, at_s: float) -> None:
        """Say it in the log once, and on the page whenever it lasts."""
        if not half_body:
            self._half_since_s = self.notice = None
            return
        if self._half_since_s is None:
            self._half_since_s = at_s
        lasted_s = at_s - self._half_since_s
        self.notice = HALF_BODY if PATIENCE_S <= lasted_s < PATIENCE_S + NOTICE_S else None
        if self.notice and not self._logged:
            logger.warning(HALF_BODY)
            self._logged = True
