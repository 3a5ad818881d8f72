"""The threads of a session, with scripted parts: no networks, no server."""

import threading
import time
from collections.abc import Callable, Iterator
from itertools import repeat

import numpy as np
import pytest

from realtime.frame import Frame, Rgb
from realtime.live.output import Output, StreamOutput
from realtime.live.pipeline import FADE_S, STAGES
from realtime.live.session import Session
from realtime.meter import Meter
from tests.support.scripted import KeptOutput, ScriptedEstimator, ScriptedRenderer, ScriptedSource
from tests.support.standing_pose import standing

BLANK: Rgb = np.zeros((64, 64, 3), np.uint8)
Item = Rgb | Callable[[], None]


def session_of(*outputs: Output, pictures: Iterator[Item] | None = None, grey: int = 50) -> Session:
    source = ScriptedSource(repeat(BLANK) if pictures is None else pictures)
    estimator = ScriptedEstimator(standing(scale=0.5))
    return Session(source, estimator, ScriptedRenderer(grey), outputs, meter=Meter(*STAGES))


def until(condition: Callable[[], bool]) -> None:
    ends_at_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends_at_s
        time.sleep(0.01)


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


def test_an_output_that_fails_ends_the_session_and_its_owner_hears_of_it() -> None:
    class Full(KeptOutput):
        def write(self, frame: Frame) -> None:
            raise OSError("the disk is full")

    session = session_of(Full())
    session.start()
    with pytest.raises(OSError, match="the disk is full"):
        session.wait(20)
    session.stop()


def test_an_encoder_that_fails_is_heard_of_at_the_next_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    output = StreamOutput("alice", always=True)
    session = session_of(output)
    monkeypatch.setattr("server.encode.Vp8Encoder.encode", lambda *_, **__: [][0])
    session.start()
    with pytest.raises(IndexError):
        session.wait(20)
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
    faded = [frame for frame, grey in zip(output.frames, greys, strict=True) if 50 < grey < 200]
    assert faded, "it does not jump"
    assert faded[-1].captured_at_s - faded[0].captured_at_s <= FADE_S
    numbers = [frame.number for frame in output.frames]
    assert numbers == sorted(set(numbers)), "no frame is lost or comes twice for it"


def test_a_source_that_waits_holds_nothing_else_up() -> None:
    output, moving = KeptOutput(), threading.Event()

    def stall() -> None:
        assert moving.wait(20)

    pictures: list[Item] = [BLANK, stall, BLANK]
    session = session_of(output, pictures=iter(pictures))
    session.start()
    until(lambda: len(output.frames) == 1)
    assert not session.wait(0)
    moving.set()
    assert session.wait(20)
    session.stop()
