"""What is written down of a training: the bar on the screen, the losses of every step, curves, and pictures."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trainer.training.loss_log import Journal
from trainer.training.preview import Preview
from trainer.training.stage import Score, Stage
from trainer.training.tensorboard import Board

COLUMNS = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), TimeRemainingColumn())
SMOOTHING = 0.05
"""Weight of the newest value in the smoothed losses on the screen."""
CURVE_EVERY = 10
"""Steps between the points of the curves."""


class Record:
    """Writes <stage>.jsonl, tensorboard/<stage>/ and previews/<stage>_<step>.* into `run`, and shows a bar."""

    def __init__(self, stage: Stage, run: Path) -> None:
        self._stage, self._run = stage, run
        self._previews = run / "previews"
        self._previews.mkdir(parents=True, exist_ok=True)
        self._smooth: dict[str, float] = {}
        self._since_s: float | None = None
        self._step_s = 0.0
        self._progress = Progress(*COLUMNS, TextColumn("{task.fields[status]}"))
        self._task = self._progress.add_task(f"Training {stage.name}", total=stage.steps, status="")
        self._open()
        self._progress.start()

    def _open(self) -> None:
        step = self._stage.step_number
        self._journal = Journal(self._run / f"{self._stage.name}.jsonl", step)
        self._board = Board(self._run / "tensorboard" / self._stage.name, step)
        self._progress.update(self._task, completed=step)

    def step(self, losses: Mapping[str, float], score: Score | None) -> None:
        """Note a step; `score` if it was followed by a look."""
        step, values = self._stage.step_number, dict(losses)
        if score:
            values |= {"chain_distance": score.distance, "chain_first_db": score.first_db, "chain_db": score.last_db}
            words = f"{self._stage.name} {step}: {_words(self._smooth or losses)}, chain "
            words += f"{score.first_db:.2f} -> {score.last_db:.2f} dB, distance {score.distance:.4f}"
            self._progress.console.print(words, highlight=False)
        self._journal.write(step, values)
        if score or step % CURVE_EVERY == 0:
            self._board.scalars(step, values)
        for name, loss in losses.items():
            self._smooth[name] = loss + (1 - SMOOTHING) * (self._smooth.get(name, loss) - loss)
        now_s = time.perf_counter()
        if self._since_s is not None:
            took_s = now_s - self._since_s
            self._step_s = took_s + (1 - SMOOTHING) * ((self._step_s or took_s) - took_s)
        self._since_s = now_s
        rate = f"{self._stage.pictures_per_step / self._step_s:.1f} images/s " if self._step_s else ""
        self._progress.update(self._task, completed=step, status=rate + _words(self._smooth))

    @contextmanager
    def preview(self) -> Iterator[Preview]:
        """Pictures to look at, of the state after the last step."""
        step = self._stage.step_number
        with Preview(self._previews / f"{self._stage.name}_{step:06d}", self._stage.fps) as preview:
            yield preview
        self._board.picture(step, self._stage.name, preview.sheet)
        self._since_s = None  # looking took time, too

    def reopen(self) -> None:
        """Go on after the stage has gone back: what was noted of later steps is dropped."""
        self._close()
        self._open()

    def close(self) -> None:
        """Close all files and leave the screen."""
        self._progress.stop()
        self._close()

    def _close(self) -> None:
        with closing(self._board):
            self._journal.close()


def _words(losses: Mapping[str, float]) -> str:
    return " ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
