"""What a stage can do so far, to look at: a sheet of some moments and a short film."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np

from realtime.frame import Rgb
from realtime.video import VideoWriter, write_picture

SHEET_ROWS = 6
"""At least so many pictures, if there are so many, and fewer than twice as many."""


class Preview:
    """Collects pictures, all of one size, into <path>.mp4 and <path>.jpg, which appear when the block ends well."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._rows: list[Rgb] = []
        self._count, self._every = 0, 1

    def __enter__(self) -> "Preview":
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
