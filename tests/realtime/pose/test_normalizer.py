"""Global pose normalization: EDN's map without its faults, learnt live."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.pose.measure import ankle_line_px, middle, stature_px
from realtime.pose.normalization.motion_range import MotionRange, Stand, measure_range, observe, whole_range
from realtime.pose.normalization.normalizer import Anchor, Normalizer, place
from realtime.pose.pose import Pose
from realtime.pose.skeleton import INDEX
from realtime.pose.smooth import Smoother
from tests.support.numbers import floats
from tests.support.standing_pose import standing

TARGET = MotionRange(far_ankle=300, near_ankle=360, far_stature=200, near_stature=300, middle=190, reach=100)
SOURCE = MotionRange(far_ankle=100, near_ankle=130, far_stature=80, near_stature=110, middle=70, reach=40)
SIZE_PX = (640, 480)
HORIZON, SLOPE = 220.0, 1.6
"""Of the room that `stands_at` films."""


def stands_at(p: float, x: float = 320.0) -> Pose:
    """Somebody on the floor of a room of 640 x 480, at an ankle line from 350 (far, p = 0) to 450 (near, p = 1)."""
    ankle = 350 + 100 * p
    scale = SLOPE * (ankle - HORIZON) / stature_px(standing())
    pose = standing(scale=scale)
    shift = np.array([x - float(middle(pose, "hip")[0]), ankle - ankle_line_px(pose)], np.float32)
    return Pose(pose.xy + shift, pose.depth, pose.confidence)


def framed(pose: Pose, scale: float, x: float = 0.0, y: float = 0.0) -> Pose:
    """The same person in a picture of another resolution or framing."""
    moved = (pose.xy * scale + (x, y)).astype(np.float32)
    return Pose(moved, (pose.depth * scale).astype(np.float32), pose.confidence)


def unseen(pose: Pose, *joints: str) -> Pose:
    confidence = pose.confidence.copy()
    confidence[[INDEX[joint] for joint in joints]] = 0
    return Pose(pose.xy, pose.depth, confidence)


def walk(fps: float, length_s: float) -> list[tuple[Pose, float]]:
    """To and fro, and from side to side."""
    times = np.arange(0, length_s, 1 / fps)
    return [(stands_at(0.5 - 0.5 * np.cos(0.9 * t), 320 + 90 * np.sin(1.3 * t)), float(t)) for t in times]


def map_pose(pose: Pose, source: MotionRange, target: MotionRange) -> Pose:
    """A whole body whose range is known, mapped by EDN's formula alone."""
    ankle = ankle_line_px(pose)
    p = source.nearness(ankle)
    anchor = Anchor(float(middle(pose, "hip")[0]), ankle, p, source.stature_at(p))
    return place(anchor, source, target).apply(pose)


def play(normalizer: Normalizer, steps: list[tuple[Pose, float]]) -> list[Pose]:
    return [normalizer.normalize(pose, at_s) for pose, at_s in steps]


# The five faults of the released code.


def test_fault_a_profiles_count_when_the_feet_are_seen() -> None:
    assert observe(unseen(standing(), "left_ear", "left_eye")) == observe(standing())
    assert observe(unseen(standing(), "left_ankle")) is None


@given(p=floats(0, 1), stature=floats(0.3, 3))
def test_fault_b_feet_land_on_the_target_line_at_every_scale(p: float, stature: float) -> None:
    ankle = SOURCE.ankle_at(p)
    pose = standing(scale=stature)
    pose = framed(pose, 1, y=ankle - ankle_line_px(pose))
    mapped = map_pose(pose, SOURCE, TARGET)
    assert ankle_line_px(mapped) == pytest.approx(TARGET.ankle_at(p), abs=0.05)
    standing_tall = framed(standing(), SOURCE.stature_at(p) / stature_px(standing()))
    standing_tall = framed(standing_tall, 1, y=ankle - ankle_line_px(standing_tall))
    assert stature_px(map_pose(standing_tall, SOURCE, TARGET)) == pytest.approx(TARGET.stature_at(p), rel=1e-3)


