"""Run `trainer` in the tests' own process: in another one, importing PyTorch takes longer than most that it does."""

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from trainer.cli import main


def trainer(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run e.g. `trainer train`; output and exit code are kept, but not what is logged: see `caplog` for that."""
    program = ["trainer", *map(str, arguments)]
    code, out, err = 0, io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", program)
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return subprocess.CompletedProcess(program, code, out.getvalue(), err.getvalue())
