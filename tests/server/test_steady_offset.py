"""Two clocks and a network between them."""

from server.steady_offset import RECENT, STEP_S, SteadyOffset


def test_it_stays_while_arrivals_usually_say_almost_the_same() -> None:
    offset, values_s = SteadyOffset(), set[float]()
    assert not offset.known
    for number in range(10 * RECENT):
        late_s = 3.0 if number % 5 == 3 else 0.0
        offset.add(100 + late_s + 0.9 * STEP_S * number / (10 * RECENT))
        values_s.add(offset.value_s)
    assert offset.known
    assert values_s == {100.0}


def test_it_follows_a_change_once_half_of_the_arrivals_say_so() -> None:
    offset = SteadyOffset()
    for _ in range(RECENT):
        offset.add(100.0)
    values_s = list[float]()
    for _ in range(RECENT):
        offset.add(100.0 + 3 * STEP_S)
        values_s.append(offset.value_s)
    half = RECENT // 2
    assert values_s[: half - 1] == [100.0] * (half - 1)
    assert values_s[half:] == [100.0 + 3 * STEP_S] * half


def test_what_came_of_another_clock_is_forgotten() -> None:
    offset = SteadyOffset()
    for _ in range(RECENT):
        offset.add(100.0)
    offset.clear()
    assert not offset.known
    offset.add(7.0)
    assert offset.value_s == 7.0
