"""Delay stays bounded: only old frames are dropped, before the pose, and whatever was late is soon forgotten."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
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
from realtime.live.quality import QualityConfig
from realtime.live.session import Session
from realtime.meter import Meter
from realtime.pose.pose import Pose
from realtime.pose.track import PoseTrack
from realtime.references.inputs import ReferenceInputs
from realtime.references.reproject import Rendering
from tests.support.commands import DATA
from tests.support.scripted import KeptOutput, ScriptedEstimator, ScriptedRenderer, ScriptedSource
from tests.support.standing_pose import standing
from tests.support.waiting import until

BLANK: Rgb = np.zeros((64, 64, 3), np.uint8)
FRAMES = 3
"""A slow part takes as long as the source takes for so many, however fast the machine is."""


class Brake:
    """Makes a part slow, until it is released."""

    def __init__(self, source: ScriptedSource) -> None:
        self._source, self.released = source, threading.Event()

    def hold(self) -> None:
        goal = self._source.number + FRAMES
        until(lambda: self.released.is_set() or self._source.number >= goal)


class BrakedRenderer(ScriptedRenderer):
    def __init__(self, brake: Brake) -> None:
        super().__init__()
        self._brake = brake

    def step(self, figure: Figure) -> Rgb:
        self._brake.hold()
        return super().step(figure)


class BrakedEstimator(ScriptedEstimator):
    def __init__(self, brake: Brake) -> None:
        super().__init__(standing(scale=0.5))
        self._brake = brake

    def estimate(self, rgb: Rgb) -> Pose | None:
        self._brake.hold()
        return super().estimate(rgb)


class BrakedOutput(WorkingOutput):
    """Reads more slowly than pictures come."""

    def __init__(self, brake: Brake) -> None:
        super().__init__("slow")
        self._brake = brake
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
                self._brake.hold()


@pytest.mark.parametrize("part", ["pose", "render"])
def test_a_slow_stage_drops_old_frames_and_catches_up_at_once(part: str) -> None:
    source, output = ScriptedSource(repeat(BLANK)), KeptOutput()
    brake = Brake(source)
    estimator = BrakedEstimator(brake) if part == "pose" else ScriptedEstimator(standing(scale=0.5))
    renderer = BrakedRenderer(brake) if part == "render" else ScriptedRenderer()
    session = Session(source, PoseTrack(estimator), renderer, [output], meter=Meter(*STAGES))
    session.start()
    until(lambda: len(output.frames) >= 30)
    dropped = session.dropped
    assert dropped["pose"] + dropped["parts"] > 30, "of three frames one can be done"
    assert dropped["encode"] == 0
    source.fps = 10  # so that every machine is quick enough
    brake.released.set()
    done = len(output.frames)
    until(lambda: len(output.frames) >= done + 20)
    session.stop()
    numbers = [frame.number for frame in output.frames]
    assert numbers == sorted(set(numbers)), "in order, none twice"
    gaps = [after - before for before, after in pairwise(numbers[done + 5 :])]
    assert np.median(gaps) == 1, "soon every frame is shown again"


class TakingRenderer(BrakedRenderer):
    """Counts the figures that it has begun with."""

    taken = 0

    def step(self, figure: Figure) -> Rgb:
        self.taken += 1
        return super().step(figure)


class WatchingEstimator(ScriptedEstimator):
    """Notes how many figures wait for the renderer whenever it is given a picture."""

    def __init__(self, renderer: TakingRenderer) -> None:
        super().__init__(standing(scale=0.5))
        self._renderer = renderer
        self.ahead: list[int] = []

    def estimate(self, rgb: Rgb) -> Pose | None:
        self.ahead.append(len(self.ahead) - self._renderer.taken)
        return super().estimate(rgb)


class MovableRenderer(BrakedRenderer):
    """What it renders slowly can be moved."""

    rendered = 0

    def __init__(self, brake: Brake) -> None:
        super().__init__(brake)
        assert self.subject.atlas
        self._inputs = ReferenceInputs(self.subject.atlas, self.subject.plate)
        self._cut: Rendering | None = None

    def step(self, figure: Figure) -> Rgb:
        picture, moved = super().step(figure), self._inputs.step(figure.pose)
        self._cut = Rendering.of(picture, np.full_like(picture, 255), self.subject.plate, moved)
        self.rendered += 1
        return picture

    def cut(self) -> Rendering | None:
        return self._cut


def test_reprojected_pictures_keep_the_pace_of_the_source() -> None:
    source, output = ScriptedSource(repeat(BLANK), fps=20), KeptOutput()
    renderer = MovableRenderer(Brake(source))
    session = Session(
        source,
        PoseTrack(ScriptedEstimator(standing(scale=0.5))),
        renderer,
        [output],
        meter=Meter(*STAGES),
        quality=QualityConfig(quality="high"),
    )
    session.start()
    until(lambda: session.level.reproject)
    begun, rendered = len(output.frames), renderer.rendered
    until(lambda: len(output.frames) >= begun + 60)
    shown, rendered = len(output.frames) - begun, renderer.rendered - rendered
    session.stop()
    assert shown >= 2 * rendered, "of three frames the networks can do one"
    numbers = [frame.number for frame in output.frames]
    assert numbers == sorted(set(numbers)), "in order, none twice"
    assert np.median(np.diff(numbers[begun:])) == 1
    assert session.dropped["parts"] <= FRAMES, "what is overtaken after the first ones was shown"


@pytest.mark.parametrize("few", [True, False])
def test_with_few_cores_no_figure_waits_while_the_next_is_made(few: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.live.session.FEW_CORES", 1000 if few else 0)
    source = ScriptedSource(repeat(BLANK))
    renderer = TakingRenderer(Brake(source))
    estimator = WatchingEstimator(renderer)
    session = Session(source, PoseTrack(estimator), renderer, [KeptOutput()], meter=Meter(*STAGES))
    session.start()
    until(lambda: renderer.taken >= 10)
    session.stop()
    assert (max(estimator.ahead) <= 1) == few, "the renderer, slower than the pose, has taken it or is just about to"


def test_a_slow_reader_gets_new_pictures_and_holds_nobody_up() -> None:
    source, quick = ScriptedSource(repeat(BLANK)), KeptOutput()
    brake = Brake(source)
    slow, estimator = BrakedOutput(brake), ScriptedEstimator(standing(scale=0.5))
    session = Session(source, PoseTrack(estimator), ScriptedRenderer(), [quick, slow], meter=Meter(*STAGES))
    session.start()
    until(lambda: len(slow.numbers) >= 20)
    brake.released.set()
    session.stop()
    assert slow.numbers == sorted(set(slow.numbers))
    assert slow.dropped > 0
    assert np.median(slow.ages) <= 1, "what it takes is the newest there is"
    assert len(quick.frames) >= slow.dropped + len(slow.numbers), "the others get them all"


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


class SimulatedRenderer:
    """Takes the newest figure whenever it is free, and 45 to 50 ms for a picture, by a clock of the test."""

    def __init__(self, in_time: JustInTime) -> None:
        self._in_time, self._free_at_s, self._busy = in_time, 0.0, False
        self.pictures = 0
        self.figure_at_s: float | None = None
        """Since when a figure waits."""
        self.idle_s = 0.0

    def run(self, now_s: float) -> None:
        """Do what is done until then."""
        if self._busy and self._free_at_s <= now_s:
            self._busy = False
            self._in_time.rendered(self._free_at_s)
        if self.figure_at_s is None or self._free_at_s > now_s:
            return
        began_at_s, self.figure_at_s = max(self._free_at_s, self.figure_at_s), None
        self.idle_s += began_at_s - self._free_at_s
        self._busy = True
        self._in_time.began(began_at_s)
        self._free_at_s, self.pictures = began_at_s + 0.045 + 0.005 * (self.pictures % 3 == 0), self.pictures + 1


def test_nothing_is_estimated_in_vain() -> None:
    in_time, now_s = JustInTime(), 0.0
    renderer = SimulatedRenderer(in_time)
    for number in range(100):  # there is always a frame
        renderer.run(now_s)
        now_s += in_time.wait_s(now_s, figures=renderer.figure_at_s is not None)
        renderer.run(now_s)
        pose_s = 0.010 + 0.002 * (number % 4 == 0)
        in_time.posed(pose_s)
        now_s += pose_s
        renderer.run(now_s)
        assert renderer.figure_at_s is None or number < 5, "it is overtaken by the next one"
        renderer.figure_at_s = now_s
    assert renderer.pictures > 90
    assert renderer.idle_s < 0.05 * now_s, "it waits for nothing"


def test_a_session_waits_until_the_renderer_will_be_free() -> None:
    session = Session(ScriptedSource([]), PoseTrack(ScriptedEstimator()), ScriptedRenderer(), [], meter=Meter(*STAGES))
    assert session._pause_s() == 0
    session._in_time.posed(1.0)
    session._in_time.began(0.0)
    session._in_time.rendered(3600.0)
    session._in_time.began(time.perf_counter())
    assert 3000 < session._pause_s() < 3600
    session._moving = True
    assert 6600 < session._pause_s() < 7200, "another figure comes first"


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
        dropped, watched = 0, True
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