def test_fault_c_single_frames_decide_nothing() -> None:
    good = [seen for pose, _ in walk(30, 10) if (seen := observe(pose))]
    bad = [Stand(1e4, 1e4, -1e4), Stand(-1e4, 1e-3, 1e4)]
    one, two = measure_range(good), measure_range(good + bad)
    for field in MotionRange.__struct_fields__:
        assert getattr(one, field) == pytest.approx(getattr(two, field), rel=0.02, abs=1)
    steps = walk(30, 10)
    hit = [(framed(pose, 0.1 if i % 97 == 50 else 1), at_s) for i, (pose, at_s) in enumerate(steps)]
    clean, dirty = play(Normalizer(TARGET, SIZE_PX), steps), play(Normalizer(TARGET, SIZE_PX), hit)
    assert np.abs(clean[-1].xy - dirty[-1].xy).max() < 0.01 * stature_px(clean[-1])


def test_fault_d_a_live_range_soon_is_that_of_the_whole_video() -> None:
    steps = walk(30, 60)
    whole = measure_range([seen for pose, _ in steps if (seen := observe(pose))])
    live = play(Normalizer(TARGET, SIZE_PX), steps)
    for i, most in ((0, 0.3), (10 * 30, 0.03), (60 * 30 - 1, 0.01)):
        want = map_pose(steps[i][0], whole, TARGET)
        off = abs(ankle_line_px(live[i]) - ankle_line_px(want)) / stature_px(want)
        assert off < most, f"{off:.3f} statures off after {steps[i][1]:.0f} s"
    calibrated = play(Normalizer(TARGET, SIZE_PX, known=whole), steps[:1])
    assert np.array_equal(calibrated[0].xy, map_pose(steps[0][0], whole, TARGET).xy)


def test_the_range_of_a_whole_video_is_that_which_live_comes_to() -> None:
    """So a film is rendered from its first frame on as live would be in the end; who walked in from one side, too."""
    walk_in = [(stands_at(0.5, 640 - 80 * t), float(t)) for t in np.arange(0, 4, 1 / 30)]
    steps = walk_in + [(pose, 4 + at_s) for pose, at_s in walk(30, 60)]
    whole = whole_range([seen for pose, _ in steps if (seen := observe(pose))], TARGET)
    live = play(Normalizer(TARGET, SIZE_PX), steps)[-1]
    known = play(Normalizer(TARGET, SIZE_PX, known=whole), steps)
    assert np.abs(known[-1].xy - live.xy).max() < 0.03 * stature_px(live)
    middles = [float(middle(pose, "hip")[0]) for pose in known[len(walk_in) :]]
    assert np.median(middles) == pytest.approx(TARGET.middle, abs=0.1 * TARGET.reach)


def test_who_hardly_steps_stays_in_the_middle_of_the_range() -> None:
    stands = [seen for p in (0.49, 0.5, 0.51) if (seen := observe(stands_at(p)))]
    whole = whole_range(stands, TARGET)
    assert whole.near_stature / whole.far_stature == pytest.approx(TARGET.near_stature / TARGET.far_stature)
    assert whole.nearness(stands[1].ankle) == pytest.approx(0.45, abs=0.01), "as far in statures from both ends"


def test_fault_e_nothing_looks_ahead() -> None:
    def run(steps: list[tuple[Pose, float]]) -> list[Pose]:
        smoother, normalizer = Smoother(), Normalizer(TARGET, SIZE_PX)
        return [normalizer.normalize(smoother.smooth(pose, at_s), at_s) for pose, at_s in steps]

    steps = walk(30, 4)
    other_future = steps[:60] + [(stands_at(1, 500), at_s) for _, at_s in steps[60:]]
    for one, two in zip(run(steps)[:60], run(other_future)[:60], strict=True):
        assert np.array_equal(one.xy, two.xy)


# What else it promises.


@given(
    history=st.lists(
        st.tuples(floats(-0.5, 1.5), floats(0, 640), st.sampled_from([1 / 60, 1 / 24, 0.3, 20.0])),
        min_size=5,
        max_size=40,
    )
)
@settings(max_examples=30)
def test_a_new_statistic_never_makes_anybody_jump(history: list[tuple[float, float, float]]) -> None:
    normalizer, at_s = Normalizer(TARGET, SIZE_PX), 0.0
    for p, x, elapsed_s in history:
        pose = stands_at(p, x)
        at_s += elapsed_s
        shown = normalizer.normalize(pose, at_s)
        # The performer stands still, so all that moves is what we believe of them.
        at_s += 1 / 24
        again = normalizer.normalize(pose, at_s)
        body = [INDEX[f"{side}_{joint}"] for side in ("left", "right") for joint in ("ear", "wrist", "hip")]
        moved = float(np.linalg.norm(again.xy[body] - shown.xy[body], axis=1).max())
        assert moved <= 0.01 * TARGET.near_stature, f"{moved:.2f} px"


