"""Folders as people have them, which were misread once; see the files' names."""

import tarfile
from pathlib import Path

import numpy as np
import pytest

from realtime.live.openpose_source import PoseSource
from realtime.pictures import PictureFolder
from realtime.pose.openpose_folder import read_openpose
from realtime.pose.pose import Pose
from tests.support.commands import DATA


def unpacked(name: str, into: Path) -> Path:
    with tarfile.open(DATA / "faults" / f"{name}.tar.gz") as archive:
        archive.extractall(into, filter="data")
    (folder,) = into.iterdir()
    return folder


def points(poses: list[Pose | None]) -> list[list[list[float]] | None]:
    return [None if pose is None else pose.xy.tolist() for pose in poses]


@pytest.mark.parametrize("name", ["op_phantom", "op_appledouble"])
def test_phantoms_and_files_of_other_systems_change_nothing(name: str, tmp_path: Path) -> None:
    base = read_openpose(unpacked("op_base", tmp_path / "base"))
    poses = read_openpose(unpacked(name, tmp_path / name))
    assert len(poses) == 120
    assert all(poses)
    assert points(poses) == points(base)


def test_everybody_dance_now_s_own_numbers_belong_to_their_pictures(tmp_path: Path) -> None:
    folder = unpacked("edn_numbers", tmp_path)
    pictures = PictureFolder(folder / "frames")
    poses = read_openpose(folder / "json", stems=pictures.stems)
    assert pictures.stems[:2] == ["frame020001", "frame020005"]
    assert len(poses) == pictures.frames == 40
    assert all(poses)
    # What lies side by side belongs together: neighbours of every fourth frame of one film differ a little.
    noses = np.array([pose.at("nose") for pose in poses if pose])
    steps_px = np.hypot(*np.diff(noses, axis=0).T)
    assert 0 < np.median(steps_px) < 25


def test_they_can_be_played(tmp_path: Path) -> None:
    source = PoseSource(unpacked("op_phantom", tmp_path), fps=240)
    frames = [source.read() for _ in range(3)]
    source.close()
    assert [frame and frame.pose is not None for frame in frames] == [True] * 3
