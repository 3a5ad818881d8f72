"""What the footage report says of poses, pictures and light."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from realtime.pose.pose import Pose
from realtime.pose.skeleton import INDEX
from tests.support.footage_files import swaying
from tests.support.standing_pose import standing
from trainer.footage.acceptance import FootageReport
from trainer.footage.analyse import Track, cuts, freeze, leaps, measure_person, seen_parts
from trainer.footage.background import BackgroundMotion
from trainer.footage.coverage import arm_wide, covered, crouched, facing, foot_lifted, hand_raised, novelty


def turned(pose: Pose, degrees: float) -> Pose:
    """About the vertical axis, 90 to the picture's right; the nose is in front of the body."""
    middle = float(pose.xy[:, 0].mean())
    xy, ahead = pose.xy.copy(), np.zeros(len(pose.xy))
    ahead[INDEX["nose"]] = 12
    angle = np.radians(degrees)
    xy[:, 0] = middle + (xy[:, 0] - middle) * np.cos(angle) + ahead * np.sin(angle)
    return Pose(xy.astype(np.float32), pose.depth, pose.confidence)


def moved(**joints: tuple[float, float]) -> Pose:
    pose = standing()
    for name, by in joints.items():
        pose.xy[INDEX[name]] += np.array(by, np.float32)
    return pose


@pytest.mark.parametrize(
    ("degrees", "side"), [(0, "front"), (20, "front"), (90, "right"), (180, "back"), (-85, "left")]
)
def test_which_side_is_seen(degrees: float, side: str) -> None:
    assert facing(turned(standing(), degrees)) == side


def test_moves_are_told() -> None:
    plain = standing()
    assert not any(tells(plain) for tells in (hand_raised, arm_wide, foot_lifted, crouched))
    assert hand_raised(moved(left_wrist=(0, -56)))
    assert arm_wide(moved(right_wrist=(-22, 0)))
    assert foot_lifted(moved(left_ankle=(0, -18)))
    assert crouched(moved(left_hip=(0, 14), right_hip=(0, 14)))
    moves = {move.name: move for move in covered([turned(plain, 90)] * 150, 30)}
    assert moves["seen from the right"].seen_s == 5
    assert moves["seen from the right"].missing_s == 15
    assert moves["seen from the front"].seen_s == 0


def test_novelty_is_the_way_to_the_nearest_pose() -> None:
    known = swaying(60)
    assert novelty(known, known, 30) == 0
    far = [moved(left_wrist=(30, -40))] * 12
    near = novelty([*known, *far], far, 30)
    assert near == 0
    assert (novelty(known, far, 30) or 0) > 0.02
    assert novelty(known, [], 30) is None


def test_cuts_and_leaps() -> None:
    changes = np.full(100, 0.02)
    changes[[0, 40]] = np.nan, 0.2
    assert cuts(changes).tolist() == [40]
    assert cuts(np.full(1, np.nan)).tolist() == []
    walk = [*swaying(30), *swaying(30, x=60), None, None]
    assert leaps(walk).tolist() == [30]


def test_a_freeze_is_found() -> None:
    changes = np.full(100, 0.01)
    changes[0] = np.nan
    times_s = np.arange(100) / 10
    assert freeze(changes, times_s) == (0, 0)
    changes[40:60] = 0
    changes[70:75] = 0
    assert freeze(changes, times_s) == pytest.approx((3.9, 2.0))


def report(track: Track, **known: Any) -> FootageReport:
    plain = FootageReport(
        video="v.mp4",
        length_s=len(track.poses) / track.fps,
        person_s=float(track.seen.sum()) / track.fps,
        source_px=(128, 128),
        source_fps=30,
        constant_rate=True,
        fps=30,
        crop=(0, 0, 128, 128),
        size_px=(128, 128),
        person=None,
    )
    known_of_file = replace(plain, **known)
    return replace(known_of_file, person=measure_person(track, round(0.85 * len(track.poses)), known_of_file.size_px))


