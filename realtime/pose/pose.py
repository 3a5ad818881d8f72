"""The pose of one person in one picture.

K = 145 keypoints, in the order of `skeleton.NAMES`.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from realtime.pose.skeleton import INDEX, K

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pose:
    """Positions and confidences of the keypoints."""

    xy: Floats
    """K 2, pixels, origin at the top left corner of the picture; may lie outside of it."""
    depth: Floats
    """K, pixels along the camera axis from the hips' centre (hands: wrist; face: its centre); nearer is smaller."""
    confidence: Floats
    """K, 0..1; 0 means missing: then `xy` and `depth` mean nothing."""
    deviation: Floats = field(default_factory=lambda: np.full(K, np.nan, np.float32))
    """K, pixels: the error to expect of either coordinate; not-a-number where the estimator does not say."""

    def __post_init__(self) -> None:
        for name, array, shape in (
            ("xy", self.xy, (K, 2)),
            ("depth", self.depth, (K,)),
            ("confidence", self.confidence, (K,)),
            ("deviation", self.deviation, (K,)),
        ):
            assert array.shape == shape, f"{name}: {array.shape}, want {shape}"
            assert array.dtype == np.float32, f"{name}: {array.dtype}, want float32"

    def at(self, name: str) -> tuple[float, float]:
        """The pixel position of a named keypoint."""
        x, y = self.xy[INDEX[name]]
        return float(x), float(y)
