"""Full disks: nothing is lost, nothing is left behind, and it is said in a sentence."""

from pathlib import Path

import numpy as np
import pytest

from engines.errors import UserError
from engines.files import disk_full_message
from realtime.pictures import write_picture
from realtime.video_writer import VideoWriter
from tests.support.commands import assert_refused, command
from tests.support.footage_files import paint, swaying, textured, write_film, write_labels
from tests.support.full_disk import no_file_beyond
from tests.support.streams import numbered_picture
from trainer.footage.extract import remux
from trainer.training.training_log import TensorBoardLog

NOISE = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)


def write_video(path: Path, pictures: int) -> None:
    with VideoWriter(path, 30) as writer:
        for _ in range(pictures):
            writer.write(NOISE)


@pytest.mark.parametrize("pictures", [1, 30, 90])
def test_a_video_is_whole_or_not_there(pictures: int, tmp_path: Path) -> None:
    """With one picture it is the end that fails, with many the middle."""
    (tmp_path / "v.mp4").write_bytes(b"old")
    with no_file_beyond(20_000), pytest.raises(UserError, match="no space for it"), disk_full_message("it", tmp_path):
        write_video(tmp_path / "v.mp4", pictures)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("v.mp4", b"old")]


def test_a_copied_video_is_whole_or_not_there(tmp_path: Path) -> None:
    video = write_film(tmp_path / "v.mp4", [numbered_picture(i) for i in range(60)], 1 / 30)
    with no_file_beyond(5000), pytest.raises(UserError, match="no space for it"), disk_full_message("it", tmp_path):
        remux(video, tmp_path / "copy.mp4", 30, 60)
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]


def test_a_picture_is_whole_or_not_there(tmp_path: Path) -> None:
    with no_file_beyond(5000), pytest.raises(UserError, match="no space for it"), disk_full_message("it", tmp_path):
        write_picture(tmp_path / "p.png", NOISE)
    assert not list(tmp_path.iterdir())


def test_curves_fail_where_they_are_written(tmp_path: Path) -> None:
    """Not in a thread, which would print its own traceback (and pytest would make an error of it)."""
    board = TensorBoardLog(tmp_path, 0)
    with no_file_beyond(5000), pytest.raises(UserError, match="no space for it"), disk_full_message("it", tmp_path):
        board.picture(1, "body", NOISE)
    board.close()


def test_prepare_goes_on(tmp_path: Path) -> None:
    moves, room = swaying(100, scale=1.8), textured(256, 256)
    video = write_film(tmp_path / "v.mkv", [paint(room, move) for move in moves], 1 / 30, codec="ffv1")
    labels, data = write_labels(tmp_path / "labels", moves), tmp_path / "run" / "data"
    data.mkdir(parents=True)
    prepare: list[str | Path] = [
        "trainer",
        "prepare",
        video,
        "--out",
        data.parent,
        "--openpose",
        labels,
        "--size",
        "64",
    ]
    refused = command(*prepare, disk_full_at=data / "frames.mp4")
    assert_refused(refused, f"no space for the prepared footage in {data.parent}", "the same command goes on")
    assert sorted(path.name for path in data.iterdir()) == ["poses.npz", "scanned"]
    done = command(*prepare)
    assert done.returncode == 0, done.stderr
    assert "Scanning" not in done.stdout, "once is enough"
    assert sorted(path.name for path in data.iterdir()) == ["frames.mp4", "plate.png", "poses.npz", "prepare.json"]
