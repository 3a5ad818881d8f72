"""Sources and video files, with real media made here."""

import itertools
import threading
import time
import wave
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from engines.errors import UserError
from realtime.frame import Rgb
from realtime.live.openpose_source import PoseSource
from realtime.live.pace import Pace
from realtime.live.pipeline import STAGES, PosePipeline
from realtime.live.run_config import CaptureConfig
from realtime.live.source import FileSource, about_person, open_source
from realtime.live.stream_source import StreamSource
from realtime.meter import Meter
from realtime.named_films import performers
from realtime.pictures import PICTURES_FPS, write_picture
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.economy import Economy
from realtime.pose.pose import Pose
from realtime.pose.skeleton import BODY, LEFT_HAND
from realtime.pose.track import PoseTrack
from realtime.subject import load_subject
from realtime.video import count_frames, read_video
from realtime.video_writer import VideoWriter
from tests.support.commands import DATA
from tests.support.openpose_files import write_frame
from tests.support.scripted import ScriptedRenderer
from tests.support.streams import numbered_picture, read_number


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "count.mp4"
    with VideoWriter(path, 30, gop=5) as writer:
        for number in range(12):
            writer.write(numbered_picture(number))
    return path


def test_video_round_trip(video: Path) -> None:
    frames = list(read_video(video))
    assert [read_number(rgb) for rgb, _ in frames] == list(range(12))
    assert [at_s for _, at_s in frames] == pytest.approx([i / 30 for i in range(12)], abs=1e-3)
    assert frames[0][0].dtype == np.uint8
    assert np.abs(frames[3][0].astype(int) - numbered_picture(3)).mean() < 6
    assert count_frames(video) == 12


