"""A renderer that falls back to the next engine when one breaks."""

import logging
from collections.abc import Sequence
from contextlib import suppress

from engines.choose import Choice
from engines.engine import BrokenOutputError
from engines.errors import UserError
from realtime.figure import Figure
from realtime.frame import Rgb
from realtime.live.background_watch import BackgroundWatch
from realtime.references.reproject import Rendering
from realtime.subject import Subject
from realtime.subject_engines import load_renderer

LOG = logging.getLogger(__name__)
BROKEN_IN_A_ROW = 3
"""Broken pictures in a row before the next engine takes over."""


class FailoverRenderer:
    """A `Renderer` of a subject that never shows a broken picture.

    Instead of one the last good picture is shown again, and the chain starts anew.

    Args:
        subject: who is shown.
        choices: engines, best first.
        threads: cores that one run may use.

    Raises:
        UserError: none can be loaded.
    """

    def __init__(self, subject: Subject, choices: Sequence[Choice], threads: int) -> None:
        self.subject, self._threads = subject, threads
        self.choice, *self._others = choices
        try:
            self._renderer = load_renderer(subject, self.choice, threads, at_once=True)
        except (UserError, RuntimeError) as error:
            self._fall_back(f"{error}")
        self.face_every = 1
        """See `Renderer.face_every`."""
        self._background = BackgroundWatch(subject.plate)
        self._compared = False
        """Whether another engine was asked for the background."""
        self._last: Rgb = subject.plate
        self._in_a_row = 0
        self.replaced = 0
        """Broken pictures so far."""

    def step(self, figure: Figure) -> Rgb:
        """Render the next frame; see `Renderer.step`.

        Raises:
            UserError: no engine is left.
        """
        try:
            self._renderer.face_every = self.face_every
            picture = self._renderer.step(figure)
            # Without another engine doubtful pictures are better than none.
            if self._others and figure.pose is not None and self._has_lost_the_background(picture, figure):
                raise BrokenOutputError("its pictures have lost the background")
            self._last, self._in_a_row = picture, 0
        except (BrokenOutputError, RuntimeError) as error:  # what libraries raise: out of memory, a driver that is gone
            self.replaced += 1
            self._in_a_row += 1
            self._renderer.reset()
            if self._in_a_row == BROKEN_IN_A_ROW:
                self._fall_back(str(error))
        return self._last

    def cut(self) -> Rendering | None:
        """The last picture with its person cut out; see `Renderer.cut`. None if it was broken."""
        return None if self._in_a_row else self._renderer.cut()

    def _has_lost_the_background(self, picture: Rgb, figure: Figure) -> bool:
        """Whether it is missing where others have it: earlier pictures or, if none had, that of the next engine."""
        if self._background.sees(picture):
            return False
        if not (self._background.expected or self._compared):
            self._compared = True
            with suppress(UserError, BrokenOutputError, RuntimeError):
                other = load_renderer(self.subject, self._others[0], self._threads, at_once=True)
                self._background.sees(other.step(figure))
        return self._background.expected

    def _fall_back(self, reason: str) -> None:
        broken = self.choice
        while self._others:
            self.choice = self._others.pop(0)
            try:
                self._renderer = load_renderer(self.subject, self.choice, self._threads, at_once=True)
            except (UserError, RuntimeError):
                continue
            self._in_a_row = 0
            LOG.warning("%s is broken (%s): %s takes over.", broken, reason, self.choice)
            return
        raise UserError(
            f"The networks of {self.subject.manifest.name} compute no pictures on any engine ({reason}): "
            "export or download the subject again."
        )
