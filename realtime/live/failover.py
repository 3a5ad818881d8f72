"""The renderer that goes on: with whichever engine is best here, and with the next one when that one breaks."""

import logging
from collections.abc import Callable, Sequence

from engines.choose import Choice, choose
from engines.engine import BrokenOutputError
from engines.errors import UserError
from realtime.config import EngineConfig
from realtime.frame import Rgb
from realtime.pose.measure import HeadBox
from realtime.render import Renderer
from realtime.rollout import RollOut
from realtime.subject import Subject

LOG = logging.getLogger(__name__)
PATIENCE = 3
"""Broken pictures in a row before the next engine takes over."""


def choose_engines(subject: Subject, engines: EngineConfig, say: Callable[[str], object]) -> list[Choice]:
    """What to play a subject with, best first; see `engines.choose.choose`."""
    clips = RollOut.of(subject)
    return choose(
        subject.graphs,
        lambda pair: clips.play(*pair),
        name=subject.manifest.name,
        backend=engines.backend,
        precision=engines.precision,
        threads=engines.threads,
        say=say,
    )


class FailoverRenderer:
    """A `Renderer` of a subject that never shows a broken picture.

    Instead of one the last good picture is shown again, and the chain starts anew.

    Args:
        subject: who is shown.
        choices: engines, best first; the first has to load.
        threads: cores that one run may use.

    Raises:
        UserError: the first cannot be loaded.
    """

    def __init__(self, subject: Subject, choices: Sequence[Choice], threads: int) -> None:
        self._subject, self._threads = subject, threads
        self.choice, *self._others = choices
        self._renderer = self._load(self.choice)
        self._last: Rgb = subject.plate
        self._in_a_row = 0
        self.replaced = 0
        """Broken pictures so far."""

    def reset(self) -> None:
        """Start a new chain."""
        self._renderer.reset()

    def step(self, figure: Rgb, head: HeadBox | None) -> Rgb:
        """Render the next frame; see `Renderer.step`.

        Raises:
            UserError: no engine is left.
        """
        try:
            self._last = self._renderer.step(figure, head)
            self._in_a_row = 0
        except BrokenOutputError as error:
            self.replaced += 1
            self._in_a_row += 1
            self._renderer.reset()
            if self._in_a_row == PATIENCE:
                self._fall_back(str(error))
        return self._last

    def _fall_back(self, reason: str) -> None:
        broken = self.choice
        while self._others:
            self.choice = self._others.pop(0)
            try:
                self._renderer = self._load(self.choice)
            except UserError:
                continue
            self._in_a_row = 0
            LOG.warning("%s is broken (%s): %s takes over.", broken, reason, self.choice)
            return
        raise UserError(
            f"The networks of {self._subject.manifest.name} compute no pictures on any engine ({reason}): "
            "export or download the subject again."
        )

    def _load(self, choice: Choice) -> Renderer:
        generator, face = (choice.load(graph, self._threads) for graph in self._subject.graphs)
        return Renderer(generator, face, self._subject.plate, blank=self._subject.style.blank)
