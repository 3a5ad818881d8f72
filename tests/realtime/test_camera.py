"""Cameras that fail as people report it: the driver is scripted, all above it is real."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engines.errors import UserError
from realtime.live import camera
from realtime.live.camera import CameraSource, find_device
from tests.support.commands import assert_refused, command


class Driver:
    """OpenCV's capture; each item of the script is a read: True is a picture, False a failure, an error is raised."""

    opened = 0
    script: Iterator[bool | Exception] = iter(())
    present: Callable[[], bool] = staticmethod(lambda: True)

    def __init__(self, device: int | str) -> None:
        Driver.opened += 1
        self.wanted: dict[int, float] = {}

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return Driver.present()

    def set(self, prop: int, value: float) -> bool:
        self.wanted[prop] = value
        return True

    def read(self) -> tuple[bool, Any]:
        item = next(Driver.script)
        if isinstance(item, Exception):
            raise item
        return item, np.full((8, 8, 3), (10, 20, 30), np.uint8) if item else None

    def release(self) -> None: ...


@pytest.fixture(autouse=True)
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Driver)
    monkeypatch.setattr(camera, "TRY_S", 0.0)
    monkeypatch.setattr(camera, "REOPEN_S", 0.01)
    Driver.opened, Driver.present = 0, staticmethod(lambda: True)


def test_a_read_that_fails_is_tried_again() -> None:
    Driver.script = iter([True, False, False, True])
    source = CameraSource("0")
    frames = [source.read(), source.read()]
    assert [frame.number for frame in frames if frame] == [0, 1]
    assert Driver.opened == 1
    assert frames[0]
    assert frames[0].rgb[0, 0].tolist() == [30, 20, 10], "RGB"


@pytest.mark.parametrize("failure", [False, cv2.error("gone")])
def test_a_camera_that_was_unplugged_is_waited_for(failure: bool | Exception, caplog: pytest.LogCaptureFixture) -> None:
    Driver.script = iter([True, *[failure] * camera.READ_TRIES, True])
    source = CameraSource("0")
    source.read()
    away = iter([False, False, True])
    Driver.present = staticmethod(lambda: next(away, True))
    if isinstance(failure, Exception):  # it ends the tries at once
        Driver.script = iter([failure, True])
    frame = source.read()
    assert frame
    assert frame.number == 1
    assert [record.message for record in caplog.records] == [
        "Camera 0 gives no pictures. Waiting for it.",
        "Camera 0 is back.",
    ]


def test_what_is_asked_of_the_driver() -> None:
    source = CameraSource("0", size_px=(1280, 720), fps=60)
    wanted = source._camera.wanted
    assert (wanted[cv2.CAP_PROP_FRAME_WIDTH], wanted[cv2.CAP_PROP_FRAME_HEIGHT]) == (1280, 720)
    assert wanted[cv2.CAP_PROP_FPS] == 60
    assert wanted[cv2.CAP_PROP_BUFFERSIZE] == 1


def test_a_closed_camera_ends_its_reader() -> None:
    Driver.script = iter([True])
    source = CameraSource("0")
    source.close()
    assert source.read() is None


def test_cameras_are_found_by_number_path_and_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in ((0, "Integrated Webcam"), (2, "Stage Cam 4K: video")):
        (tmp_path / f"video{number}").mkdir()
        (tmp_path / f"video{number}" / "name").write_text(f"{name}\n")
    monkeypatch.setattr(camera, "DEVICES", tmp_path)
    assert find_device("3") == 3
    assert find_device(str(tmp_path)) == str(tmp_path)
    assert find_device("stage cam") == "/dev/video2"
    with pytest.raises(UserError, match=r"no camera '-1'.*'Integrated Webcam', 'Stage Cam 4K: video'"):
        find_device("-1")
    with pytest.raises(UserError, match="/dev/nowhere"):
        find_device("/dev/nowhere")


def test_mistakes_get_one_sentence() -> None:
    assert_refused(command("realtime", "run", "--camera", "-1"), "There is no camera '-1'", "its number")
    assert_refused(command("realtime", "run", "--camera", "/dev/video77"), "There is no camera /dev/video77")