@given(scale=floats(0.2, 4))
@settings(max_examples=10)
def test_the_resolution_of_the_source_does_not_matter(scale: float) -> None:
    steps = walk(15, 6)
    large = [(framed(pose, scale), at_s) for pose, at_s in steps]
    one = play(Normalizer(TARGET, SIZE_PX), steps)
    two = play(Normalizer(TARGET, (round(640 * scale), round(480 * scale))), large)
    for a, b in zip(one, two, strict=True):
        assert np.abs(a.xy - b.xy).max() < 0.02 * stature_px(a)  # as the size in pixels is rounded


@given(scale=floats(0.6, 1.1), x=floats(-60, 60), y=floats(-60, 60))
@settings(max_examples=5)
def test_the_framing_of_the_source_does_not_matter_for_long(scale: float, x: float, y: float) -> None:
    steps = walk(6, 90)
    one = play(Normalizer(TARGET, SIZE_PX), steps)
    two = play(Normalizer(TARGET, SIZE_PX), [(framed(pose, scale, x, y), at_s) for pose, at_s in steps])
    for a, b in zip(one[-6 * 10 :], two[-6 * 10 :], strict=True):
        assert abs(ankle_line_px(a) - ankle_line_px(b)) < 0.02 * stature_px(a)
        assert abs(stature_px(a) / stature_px(b) - 1) < 0.03
        assert abs(middle(a, "hip")[0] - middle(b, "hip")[0]) < 0.05 * stature_px(a)


@pytest.mark.parametrize("fps", [24, 60, 120])
def test_frame_rates_behave_alike(fps: int) -> None:
    one, two = (play(Normalizer(TARGET, SIZE_PX), walk(rate, 8)) for rate in (30, fps))
    for second in range(8):
        a, b = one[30 * second], two[fps * second]
        assert np.abs(a.xy - b.xy).max() < 0.03 * stature_px(a), f"at {second} s"


def test_who_walks_in_from_the_side_does_not_shift_the_middle() -> None:
    times = np.arange(0, 4, 1 / 30)
    steps = [(stands_at(0.5, max(640 - 200 * t, 320)), float(t)) for t in times]
    shown = play(Normalizer(TARGET, SIZE_PX), steps)
    assert abs(float(middle(shown[-1], "hip")[0]) - TARGET.middle) < 0.15 * TARGET.reach


def test_who_stands_still_is_not_made_to_walk() -> None:
    shown = play(Normalizer(TARGET, SIZE_PX), [(stands_at(0.4), i / 30) for i in range(30 * 60)])
    lines = [ankle_line_px(pose) for pose in shown]
    assert max(lines) - min(lines) < 0.15 * stature_px(shown[0])
    assert TARGET.far_ankle <= min(lines) <= max(lines) <= TARGET.near_ankle


def test_steps_are_not_made_longer_than_they_are() -> None:
    sway = [(stands_at(0.5 + 0.02 * np.sin(2 * i / 30)), i / 30) for i in range(30 * 30)]
    shown = play(Normalizer(TARGET, SIZE_PX), sway)[-300:]
    asked = [stature_px(pose) for pose, _ in sway[-300:]]
    got = [stature_px(pose) for pose in shown]
    assert max(got) / min(got) < (max(asked) / min(asked)) ** 1.3


def test_sideways_stays_in_the_targets_room() -> None:
    off = [float(middle(map_pose(standing(x=x), SOURCE, TARGET), "hip")[0]) - TARGET.middle for x in (-1000, 6, 1000)]
    assert off[1] == pytest.approx(0, abs=1e-3)
    assert -off[0] == off[2] == pytest.approx(1.1 * TARGET.reach)


def test_reset_forgets_the_performer() -> None:
    normalizer = Normalizer(TARGET, SIZE_PX)
    first = normalizer.normalize(stands_at(0.2), 0.0).xy
    play(normalizer, walk(30, 5))
    normalizer.reset()
    assert np.array_equal(normalizer.normalize(stands_at(0.2), 100.0).xy, first)
