"""Cameras that fail as people report it: the driver is scripted, all above it is real."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from engines.errors import UserError
from realtime.live import camera
from realtime.live.camera import CameraSource, find_device
from realtime.live.run_config import CaptureConfig
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


def test_a_camera_that_stalls_is_opened_anew_as_soon_as_its_driver_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = itertools.count(100.0, 10.0)
    monkeypatch.setattr(camera, "time", SimpleNamespace(perf_counter=lambda: next(now_s)))
    Driver.script = iter([True, False, True])
    source = CameraSource("0", say=lambda said: pytest.fail(f"no rate can be told from two pictures, but: {said}"))
    assert source.read()
    assert source.read()
    assert Driver.opened == 2, "after one read that took ten seconds, and not after five"


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


@pytest.mark.parametrize(
    ("size", "fps", "codec"),
    [
        ("1280x720", 60, "MJPG"),
        ("640x480", None, "YUYV"),
        ("640x480", 60, "MJPG"),
        (None, 25, "YUYV"),
        (None, None, ""),
    ],
)
def test_what_is_asked_of_the_driver(size: str | None, fps: float | None, codec: str) -> None:
    wanted = CameraSource("0", CaptureConfig(camera_size=size, camera_fps=fps))._camera.wanted
    asked = (wanted.get(cv2.CAP_PROP_FRAME_WIDTH), wanted.get(cv2.CAP_PROP_FRAME_HEIGHT))
    assert asked == (tuple(map(int, size.split("x"))) if size else (None, None))
    assert wanted.get(cv2.CAP_PROP_FPS) == fps
    assert wanted.get(cv2.CAP_PROP_FOURCC) == (cv2.VideoWriter.fourcc(*codec) if codec else None)
    assert wanted[cv2.CAP_PROP_BUFFERSIZE] == 1


@pytest.mark.parametrize(
    ("size", "fps", "step_s", "said"),
    [
        (None, None, 1 / 30, "Camera 0 gives 8x8 at 30.0 fps."),
        (None, None, 1 / 15, "Camera 0 gives 8x8 at 15.0 fps: more light, or a smaller --camera-size, may help."),
        ("1280x720", 60, 1 / 30, "Camera 0 gives 8x8 at 30.0 fps, not 1280x720 and 60 fps as asked: more light"),
    ],
)
def test_what_the_camera_gives_is_measured_and_said(
    size: str | None, fps: float | None, step_s: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first second is slow: exposure and focus settle.
    times_s = itertools.accumulate(itertools.chain([0, 0.7, 0.4], itertools.repeat(step_s)))
    clock = (at_s for at_s in times_s for _ in range(2))  # a read looks at it when it begins and when it is done
    monkeypatch.setattr("realtime.live.camera.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    Driver.script = itertools.repeat(True)
    told: list[str] = []
    source = CameraSource("0", CaptureConfig(camera_size=size, camera_fps=fps), say=told.append)
    for _ in range(200):
        source.read()
    assert len(told) == 1
    assert told[0].startswith(said)


@pytest.mark.parametrize("wrong", ["big", "1280", "0x0", "640x480x3", "99999x99999"])
def test_sizes_that_are_none(wrong: str) -> None:
    with pytest.raises(UserError, match="--camera-size must be like 1280x720"):
        CaptureConfig(camera_size=wrong)


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
    assert_refused(command("realtime", "run", "--camera", "Logitech"), "There is no camera 'Logitech'", "its name")
    assert_refused(command("realtime", "run", "--camera", "/dev/video77"), "There is no camera /dev/video77")


def test_a_camera_that_opens_when_the_source_is_closed_already_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    released = list[Driver]()
    monkeypatch.setattr(Driver, "release", lambda self: released.append(self), raising=False)
    Driver.script = iter([False] * camera.READ_TRIES)
    source = CameraSource("0")

    def opened_too_late(_: Driver) -> bool:
        source.close()
        return True

    monkeypatch.setattr(Driver, "isOpened", opened_too_late)
    assert source.read() is None
    assert Driver.opened == 2
    assert len(set(map(id, released))) == 2, "both"
