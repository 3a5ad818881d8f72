"""Recordings and the virtual camera: what is in them whatever happens, and that nothing waits for them."""

import os
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest

from engines.errors import UserError
from realtime.frame import Frame
from realtime.live.commands import SessionCommands
from realtime.live.output import Output, fitted
from realtime.live.pipeline import STAGES
from realtime.live.recording import RecordingOutput
from realtime.live.session import Session
from realtime.live.virtual_camera import VirtualCameraOutput
from realtime.meter import Meter
from realtime.pose.track import PoseTrack
from server.sound import SharedSound
from tests.support.commands import DATA, assert_refused, command_here
from tests.support.scripted import KeptOutput, ScriptedEstimator, ScriptedRenderer, ScriptedSource
from tests.support.streams import numbered_picture, read_number
from tests.support.waiting import HANG_S, until

RECORD = """
import sys, time
from pathlib import Path
from realtime.frame import Frame
from realtime.live.recording import RecordingOutput
from tests.support.streams import numbered_picture
recording = RecordingOutput(Path(sys.argv[1]), on_end=lambda why: print(why, flush=True))
number = 0
while True:
    recording.write(Frame(rgb=numbered_picture(number), captured_at_s=number / 24, number=number))
    if number == 60: print("recorded", flush=True)
    number += 1
    time.sleep(0.02)
"""
"""Records at 24 fps, twice as fast as it happens, until it is killed."""


def give(output: RecordingOutput | VirtualCameraOutput, frames: list[Frame]) -> None:
    """At the output's own pace, so that none is overtaken."""
    for frame in frames:
        output.write(frame)
        until(lambda: output._frames._value is None)


def numbered(times_s: list[float], **size: int) -> list[Frame]:
    return [
        Frame(rgb=numbered_picture(number, **size), captured_at_s=100 + at_s, number=number)
        for number, at_s in enumerate(times_s)
    ]


def played(path: Path) -> tuple[list[float], list[int]]:
    """Times and numbers of the pictures that can be decoded."""
    times_s, numbers = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            times_s.append(float(frame.time or 0))
            numbers.append(read_number(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)))
    return times_s, numbers


def boxes(path: Path) -> list[str]:
    """The types of the boxes that the file consists of (ISO/IEC 14496-12, section 4.2)."""
    data, found = path.read_bytes(), []
    while data:
        size, kind = struct.unpack(">I4s", data[:8])
        found.append(kind.decode())
        data = data[size:]
    return found


def test_every_frame_is_recorded_at_its_own_time(tmp_path: Path) -> None:
    times_s = [number / 24 for number in range(40)] + [3.0, 3.5, 3.54]
    recording = RecordingOutput(tmp_path / "dance.mp4", comment="not filmed")
    give(recording, numbered(times_s))
    recording.close()
    shown_s, numbers = played(recording.path)
    assert shown_s == pytest.approx(times_s, abs=1e-4)
    assert numbers == list(range(43))
    with av.open(str(recording.path)) as container:
        assert container.metadata["comment"] == "not filmed"
    assert boxes(recording.path) == ["ftyp", "free", "mdat", "moov"], "it is an ordinary file once it is finished"


def test_its_rate_is_that_of_the_source(tmp_path: Path) -> None:
    recording = RecordingOutput(tmp_path / "dance.mp4")
    give(recording, numbered([number / 50 for number in range(100)]))
    recording.close()
    with av.open(str(recording.path)) as container:
        assert float(container.streams.video[0].average_rate or 0) == pytest.approx(50, abs=0.01)


def test_frames_of_another_size_are_fitted(tmp_path: Path) -> None:
    recording = RecordingOutput(tmp_path / "dance.mp4")
    first, second = numbered([0.0], width_px=257, height_px=128), numbered([0.0, 1.0], width_px=320, height_px=320)[1:]
    give(recording, first + second)
    recording.close()
    with av.open(str(recording.path)) as container:
        assert [(frame.width, frame.height) for frame in container.decode(video=0)] == [(256, 128)] * 2


def test_fitted_pictures_are_whole_and_in_the_middle() -> None:
    white = np.full((100, 50, 3), 255, np.uint8)
    picture = fitted(white, (200, 100))
    assert picture.shape == (100, 200, 3)
    assert (picture[:, 75:125] == 255).all()
    assert not picture[:, :75].any()
    assert not picture[:, 125:].any()
    assert fitted(white, (50, 100)) is white


