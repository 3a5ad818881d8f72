"""Sources and video files, with real media made here."""

import itertools
import time
from pathlib import Path

import numpy as np
import pytest

from engines.errors import UserError
from realtime.frame import Rgb
from realtime.live.openpose_source import PoseSource
from realtime.live.pipeline import STAGES, PosePipeline
from realtime.live.source import FileSource, open_source, performers
from realtime.meter import Meter
from realtime.pose.openpose import write_frame
from realtime.pose.pose import Pose
from realtime.pose.skeleton import BODY, LEFT_HAND
from realtime.pose.track import PoseTrack
from realtime.subject import load_subject
from realtime.video import VideoWriter, count_frames, read_video
from tests.support.commands import DATA
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


def test_what_cannot_be_opened_is_named() -> None:
    with pytest.raises(UserError, match="Camera 97 cannot be opened"):
        open_source("97", None)
    with pytest.raises(UserError, match=r"'nobody'.*bob"):
        open_source(None, "nobody")
    with pytest.raises(UserError, match="not both"):
        open_source("0", "bob")
    assert "bob" in performers()
