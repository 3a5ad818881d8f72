"""What all three command lines do alike."""

import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from engines.console import run_commands
from engines.errors import UserError


def user_error() -> None:
    raise UserError("no such subject: choose another.")


def missing_file() -> None:
    Path("/nowhere/file").read_bytes()


def interrupted() -> None:
    raise KeyboardInterrupt


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, is_told: Callable[[], bool] = lambda: True) -> None:
    monkeypatch.setattr(sys, "argv", ["engines", *arguments])
    commands = {each.__name__.replace("_", "-"): each for each in (user_error, missing_file, interrupted)}
    run_commands(commands, prog="engines", description="", examples={"": ""}, is_told=is_told)


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, "--version")
    assert capsys.readouterr().out == f"engines {metadata.version('bodydouble')}\n"


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("user-error", 2, "engines: no such subject: choose another.\n"),
        ("missing-file", 2, "engines: /nowhere/file cannot be used (No such file or directory): check the path and"),
        ("interrupted", 130, ""),
    ],
)
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, code: int, told: str
) -> None:
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, name)
    assert end.value.code == code
    assert capsys.readouterr().err.startswith(told)


def test_one_process_of_several_tells(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, "user-error", is_told=lambda: False)
    assert capsys.readouterr().err == ""
