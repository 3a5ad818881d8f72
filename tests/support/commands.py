"""Run the project's own command lines as a user does."""

import io
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path

import pytest

DATA = Path(__file__).parents[1] / "data"


FULL_DISK = 'ln -s /dev/full "$0.$$.new" && exec "$@"'
"""For a shell: the draft of the file $0 (`engines.files.draft_of`) cannot be written by the command that follows."""


def command(
    *arguments: str | Path, timeout_s: float = 300, disk_full_at: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run e.g. `realtime bench`; output and exit code are kept. `disk_full_at`: the file that cannot be written."""
    program = [str(Path(sys.executable).with_name(str(arguments[0]))), *map(str, arguments[1:])]
    if disk_full_at:
        program = ["sh", "-c", FULL_DISK, str(disk_full_at), *program]
    return subprocess.run(program, capture_output=True, text=True, timeout=timeout_s, check=False)


MODULES = {
    "engines": "realtime.engine_tools.__main__",
    "realtime": "realtime.__main__",
    "trainer": "trainer.__main__",
}


def command_here(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run e.g. `trainer train` as `command` does, in this process, which has all imported: that is most of the time.

    Neither what is logged is kept, see `caplog`, nor what libraries that are not Python's write to stderr.
    """
    program = [*map(str, arguments)]
    main = import_module(MODULES[program[0]]).main
    code, out, err = 0, io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", program)
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return subprocess.CompletedProcess(program, code, out.getvalue(), err.getvalue())


SIGNALLED = """
import os, runpy, signal, sys
from pathlib import Path

signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal, also where the tests run in the background

_, pattern, number, *sys.argv = sys.argv
replace = Path.replace

def replace_and_end(draft, target):
    written = replace(draft, target)
    if Path(target).match(pattern):
        os.kill(os.getpid(), int(number))
    return written

Path.replace = replace_and_end
runpy.run_module(f"{sys.argv[0]}.__main__", run_name="__main__")
"""


def command_signalled(
    *arguments: str | Path, number: signal.Signals, when_written: str
) -> subprocess.CompletedProcess[str]:
    """Run e.g. `trainer train`, which gets a signal as soon as a file of this pattern is whole, however busy all is."""
    program = [sys.executable, "-c", SIGNALLED, when_written, str(int(number)), *map(str, arguments)]
    return subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)


def chosen(**settings: object) -> list[str]:
    """The options that change settings of a training."""
    return [part for name, value in settings.items() for part in ("--set", f"{name.replace('__', '.')}={value}")]


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """It ended with code 2 and one clear line on stderr that has all `words` in it."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0], done.stderr
