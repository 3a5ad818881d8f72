"""Folders of pictures as films: their order, takes and gaps, and that they are taken wherever a video is."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import pytest

from engines.errors import UserError
from realtime.live.source import open_source
from realtime.pictures import PictureFolder, read_picture, write_picture
from realtime.video import count_frames, frame_rate, read_video
from tests.support.commands import command
from tests.support.footage_files import textured
from tests.support.streams import numbered_picture, read_number


def write_pictures(folder: Path, names: Sequence[str]) -> Path:
    """Pictures that tell their places in `names`."""
    folder.mkdir()
    for number, name in enumerate(names):
        write_picture(folder / name, numbered_picture(number))
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


def test_half_a_jpeg_is_no_picture(tmp_path: Path) -> None:
    """OpenCV would fill the rest with grey, and say nothing."""
    whole = cv2.imencode(".jpg", textured(256, 256))[1].tobytes()
    (tmp_path / "1.jpg").write_bytes(whole)
    assert read_picture(tmp_path / "1.jpg") is not None
    for bytes_left in (len(whole) - 2, len(whole) // 2, 10, 0):
        (tmp_path / "1.jpg").write_bytes(whole[:bytes_left])
        assert read_picture(tmp_path / "1.jpg") is None
    preview = b"\xff\xe1" + (len(whole) + 2).to_bytes(2, "big") + whole
    for content, is_picture in (
        (whole + b"a phone's film, with \xff\xda in it", True),
        (whole[:2] + preview + whole[2:], True),
        (whole[:2] + b"\xff\xff" + whole[2:], True),
        (whole[:2] + preview + whole[2 : len(whole) // 2], False),
    ):
        (tmp_path / "1.jpg").write_bytes(content)
        assert (read_picture(tmp_path / "1.jpg") is not None) is is_picture
    assert read_picture(tmp_path) is None, "a folder"
    assert read_picture(tmp_path / "missing.png") is None


def test_names_that_are_no_utf_8(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    write_pictures(folder, ["1.png", "2.png"])
    assert [read_number(rgb) for rgb, _ in read_video(folder)] == [0, 1]
    done = command("realtime", "pose", folder, "--out", tmp_path / "seen")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["video"] == "caf\N{REPLACEMENT CHARACTER}"


def test_a_picture_that_turns_bad_while_a_folder_plays_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_pictures(tmp_path / "pictures", [f"{number}.png" for number in range(3)])
    source, _ = open_source(None, str(folder), fps=100)
    frames = [source.read()]
    (folder / "1.png").write_bytes(b"no picture")
    frames += [source.read() for _ in range(6)]
    source.close()
    assert [read_number(frame.rgb) for frame in frames if frame] == [0, 2, 0, 2, 0, 2, 0]
    said = [record.message for record in caplog.records]
    assert said[0] == f"{folder / '1.png'} is not a picture that can be read: it is left out."
    assert len(said) == 1, "once is enough"
    with pytest.raises(UserError, match=r"1\.png is not a picture"):
        list(read_video(folder))
