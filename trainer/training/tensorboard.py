"""TensorBoard: curves and pictures of a run. Look with `tensorboard --logdir RUN/tensorboard`.

Events are written at once, in no thread of their own: what goes wrong is heard of where it happens.
"""

import time
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import image, scalar

from realtime.frame import Rgb


class Board:
    """Writes a stage's curves and pictures into `folder`; what was written after `step` is shown no longer."""

    def __init__(self, folder: Path, step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / f"events.out.tfevents.{time.time_ns()}").open("wb")
        self._records = RecordWriter(self._file)
        self._write(Event(file_version="brain.Event:2"))
        self._write(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point to each curve."""
        for name, value in values.items():
            self._write(Event(step=step, summary=scalar(name, value)))  # type: ignore[no-untyped-call]
        self._file.flush()

    def picture(self, step: int, name: str, picture: Rgb) -> None:
        """Show a picture, uint8 [H, W, 3]."""
        self._write(Event(step=step, summary=image(name, picture, dataformats="HWC")))  # type: ignore[no-untyped-call]
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())