def track_of(poses: list[Pose], light: np.ndarray[tuple[int], np.dtype[np.float64]] | float = 0.5) -> Track:
    bright = np.broadcast_to(light, (len(poses),))
    nothing = np.zeros(len(poses))
    return Track(
        poses=[*poses],
        seen=np.ones(len(poses), bool),
        parts=np.array([seen_parts(pose) for pose in poses]),
        frame_stats=np.stack([bright, bright, nothing, nothing, nothing], axis=1),
        breaks=np.zeros(0, np.intp),
        fps=30.0,
    )


def test_advice_follows_what_is_wrong() -> None:
    poses, time_s = swaying(400), np.arange(400) / 30
    stepped_aside = replace(track_of(poses), poses=[None, *poses[1:]])
    dark, beating, fading = 0.1, 0.5 + 0.03 * np.sin(40 * time_s), 0.5 + 0.01 * time_s
    for track, known, words in (
        (track_of(poses, dark), {}, "It is dark"),
        (track_of(poses, beating), {}, "flickers"),
        (track_of(poses, fading), {}, "drifts"),
        (track_of(poses), {"crowded": 0.3}, "Several people"),
        (track_of(poses), {"background": BackgroundMotion(0.01, 0.2)}, "tripod"),
        (stepped_aside, {"background": BackgroundMotion(0.0, 0.2)}, "captions"),
        (track_of(poses), {"freeze": (3.0, 2.5)}, "stands still for 2.5 s from 3.0 s on"),
        (track_of(poses), {"sharpness": 0.2}, "exposure is too long"),
        (track_of(poses), {"source_fps": 15.0}, "Few pictures"),
        (track_of(poses), {"crop": (0, 0, 64, 64)}, "enlarged 2.0 times"),
        (track_of(swaying(400, x=50)), {}, "leaves the used part"),
    ):
        advice = " ".join(report(track, **known).advice)
        assert words in advice
        others = {"dark", "flickers", "drifts", "Several", "tripod", "exposure is", "Few", "enlarged", "leaves"}
        others |= {"captions", "stands still"}
        assert sum(other in advice for other in others) == 1, advice
    first, *_ = report(track_of(swaying(400, by_px=2))).advice
    assert "of the person is never seen" in first, "nothing else spoils as much"


def test_footage_whose_person_is_elsewhere_cannot_be_used() -> None:
    beside, half = (report(track_of(swaying(200, x=x, by_px=2))) for x in (-110, -64))
    assert any("in the used part, 0,0,128,128, for 0.0 s of 6.7 s" in reason for reason in beside.reasons)
    assert not any("used part" in reason for reason in half.reasons), "it can be trained on, and there is advice"
    assert any("leaves the used part" in advice for advice in half.advice)


def test_good_footage_gets_no_advice() -> None:
    """Everything that is wanted, for three minutes."""
    parts: list[Pose] = []
    for degrees, count in ((0, 3000), (90, 700), (180, 600), (-90, 700)):
        parts += [turned(pose, degrees) for pose in swaying(count, by_px=30, grow=0.12)]
    for joints in ({"left_wrist": (0.0, -60.0)}, {"right_wrist": (-24.0, 0.0)}, {"left_ankle": (0.0, -20.0)},
                   {"left_hip": (0.0, 16.0), "right_hip": (0.0, 16.0)}):  # fmt: skip
        parts += [moved(**joints)] * 400
    mixed = [parts[i] for i in np.random.default_rng(0).permutation(len(parts))]
    size: dict[str, Any] = {"source_px": (256, 128), "crop": (0, 0, 256, 128), "size_px": (256, 128)}
    placed = [Pose(0.9 * pose.xy + np.array([70, 0], np.float32), pose.depth, pose.confidence) for pose in mixed]
    said = report(track_of(placed), **size)
    assert said.reasons == []
    assert said.advice == []