def test_a_recording_without_a_frame_leaves_no_file(tmp_path: Path) -> None:
    recording = RecordingOutput(tmp_path / "dance.mp4")
    recording.close()
    assert not recording.path.exists()


def test_what_was_recorded_before_a_crash_can_be_played(tmp_path: Path) -> None:
    path = tmp_path / "dance.mp4"
    with subprocess.Popen([sys.executable, "-c", RECORD, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "recorded\n"
        process.kill()
    _, numbers = played(path)
    assert len(numbers) >= 24, "all but the last fragments"
    assert numbers == sorted(set(numbers))


def test_a_full_disk_ends_the_recording_with_a_sentence_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "dance.mp4"
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)){RECORD}"
    with subprocess.Popen([sys.executable, "-c", limited, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = {process.stdout.readline(), process.stdout.readline()}
        process.kill()
    assert said == {
        "recorded\n",
        "The recording dance.mp4 has ended, because no space is left on the disk; everything else goes on.\n",
    }
    _, numbers = played(path)
    assert numbers == sorted(set(numbers)), "what is kept is whole"
    assert len(numbers) >= 24


def test_a_recording_that_ended_by_itself_listens_no_more(tmp_path: Path) -> None:
    sound, said = SharedSound(), list[str]()
    recording = RecordingOutput(tmp_path / "dance.mp4", sound=sound, on_end=said.append)
    assert sound._listeners
    recording.path.unlink()
    recording.path.mkdir()
    give(recording, numbered([0.0]))
    until(lambda: recording.ended)
    assert said == ["The recording dance.mp4 has ended, because Is a directory; everything else goes on."]
    assert not sound._listeners
    recording.close()


def test_recording_by_command(tmp_path: Path) -> None:
    kept = KeptOutput()
    source = ScriptedSource([np.zeros((64, 64, 3), np.uint8)] * 10_000)
    session = Session(source, PoseTrack(ScriptedEstimator()), ScriptedRenderer(50), [kept], meter=Meter(*STAGES))
    asked = SessionCommands(session, lambda _: ScriptedRenderer(), folder=tmp_path)

    def taken(recording: Output, since: int) -> int:
        return len(kept.frames) - since - recording.dropped

    def recorded() -> object:
        state = asked.info()["state"]
        assert isinstance(state, dict)
        return state["record"]

    session.start()
    with pytest.raises(UserError, match="Nothing is being recorded"):
        asked.record("stop")
    first = asked.record("start")
    assert Path(first).is_absolute()
    assert recorded() == Path(first).name, "viewers learn no path"
    with pytest.raises(UserError, match="stop that first"):
        asked.record("start")
    since, recording = len(kept.frames), session._outputs[-1]
    until(lambda: taken(recording, since) > 5)
    assert asked.record("stop") == first
    assert recorded() is None
    second = asked.record_to(Path(os.path.relpath(first)))
    assert second.name == f"{Path(first).stem}_2.mp4", "nothing is overwritten"
    since, recording = len(kept.frames), session._outputs[-1]
    until(lambda: taken(recording, since) > 5)
    assert asked.record("stop") == str(second.resolve())
    session.stop()
    for path in (first, str(second)):
        with av.open(path) as container:
            assert len(list(container.decode(video=0))) > 3
            assert "not filmed" in container.metadata["comment"]


def test_a_session_whose_recording_ended_by_itself_may_rest(tmp_path: Path) -> None:
    session = Session(ScriptedSource([]), PoseTrack(ScriptedEstimator()), ScriptedRenderer(), [], meter=Meter(*STAGES))
    asked = SessionCommands(session, lambda _: ScriptedRenderer(), folder=tmp_path)
    asked.record("start")
    assert session._watched
    (recording,) = session._outputs
    recording.close()
    assert not session._watched
    with pytest.raises(UserError, match="Nothing is being recorded"):
        asked.record("stop")
    assert not session._outputs


def test_a_recording_that_ended_by_itself_is_told_on_the_page(tmp_path: Path) -> None:
    session = Session(ScriptedSource([]), PoseTrack(ScriptedEstimator()), ScriptedRenderer(), [], meter=Meter(*STAGES))
    asked = SessionCommands(session, lambda _: ScriptedRenderer(), folder=tmp_path)
    asked._say("The recording has ended.")
    assert asked.info()["notice"] == "The recording has ended."


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--record", "dance.avi"], ["--record", "dance.avi.mp4"]),
        (["--record", ""], ["--record", "dance.mp4"]),
        (["--record", "/tmp"], ["--record", "/tmp/dance.mp4"]),
        (["--osc", "0"], ["--osc", "1 to 65535"]),
        (["--allow-host", "a b"], ["--allow-host", "'a b'"]),
        (["--allow-host", "http://stage.local:8080"], ["--allow-host", "stage.local"]),
        (["--record", "/proc/dance.mp4", "--subject", "not looked for"], ["/proc/dance.mp4", "another name"]),
        (["--publish-token", "x"], ["--publish-token", "--publish"]),
        (["--publish", "rtmp://example"], ["--publish", "rtmp://example", "http"]),
    ],
)
def test_mistakes_get_one_sentence(arguments: list[str], words: list[str]) -> None:
    assert_refused(command_here("realtime", "run", "--source", "bob", "--port", "0", *arguments), *words)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_finishes_the_recording(number: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "dance.mp4"
    program = [str(Path(sys.executable).with_name("realtime")), "run", "--source", str(DATA / "bob_clip.mp4")]
    arguments = [*program, "--port", "0", "--record", str(path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert f"Recording to {path}\n" in iter(process.stdout.readline, "")
        until(lambda: path.exists() and path.stat().st_size > 10_000)
        process.send_signal(number)
        said, _ = process.communicate(timeout=HANG_S)
        assert process.returncode == 0
    assert said.splitlines()[-1] == f"{path} is kept."
    assert boxes(path) == ["ftyp", "free", "mdat", "moov"]
    with av.open(str(path)) as container:
        times_s = [float(frame.time or 0) for frame in container.decode(video=0)]
    assert len(times_s) > 1
    assert times_s == sorted(set(times_s))


class FakeCamera:
    """Keeps what it is sent; may wait."""

    device = "/dev/video9"

    def __init__(self, width: int, height: int, fps: float) -> None:
        self.size_px, self.sent, self.go = (width, height), list[np.ndarray[Any, Any]](), threading.Event()
        self.closed = False
        self.go.set()

    def send(self, rgb: np.ndarray[Any, Any]) -> None:
        assert self.go.wait(HANG_S)
        self.sent.append(rgb)

    def __enter__(self) -> "FakeCamera":
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("pyvirtualcam")
    module.Camera = FakeCamera  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyvirtualcam", module)
    return module


@pytest.mark.usefixtures("library")
def test_the_virtual_camera_shows_the_newest_frames_and_holds_nothing_up() -> None:
    output = VirtualCameraOutput((256, 256))
    camera = output._camera
    assert output.name == "/dev/video9"
    give(output, numbered([0.0, 0.1], width_px=320, height_px=256))
    until(lambda: len(camera.sent) == 2)
    assert {rgb.shape for rgb in camera.sent} == {(256, 256, 3)}
    camera.go.clear()
    for frame in numbered([number / 30 for number in range(50)]):
        output.write(frame)
    assert output.dropped >= 48
    camera.go.set()
    until(lambda: read_number(camera.sent[-1]) == 49)
    output.close()
    assert camera.closed


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("error", [RuntimeError("error writing to device"), OSError(19, "No such device")])
def test_a_virtual_camera_that_breaks_ends_nothing_else(
    error: Exception, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(self: FakeCamera, rgb: np.ndarray[Any, Any]) -> None:
        raise error

    monkeypatch.setattr(FakeCamera, "send", break_down)
    output, (frame,) = VirtualCameraOutput((256, 256)), numbered([0.0])
    assert output.watched
    output.write(frame)
    until(lambda: not output.watched)
    output.write(frame)
    output.close()
    assert output._camera.closed
    assert caplog.messages == [f"The virtual camera /dev/video9 has ended, because {error}; everything else goes on."]


def test_without_a_device_the_error_says_what_to_install(library: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise RuntimeError("no device")

    monkeypatch.setattr(library, "Camera", refuse)
    with pytest.raises(UserError, match="v4l2loopback"):
        VirtualCameraOutput((64, 64))
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(UserError, match="pip install"):
        VirtualCameraOutput((64, 64))
