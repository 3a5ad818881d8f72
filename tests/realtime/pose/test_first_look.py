"""From where MediaPipe's body network sees points to the joints."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from realtime.pose.estimation.blazepose import Body, BodyTracker
from realtime.pose.estimation.first_look import ROWS, FirstLook, corrected, load_coefficients
from realtime.pose.estimation.refined_points import BODY_POINTS
from realtime.pose.quality import load_truth
from realtime.pose.skeleton import BODY_NAMES
from realtime.video import read_video
from tests.support.commands import DATA

COUNT = len(BODY_POINTS)


def somebody() -> Body:
    rng = np.random.default_rng(0)
    xy = rng.uniform(100, 400, (len(BODY_NAMES), 2)).astype(np.float32)
    nothing = np.zeros(len(BODY_NAMES), np.float32)
    return Body(xy, nothing, nothing, nothing, nothing)


def test_every_point_moves_by_its_coefficients_times_the_vectors_to_the_others() -> None:
    coefficients, points = load_coefficients(), somebody().xy[ROWS]
    z = points[:, 0] + 1j * points[:, 1]
    slow = [z[p] + sum(coefficients[p, q] * (z[q] - z[p]) for q in range(COUNT)) for p in range(COUNT)]
    found = corrected(points, coefficients)
    np.testing.assert_allclose(found, np.stack([np.real(slow), np.imag(slow)], axis=1), rtol=1e-4)
    np.testing.assert_allclose(corrected(np.stack([points, points]), coefficients)[1], found, rtol=1e-5)


def test_turned_scaled_and_moved_points_are_corrected_alike() -> None:
    coefficients, points = load_coefficients(), somebody().xy[ROWS]
    turn = np.array([[0.6, -0.8], [0.8, 0.6]], np.float32) * 1.5
    shift = np.array([30, -7], np.float32)
    moved = corrected(points @ turn.T + shift, coefficients)
    np.testing.assert_allclose(moved, corrected(points, coefficients) @ turn.T + shift, atol=1e-2)


def test_there_and_back_is_where_it_began() -> None:
    look, body = FirstLook(), somebody()
    there = look.corrected(body)
    assert np.abs(there.xy - body.xy)[ROWS].max() > 1
    np.testing.assert_allclose(look.as_seen(there).xy, body.xy, atol=1e-2)
    heel, ankle = BODY_NAMES.index("left_heel"), BODY_NAMES.index("left_ankle")
    np.testing.assert_allclose(there.xy[heel] - there.xy[ankle], body.xy[heel] - body.xy[ankle], atol=1e-3)


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_corrected_points_are_nearer_to_the_joints_of_people_it_was_not_fitted_on(name: str) -> None:
    truth, look, tracker = load_truth(DATA / f"{name}_clip_joints.npz", 60), FirstLook(), BodyTracker(threads=1)
    rows = [BODY_NAMES.index(joint) for joint in truth.names]
    plain: list[float] = []
    better: list[float] = []
    for n, (rgb, _) in enumerate(islice(read_video(DATA / f"{name}_clip.mp4"), 60)):
        body = tracker.track(np.dstack([rgb, rgb[..., :1]]))
        if body is None:
            continue
        for errors, each in ((plain, body), (better, look.corrected(body))):
            errors.append(np.linalg.norm(each.xy[rows] - truth.xy[n], axis=1)[truth.visible[n]].mean().item())
    assert len(plain) > 15
    assert np.mean(better) < 0.8 * np.mean(plain)


def test_what_is_corrected_keeps_everything_else_of_the_body() -> None:
    body = replace(somebody(), visibility=np.linspace(0, 1, len(BODY_NAMES), dtype=np.float32))
    there = FirstLook().corrected(body)
    np.testing.assert_array_equal(there.visibility, body.visibility)
    np.testing.assert_array_equal(there.depth, body.depth)
