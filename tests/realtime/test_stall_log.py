"""How often a stalled stage is named in the log."""

import pytest

from realtime.live.stall_log import SPACING_S, StallLog


def test_a_stage_is_named_at_once_and_then_summed_up(caplog: pytest.LogCaptureFixture) -> None:
    log = StallLog()

    def said() -> list[str]:
        messages = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return messages

    for tick in range(20):  # a new stall every second
        log.see("pose" if tick % 2 else None, tick / 2)
        if tick == 1:
            assert said() == ["The stage pose has been at one frame for 0.8 s."]
    assert said() == []
    log.see("render", 15)
    assert said() == ["The stage render has been at one frame for 0.8 s."], "another stage waits for nobody"
    log.see(None, 0.5 + SPACING_S)
    assert said() == ["The stage pose has been at one frame for 0.8 s, 9 times in 30 s."]
    log.see(None, 10 * SPACING_S)
    assert said() == []
    log.see("pose", 11 * SPACING_S)
    assert said() == ["The stage pose has been at one frame for 0.8 s."]
    log.see("pose", 20 * SPACING_S)
    assert said() == [], "it is still the same frame"
