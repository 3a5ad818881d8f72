"""Refine the points of a part where another network, or the picture before, has them; see `refined_points`."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.load import load_engine
from realtime.pose.estimation.refined_points import Refined, decode, prior_maps
from realtime.pose.estimation.region import Region, Rgba
from realtime.pose.pose import Floats

_FOLDER = Path(__file__).parent / "networks"


class Refiner:
    """A refiner's network, in fixed buffers.

    Args:
        name: of the graph in `networks/`, without its ending.
        threads: cores that one run may use.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._engine = load_engine(_FOLDER / f"{name}.int8.xml", threads=threads)
        self._picture: NDArray[np.uint8] = self._engine.inputs["picture"][0]
        self._prior: Floats = self._engine.inputs["prior"][0]
        self._output: Floats = self._engine.outputs["points"][0]
        self._crop = np.zeros((*self._picture.shape[:2], 4), np.uint8)

    def __call__(
        self, rgba: Rgba, region: Region, prior: Floats, known: NDArray[np.bool_], *, mirrored: bool = False
    ) -> Refined:
        """Look at a region of a picture.

        Args:
            rgba: H W 4.
            region: a square around the part.
            prior: P 2, where the points were or are said to be, pixels of the picture.
            known: P, which of them anybody said anything of.
            mirrored: look at the mirrored region: a right hand's.

        Returns:
            Points and deviations in pixels of the picture.
        """
        side, grid = len(self._crop), self._prior.shape[1]
        matrix = region.crop_matrix(side)
        if mirrored:
            matrix = matrix @ np.array([[-1, 0, side], [0, 1, 0], [0, 0, 1]])
        cv2.warpAffine(
            rgba,
            matrix,
            (side, side),
            dst=self._crop,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        cv2.cvtColor(self._crop, cv2.COLOR_RGBA2RGB, dst=self._picture)
        inside = region.from_frame(prior)
        if mirrored:
            inside[:, 0] = 1 - inside[:, 0]
        self._prior[:] = prior_maps(inside, known, grid)
        self._engine.run()
        refined = decode(self._output)
        xy = refined.xy
        if mirrored:
            xy[:, 0] = 1 - xy[:, 0]
        return Refined(region.to_frame(xy), refined.deviation * np.float32(region.size), refined.presence)
