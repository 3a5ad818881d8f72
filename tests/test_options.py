"""What `realtime` and `engines` offer: a new option is a conscious act. `trainer`: see tests/trainer/test_cli.py."""

import itertools
import sys
from collections.abc import Callable

import pytest

from realtime import cli
from realtime.engine_tools import cli as engines_cli
from tests.support.help_text import commands_in, help_of, options_in

POSE = ["--person", "--pose", "--pose-effort", "--pose-parts"]
QUALITY = ["--cpu-share", "--quality"]
ENGINES = ["--backend", "--precision", "--threads"]
CAMERA = ["--camera", "--camera-fps", "--camera-size"]
OPTIONS = {
    "realtime run": [
        *(*POSE, *ENGINES, *CAMERA, *QUALITY, "--allow-host", "--fps", "--host", "--ice-server", "--log-format"),
        *(
            "--microphone",
            "--mirror",
            "--no-badge",
            "--no-sound",
            "--no-token",
            "--osc",
            "--performer",
            "--port",
            "--publish",
        ),
        *("--publish-token", "--record", "--sign", "--source", "--subject", "--tls", "--virtual-camera"),
    ],
    "realtime render": [*POSE, *ENGINES, "--out", "--replace", "--side-by-side", "--subject"],
    "realtime subjects": [],
    "realtime subjects show": [],
    "realtime subjects remove": ["--yes"],
    "realtime control": ["--link", "--port"],
    "realtime calibrate": [*POSE, *CAMERA, "--source"],
    "realtime pose": [*POSE, "--end-s", "--out", "--replace", "--start-s", "--truth"],
    "realtime bench": [
        *(
            *POSE,
            *ENGINES,
            *QUALITY,
            "--browser",
            "--compare",
            "--mediapipe-python",
            "--minutes",
            "--scaling",
            "--seconds",
        ),
        *("--source", "--subject"),
    ],
    "realtime bench-pose": [*POSE, "--cores", "--frames", "--mediapipe-python", "--source"],
    "engines build": [*ENGINES, "--target"],
    "engines list": [],
    "engines prune": ["--limit-mib"],
    "engines verify": [*ENGINES, "--json", "--long-steps", "--steps", "--timed"],
    "engines doctor": ["--json", "--threads"],
    "engines bench": ["--runs", "--threads"],
}
MAIN: dict[str, Callable[[], None]] = {"realtime": cli.main, "engines": engines_cli.main}


@pytest.mark.parametrize("words", OPTIONS)
def test_the_options_of_every_command(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = help_of(MAIN[words.split()[0]], words.split(), monkeypatch, capsys)
    assert options_in(text) == sorted(OPTIONS[words])
    assert len(OPTIONS[words]) <= 33
    assert text.splitlines()[-1].startswith(f"Example: {words}"), "help ends with an example"


@pytest.mark.parametrize("program", MAIN)
def test_every_command_is_listed(
    program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = help_of(MAIN[program], [program], monkeypatch, capsys)
    assert commands_in(text) == {words.split()[1] for words in OPTIONS if words.startswith(program)}
    assert text.splitlines()[-1].startswith(f"Example: {program} ")


@pytest.mark.parametrize("words", ["realtime run", "realtime calibrate"])
def test_descriptions_fill_their_lines(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """However their docstrings are broken: a line ends because the next word has no place in it."""
    text = help_of(MAIN[words.split()[0]], words.split(), monkeypatch, capsys, columns=72)
    lines = [line.strip("│|").rstrip() for line in text.splitlines()]
    filled = [
        (line, after) for line, after in itertools.pairwise(lines) if line[:20] == after[:20] == " " * 20 and after[20:]
    ]
    assert len(filled) > 3
    for line, after in filled:
        assert len(line) + 1 + len(after.split()[0]) > 68, (line, after)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--person", "leftt", "must be main, nearest, left, right or a whole number, not 'leftt'."),
        ("--port", "abc", "must be a whole number, not 'abc'."),
        ("--camera-fps", "fast", "must be a number, not 'fast'."),
    ],
)
def test_a_value_that_cannot_be_read_is_answered_with_what_can(
    option: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["realtime", "run", option, value])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert f"Error parsing {option}: {said}" in told
    assert "Got errors" not in told
