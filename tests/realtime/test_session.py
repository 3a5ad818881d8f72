"""The threads of a session, with scripted parts: no networks, no server."""

import threading
import time
from collections.abc import Callable, Iterator
from itertools import chain, repeat

import numpy as np
import pytest

from realtime.figure import Figure
from realtime.frame import Frame, Rgb
from realtime.live.output import Output, StreamOutput
from realtime.live.pipeline import STAGES
from realtime.live.session import Session
from realtime.live.source import FileSource
from realtime.meter import Meter
from realtime.named_films import performers
from realtime.pose.blur_meter import ADVICE, BlurMeter
from realtime.pose.fill_missing import FillConfig
from realtime.pose.pose import Pose
from realtime.pose.track import PoseTrack
from tests.support.scripted import KeptOutput, ScriptedEstimator, ScriptedRenderer, ScriptedSource
from tests.support.standing_pose import standing
from tests.support.waiting import HANG_S, until

BLANK: Rgb = np.zeros((64, 64, 3), np.uint8)
Item = Rgb | Callable[[], None]


def session_of(*outputs: Output, pictures: Iterator[Item] | None = None, grey: int = 50) -> Session:
    source = ScriptedSource(repeat(BLANK) if pictures is None else pictures)
    estimator = ScriptedEstimator(standing(scale=0.5))
    return Session(source, PoseTrack(estimator), ScriptedRenderer(grey), outputs, meter=Meter(*STAGES))


def test_every_output_gets_the_frames_and_is_closed() -> None:
    outputs = KeptOutput(), KeptOutput()
    session = session_of(*outputs)
    session.start()
    until(lambda: len(outputs[1].frames) > 5)
    session.stop()
    for output in outputs:
        assert output.closed
        numbers = [frame.number for frame in output.frames]
        assert numbers == sorted(set(numbers))
        assert all((frame.rgb == 50).all() for frame in output.frames)


def test_only_who_is_in_front_of_a_camera_is_advised_on_its_exposure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(BlurMeter, "blurred", True)
    film, output = FileSource(performers()["bob"], loop=True), KeptOutput()
    session = Session(
        film, PoseTrack(ScriptedEstimator(standing())), ScriptedRenderer(), [output], meter=Meter(*STAGES)
    )
    session.start()
    until(lambda: len(output.frames) > 3)
    assert ADVICE not in caplog.text
    session.exchange_source(ScriptedSource(repeat(BLANK)))
    until(lambda: ADVICE in caplog.text)
    session.stop()


def test_its_figures_are_of_every_stage() -> None:
    output = StreamOutput("alice", always=True)
    session = session_of(output)
    assert not session.info()["flowing"], "nothing has begun"
    session.start()
    until(lambda: bool(session.info()["flowing"]))
    until(lambda: bool(session.info()["shown"]))
    stages_ms = session.info()["stages_ms"]
    assert isinstance(stages_ms, dict)
    assert stages_ms.keys() == set(STAGES)
    until(lambda: bool(session.info()["stages_ms"]["render"]))  # type: ignore[index]
    session.stop()


def test_while_nobody_watches_pose_and_renderer_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.live.session.REST_S", 0.2)
    output = StreamOutput("alice")
    session = session_of(output)
    session.start()
    until(lambda: session.looked_at > 2)
    begun_at_s, looked_at = time.perf_counter(), session.looked_at
    until(lambda: session.looked_at > looked_at + 4)
    assert time.perf_counter() - begun_at_s >= 0.6, "five frames a second"
    until(lambda: bool(session.info()["flowing"]))
    monkeypatch.setattr("realtime.live.session.REST_S", 3600)
    monkeypatch.setattr(StreamOutput, "watched", True)
    looked_at = session.looked_at
    until(lambda: session.looked_at > looked_at + 20)
    session.stop()


def test_at_rest_one_look_that_misses_the_performer_is_no_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Glancing(ScriptedEstimator):
        misses = 1
        """Looks of four that see nobody."""
        looks = 0

        def estimate(self, rgb: Rgb) -> Pose | None:
            self.looks += 1
            return None if self.looks % 4 < self.misses else super().estimate(rgb)

    monkeypatch.setattr("realtime.live.session.REST_S", 0.05)
    estimator, absent = Glancing(standing(scale=0.5)), list[bool]()
    track = PoseTrack(estimator, fill=FillConfig(lost_s=0.01))
    session = Session(
        ScriptedSource(repeat(BLANK)), track, ScriptedRenderer(), [StreamOutput("alice")], meter=Meter(*STAGES)
    )
    session.start()
    until(lambda: absent.append(session.nobody) or session.looked_at > 12)  # type: ignore[func-returns-value]
    assert not any(absent)
    assert session.seen < session.looked_at
    estimator.misses = 4
    until(lambda: session.nobody)
    session.stop()


def test_the_delay_is_that_of_the_newest_pictures() -> None:
    meter = Meter("latency")
    for at_s in [*[0.1] * 1000, *[0.5] * 100]:
        meter.add("latency", at_s)
    assert meter.percentiles_ms("latency", 50) == {"p50": 100}
    assert meter.percentiles_ms("latency", 50, newest=90) == {"p50": 500}


