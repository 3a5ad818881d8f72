"""Performers whose feet are not in the picture: hips and shoulders give their size, and the legs are made to stand."""

import numpy as np

from realtime.pose.measure import middle
from realtime.pose.normalization.motion_range import MEASURED_CONFIDENCE
from realtime.pose.pose import Pose
from realtime.pose.skeleton import INDEX

HIDDEN_AFTER_S, SEEN_AFTER_S = 1.0, 0.5
"""Feet must be hidden or seen for so long before that counts."""
CHANGE_S = 3.0
"""Time of the blend from one to the other."""
STEADY_S = 2.0
"""Time constant of size and height of a half body: bending forward shortens the torso, too."""
TORSO, LEG = 0.33, 0.52
"""Shoulders to hips, and hips to ankles, in statures."""

_STANDING = {
    "knee": (0.02, 0.26), "ankle": (0.02, 0.52), "heel": (0.015, 0.55), "foot_index": (0.05, 0.60),
}  # fmt: skip
"""Offsets from the hip of somebody who stands facing the camera: outwards and down, in statures."""


class FeetWatch:
    """Follows whether the feet are seen, and the smoothed hips and torso that give place and size if they are not."""

    def __init__(self) -> None:
        self.hidden = False
        self.hidden_share = 0.0
        """0 when the feet place the figure, 1 when hips and shoulders do."""
        self._against_s = 0.0  # for so long it has been otherwise than `hidden` says
        self._torso_px = self._hips_px = 0.0

    def follow(self, pose: Pose, elapsed_s: float) -> None:
        """Take the next pose, `elapsed_s` after the last one."""
        seen = max(pose.confidence[INDEX["left_ankle"]], pose.confidence[INDEX["right_ankle"]]) >= MEASURED_CONFIDENCE
        hips = middle(pose, "hip")
        torso_px = max(1.0, float(np.linalg.norm(hips - middle(pose, "shoulder"))))
        if self._torso_px == 0:
            self.hidden, self._torso_px, self._hips_px = not seen, torso_px, float(hips[1])
            self.hidden_share = float(self.hidden)
        gain = elapsed_s / (elapsed_s + STEADY_S)
        self._torso_px += gain * (torso_px - self._torso_px)
        self._hips_px += gain * (float(hips[1]) - self._hips_px)
        self._against_s = self._against_s + elapsed_s if seen == self.hidden else 0.0
        if self._against_s >= (SEEN_AFTER_S if self.hidden else HIDDEN_AFTER_S):
            self.hidden, self._against_s = not self.hidden, 0.0
        step = elapsed_s / CHANGE_S
        self.hidden_share = min(max(self.hidden_share + (step if self.hidden else -step), 0.0), 1.0)

    def supposed(self) -> tuple[float, float]:
        """Ankle line and stature in pixels of a person who stands upright with these hips and torso."""
        stature = self._torso_px / TORSO
        return self._hips_px + LEG * stature, stature


def stand_in_legs(pose: Pose, ankle_line: float, stature: float, share: float) -> Pose:
    """Put standing legs in place of hidden ones.

    Args:
        pose: in the target's pixels.
        ankle_line: y of the floor there.
        stature: in pixels, there.
        share: 0 leaves the pose as it is, 1 replaces everything below the hips.
    """
    if share == 0:
        return pose
    xy, depth, confidence = pose.xy.copy(), pose.depth.copy(), pose.confidence.copy()
    hips_y = float(middle(pose, "hip")[1])
    outwards = np.sign(pose.xy[INDEX["left_hip"], 0] - pose.xy[INDEX["right_hip"], 0])
    for side, sign in (("left", outwards), ("right", -outwards)):
        hip_x = float(pose.xy[INDEX[f"{side}_hip"], 0])
        for joint, (out, down) in _STANDING.items():
            i = INDEX[f"{side}_{joint}"]
            # The ankles stand on the line; a body that sinks or rises bends or stretches what is between.
            y = ankle_line + (down - LEG) * stature if down >= LEG else hips_y + down / LEG * (ankle_line - hips_y)
            xy[i] += np.float32(share) * (np.array([hip_x + sign * out * stature, y], np.float32) - xy[i])
            depth[i] *= np.float32(1 - share)
            confidence[i] = max(confidence[i], np.float32(share))
    return Pose(xy, depth, confidence)
