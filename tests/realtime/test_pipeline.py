"""What happens to a frame, with a performer who leaves."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Literal

import numpy as np
import pytest

from engines.choose import Choice
from engines.parity import psnr_db
from realtime.frame import Frame, Rgb
from realtime.live.failover import FailoverRenderer
from realtime.live.openpose_source import PosedFrame
from realtime.live.pipeline import CHAIN, STAGES, FigureFrame, PosePipeline, RenderPipeline, ShowPipeline
from realtime.meter import KEEP, Meter
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.estimator import PoseEstimator
from realtime.pose.track import PoseTrack
from realtime.subject import load_subject
from realtime.video import read_video
from tests.support.commands import DATA
from tests.support.scripted import ScriptedEstimator, ScriptedRenderer
from tests.support.standing_pose import standing
from tests.support.two_people import FAR_LEFT, FAR_RIGHT, scene

SCRIPTED = ScriptedRenderer()


def performance() -> Iterator[Rgb]:
    """bob dances, then his room is dark."""
    pictures = [rgb for rgb, _ in islice(read_video(DATA / "bob_clip.mp4"), 60, 75)]
    yield from pictures
    yield from [np.zeros_like(pictures[0])] * 30


def alice() -> FailoverRenderer:
    return FailoverRenderer(load_subject("alice"), [Choice("openvino", "f32")], 1)


def frame_of(rgb: Rgb, number: int, from_s: float = 0.0) -> Frame:
    return Frame(rgb=rgb, captured_at_s=from_s + number / 30, number=number)


def test_a_person_who_is_lost_stays_then_fades_and_the_background_is_empty_again() -> None:
    renderer, meter = alice(), Meter(*STAGES)
    pose = PosePipeline(PoseTrack.of(), renderer, meter)
    drawn = [pose.step(frame_of(rgb, number), renderer) for number, rgb in enumerate(performance())]
    ink = np.array([each.figure.rgb.sum() for each in drawn], np.float64)
    nobody = [each.no_person for each in drawn]
    assert not any(nobody[:38]), "lost for less than 0.8 s"
    assert all(nobody[39:])
    assert ink[20] > 0.8 * ink[14], "held"
    assert (np.diff(ink[20:]) <= 0).all(), "then it only fades"
    assert ink[34] < 0.5 * ink[14]
    assert not ink[38:].any()

    render = RenderPipeline(meter)
    empty = alice().step(drawn[-1].figure)
    pictures = [render.step(each).picture for each in drawn[10:15] + drawn[-2:]]
    assert pictures[4] is not None
    assert pictures[-1] is not None
    assert not np.array_equal(pictures[4], empty)
    assert np.array_equal(pictures[-1], empty), "no ghost of the person is left in the chain"


def pipeline(person: Literal["main", "left", "right"]) -> tuple[PosePipeline, PoseEstimator]:
    estimator = PoseEstimator(config=PoseConfig(pose_parts="body", person=person))
    return PosePipeline(PoseTrack(estimator), SCRIPTED, Meter(*STAGES)), estimator


def figures(pose: PosePipeline, pictures: Sequence[Rgb], *, from_s: float) -> list[Rgb]:
    return [pose.step(frame_of(rgb, number, from_s), SCRIPTED).figure.rgb for number, rgb in enumerate(pictures)]


def test_the_next_person_is_placed_as_if_nobody_had_been_there_before() -> None:
    """Neither a glide from one to the other, nor the range, limbs and hands of the one before."""
    duet = [scene(number, FAR_LEFT) for number in range(40)]
    (switched, estimator), (fresh, _) = pipeline("left"), pipeline("right")
    figures(switched, duet[:30], from_s=0)
    estimator.next_person()
    after, want = (figures(each, duet[30:], from_s=1) for each in (switched, fresh))
    assert all(figure.any() for figure in want)
    assert [np.array_equal(*pair) for pair in zip(after, want, strict=True)] == [True] * 10


@pytest.mark.parametrize("returns", [True, False])
def test_who_comes_into_an_empty_room_begins_anew_unless_it_is_the_one_who_left(returns: bool) -> None:
    (followed, _), (fresh, _) = pipeline("main"), pipeline("main")
    stays = figures(followed, [scene(number, None) for number in range(25)], from_s=0)
    gone = figures(followed, [scene(0, None, bob=False)] * 50, from_s=1.5)
    assert stays[-1].any()
    assert not gone[-1].any()
    comes = [scene(25, None) if returns else scene(0, FAR_RIGHT, bob=False)] * 3
    after, want = (figures(each, comes, from_s=4) for each in (followed, fresh))
    assert all(figure.any() for figure in want)
    assert np.array_equal(after[0], want[0]) is not returns


def test_a_reprojected_figure_gets_the_last_picture_of_its_own_subject() -> None:
    renderer, other, meter = alice(), alice(), Meter(*STAGES)
    pose, render, show = PosePipeline(PoseTrack.of(), renderer, meter), RenderPipeline(meter), ShowPipeline(meter)
    drawn = [pose.step(frame_of(rgb, number), renderer) for number, rgb in enumerate(islice(performance(), 6))]
    assert show.reprojectable(drawn[0]) is None
    assert show.step(drawn[0]) is None, "there is no picture yet"
    assert meter.count("show") == meter.count("show_wait") == 0, "only what is shown counts"
    rendered = render.step(drawn[4])
    show.keep(rendered)
    limbs = show.reprojectable(drawn[5])
    assert limbs is not None
    moved = show.step(replace(drawn[5], reproject=limbs))
    assert moved is not None
    assert rendered.picture is not None
    own = render.step(drawn[5]).picture
    assert own is not None
    assert psnr_db(moved.rgb, own) > psnr_db(rendered.picture, own), "it is in the newer pose"
    assert show.reprojectable(replace(drawn[5], renderer=other)) is None, "a picture of somebody else"
    assert show.step(replace(drawn[5], renderer=other, reproject=limbs)) is None
    assert meter.count("show") == meter.count("show_wait") == 1
    show.keep(FigureFrame(drawn[5].frame, renderer.subject.figure(None), renderer))
    assert show.reprojectable(drawn[5]) is None, "who comes after nobody is somebody new"


def test_counts_go_on_where_percentiles_forget() -> None:
    meter = Meter("render")
    for number in range(KEEP + 10):
        meter.add("render", 1.0 if number < 10 else 2.0)
    assert meter.count("render") == KEEP + 10
    assert meter.percentiles_ms("render", 0) == {"p0": 2000.0}
    meter.clear()
    assert meter.count("render") == 0


def test_the_parts_of_a_frames_way_add_up() -> None:
    renderer, meter = alice(), Meter(*STAGES)
    pose, render, show = PosePipeline(PoseTrack(), renderer, meter), RenderPipeline(meter), ShowPipeline(meter)
    frame = PosedFrame(rgb=np.zeros((64, 64, 3), np.uint8), captured_at_s=time.perf_counter() - 1, number=0, pose=None)
    picture = show.step(render.step(pose.step(frame, renderer)))
    assert picture
    parts_ms = {stage: meter.percentiles_ms(stage, 50).get("p50", 0.0) for stage in CHAIN}
    assert parts_ms["pose_wait"] >= 1000, "since it was captured"
    whole_ms = 1000 * (picture.waiting_since_s - frame.captured_at_s)
    assert 0.95 * whole_ms <= sum(parts_ms.values()) <= whole_ms


def test_pictures_of_the_source_before_are_nobody_elses() -> None:
    """One may be on its way when the source is exchanged."""
    resets = list[int]()

    class Counted(ScriptedEstimator):
        def reset(self) -> None:
            resets.append(frame.source)

    pose = PosePipeline(PoseTrack(Counted(standing())), SCRIPTED, Meter(*STAGES))
    rgb: Rgb = np.zeros((256, 256, 3), np.uint8)
    pose.forget(1, live=False)
    for number, source in enumerate((0, 0, 1, 1)):
        frame = replace(frame_of(rgb, number), source=source)
        pose.step(frame, SCRIPTED)
    assert resets == [1]
