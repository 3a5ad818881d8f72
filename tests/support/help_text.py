"""What a command line prints for --help."""

import re
import sys
from collections.abc import Callable

import pytest


def help_of(
    main: Callable[[], None],
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    columns: int = 200,
) -> str:
    """The help of a program's entry point, in lines of so many columns; `words` are the program and its command."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "argv", [*words, "--help"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    return capsys.readouterr().out


def options_in(text: str) -> list[str]:
    """The names of the options in a help's text, sorted."""
    return sorted(re.findall(r"(?m)^[^\w\n-]*(--[a-z][\w-]*)", text))


def commands_in(text: str) -> set[str]:
    """The names of the commands in a program's help."""
    listed = re.search(r"{([\w,-]+)}", text)
    assert listed
    return {*listed[1].split(",")}