def test_an_output_that_fails_ends_the_session_and_its_owner_hears_of_it() -> None:
    class Full(KeptOutput):
        def write(self, frame: Frame) -> None:
            raise OSError("the disk is full")

    session = session_of(Full())
    session.start()
    with pytest.raises(OSError, match="the disk is full"):
        session.wait(HANG_S)
    session.stop()


def test_an_encoder_that_fails_is_heard_of_at_the_next_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    output = StreamOutput("alice", always=True)
    session = session_of(output)
    monkeypatch.setattr("server.stream.LiveEncoder.encode", lambda *_, **__: [][0])
    session.start()
    with pytest.raises(IndexError):
        session.wait(HANG_S)
    session.stop()


def test_the_subject_is_exchanged_in_a_running_session() -> None:
    output = KeptOutput()
    session = session_of(output, grey=50)
    session.start()
    until(lambda: len(output.frames) > 2)
    session.renderer = ScriptedRenderer(200)
    until(lambda: (output.frames[-1].rgb == 200).all())
    session.stop()
    greys = [int(frame.rgb[0, 0, 0]) for frame in output.frames]
    assert greys == sorted(greys)
    assert greys[0] == 50
    assert any(50 < grey < 200 for grey in greys), "it does not jump"
    numbers = [frame.number for frame in output.frames]
    assert numbers == sorted(set(numbers)), "no frame is lost or comes twice for it"


def test_a_source_that_waits_holds_nothing_else_up() -> None:
    output, moving = KeptOutput(), threading.Event()

    def stall() -> None:
        assert moving.wait(HANG_S)

    pictures: list[Item] = [BLANK, stall, BLANK]
    session = session_of(output, pictures=iter(pictures))
    session.start()
    until(lambda: len(output.frames) == 1)
    assert not session.wait(0)
    moving.set()
    assert session.wait(HANG_S)
    session.stop()


def test_a_source_that_is_silent_is_named_and_the_background_shown_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("realtime.live.session.SILENT_S", 0.3)
    monkeypatch.setattr("realtime.live.session.IDLE_S", 0.6)
    output, back = KeptOutput(), threading.Event()

    def stall() -> None:
        assert back.wait(HANG_S)

    class Present(ScriptedRenderer):
        def step(self, figure: Figure) -> Rgb:
            return np.full_like(figure.rgb, 0 if figure.pose is None else 50)

    source = ScriptedSource(chain([BLANK] * 5, [stall], repeat(BLANK)))
    estimator = ScriptedEstimator(standing(scale=0.5))
    session = Session(source, PoseTrack(estimator), Present(), [output], meter=Meter(*STAGES))
    session.start()
    until(lambda: "No picture from script. Waiting for it" in str(session.info().get("notice")))
    until(lambda: (output.frames[-1].rgb == 0).all())
    before = output.frames[-1].number
    back.set()
    until(lambda: output.frames[-1].number > before and (output.frames[-1].rgb == 50).all())
    until(lambda: "notice" not in session.info())
    session.stop()


@pytest.mark.parametrize("part", ["source", "estimator", "renderer"])
def test_what_hangs_does_not_keep_a_session_from_ending(part: str) -> None:
    hanging, leave = threading.Event(), threading.Event()

    def hang() -> None:
        hanging.set()
        leave.wait(10 * HANG_S)

    class HangingEstimator(ScriptedEstimator):
        def estimate(self, rgb: Rgb) -> Pose | None:
            hang()
            return None

    class HangingRenderer(ScriptedRenderer):
        def step(self, figure: Figure) -> Rgb:
            hang()
            return figure.rgb

    pictures: list[Item] = [hang if part == "source" else BLANK, *[BLANK] * 1000]
    source = ScriptedSource(pictures)
    estimator = HangingEstimator() if part == "estimator" else ScriptedEstimator()
    renderer = HangingRenderer() if part == "renderer" else ScriptedRenderer()
    session = Session(source, PoseTrack(estimator), renderer, [KeptOutput()], meter=Meter(*STAGES))
    session.start()
    assert hanging.wait(HANG_S)
    stopped = threading.Thread(target=session.stop)
    stopped.start()
    stopped.join(HANG_S)
    assert not stopped.is_alive(), "it would have waited for as long as the part hangs"
    leave.set()


def test_a_stalled_stage_is_named_once_in_the_log_and_to_viewers(caplog: pytest.LogCaptureFixture) -> None:
    stalled, go_on = threading.Event(), threading.Event()

    class StallingRenderer(ScriptedRenderer):
        def step(self, figure: Figure) -> Rgb:
            if not stalled.is_set():
                stalled.set()
                assert go_on.wait(HANG_S)
            return super().step(figure)

    output = KeptOutput()
    session = Session(
        ScriptedSource(repeat(BLANK)),
        PoseTrack(ScriptedEstimator()),
        StallingRenderer(),
        [output],
        meter=Meter(*STAGES),
    )
    session.start()
    assert stalled.wait(HANG_S)
    until(lambda: session.info().get("notice") == "The stage render has stalled.")
    for _ in range(3):
        assert not session.wait(0)
    assert [record.getMessage() for record in caplog.records] == ["The stage render has been at one frame for 0.8 s."]
    go_on.set()
    until(lambda: bool(output.frames))
    until(lambda: "notice" not in session.info() or "stalled" not in str(session.info()["notice"]))
    session.stop()
