"""TensorBoard: curves and pictures of a run. Look with `tensorboard --logdir RUN/tensorboard`."""

from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from realtime.frame import Rgb


class Board:
    """Writes a stage's curves and pictures into `folder`; what was written after `step` is shown no longer."""

    def __init__(self, folder: Path, step: int) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point to each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, picture: Rgb) -> None:
        """Show a picture, uint8 [H, W, 3]."""
        self._writer.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        """Write the rest."""
        self._writer.close()