def test_a_video_that_breaks_off_while_written_leaves_nothing(tmp_path: Path) -> None:
    def write_and_fail() -> None:
        with VideoWriter(tmp_path / "x.mp4", 30) as writer:
            writer.write(numbered_picture(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_fail()
    assert not list(tmp_path.iterdir())


def test_a_file_plays_in_its_own_time_and_ends(video: Path) -> None:
    source = FileSource(video, loop=False)
    begun_at_s = time.perf_counter()
    frames = list(itertools.takewhile(lambda frame: frame is not None, iter(source.read, object())))
    assert [frame.number for frame in frames if frame] == list(range(12))
    assert time.perf_counter() - begun_at_s >= 11 / 30 - 0.01
    times = [frame.captured_at_s for frame in frames if frame]
    assert times == sorted(times)
    source.close()


def test_a_loop_goes_on_without_a_gap(video: Path) -> None:
    source = FileSource(video, loop=True)
    frames = [frame for _ in range(30) if (frame := source.read())]
    assert [read_number(frame.rgb) for frame in frames] == [number % 12 for number in range(30)]
    assert [frame.number for frame in frames] == list(range(30))
    source.close()
    assert source.read() is None


def test_a_film_that_vanishes_while_it_loops_is_waited_for(
    video: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("realtime.live.source.REOPEN_S", 0.2)
    source = FileSource(video, loop=True)
    assert source.read()
    away = video.rename(video.with_name("away.mp4"))
    back = threading.Timer(1.5, away.rename, [video])
    back.start()
    frames = [frame for _ in range(23) if (frame := source.read())]
    back.join()
    source.close()
    assert [read_number(frame.rgb) for frame in frames] == [*range(1, 12), *range(12)]
    steps_s = np.diff([frame.captured_at_s for frame in frames])
    assert steps_s[10] > 1
    assert frames[-1].captured_at_s - frames[11].captured_at_s > 10 / 30, "nothing is made up for"
    assert [record.message for record in caplog.records] == [
        "count gives no pictures. Waiting for it.",
        "count is back.",
    ]


@pytest.mark.parametrize("content", [b"", b"no film"])
def test_a_film_that_breaks_while_it_loops_is_waited_for_until_the_end(video: Path, content: bytes) -> None:
    source = FileSource(video, loop=True)
    frames = [source.read()]
    video.unlink()
    video.write_bytes(content)
    closing = threading.Timer(1.5, source.close)
    closing.start()
    while frames[-1] is not None:
        frames.append(source.read())
    ended_at_s = time.perf_counter()
    closing.join()
    assert len(frames) == 13
    assert time.perf_counter() - ended_at_s < 0.3, "it ends at once"


def test_a_single_picture_is_repeated_no_faster_than_a_folder_is_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    due_s: list[float] = []

    def at_once(_: Pace, at_s: float) -> bool:
        due_s.append(at_s)
        return True

    monkeypatch.setattr(Pace, "wait", at_once)
    folder = tmp_path / "pictures"
    folder.mkdir()
    write_picture(folder / "only.png", numbered_picture(0))
    for source in (FileSource(folder, loop=True, fps=20), FileSource(folder / "only.png", loop=True)):
        assert all(source.read() for _ in range(4))
        source.close()
    assert due_s[:4] == pytest.approx([number / 20 for number in range(4)])
    assert due_s[4:] == pytest.approx([number / PICTURES_FPS for number in range(4)])


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("onebad_h264_noise.mp4", 109),
        ("cover_first.mp4", 110),
        ("bframes.avi", 120),
        ("phone_hdr_hlg.mov", 110),
        ("portrait_9x16.mp4", 120),
        ("start_1h.mkv", 96),
    ],
)
def test_any_file_loops_without_a_gap(name: str, frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    due_s: list[float] = []

    def at_once(_: Pace, at_s: float) -> bool:
        due_s.append(at_s)
        return True

    monkeypatch.setattr(Pace, "wait", at_once)
    source = FileSource(DATA / "faults" / name, loop=True)
    played = [frame.rgb for _ in range(frames + 2) if (frame := source.read())]
    source.close()
    assert np.array_equal(played[0], played[frames])
    assert np.array_equal(played[1], played[frames + 1])
    steps_s = np.diff(due_s)
    bad = 1 if name.startswith("onebad") else 0
    assert np.sort(steps_s)[: len(steps_s) - bad] == pytest.approx(1 / 30, abs=2e-3)
    assert steps_s.max() == pytest.approx((1 + bad) / 30, abs=2e-3)


def test_recorded_poses_play_with_gaps_and_over_and_over() -> None:
    source = PoseSource(DATA / "openpose", fps=120)
    frames = [source.read() for _ in range(24)]
    source.close()
    assert source.read() is None
    assert [bool(frame and frame.pose) for frame in frames] == 2 * [False, *[True] * 5, False, *[True] * 5]
    first, again = frames[1], frames[13]
    assert first
    assert first.pose
    assert again
    assert np.array_equal(first.rgb, again.rgb)
    for part in (BODY.start, LEFT_HAND.start):
        x, y = first.pose.xy[part].round().astype(int)
        assert first.rgb[y - 4 : y + 5, x - 4 : x + 5].any(), "the pose is in pixels of the picture"
    assert first.rgb.shape == (512, 512, 3)


def test_recorded_poses_are_played_as_they_are(toy_subject: Path) -> None:
    class Blind:
        track_id = 0

        def estimate(self, rgb: Rgb) -> Pose | None:
            raise AssertionError("the pose is known")

        def reset(self) -> None: ...

        def next_person(self) -> None: ...

        def economize(self, economy: Economy) -> None: ...

    renderer = ScriptedRenderer(subject=load_subject(str(toy_subject)))
    pipeline = PosePipeline(PoseTrack(Blind()), renderer, Meter(*STAGES))
    source = PoseSource(DATA / "openpose", fps=120)
    drawn = [pipeline.step(frame, renderer) for _ in range(12) if (frame := source.read())]
    # Nobody at first; the gap in the sixth frame is held.
    assert [not each.no_person for each in drawn] == [False, *[True] * 11]
    assert [bool(each.figure.rgb.any()) for each in drawn] == [False, *[True] * 11]
    source.close()


def test_poses_that_cannot_be_played(tmp_path: Path) -> None:
    write_frame(tmp_path / "1.json", None)
    with pytest.raises(UserError, match="Nobody is in any"):
        open_source(None, f"poses:{tmp_path}")
    with pytest.raises(UserError, match=r"--fps must be from 1 to 240, not 0\."):
        open_source(None, f"poses:{tmp_path}", fps=0)
    assert open_source(None, f"poses:{DATA / 'openpose'}")[0].name == "openpose"


@pytest.fixture
def header_only(video: Path, tmp_path: Path) -> Path:
    """A video whose download broke off before its first picture."""
    whole, path = tmp_path / "whole.mp4", tmp_path / "begun.mp4"
    with av.open(video) as old, av.open(whole, "w", options={"movflags": "faststart"}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    data = whole.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 4])
    return path


@pytest.mark.parametrize("loop", [False, True])
def test_a_video_without_a_picture(header_only: Path, *, loop: bool) -> None:
    with pytest.raises(UserError, match=r"begun\.mp4"):
        FileSource(header_only, loop=loop)


def test_a_stream_of_sound(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(8000))
    with pytest.raises(UserError, match=r"sound\.wav cannot be opened \(it has no picture\)"):
        StreamSource(str(tmp_path / "sound.wav"), reopen=False)


def test_what_is_missed_while_the_program_stands_still_is_not_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, waits_s = 100.0, list[float]()
    monkeypatch.setattr("realtime.live.pace.time", SimpleNamespace(perf_counter=lambda: now_s))
    pace = Pace()
    monkeypatch.setattr(pace, "_closed", SimpleNamespace(wait=waits_s.append))
    for due_s, at_s in ((0.0, 100.0), (0.5, 100.25), (1.0, 101.5), (1.5, 131.5), (2.0, 131.75)):
        now_s = at_s
        assert pace.wait(due_s)
    assert waits_s == [0, 0.25, 0, 0, 0.25]


def test_files_that_are_no_video(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.mp4.*no such file"):
        FileSource(tmp_path / "no.mp4", loop=False)
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(UserError, match=r"text\.mp4 cannot be opened"):
        FileSource(tmp_path / "text.mp4", loop=False)


def test_without_a_camera_the_bundled_performer_plays() -> None:
    if list(Path("/dev").glob("video*")):
        pytest.skip("there is a camera here")
    source, remark = open_source(None, None)
    assert source.name == "bob"
    assert remark is not None
    assert "No camera" in remark
    assert source.read() is not None
    source.close()
    with pytest.raises(UserError, match=r"--person 7: bob\.mp4 has one person"):
        open_source(None, None, pose=PoseConfig(person=7))


def test_fewer_people_than_asked_for_are_spoken_of_where_more_may_come() -> None:
    assert about_person(PoseConfig(person="left")) is about_person(PoseConfig(person=1)) is None
    assert about_person(PoseConfig(person=2)) == (
        "While there are fewer than 2 people, the one at the right edge of the picture is followed."
    )


def test_what_cannot_be_opened_is_named() -> None:
    with pytest.raises(UserError, match="Camera 97 cannot be opened"):
        open_source("97", None)
    with pytest.raises(UserError, match=r"'nobody'.*bob"):
        open_source(None, "nobody")
    with pytest.raises(UserError, match="not both"):
        open_source("0", "bob")
    with pytest.raises(UserError, match="--fps is for folders"):
        open_source(None, "bob", fps=25)
    with pytest.raises(UserError, match="--camera-size and --camera-fps are for cameras"):
        open_source(None, "bob", capture=CaptureConfig(camera_fps=60))
    assert "bob" in performers()
