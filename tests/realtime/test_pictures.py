"""Folders of pictures as films: their order, takes and gaps, and that they are taken wherever a video is."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.errors import UserError
from realtime.live.source import open_source
from realtime.pictures import PictureFolder
from realtime.video import count_frames, frame_rate, read_video
from tests.support.streams import numbered_picture, read_number


def write_pictures(folder: Path, names: Sequence[str]) -> Path:
    """Pictures that tell their places in `names`."""
    folder.mkdir()
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.ascontiguousarray(numbered_picture(number)[:, :, ::-1]))
    return folder


@pytest.mark.parametrize(
    ("names", "notes"),
    [
        (["frame1.png", "frame2.png", "frame10.png"], []),
        (["frame020001.jpg", "frame020005.jpg", "frame020009.jpg"], []),  # numbers of EDN's own frames
        (["take2_9.png", "take2_10.png", "Take10_1.png", "take10_2.png"], ["2 takes"]),
        (["a_1.png", "a_2.png", "a_3.png", "a_4.png", "a_7.png"], ["2 numbers are missing, the first after a_4"]),
        (
            ["a2_1.png", "a2_2.png", "a2_3.png", "a2_5.png", "b_7.png", "b_8.png"],
            ["2 takes", "1 number is missing, the first after a2_3"],
        ),
        (["20240102_120501.jpg", "20240102_120507.jpg", "20240102_120923.jpg"], []),  # the time of day is no counter
        (["anna.png", "bert.png", "cleo.png"], []),
    ],
)
def test_names_are_read_as_a_person_would(names: list[str], notes: list[str], tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pictures", names)
    (folder / "._frame1.png").write_bytes(b"of another system")
    told: list[str] = []
    pictures = list(read_video(folder, note=told.append))
    assert [read_number(rgb) for rgb, _ in pictures] == list(range(len(names)))
    assert [at_s for _, at_s in pictures] == pytest.approx([number / 30 for number in range(len(names))])
    assert (count_frames(folder), frame_rate(folder)) == (len(names), 30)
    assert len(told) == len(notes)
    for note, words in zip(told, notes, strict=True):
        assert words in note


def test_a_folder_plays_live_over_and_over_at_its_rate(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pictures", [f"{number}.png" for number in range(3)])
    source, _ = open_source(None, str(folder), fps=100)
    frames = [frame for _ in range(7) if (frame := source.read())]
    source.close()
    assert [read_number(frame.rgb) for frame in frames] == [0, 1, 2, 0, 1, 2, 0]
    assert frames[6].captured_at_s - frames[0].captured_at_s >= 0.06 - 0.005


def test_folders_that_cannot_be_played(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no pictures"):
        PictureFolder(tmp_path)
    (tmp_path / "1_keypoints.json").write_bytes(b"{}")
    with pytest.raises(UserError, match=f"poses:{tmp_path}"):
        open_source(None, str(tmp_path))
    (tmp_path / "1.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"1\.png is not a picture"):
        open_source(None, str(tmp_path))
