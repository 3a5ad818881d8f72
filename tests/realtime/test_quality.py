"""The controller of the quality, in simulated time; and its levels in sessions with scripted parts."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from engines.errors import UserError
from realtime.live.quality import FAR, HELD_S, LEVELS, MISSED, WAIT_S, WINDOW_S, QualityConfig, QualityController

TICK_S = 0.25
Load = Callable[[float, int], float | None]
"""The load at a time and a level."""


def played(load: Load, seconds: float, controller: QualityController) -> Iterator[tuple[float, int]]:
    """When the level changes, and to which."""
    last = controller.level
    for tick in range(round(seconds / TICK_S)):
        at_s = tick * TICK_S
        level = controller.step(at_s, load(at_s, last))
        if level != last:
            yield at_s, level
        last = level


def changes(load: Load, seconds: float) -> list[tuple[float, int]]:
    return list(played(load, seconds, QualityController(len(LEVELS))))


def costing(*costs: float) -> Load:
    """Each level's load, whenever."""
    return lambda _, level: costs[level]


def test_a_machine_with_time_keeps_the_best_level() -> None:
    assert changes(costing(0.99, 0.5, 0.4, 0.3), 600) == []


def test_missed_for_a_second_the_next_level_steps_in_until_it_is_enough() -> None:
    assert changes(costing(1.35, 1.3, 0.9, 0.8), 120) == [(WINDOW_S, 1), (2 * WINDOW_S + TICK_S, 2)]


def test_missed_by_far_the_one_after_the_next_steps_in_at_once() -> None:
    assert changes(costing(FAR + 0.1, 1.1, 0.9, 0.8), 120) == [(WINDOW_S, 2)]


def test_one_late_picture_changes_nothing() -> None:
    assert changes(lambda at_s, _: 1.8 if at_s % 5 == 0 else 0.8, 300) == []


def test_the_worst_level_is_the_last_one() -> None:
    assert [level for _, level in changes(costing(3, 3, 3, 3), 60)] == [2, 3]


def test_when_the_other_program_has_gone_every_level_comes_back() -> None:
    others = lambda at_s, level: (1.38 if at_s < 20 else 0.5) * (1 - 0.1 * level)  # noqa: E731
    came = changes(others, 120)
    assert [level for _, level in came] == [1, 2, 3, 2, 1, 0]
    assert all(at_s >= 20 + WAIT_S for at_s, _ in came[3:])
    assert came[-1][0] < 40, "not by a minute a level"


def test_a_level_that_cannot_be_had_is_tried_ever_less_often() -> None:
    tries = [at_s for at_s, level in changes(costing(1.2, 0.6, 0.6, 0.6), 1800) if level == 0]
    waits = [after - before for before, after in pairwise(tries)]
    assert len(tries) <= 9, "in half an hour"
    assert all(later > 1.5 * earlier for earlier, later in pairwise(waits[:-1]))


@pytest.mark.parametrize("period_s", [2, 5, 10, 20, 50])
def test_a_load_that_comes_and_goes_makes_no_oscillation(period_s: float) -> None:
    def flapping(at_s: float, level: int) -> float:
        return (1.4 if at_s % period_s < period_s / 2 else 0.6) * (1, 0.8, 0.7, 0.65)[level]

    assert len(changes(flapping, 1800)) <= 16


def test_a_level_between_room_and_need_is_kept() -> None:
    assert changes(costing(1.1, 0.9, 0.8, 0.7), 600) == [(WINDOW_S, 1)]


def test_a_rest_is_neither_overload_nor_room() -> None:
    controller = QualityController(len(LEVELS))
    assert list(played(costing(1.3, 0.9, 0, 0), 3, controller)) == [(WINDOW_S, 1)]
    assert list(played(lambda *_: None, 600, controller)) == []
    late_at_times: Load = lambda at_s, _: 2.0 if at_s % 1 < 0.5 else None  # noqa: E731
    assert list(played(late_at_times, 60, controller)) == [], "what was measured before a rest does not count"


def test_a_try_that_has_held_makes_it_hopeful_again() -> None:
    def load(at_s: float, level: int) -> float:
        return 0.6 if level or 30 < at_s < 400 else 1.2

    back = [at_s for at_s, level in changes(load, 600) if level == 0]
    assert [at_s for at_s in back if 30 < at_s < 400], "it came back, and held for longer than HELD_S"
    again = next(at_s for at_s in back if at_s >= 400)
    assert again - 400 <= 2 * WAIT_S + 2 * WINDOW_S, f"not {again - 400} s, as after {HELD_S} s of failing"


def test_levels_leave_out_ever_more() -> None:
    assert LEVELS[0].economy == type(LEVELS[0].economy)()
    for better, worse in pairwise(LEVELS):
        assert better.economy.hands_every <= worse.economy.hands_every
        assert better.economy.body_every <= worse.economy.body_every
        assert better.economy.face_every <= worse.economy.face_every
        assert better.economy.fast_body <= worse.economy.fast_body
        assert better.face_every <= worse.face_every
        assert better != worse
    assert MISSED == 1


@pytest.mark.parametrize("share", [0, -0.5, 1.5, math.nan])
def test_shares_that_there_are_not(share: float) -> None:
    with pytest.raises(UserError, match=r"--cpu-share must be from 0\.05 to 1"):
        QualityConfig(cpu_share=share)
