"""Delay stays bounded: only old frames are dropped, before the pose, and whatever was late is soon forgotten."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from itertools import pairwise, repeat
from pathlib import Path

import numpy as np
import pytest

from realtime.figure import Figure
from realtime.frame import Frame, Rgb
from realtime.live.just_in_time import JustInTime
from realtime.live.output import WorkingOutput
from realtime.live.pipeline import STAGES
from realtime.live.session import Session
from realtime.meter import Meter
from realtime.pose.pose import Pose
from realtime.pose.track import PoseTrack
from tests.support.commands import DATA
from tests.support.scripted import KeptOutput, ScriptedEstimator, ScriptedRenderer, ScriptedSource
from tests.support.standing_pose import standing
from tests.support.waiting import until

BLANK: Rgb = np.zeros((64, 64, 3), np.uint8)
SOURCE_FPS, SLOW_S = 30, 0.09
"""A stage takes nearly three of the source's frames, and while it is quick no machine is too slow for them."""


class SlowRenderer(ScriptedRenderer):
    """Takes its time, while it is `slow`."""

    slow = True

    def step(self, figure: Figure) -> Rgb:
        time.sleep(SLOW_S if self.slow else 0)
        return super().step(figure)


class SlowEstimator(ScriptedEstimator):
    """Takes its time, while it is `slow`."""

    slow = True

    def estimate(self, rgb: Rgb) -> Pose | None:
        time.sleep(SLOW_S if self.slow else 0)
        return super().estimate(rgb)


class SlowOutput(WorkingOutput):
    """Reads more slowly than pictures come."""

    def __init__(self) -> None:
        super().__init__("slow")
        self.numbers: list[int] = []
        self.ages: list[int] = []
        self.newest = -1
        """Number of the newest picture that there is."""
        self._thread.start()

    def write(self, frame: Frame) -> None:
        self.newest = frame.number
        super().write(frame)

    def _work(self) -> None:
        while not self._stop.is_set():
            frame = self._frames.take(0.1)
            if frame is not None:
                self.numbers.append(frame.number)
                self.ages.append(self.newest - frame.number)
                time.sleep(2 * SLOW_S)


def session_of(estimator: ScriptedEstimator, renderer: ScriptedRenderer, output: KeptOutput | SlowOutput) -> Session:
    source = ScriptedSource(repeat(BLANK), fps=SOURCE_FPS)
    return Session(source, PoseTrack(estimator), renderer, [output], meter=Meter(*STAGES))


@pytest.mark.parametrize("part", ["pose", "render"])
def test_a_slow_stage_drops_old_frames_before_the_pose_and_catches_up_at_once(part: str) -> None:
    pose = standing(scale=0.5)
    estimator = SlowEstimator(pose) if part == "pose" else ScriptedEstimator(pose)
    renderer = SlowRenderer() if part == "render" else ScriptedRenderer()
    output = KeptOutput()
    session = session_of(estimator, renderer, output)
    session.start()
    until(lambda: len(output.frames) >= 30)
    assert session._frames.dropped > 15, "30 frames a second come, at most 11 can be done"
    assert session._figures.dropped <= session._frames.dropped // 5, "little is estimated in vain"
    slow = estimator if isinstance(estimator, SlowEstimator) else renderer
    assert isinstance(slow, SlowEstimator | SlowRenderer)
    slow.slow = False
    done = len(output.frames)
    until(lambda: len(output.frames) >= done + 60)
    session.stop()
    numbers = [frame.number for frame in output.frames]
    assert numbers == sorted(set(numbers)), "in order, none twice"
    gaps = [after - before for before, after in pairwise(numbers[done + 20 :])]
    assert np.median(gaps) == 1, "soon every frame is shown again"


def test_a_slow_reader_gets_new_pictures_and_holds_nobody_up() -> None:
    slow, quick = SlowOutput(), KeptOutput()
    session = session_of(ScriptedEstimator(standing(scale=0.5)), ScriptedRenderer(), quick)
    session.add(slow)
    session.start()
    until(lambda: len(slow.numbers) >= 10)
    session.stop()
    assert slow.numbers == sorted(set(slow.numbers))
    assert slow.dropped > 10
    assert np.median(slow.ages) <= 2, "what it takes is the newest there is"
    assert len(quick.frames) >= slow.dropped, "the others get them all"


def test_a_frame_is_begun_when_the_renderer_will_be_free() -> None:
    in_time = JustInTime()
    assert in_time.wait_s(0.0, figures=0) == 0, "nothing is known"
    for number in range(10):
        in_time.posed(0.012 if number == 5 else 0.010)
        in_time.began(number)
        in_time.rendered(number + 0.045)
    assert in_time.wait_s(10.0, figures=0) == 0, "the renderer is free"
    in_time.began(10.0)
    assert in_time.wait_s(10.001, figures=0) == pytest.approx(0.045 - 0.012 - 0.001)
    assert in_time.wait_s(10.001, figures=1) == pytest.approx(0.090 - 0.012 - 0.001)
    assert in_time.wait_s(10.001, figures=2) == pytest.approx(0.135 - 0.012 - 0.001)
    assert in_time.wait_s(10.040, figures=0) == 0, "it is high time"
    in_time.moved(0.020)
    assert in_time.wait_s(10.001, figures=0) == pytest.approx(0.045 - 0.012 - 0.020 - 0.001)
    for _ in range(8):
        in_time.posed(0.050)
    assert in_time.wait_s(10.001, figures=0) == 0, "a pose that takes longer is begun at once"


PROGRAM = """
    import sys
    from pathlib import Path
    import time
    from realtime.live.pipeline import STAGES
    from realtime.live.session import Session
    from realtime.live.source import FileSource
    from realtime.meter import Meter
    from realtime.pose.track import PoseTrack
    from tests.support.scripted import ScriptedEstimator, ScriptedRenderer
    from tests.support.standing_pose import standing

    class Printer:
        dropped = 0
        def write(self, frame):
            print(frame.number, time.perf_counter() - frame.captured_at_s, flush=True)
        def close(self):
            pass

    source = FileSource(Path(sys.argv[1]), loop=True)
    track = PoseTrack(ScriptedEstimator(standing(scale=0.5)))
    session = Session(source, track, ScriptedRenderer(), [Printer()], meter=Meter(*STAGES))
    session.start()
    session.wait(120)
"""
ASLEEP_S = 2.5


def test_a_process_that_was_suspended_goes_on_with_new_frames() -> None:
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(DATA / "bob_clip.mp4")]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        before = [process.stdout.readline() for _ in range(30)]
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(ASLEEP_S)
        os.kill(process.pid, signal.SIGCONT)
        after = [process.stdout.readline() for _ in range(90)]
        process.kill()
    numbers = [int(line.split()[0]) for line in before + after]
    assert numbers == sorted(set(numbers))
    ages_s = [float(line.split()[1]) for line in after]
    old = [age_s for age_s in ages_s if age_s > ASLEEP_S / 2]
    assert len(old) <= 10, "what each thread was at when it fell asleep, and whenever else the machine stood still"
    assert np.median(ages_s[45:]) < ASLEEP_S / 10, "a second and a half later nothing is late"
