"""Which rung suits a viewer, by reports as receivers send them."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from server.rung_choice import DOWN_S, MOST_UP_S, SETTLE_S, UP_S, RungChoice
from server.stream import RUNGS

STEP_S = 0.25
Report = Callable[[float, float], dict[str, float]]
"""What a receiver says at a time, being sent a rate."""


def play(report: Report, *, until_s: float, from_rung: int = 0) -> list[tuple[float, int]]:
    """When which rung was chosen."""
    choice = RungChoice(len(RUNGS), 0.0)
    choice.rung = from_rung
    moves, at_s = [(0.0, from_rung)], 0.0
    while at_s < until_s:
        sent_bps = float(RUNGS[choice.rung].bitrate_bps)
        rung = choice.hear(at_s, sent_bps=sent_bps, **report(at_s, sent_bps))
        if rung != moves[-1][1]:
            moves.append((at_s, rung))
        at_s += STEP_S
    return moves


def line(capacity_bps: float) -> Report:
    """A receiver behind a line of this capacity: it loses the rest, and its estimate is at most 1.5 of what it gets."""

    def report(_: float, sent_bps: float) -> dict[str, float]:
        received_bps = min(sent_bps, capacity_bps)
        return {"loss": 1 - received_bps / sent_bps, "estimate_bps": min(1.5 * received_bps, capacity_bps)}

    return report


def test_whoever_receives_all_stays_where_they_are() -> None:
    assert play(line(10e6), until_s=600) == [(0.0, 0)]


def test_the_estimates_of_a_beginning_receiver_are_not_believed() -> None:
    def rising(at_s: float, _: float) -> dict[str, float]:
        return {"estimate_bps": 300_000 * 2**at_s, "loss": 0.0}

    assert play(rising, until_s=60) == [(0.0, 0)]


@pytest.mark.parametrize(("capacity_bps", "rung"), [(1.5e6, 1), (0.7e6, 2), (0.2e6, 2)])
def test_a_thin_line_gets_a_lower_rung_quickly(capacity_bps: float, rung: int) -> None:
    moves = play(line(capacity_bps), until_s=2 * (SETTLE_S + DOWN_S) + 1)
    assert moves[-1][1] == rung
    assert moves[1][0] <= SETTLE_S + DOWN_S + STEP_S


def test_a_line_that_recovers_gets_the_best_rung_again_one_after_the_other() -> None:
    moves = play(line(10e6), until_s=60, from_rung=2)
    assert [rung for _, rung in moves] == [2, 1, 0]
    assert moves[1][0] >= UP_S


def test_tries_that_are_regretted_become_rare() -> None:
    moves = play(line(1.5e6), until_s=1000)
    tries_s = [at_s for at_s, rung in moves if rung == 0][1:]
    pauses_s = [later - earlier for earlier, later in pairwise(tries_s)]
    assert pauses_s == sorted(pauses_s)
    assert pauses_s[-1] >= MOST_UP_S
    assert len(tries_s) < 20


def test_losses_between_bad_and_good_change_nothing() -> None:
    for rung in range(3):
        assert play(lambda *_: {"loss": 0.05}, until_s=300, from_rung=rung) == [(0.0, rung)]


def test_a_short_disturbance_changes_nothing() -> None:
    assert play(lambda at_s, _: {"loss": 0.3 if at_s % 10 < DOWN_S / 2 else 0.0}, until_s=120) == [(0.0, 0)]
