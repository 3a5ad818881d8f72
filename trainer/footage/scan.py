"""The first pass over footage: the pose and some statistics of every picture; one that was stopped goes on.

FOLDER/
  about.json     what is scanned, and with what; anything else begins anew
  000000.npz     the rows of the first few seconds, and so on; each is written whole or not at all
  done           there is nothing left to scan
"""

from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from engines.console import progress_bar
from engines.cores import usable_cores
from engines.errors import UserError
from engines.files import legible, replace_file
from realtime.frame import Rgb
from realtime.pose.blur_meter import BlurMeter
from realtime.pose.estimation.person_detector import PersonDetector
from realtime.pose.pose import Pose
from realtime.pose.skeleton import K
from trainer.footage.crop import extent
from trainer.footage.source import FootageSource

CHUNK_S = 3.0
SCAN_WARM_UP_S = 1.0
"""After a stop the estimator gets the pictures of so many seconds again, to find the person it followed."""
COUNT_PEOPLE_EVERY_S = 0.3
SCAN_STILLS, STILL_PX = 160, 256
"""Small pictures that are kept, spread over the footage, and their height."""
THUMB_PX = 96
"""Height at which the statistics are computed."""

Estimate = Callable[[int, Rgb], Pose | None]
"""The pose in picture number N, uint8 [H, W, 3], in its pixels; pictures come in order."""


class FrameStats(NamedTuple):
    """Statistics of one picture, 0..1; not a number where they cannot be computed."""

    light: float
    """Mean brightness."""
    background: float
    """Mean brightness outside of the person's box."""
    dark: float
    bright: float
    """Shares of the person's box that are black and white."""
    change: float
    """Mean difference to the picture before."""


class _About(msgspec.Struct, frozen=True):
    """What a scan depends on."""

    path: str
    size_bytes: int
    changed_ns: int
    by: str
    version: int = 2
    """Of the files."""


def scan(source: FootageSource, estimate: Estimate, folder: Path, *, by: str) -> "FootageScan":
    """Scan whatever of the footage is not in `folder` yet.

    Args:
        source: the footage.
        estimate: finds the person.
        folder: where the scan is kept.
        by: tells one `estimate` from another.

    Raises:
        UserError: the footage is damaged, has no pictures, or changes their size.
    """
    about = msgspec.json.encode(
        _About(legible(str(source.path.resolve())), source.size_bytes, source.path.stat().st_mtime_ns, by)
    )
    if not (folder / "about.json").exists() or (folder / "about.json").read_bytes() != about:
        delete_scan(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "about.json").write_bytes(about)
    if not (folder / "done").exists():
        _scan_rest(source, estimate, folder)
        (folder / "done").touch()
    scanned = FootageScan(folder)
    if not len(scanned.times_s):
        raise UserError(f"{source.path} has no pictures in it: give other footage.")
    return scanned


def is_begun(folder: Path) -> bool:
    """Whether there is anything of a scan that the next one goes on from."""
    return any(folder.glob("*.npz"))


def delete_scan(folder: Path) -> None:
    """Delete a scan, if there is one."""
    for file in [*folder.glob("*.npz"), *folder.glob("*.new"), folder / "done", folder / "about.json"]:
        file.unlink(missing_ok=True)
    if folder.exists():
        folder.rmdir()


