"""A folder of OpenPose's files: which of them is of which frame, and one person followed through all."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engines.errors import UserError
from realtime.pose.openpose import BODY_ROWS, FOUND, keypoints, pose_of, read_people, recognized_order
from realtime.pose.pose import Floats, Pose

MOST_FRAMES = 10_000_000
PARTS = re.compile(r"_(keypoints|pose|face|hand_left|hand_right)$")
"""The end of a file's name without its suffix, after the name of the frame."""
LEAST_EVIDENCE = 0.3
"""Of the evidence for the most evident person: with less one is not followed. OpenPose sees people in bottles."""
NEAR = 0.5
"""A person moves less than so many of the own heights from one frame to the next, or to the one after a gap."""
BELOW, OFTEN_BELOW = -0.1, 0.25
"""Of coordinates from -1 to 1, some are so low for so much of the time; of those from 0 to 1 a few by little."""
OUTSIDE = 3.0
"""A keypoint is nearer to the picture's middle than so many of its longer side, or was not found."""
LONGEST_GAP = 30
"""Frames for which a person may not be found, and is followed nevertheless."""


class FrameFiles(NamedTuple):
    """The files of one frame."""

    name: str
    """Of the frame: what their names begin with."""
    number: int
    """The last number in the name."""
    paths: list[Path]


def read_openpose(
    folder: Path,
    *,
    stems: Sequence[str] = (),
    frames: int | None = None,
    size_px: tuple[int, int] | None = None,
) -> list[Pose | None]:
    """Read a folder of files as one person's poses, frame by frame.

    Args:
        folder: has files as in `realtime.pose.openpose`; hidden files are passed over.
        stems: names of the pictures without their suffixes. Where all files are named after pictures, so they belong.
        frames: how many the footage has, if that is known. Where it has as many as there are files, and not as many as
            the files' numbers reach, the files belong to its frames in their order.
        size_px: width and height of the footage, for coordinates that are relative to it.

    Returns:
        One pose per picture, or per number from the first file's to the last one's; None where there is nobody or no
        file.

    Raises:
        UserError: there are no files, or one cannot be read; it is named with the reason.
    """
    files = _frames_in(folder)
    slots, count = _slots(files, stems, frames)
    people = [read_people(each.paths) for each in files]
    everybody = [person for frame in people for person in frame]
    if not everybody:
        return [None] * count
    sizes = {len(person.body) for person in everybody}
    if len(sizes) > 1:
        raise UserError(f"The files of {folder} have bodies of {sizes} keypoints: keep those of one run of OpenPose.")
    order = recognized_order(everybody)
    found: list[list[Floats]] = [[] for _ in range(count)]
    for slot, frame in zip(slots, people, strict=True):
        found[slot] = [keypoints(person, order) for person in frame]
    flat = [points for frame in found for points in frame]
    _to_pixels(flat, folder, size_px)
    if size_px is not None:
        _drop_outside(flat, size_px)
    return [None if points is None else pose_of(points) for points in follow(found)]


def _frames_in(folder: Path) -> list[FrameFiles]:
    """The files in the order of their numbers."""
    frames: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix.lower() in (".json", ".yml", ".yaml") and not path.name.startswith("."):
            frames.setdefault(PARTS.sub("", path.stem), []).append(path)
    if not frames:
        if not folder.is_dir():
            raise UserError(f"There is no folder {folder}: give the one that OpenPose's --write_json wrote.")
        raise UserError(f"{folder} holds no OpenPose files: give the folder that OpenPose's --write_json wrote.")
    numbered: dict[int, FrameFiles] = {}
    for name, paths in frames.items():
        numbers = re.findall(r"\d+", name)
        if not numbers:
            raise UserError(
                f"{paths[0]} has no frame number in its name: name it as OpenPose does, NAME_000012_keypoints.json."
            )
        files = FrameFiles(name, int(numbers[-1]), paths)
        other = numbered.setdefault(files.number, files)
        if other is not files:
            raise UserError(
                f"{paths[0]} and {other.paths[0].name} are of the same frame: keep the files of one video in a folder."
            )
    return [numbered[number] for number in sorted(numbered)]


def _slots(files: Sequence[FrameFiles], stems: Sequence[str], frames: int | None) -> tuple[list[int], int]:
    """The index of the frame that each of the files belongs to, and how many frames there are."""
    places = {stem: index for index, stem in enumerate(stems)}
    if stems and all(each.name in places for each in files):
        return [places[each.name] for each in files], len(stems)
    first, last = files[0].number, files[-1].number
    reach = last - first + 1
    if frames is not None and abs(reach - frames) > 1 and abs(len(files) - frames) <= 1:
        return list(range(len(files))), len(files)
    if reach > MOST_FRAMES:
        ends = f"{files[0].paths[0]} and {files[-1].paths[0].name}"
        raise UserError(f"{ends} are {reach} frames apart: rename the files.")
    return [each.number - first for each in files], reach


