"""The performer into the subject's room: what is said of half bodies."""

import logging

import numpy as np
import pytest

from realtime.fitting import HALF_BODY, NOTICE_S, PATIENCE_S, Fitting
from realtime.frame import Frame
from realtime.pose.pose import Pose
from realtime.pose.skeleton import INDEX
from realtime.subject import load_subject
from tests.people import standing

FPS = 30


def said(fitting: Fitting, pose: Pose, *, from_s: float, for_s: float) -> list[bool]:
    """Whether the notice was there, frame by frame."""
    rgb, notices = np.zeros((128, 128, 3), np.uint8), []
    for number in range(round(for_s * FPS)):
        fitting.fit(pose, Frame(rgb=rgb, captured_at_s=from_s + number / FPS, number=number))
        notices.append(fitting.notice == HALF_BODY)
    return notices


def test_half_bodies_are_told_once_it_lasts(caplog: pytest.LogCaptureFixture) -> None:
    pose = standing()
    confidence = pose.confidence.copy()
    confidence[[INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("ankle", "heel", "foot_index")]] = 0
    half = Pose(pose.xy, pose.depth, confidence)
    fitting = Fitting(load_subject("alice").manifest)
    with caplog.at_level(logging.WARNING):
        assert not any(said(fitting, half, from_s=0, for_s=PATIENCE_S / 2)), "just walking in"
        assert not any(said(fitting, pose, from_s=1, for_s=2))
        assert not caplog.messages
        notices = said(fitting, half, from_s=3, for_s=PATIENCE_S + NOTICE_S + 3)
    assert not any(notices[: round(PATIENCE_S * FPS)])
    assert sum(notices) == pytest.approx(NOTICE_S * FPS, abs=1)
    assert not notices[-1]
    assert caplog.messages == [HALF_BODY]
