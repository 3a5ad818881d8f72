"""Read and write pictures; a folder of them as a film: in which order they are shown, and what is missing."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from engines.errors import UserError
from engines.files import write_file
from realtime.frame import Rgb

PICTURES_FPS = 30.0
"""How many pictures are shown per second unless somebody says so."""
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
JPEG_MARKER, JPEG_BEGIN, JPEG_SCAN, JPEG_END = b"\xff", b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
"""Markers (ITU-T T.81, table B.1)."""
LAST_NUMBER = re.compile(r"\d+(?=\D*$)")
REGULAR = 0.6
"""Share of the steps between numbers that have to be alike for the others to be gaps."""


class PictureFolder:
    """A folder of pictures, in the order in which a person would read their names: 2 before 10, take by take.

    Raises:
        UserError: it has none.
    """

    def __init__(self, path: Path, fps: float = PICTURES_FPS) -> None:
        self._files = _pictures_in(path)
        if not self._files:
            other = f"; for OpenPose's files write poses:{path}" if any(path.glob("*.json")) else ""
            raise UserError(
                f"{path} holds no pictures ({', '.join(sorted(PICTURES))}): "
                f"give a video, or a folder of numbered pictures{other}."
            )
        self.path, self.frames, self.fps = path, len(self._files), fps
        self.stems = [file.stem for file in self._files]

    @property
    def length_s(self) -> float:
        """How long they are shown."""
        return self.frames / self.fps

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(file.stat().st_size for file in self._files)

    @property
    def notes(self) -> list[str]:
        """Sentences about the numbers in the names: several takes, and gaps."""
        takes: dict[str, list[str]] = {}
        for stem in self.stems:
            takes.setdefault(LAST_NUMBER.sub("#", stem.lower()), []).append(stem)
        notes = list[str]()
        if 1 < len(takes) <= len(self.stems) / 2:
            named = [f"{stems[0]} to {stems[-1]}" for stems in takes.values()]
            shown = ", ".join(named if len(named) <= 3 else [named[0], "...", named[-1]])
            notes.append(f"{self.path} has {len(takes)} takes, which follow one another: {shown}.")
        gaps = [gap for stems in takes.values() for gap in _gaps(stems)]
        if gaps:
            missing = sum(count for _, count in gaps)
            many = "1 number is" if missing == 1 else f"{missing} numbers are"
            notes.append(f"{self.path}: {many} missing, the first after {gaps[0][0]}.")
        return notes

    def read(self, start_s: float = 0.0, *, note: Callable[[str], object] | None = None) -> Iterator[tuple[Rgb, float]]:
        """Every picture, uint8 [H, W, 3], from `start_s` on, and its time in seconds.

        Args:
            start_s: when to begin.
            note: if given, one that cannot be decoded is left out, as this is told in a sentence.

        Raises:
            UserError: one of them cannot be decoded; with `note` none of them.
        """
        bad, shown = "", 0
        for number, file in enumerate(self._files):
            if number / self.fps < start_s:
                continue
            rgb = read_picture(file)
            if rgb is not None:
                shown += 1
                yield rgb, number / self.fps
                continue
            bad = f"{file} is not a picture that can be read"
            if note is None:
                break
            note(f"{bad}: it is left out.")
        if bad and (note is None or not shown):
            raise UserError(f"{bad}: repair or remove it.")


def read_picture(file: Path) -> Rgb | None:
    """A picture, uint8 [H, W, 3]; None if it is none, or is not whole."""
    try:
        data = file.read_bytes() if file.is_file() else b""  # OpenCV itself reads no names that are not UTF-8
        if not data or (data[:2] == JPEG_BEGIN and _is_cut_off(data)):  # OpenCV would fill the rest with grey
            return None
        rgb = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except (OSError, cv2.error):  # one says that it is larger than any picture
        return None
    return None if rgb is None else np.asarray(rgb, np.uint8)


def write_picture(path: Path, rgb: Rgb) -> None:
    """Write a picture, uint8 [H, W, 3], whole or not at all, in the format that its name ends in."""
    _, data = cv2.imencode(path.suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    write_file(path, data.tobytes())


def _is_cut_off(jpeg: bytes) -> bool:
    """Whether the picture's end is missing; its preview has one of its own, and phones append films."""
    at = len(JPEG_BEGIN)
    while jpeg[at : at + 1] == JPEG_MARKER and jpeg[at : at + 2] != JPEG_SCAN:
        filled = jpeg[at + 1 : at + 2] == JPEG_MARKER  # any number of them may stand before a marker
        at += 1 if filled else 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return jpeg.find(JPEG_END, at) < 0


def has_pictures(folder: Path) -> bool:
    """Whether a folder has pictures in it."""
    return bool(_pictures_in(folder))


def _pictures_in(folder: Path) -> list[Path]:
    visible = (file for file in folder.iterdir() if not file.name.startswith("."))
    return sorted((file for file in visible if file.suffix.lower() in PICTURES), key=_order)


def _order(file: Path) -> tuple[list[str | int], str]:
    parts = re.split(r"(\d+)", file.stem.lower())  # text and numbers in turns, so that like is compared with like
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], file.name


def _gaps(stems: Sequence[str]) -> list[tuple[str, int]]:
    """After which of a take's names numbers are missing, and how many; none where numbers keep no step."""
    numbered = [(stem, int(found[0])) for stem in stems if (found := LAST_NUMBER.search(stem))]
    steps = [(stem, after - number) for (stem, number), (_, after) in pairwise(numbered)]
    [(usual, often)] = Counter(step for _, step in steps).most_common(1) or [(1, 0)]
    if usual < 1 or often < REGULAR * len(steps):
        return []
    return [(stem, round(step / usual) - 1) for stem, step in steps if step > usual]
