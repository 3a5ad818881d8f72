"""What every command line of this project does alike."""

import logging
import sys
from collections.abc import Callable, Mapping
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
    """Run one of `commands`, chosen and parametrised by the command line.

    Of several processes that do the same, only those tell of a mistake for which `is_told()` is true.

    Exit codes: 0 done, 2 a mistake that the user can mend (one sentence on stderr), 130 interrupted.
    """
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