def _to_pixels(people: Sequence[Floats], folder: Path, size_px: tuple[int, int] | None) -> None:
    """Turn coordinates that are relative to the picture, in 0..1 or -1..1, into pixels, in place."""
    xy = np.concatenate([points[points[:, 2] > 0, :2] for points in people])
    if not len(xy) or np.quantile(np.abs(xy), 0.9) > 2:  # outside of the picture may be found some, too
        return
    if size_px is None:
        raise UserError(f"{folder} has coordinates from 0 to 1, not in pixels: write it again with --keypoint_scale 0.")
    lows = [points[points[:, 2] > 0, :2].min(initial=1) for points in people]
    signed, size = np.quantile(lows, OFTEN_BELOW) < BELOW, np.array(size_px, np.float32)
    for points in people:
        relative = (points[:, :2] + 1) / 2 if signed else points[:, :2]
        points[:, :2] = np.where(points[:, 2:] > 0, relative * size, 0)


def _drop_outside(people: Sequence[Floats], size_px: tuple[int, int]) -> None:
    """Take what is many pictures away for not found, in place."""
    middle, most_px = np.array(size_px, np.float32) / 2, np.float32(OUTSIDE * max(size_px))
    for points in people:
        points[(np.abs(points[:, :2] - middle) > most_px).any(axis=1)] = 0


class _Track:
    """One person's keypoints by frame, in the order of frames."""

    def __init__(self, frame: int, points: Floats) -> None:
        self.points: dict[int, Floats] = {}
        self.evidence = 0.0
        self.first = frame
        self.add(frame, points)

    def add(self, frame: int, points: Floats) -> None:
        self.points[frame] = points
        self.last = frame
        self.evidence += _evidence(points)

    def distance(self, points: Floats) -> float:
        """From its last keypoints, in heights; infinite if none are in common."""
        before = self.points[self.last]
        both = (points[BODY_ROWS, 2] > 0) & (before[BODY_ROWS, 2] > 0)
        if not both.any():
            return float("inf")
        moved_px = np.linalg.norm(points[BODY_ROWS, :2] - before[BODY_ROWS, :2], axis=1)[both]
        return float(np.median(moved_px)) / max(_height_px(points), _height_px(before), 1e-6)


def follow(frames: Sequence[Sequence[Floats]]) -> list[Floats | None]:
    """One of the people in every frame: the same one as long as that one is there.

    The people of all frames are linked to tracks, nearest first. The track with the most evidence is followed, and
    before it begins and after it ends the next: nobody takes over while the followed one is lost for a moment.

    Args:
        frames: the keypoints, K 3, of the people in each frame.
    """
    tracks: list[_Track] = []
    alive: list[_Track] = []
    for frame, people in enumerate(frames):
        alive = [track for track in alive if frame - track.last <= LONGEST_GAP]
        new = _extend(alive, frame, people)
        alive += new
        tracks += new
    chosen: list[Floats | None] = [None] * len(frames)
    free = np.ones(len(frames), bool)
    ranked = sorted(tracks, key=lambda track: track.evidence, reverse=True)
    for track in ranked:
        mean = track.evidence / len(track.points)
        if mean >= LEAST_EVIDENCE * ranked[0].evidence / len(ranked[0].points):
            for frame, points in track.points.items():
                chosen[frame] = points if free[frame] else chosen[frame]
            free[track.first : track.last + 1] = False
    return chosen


def _extend(tracks: Sequence[_Track], frame: int, people: Sequence[Floats]) -> list[_Track]:
    """Give each of the people in a frame to the nearest track, or to a new one; returns the new ones."""
    pairs = sorted(
        (
            (distance, index, track)
            for index, points in enumerate(people)
            for track in tracks
            if (distance := track.distance(points)) < NEAR
        ),
        key=lambda pair: pair[0],
    )
    taken: set[int] = set()
    for _, index, track in pairs:
        if index not in taken and frame not in track.points:
            track.add(frame, people[index])
            taken.add(index)
    strangers = (points for index, points in enumerate(people) if index not in taken)
    return [_Track(frame, points) for points in strangers if points[BODY_ROWS, 2].any()]


def _evidence(points: Floats) -> float:
    """Of a person: the sum of the body's confidences, times the height."""
    return float(points[BODY_ROWS, 2].sum()) * _height_px(points)


def _height_px(points: Floats) -> float:
    body = points[BODY_ROWS]
    found = body[body[:, 2] >= FOUND, :2]
    return float(np.ptp(found, axis=0).max()) if len(found) else 0.0
