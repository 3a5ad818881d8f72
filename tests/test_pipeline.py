"""What happens to a frame, with a performer who leaves."""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from engines.load import load_engine
from realtime.frame import Frame, Rgb
from realtime.meter import Meter
from realtime.pipeline import STAGES, PosePipeline, RenderPipeline
from realtime.pose.load import load_estimator
from realtime.render import Renderer
from realtime.subject import load_subject
from realtime.video import read_video
from tests.commands import DATA


def performance() -> Iterator[Rgb]:
    """bob dances, then his room is dark."""
    pictures = [rgb for rgb, _ in islice(read_video(DATA / "bob_clip.mp4"), 60, 75)]
    yield from pictures
    yield from [np.zeros_like(pictures[0])] * 30


def test_a_person_who_is_lost_stays_then_fades_and_the_room_is_empty_again() -> None:
    subject, meter = load_subject("alice"), Meter(*STAGES)
    pose = PosePipeline(subject, load_estimator("own", threads=1), meter)
    drawn = [
        pose.step(Frame(rgb=rgb, captured_at_s=number / 30, number=number)) for number, rgb in enumerate(performance())
    ]
    ink = np.array([each.figure.sum() for each in drawn], np.float64)
    nobody = [each.no_person for each in drawn]
    assert not any(nobody[:38]), "lost for less than 0.8 s"
    assert all(nobody[39:])
    assert ink[20] > 0.8 * ink[14], "held"
    assert (np.diff(ink[20:]) <= 0).all(), "then it only fades"
    assert ink[34] < 0.5 * ink[14]
    assert not ink[38:].any()

    generator = load_engine(subject.generator)
    render = RenderPipeline(Renderer(generator, None, subject.plate), meter)
    empty = Renderer(load_engine(subject.generator), None, subject.plate).step(drawn[-1].figure, None)
    pictures = [render.step(each).rgb for each in drawn[10:15] + drawn[-2:]]
    assert not np.array_equal(pictures[4], empty)
    assert np.array_equal(pictures[-1], empty), "no ghost of the person is left in the chain"