class FootageScan:
    """What is in the folder of a scan. N pictures; poses and stills are read when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self._chunks = sorted(folder.glob("*.npz"))
        columns: dict[str, list[NDArray[np.float32]]] = {name: [] for name in ("at_s", "stats", "people", "sharp")}
        self.size_px = (0, 0)
        """Width and height of the pictures."""
        for chunk in self._chunks:
            with np.load(chunk, allow_pickle=False) as rows:
                for name, parts in columns.items():
                    parts.append(rows[name])
                self.size_px = int(rows["size_px"][0]), int(rows["size_px"][1])
        whole = {name: np.concatenate(parts) if parts else np.zeros(0) for name, parts in columns.items()}
        self.times_s: NDArray[np.float64] = whole["at_s"].astype(np.float64)
        """N, when the pictures were taken."""
        self.frame_stats: NDArray[np.float64] = whole["stats"].reshape(-1, len(FrameStats._fields)).astype(np.float64)
        """N 5, `FrameStats`."""
        people = whole["people"]
        self.crowded: float = float((people[people >= 0] > 1).mean()) if (people >= 0).any() else 0.0
        """Share of the pictures with several people, of those in which people were counted."""
        sharp = whole["sharp"][np.isfinite(whole["sharp"])]
        self.sharpness: float | None = float(np.median(sharp)) if len(sharp) else None
        """As `BlurMeter` has it; None where hands were never fast."""

    def poses(self) -> Iterator[Pose | None]:
        """The estimated pose of every picture, in its pixels."""
        for chunk in self._chunks:
            with np.load(chunk, allow_pickle=False) as rows:
                seen, *columns = (rows[name] for name in ("seen", "xy", "depth", "confidence", "deviation"))
            for i in range(len(seen)):
                yield Pose(*(column[i] for column in columns)) if seen[i] else None

    def stills(self) -> Iterator[tuple[int, Rgb]]:
        """Numbers of some pictures, spread over the footage, and small copies of them, uint8 [h, w, 3]."""
        for chunk in self._chunks:
            with np.load(chunk, allow_pickle=False) as rows:
                for name in sorted(name for name in rows.files if name.startswith("still")):
                    yield int(name[5:]), np.asarray(cv2.imdecode(rows[name], cv2.IMREAD_COLOR_RGB), np.uint8)


class _Row(NamedTuple):
    number: int
    at_s: float
    rgb: Rgb
    pose: Pose | None
    stats: FrameStats
    people: int
    """-1 where they were not counted."""


def _scan_rest(source: FootageSource, estimate: Estimate, folder: Path) -> None:
    """Scan what comes after the last chunk."""
    times_s = FootageScan(folder).times_s
    chunks = len(list(folder.glob("*.npz")))
    every = max(1, source.frames // SCAN_STILLS)
    with progress_bar() as progress:
        task = progress.add_task("Scanning", total=source.frames or None, completed=len(times_s))
        new = (row for row in _rows(source, estimate, times_s) if row.number >= len(times_s))
        for _, rows in groupby(new, key=lambda row: int(row.at_s // CHUNK_S)):
            count = _write_chunk(folder / f"{chunks:06d}.npz", rows, every)
            progress.advance(task, count)
            chunks += 1
        progress.update(task, total=progress.tasks[task].completed)  # files do not always know how long they are


def _rows(source: FootageSource, estimate: Estimate, times_s: NDArray[np.float64]) -> Iterator[_Row]:
    """The rows of all pictures after those taken at `times_s`, preceded by those of the warm-up."""
    start_s = max(0.0, float(times_s[-1]) - SCAN_WARM_UP_S) if len(times_s) else 0.0
    first = int(np.searchsorted(times_s, start_s))
    detector, counted_s, past = PersonDetector(usable_cores()), -np.inf, None
    shape: tuple[int, ...] | None = None
    for number, (rgb, at_s) in enumerate(source.read(start_s), first):
        shape = shape or rgb.shape
        if rgb.shape != shape:
            raise UserError(
                f"{source.path} changes its size after {at_s:.1f} s, from {shape[1]}x{shape[0]} to "
                f"{rgb.shape[1]}x{rgb.shape[0]}: cut it there."
            )
        pose = estimate(number, rgb)
        people = -1
        if pose is not None and at_s - counted_s >= COUNT_PEOPLE_EVERY_S:
            people, counted_s = len(detector.find(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA), np.uint8))), at_s
        thumb = np.asarray(cv2.cvtColor(_shrink(rgb, THUMB_PX), cv2.COLOR_RGB2GRAY), np.uint8)
        yield _Row(number, at_s, rgb, pose, _stats(thumb, past, pose, rgb.shape[0]), people)
        past = thumb


def _stats(thumb: NDArray[np.uint8], past: NDArray[np.uint8] | None, pose: Pose | None, height: int) -> FrameStats:
    """Statistics of a small grey picture, the one before it, and a pose in the pixels of one of this height."""
    person = np.ones(thumb.shape, bool)
    if pose is not None:
        left, top, right, bottom = np.round(extent(pose) * (len(thumb) / height)).clip(0).astype(int).tolist()
        person[:] = False
        person[top:bottom, left:right] = True
    inside = thumb[person] if person.any() else thumb
    return FrameStats(
        light=float(thumb.mean()) / 255,
        background=float(thumb[~person].mean()) / 255 if (~person).any() else np.nan,
        dark=float((inside < 16).mean()),
        bright=float((inside > 250).mean()),
        change=np.nan if past is None else float(cv2.absdiff(thumb, past).mean()) / 255,
    )


def _write_chunk(path: Path, rows: Iterator[_Row], still_every: int) -> int:
    """Write rows, whole or not at all; returns how many there were."""
    meter, stills = BlurMeter(memory=1000, least=8), dict[str, NDArray[np.uint8]]()
    kept, size_px = list[tuple[float, Pose | None, FrameStats, int]](), (0, 0)
    for row in rows:
        meter.see(row.rgb, row.pose)
        if row.number % still_every == 0:
            bgr = cv2.cvtColor(_shrink(row.rgb, STILL_PX), cv2.COLOR_RGB2BGR)
            stills[f"still{row.number:08d}"] = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
        kept.append((row.at_s, row.pose, row.stats, row.people))
        size_px = row.rgb.shape[1], row.rgb.shape[0]
    nobody = Pose(np.zeros((K, 2), np.float32), np.zeros(K, np.float32), np.zeros(K, np.float32))
    poses = [pose or nobody for _, pose, _, _ in kept]
    with replace_file(path) as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            at_s=np.array([at_s for at_s, _, _, _ in kept]),
            seen=np.array([pose is not None for _, pose, _, _ in kept]),
            xy=np.stack([pose.xy for pose in poses]),
            depth=np.stack([pose.depth for pose in poses]),
            confidence=np.stack([pose.confidence for pose in poses]),
            deviation=np.stack([pose.deviation for pose in poses]),
            stats=np.array([stats for _, _, stats, _ in kept], np.float32),
            people=np.array([people for _, _, _, people in kept], np.int8),
            sharp=np.array([np.nan if meter.sharpness is None else meter.sharpness]),
            size_px=np.array(size_px),
            **stills,
        )
    return len(kept)


def _shrink(rgb: Rgb, height: int) -> Rgb:
    """The picture at this height, uint8 [height, w, 3]; one that is not taller is returned as it is."""
    k = height / len(rgb)
    if k >= 1:
        return rgb
    return np.asarray(
        cv2.resize(rgb, (max(1, round(k * rgb.shape[1])), height), interpolation=cv2.INTER_AREA), np.uint8
    )
