"""What all three command lines do alike."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from engines.console import counted, run_commands, stopping_says
from engines.errors import UserError
from tests.support.waiting import HANG_S


def user_error() -> None:
    raise UserError("no such subject: choose another.")


def missing_file() -> None:
    Path("/nowhere/file").read_bytes()


def interrupted() -> None:
    raise KeyboardInterrupt


def stopped() -> None:
    with stopping_says(lambda: "What is done is kept."):
        raise KeyboardInterrupt


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, is_told: Callable[[], bool] = lambda: True) -> None:
    monkeypatch.setattr(sys, "argv", ["engines", *arguments])
    commands = {each.__name__.replace("_", "-"): each for each in (user_error, missing_file, interrupted, stopped)}
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
        ("stopped", 130, "engines: stopped. What is done is kept.\n"),
    ],
)
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, code: int, told: str
) -> None:
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, name)
    assert end.value.code == code
    assert capsys.readouterr().err.startswith(told)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["interupted"], "engines: there is no command interupted: did you mean interrupted?\n"),
        (["dance"], "engines --help"),
        (["stopped", "--mirror"], "engines stopped --help"),
    ],
)
def test_a_mistake_names_the_command_that_was_meant_or_its_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, *arguments)
    assert end.value.code == 2
    assert told in capsys.readouterr().err


def test_one_process_of_several_tells(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, "user-error", is_told=lambda: False)
    assert capsys.readouterr().err == ""


LOGGING = """
import logging, os, sys
from pathlib import Path
from engines.console import _set_up_process
_set_up_process()
sys.stdin.read()
for _ in range(3):
    logging.getLogger("x").error("nobody reads this")
Path(sys.argv[1]).write_text("goes on")
"""


def test_a_log_that_nobody_reads_any_more_ends_nothing(tmp_path: Path) -> None:
    """`realtime run 2>&1 | head -2`, and then a line is logged."""
    read, write = os.pipe()
    program = [sys.executable, "-c", LOGGING, str(tmp_path / "done")]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=write, stderr=write) as process:
        os.close(write)
        os.close(read)
        process.communicate(timeout=HANG_S)
    assert (tmp_path / "done").read_text() == "goes on"


@pytest.mark.parametrize("words", [["realtime", "--help"], ["realtime", "subjects"], ["trainer", "settings"]])
def test_a_reader_that_has_seen_enough_sees_no_traceback(words: list[str]) -> None:
    program = [str(Path(sys.executable).with_name(words[0])), *words[1:]]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(program, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(write)
    assert done.stderr == ""
    assert done.returncode in (0, 1)


def test_an_early_interrupt_is_no_traceback() -> None:
    with subprocess.Popen(
        [Path(sys.executable).with_name("trainer"), "settings"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        time.sleep(0.25)  # its libraries are being loaded
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=HANG_S)
    assert b"trainer/" not in said
    assert b"engines/" not in said
    assert process.returncode in (0, 130, -signal.SIGINT)


WRITING = """
import sys, time
from pathlib import Path
from engines.console import _set_up_process
from engines.files import replace_file
_set_up_process()
with replace_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_is_told_to_end_leaves_nothing_half_written(tmp_path: Path, number: signal.Signals) -> None:
    program = [sys.executable, "-c", WRITING, str(tmp_path / "x.mp4")]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert list(tmp_path.iterdir())
        process.send_signal(number)
        assert process.wait(40) == 128 + number
    assert not list(tmp_path.iterdir())


def test_things_are_counted() -> None:
    assert [counted(count, "thread") for count in (0, 1, 2)] == ["0 threads", "1 thread", "2 threads"]
