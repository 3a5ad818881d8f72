"""What runs a subject's networks on this machine: chosen once, loaded as a renderer."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engines.backends import Auto, BackendName, Precision
from engines.choose import Choice, choose
from engines.cores import usable_cores
from engines.engine import Engine
from engines.errors import UserError
from engines.windowed import WindowedEngine
from realtime.patches import to_patches
from realtime.references.blend import OUTPUTS
from realtime.render import Renderer
from realtime.subject import Subject
from realtime.subject_clips import SubjectClips
from realtime.window import window_sizes

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How the networks run on this machine."""

    backend: Auto | BackendName = "auto"
    """What runs the subject's networks: auto measures once which is fastest here."""
    precision: Auto | Precision = "auto"
    """Arithmetic of the subject's networks; those of the pose have their own."""
    threads: int = max(1, usable_cores() - 1)
    """Cores for the networks; live, one more is busy with the pose."""

    def __post_init__(self) -> None:
        check_threads(self.threads)


def check_threads(threads: int) -> None:
    """Check a number of cores for the networks.

    Raises:
        UserError: there are not so many, or it is none.
    """
    most = usable_cores()
    if not 1 <= threads <= most:
        raise UserError(f"--threads must be from 1 to {most}, the cores that there are for it, not {threads}.")


BEST = EngineConfig(precision="f32", threads=usable_cores())
"""For results that nobody waits for live."""


def choose_engines(
    subject: Subject, engines: EngineConfig, say: Callable[[str], object], *, anew: bool = False
) -> list[Choice]:
    """What to play a subject with, best first; see `engines.choose.choose`."""
    clips = SubjectClips.of(subject)
    return choose(
        subject.graphs,
        lambda pair: clips.play(*pair),
        name=subject.manifest.name,
        backend=engines.backend,
        precision=engines.precision,
        threads=engines.threads,
        anew=anew,
        say=say,
    )


def open_renderer(
    subject: Subject, engines: EngineConfig = EngineConfig(), say: Callable[[str], object] = LOG.info
) -> Renderer:
    """A renderer of the subject on what is best for it here; see `choose_engines`.

    Raises:
        UserError: nothing can play it.
    """
    choice, *_ = choose_engines(subject, engines, say)
    return load_renderer(subject, choice, engines.threads)


def load_renderer(
    subject: Subject, choice: Choice, threads: int, *, face: bool = True, at_once: bool = False
) -> Renderer:
    """A renderer of the subject on one backend.

    Args:
        subject: whose networks.
        choice: what runs them.
        threads: cores that one run may use.
        face: whether the face network runs, if there is one.
        at_once: return before the sizes of windows are loaded; the first frames are rendered whole. What is rendered
            otherwise does not depend on time.

    Raises:
        UserError: a graph cannot be loaded there.
    """
    generator = load_generator(subject, choice, threads)
    if isinstance(generator, WindowedEngine) and not at_once:
        generator.wait()
    return Renderer(
        generator,
        choice.load(subject.face, threads) if face and subject.face else None,
        subject.plate,
        blank=subject.style.blank,
        atlas=subject.atlas,
    )


def load_generator(subject: Subject, choice: Choice, threads: int) -> Engine:
    """The subject's generator on one backend, in windows if it has some there.

    Raises:
        UserError: it cannot be loaded there.
    """
    plate = to_patches(subject.plate)[None]
    # With references the shares are put out, and where nobody is the background has all.
    outside = np.zeros((*plate.shape[:3], OUTPUTS), np.uint8) if subject.atlas else plate
    return choice.load_windowed(subject.generator, threads, window_sizes(subject.plate), outside)
