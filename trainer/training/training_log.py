"""What a training writes down: losses of every step, curves, and previews, beside a progress bar on the screen."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TextIO

import numpy as np
from rich.progress import TextColumn
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import image, scalar

from engines.console import progress_bar
from engines.files import replace_file
from realtime.frame import Rgb
from realtime.pictures import write_picture
from realtime.video_writer import VideoWriter
from trainer.training.stage import Score, Stage

SMOOTHING = 0.05
"""Weight of the newest value in the smoothed losses on the screen."""
CURVE_EVERY = 10
"""Steps between the points of the curves."""
SHEET_ROWS = 6
"""A preview's sheet has at least so many pictures, if there are so many, and fewer than twice as many."""


class TrainingLog:
    """Writes <stage>.jsonl, tensorboard/<stage>/ and previews/<stage>_<step>.* into `run`, and shows a progress bar."""

    def __init__(self, stage: Stage, run: Path) -> None:
        self._stage, self._run = stage, run
        self._smooth: dict[str, float] = {}
        self._since_s: float | None = None
        self._step_s = 0.0
        self._progress = progress_bar(TextColumn("{task.fields[status]}"))
        self._task = self._progress.add_task(f"Training {stage.name}", total=stage.steps, status="")
        self._open()
        self._progress.start()

    def _open(self) -> None:
        step = self._stage.step_number
        self._losses = LossLog(self._run / f"{self._stage.name}.jsonl", step)
        self._curves = TensorBoardLog(self._run / "tensorboard" / self._stage.name, step)
        self._progress.update(self._task, completed=step)

    def step(self, losses: Mapping[str, float], score: Score | None) -> None:
        """Log a step; `score` if it was followed by a validation."""
        step, values = self._stage.step_number, dict(losses)
        if score:
            values |= {"chain_distance": score.distance, "chain_first_db": score.first_db, "chain_db": score.last_db}
            words = f"{self._stage.name} {step}: {_words(self._smooth or losses)}, chain "
            words += f"{score.first_db:.2f} -> {score.last_db:.2f} dB, distance {score.distance:.4f}"
            self._progress.console.print(words, highlight=False)
        self._losses.write(step, values)
        if score or step % CURVE_EVERY == 0:
            self._curves.scalars(step, values)
        for name, loss in losses.items():
            self._smooth[name] = _smoothed(self._smooth.get(name, loss), loss)
        now_s = time.perf_counter()
        if self._since_s is not None:
            took_s = now_s - self._since_s
            self._step_s = _smoothed(self._step_s or took_s, took_s)
        self._since_s = now_s
        rate = f"{self._stage.pictures_per_step / self._step_s:.1f} images/s " if self._step_s else ""
        self._progress.update(self._task, completed=step, status=rate + _words(self._smooth))

    @contextmanager
    def preview(self) -> Iterator["Preview"]:
        """Collect pictures of the state after the last step."""
        step = self._stage.step_number
        with Preview(self._run / "previews" / f"{self._stage.name}_{step:06d}", self._stage.fps) as preview:
            yield preview
        self._curves.picture(step, self._stage.name, preview.sheet)
        self._since_s = None  # the validation's time is not the next step's

    def reopen(self) -> None:
        """Go on after the stage has gone back: what was logged of later steps is dropped."""
        self._close()
        self._open()

    def close(self) -> None:
        """Close all files and remove the progress bar."""
        self._progress.stop()
        self._close()

    def _close(self) -> None:
        with closing(self._curves):
            self._losses.close()


class LossLog:
    """Appends rows {"step": n, ...} to a .jsonl file; rows after `step`, which will be done again, are dropped."""

    def __init__(self, path: Path, step: int) -> None:
        rows = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        with replace_file(path) as file:
            file.writelines(row for row in rows if _step(row) <= step)
        self._file: TextIO = path.open("a")

    def write(self, step: int, values: Mapping[str, object]) -> None:
        """Append a row. Floats keep all their digits: two runs can be compared to the bit."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoardLog:
    """Writes a stage's curves and pictures into `folder`; TensorBoard hides what was written after `step`.

    Events are written at once, in no thread of their own: a full disk raises where it happens.
    """

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


class Preview:
    """Collects pictures, all of one size, into <path>.mp4 and, some of them, <path>.jpg; an error leaves neither."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._rows: list[Rgb] = []
        self._count, self._every = 0, 1

    def __enter__(self) -> "Preview":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._open = ExitStack()
        self._film = self._open.enter_context(VideoWriter(self._path.with_suffix(".mp4"), self._fps, crf=20))
        return self

    def add(self, picture: Rgb) -> None:
        """Show the next picture, uint8 [H, W, 3], H and W even."""
        self._film.write(picture)
        self._count += 1
        if self._count % self._every == 0:
            self._rows.append(picture)
        if len(self._rows) == 2 * SHEET_ROWS:  # how many will come is not known, so thin them out on the way
            self._rows, self._every = self._rows[1::2], 2 * self._every

    @property
    def sheet(self) -> Rgb:
        """Some of the pictures so far, evenly spread, one above the other."""
        return np.concatenate(self._rows)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)
        if kind is None:
            write_picture(self._path.with_suffix(".jpg"), self.sheet)


def _step(row: bytes) -> float:
    """The step of a row of the .jsonl file; infinite if the row was cut off by a crash."""
    try:
        return float(json.loads(row)["step"]) if row.endswith(b"\n") else float("inf")
    except json.JSONDecodeError:
        return float("inf")


def _smoothed(old: float, new: float) -> float:
    """Exponential moving average."""
    return new + (1 - SMOOTHING) * (old - new)


def _words(losses: Mapping[str, float]) -> str:
    return " ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
