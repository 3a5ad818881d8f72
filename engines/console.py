"""Run a command line: subcommands, `--version`, exit codes, and errors as one sentence."""

import logging
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

import tyro
from rich.logging import RichHandler

from engines.errors import UserError


def run_commands(
    commands: Mapping[str, Callable[..., Any]],
    *,
    prog: str,
    description: str,
    is_told: Callable[[], bool] = lambda: True,
) -> None:
    """Run the one of `commands` that the command line names, with the command line's arguments.

    Exit codes: 0 done, 2 a mistake that the user can correct (one sentence on stderr), 130 interrupted.

    Args:
        commands: by name.
        prog: the program's name.
        description: for its help.
        is_told: whether this process prints a mistake; of several that do the same, only one should.
    """
    if sys.argv[1:] == ["--version"]:
        print(f"{prog} {metadata.version('bodydouble')}")
        return
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(show_time=False, show_path=False)]
    )
    try:
        tyro.extras.subcommand_cli_from_dict(dict(commands), prog=prog, description=description)
    except UserError as error:
        if is_told():
            print(f"{prog}: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        if is_told():
            print(
                f"{prog}: {error.filename} cannot be used ({error.strerror}): check the path and its rights.",
                file=sys.stderr,
            )
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
