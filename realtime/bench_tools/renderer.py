"""Renderers for benches: on one engine, with none to fall back to, and for pictures smaller than the subject's."""

from dataclasses import dataclass, replace
from functools import partial

import msgspec
import numpy as np

from engines.choose import Choice
from engines.load import has_windows, load_window
from engines.windowed import WindowedEngine
from realtime.figure import Figure
from realtime.frame import Rgb
from realtime.patches import PATCH, to_patches
from realtime.references.blend import OUTPUTS
from realtime.references.reproject import Rendering
from realtime.render import Renderer
from realtime.subject import Subject
from realtime.subject_engines import load_renderer
from realtime.window import GRID_PX, window_sizes


@dataclass(slots=True)
class BenchRenderer:
    """A `SubjectRenderer` on one engine."""

    subject: Subject
    choice: Choice
    renderer: Renderer

    @property
    def face_every(self) -> int:
        """See `Renderer.face_every`."""
        return self.renderer.face_every

    @face_every.setter
    def face_every(self, every: int) -> None:
        self.renderer.face_every = every

    @property
    def replaced(self) -> int:
        """None: what is broken ends the bench."""
        return 0

    def step(self, figure: Figure) -> Rgb:
        """Render the next frame."""
        return self.renderer.step(figure)

    def cut(self) -> Rendering | None:
        """See `Renderer.cut`."""
        return self.renderer.cut()


def whole_renderer(subject: Subject, choice: Choice, threads: int) -> BenchRenderer:
    """A renderer of the subject as it is, with all its windows loaded."""
    return BenchRenderer(subject, choice, load_renderer(subject, choice, threads))


def can_shrink(subject: Subject, choice: Choice) -> bool:
    """Whether `small_renderer` can be had."""
    return all(has_windows(graph, choice.backend, choice.precision) for graph in subject.graphs)


def small_renderer(subject: Subject, height_px: int, choice: Choice, threads: int) -> BenchRenderer:
    """The subject's own networks, computed for a smaller picture: as fast as networks that were trained for that size.

    The picture is the upper left corner of the subject's, with a figure that is as much smaller, so it is not as good.

    Args:
        subject: whose networks.
        height_px: of the picture, less than the subject's.
        choice: what runs them; see `can_shrink`.
        threads: cores that one run may use.
    """
    k = height_px / subject.manifest.height_px
    small = _shrunk(subject, k)
    whole = partial(load_window, backend=choice.backend, precision=choice.precision, threads=threads)
    patches = to_patches(small.plate)[None]
    outside = np.zeros((*patches.shape[:3], OUTPUTS), np.uint8) if subject.atlas else patches
    generator = WindowedEngine(
        whole(subject.generator, patches.shape[1:3]),
        partial(whole, subject.generator),
        window_sizes(small.plate),
        outside,
    )
    generator.wait()
    face = None
    if subject.face is not None:
        side = _on_grid(k * choice.load(subject.face, threads).inputs["packed"].shape[1] * PATCH) // PATCH
        face = whole(subject.face, (side, side))
    renderer = Renderer(generator, face, small.plate, blank=subject.style.blank, atlas=subject.atlas)
    return BenchRenderer(small, choice, renderer)


def _shrunk(subject: Subject, k: float) -> Subject:
    """The subject with a picture `k` times as large."""
    about = subject.manifest
    width_px, height_px = _on_grid(k * about.width_px), _on_grid(k * about.height_px)
    manifest = msgspec.structs.replace(about, width_px=width_px, height_px=height_px, motion=about.motion.scaled(k))
    return replace(subject, manifest=manifest, plate=np.ascontiguousarray(subject.plate[:height_px, :width_px]))


def _on_grid(side_px: float) -> int:
    return max(GRID_PX, round(side_px / GRID_PX) * GRID_PX)
