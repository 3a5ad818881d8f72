"""The load of a session, its share of the processor, and its levels; with clocks of the tests where they will do."""

import subprocess
import sys
import time
from itertools import repeat

import numpy as np
import pytest

from engines.cores import usable_cores
from realtime.frame import Rgb
from realtime.live.cpu_share import OWED_S, CpuShare
from realtime.live.load import LoadMeter
from realtime.live.output import StreamOutput
from realtime.live.pipeline import STAGES
from realtime.live.quality import AUTO, LEVELS, WINDOW_S, QualityConfig, QualityController
from realtime.live.session import TICK_S, Session
from realtime.meter import Meter
from realtime.pose.pose import Pose
from realtime.pose.track import PoseTrack
from tests.support.scripted import KeptOutput, ScriptedEstimator, ScriptedRenderer, ScriptedSource
from tests.support.standing_pose import standing
from tests.support.waiting import HANG_S, until

BLANK: Rgb = np.zeros((64, 64, 3), np.uint8)


@pytest.mark.parametrize(("pose_s", "render_s", "cpu_s", "load"), [(3, 2, 0, 1.6), (1, 3, 0, 1.5), (1, 1, 8, 2.0)])
def test_the_load_is_that_of_the_busiest_thread_or_of_the_processor(
    pose_s: float, render_s: float, cpu_s: float, load: float
) -> None:
    """Two pictures, one every two seconds, on two cores."""
    meter, used_s = Meter(*STAGES), [5.0]
    loads = LoadMeter(meter, 2, cpu_clock=lambda: used_s[0])
    assert loads.take() is None
    for number in range(9):
        loads.see(2.0 * number + (number == 4))  # one comes late
    assert loads.take() is None, "nothing was done"
    for _ in range(2):
        meter.add("pose", pose_s)
        meter.add("figure", 0.2)
        meter.add("show", 0.1)
        meter.add("parts", 0.1)
        meter.add("render", render_s)
    used_s[0] += 2 * cpu_s
    assert loads.take() == pytest.approx(load)
    meter.clear()
    assert loads.take() is None


@pytest.mark.parametrize(("render_s", "load"), [(3.9, 0.975), (5, 1.25), (1, 0.6)])
def test_beside_the_networks_the_load_is_what_pictures_wait_for(render_s: float, load: float) -> None:
    """One picture every two seconds. The networks may take two of them; they have what the processor has left."""
    meter, used_s = Meter(*STAGES), [0.0]
    loads = LoadMeter(meter, 2, cpu_clock=lambda: used_s[0])
    for number in range(9):
        loads.see(2.0 * number)
    for stage, duration_s in (("pose", 1.0), ("figure", 0.2), ("show", 0.3), ("parts", 0.1), ("render", render_s)):
        meter.add(stage, duration_s)
    used_s[0] += 100
    assert loads.take(beside=True) == pytest.approx(load)


def test_the_share_is_kept_over_many_frames() -> None:
    now_s = used_s = 0.0
    share = CpuShare(0.25, cores=4, clock=lambda: now_s, cpu_clock=lambda: used_s)
    frames = 0
    while now_s < 100:
        pause_s = share.pause_s()
        now_s += pause_s + 0.02
        used_s += 0.05  # 2.5 cores are busy
        frames += 1
    assert used_s / now_s == pytest.approx(1.0, rel=0.02), "a quarter of four cores"
    assert frames == pytest.approx(2000, rel=0.02)


def test_a_long_computation_is_not_paid_back_for_ever() -> None:
    now_s = used_s = 0.0
    share = CpuShare(0.5, cores=2, clock=lambda: now_s, cpu_clock=lambda: used_s)
    used_s += 60
    assert share.pause_s() == OWED_S
    now_s += OWED_S
    assert share.pause_s() == 0
    now_s += 60
    assert share.pause_s() == 0
    used_s += 0.3
    assert share.pause_s() == pytest.approx(0.2), "an idle minute is not saved up"


def burn(seconds: float) -> None:
    ends_at_s = time.thread_time() + seconds
    while time.thread_time() < ends_at_s:
        pass


class BurningEstimator(ScriptedEstimator):
    """Takes processor time, less of it while each hand is looked at more rarely."""

    def __init__(self, seconds: float) -> None:
        super().__init__(standing(scale=0.5))
        self._seconds = seconds

    def estimate(self, rgb: Rgb) -> Pose | None:
        burn(self._seconds / self.economy.hands_every**2)
        return super().estimate(rgb)


