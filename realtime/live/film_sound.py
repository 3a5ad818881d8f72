"""The sound of a film that is played again and again."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from engines.errors import UserError
from realtime.video import read_sound
from server.sound import Pcm

Piece = tuple[Pcm, float]
"""Samples, and when the first of them is due, in seconds from the first picture."""


class FilmSound:
    """Gives out the sound that belongs to the pictures that were shown; belongs to one thread.

    Args:
        path: the film.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._offset_s = path, 0.0
        self._pieces = read_sound(path)
        self._left: list[Piece] = []
        self._next: Piece | None = None

    def begin(self, offset_s: float) -> None:
        """The film begins anew at that time; sound that is longer than the pictures is cut off."""
        self._left = list(self.until(offset_s))
        self._pieces.close()
        self._pieces, self._offset_s, self._next = read_sound(self._path), offset_s, None

    def until(self, end_s: float) -> Iterator[Piece]:
        """The pieces that are due before `end_s` and were not taken yet; none of a film that has vanished."""
        left, self._left = self._left, []
        yield from left
        with suppress(UserError):
            for pcm, at_s in chain([self._next] if self._next else [], self._pieces):
                self._next = pcm, at_s
                if at_s + self._offset_s >= end_s:
                    return
                self._next = None
                yield pcm, at_s + self._offset_s

    def close(self) -> None:
        """Close the file."""
        self._pieces.close()