class Playing:
    """A session at 60 frames a second."""

    def __init__(self, estimator: ScriptedEstimator, quality: QualityConfig, *, watched: bool = True) -> None:
        output = KeptOutput() if watched else StreamOutput("alice")
        source, track = ScriptedSource(repeat(BLANK)), PoseTrack(estimator)
        self.renderer = ScriptedRenderer()
        self.session = Session(source, track, self.renderer, [output], meter=Meter(*STAGES), quality=quality)

    def __enter__(self) -> "Playing":
        self.session.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.session.stop()


def test_a_session_keeps_within_its_share_of_the_processor() -> None:
    share = 0.1
    with Playing(BurningEstimator(0.02), QualityConfig(quality="full", cpu_share=share)) as playing:
        until(lambda: playing.session.looked_at >= 5)
        begun_at_s, cpu_s, looked_at = time.perf_counter(), time.process_time(), playing.session.looked_at
        until(lambda: playing.session.looked_at >= looked_at + 30)
        used_s, elapsed_s = time.process_time() - cpu_s, time.perf_counter() - begun_at_s
    assert used_s <= 1.15 * share * usable_cores() * elapsed_s
    assert used_s >= 30 * 0.02, "it is the estimator's time that is measured"


def test_late_pictures_are_computed_more_cheaply() -> None:
    estimator = BurningEstimator(0.05)
    with Playing(estimator, AUTO) as playing:
        until(lambda: playing.session.level.economy.hands_every > 1)
        until(lambda: estimator.economy == playing.session.level.economy)
        info = playing.session.info()["quality"]
        assert isinstance(info, dict)
        assert info["level"] >= 1


def test_a_fixed_level_stays_and_can_be_changed_in_a_running_session() -> None:
    estimator = BurningEstimator(0.05)
    with Playing(estimator, QualityConfig(quality="low")) as playing:
        until(lambda: playing.session.level.name == "low" and playing.renderer.face_every == 2)
        playing.session.quality = "full"
        until(lambda: estimator.economy.hands_every == 1 and playing.renderer.face_every == 1)
        assert not playing.session.wait(3 * WINDOW_S)
        assert playing.session.level.name == "full"


def test_a_first_picture_that_takes_long_is_no_trouble() -> None:
    """By a clock of the test: the first of 60 pictures a second takes three looks at the load."""
    meter, controller = Meter(*STAGES), QualityController(len(LEVELS))
    loads = LoadMeter(meter, 2, cpu_clock=lambda: 0.0)
    for tick in range(3, 40):
        for number in range(15):
            loads.see(TICK_S * (tick + number / 15))
            meter.add("pose", 3 * TICK_S if tick == 3 and number == 0 else 0.005)
            for stage in ("figure", "show", "parts", "render"):
                meter.add(stage, 0.002)
        load = loads.take()
        assert load is not None
        assert (load > 1) == (tick == 3)
        assert controller.step(TICK_S * tick, load) == 0


def test_while_nobody_watches_nothing_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.live.session.REST_S", 0.1)
    with Playing(BurningEstimator(0.05), AUTO, watched=False) as playing:
        until(lambda: playing.session.looked_at > 25)
        assert playing.session.level.name == "full"


ENDING = """
import threading, time
from itertools import repeat
import numpy as np
from realtime.live.pipeline import STAGES
from realtime.live.quality import QualityConfig
from realtime.live.session import Session
from realtime.meter import Meter
from realtime.pose.track import PoseTrack
from tests.support.scripted import KeptOutput, ScriptedEstimator, ScriptedRenderer, ScriptedSource

begun, stopped = threading.Event(), threading.Event()

class Compiling(ScriptedEstimator):
    def economize(self, economy):
        begun.set()
        stopped.wait()
        time.sleep(0.5)
        print("compiled", flush=True)

source, track = ScriptedSource(repeat(np.zeros((64, 64, 3), np.uint8))), PoseTrack(Compiling())
quality = QualityConfig(quality="low")
session = Session(source, track, ScriptedRenderer(), [KeptOutput()], meter=Meter(*STAGES), quality=quality)
session.start()
begun.wait()
session.stop()
print("stopped", flush=True)
stopped.set()
"""


def test_the_end_of_the_process_waits_for_what_is_compiled_for_a_level() -> None:
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=HANG_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["stopped", "compiled"]
