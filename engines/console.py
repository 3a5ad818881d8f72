"""Command lines: subcommands, `--version`, exit codes, errors as one sentence, and progress bars."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import metadata
from io import TextIOWrapper
from typing import Any, NoReturn

import docstring_parser
import rich.traceback  # noqa: F401 - the handler imports it at the first error, when there may be no file to open
import tyro
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from engines.errors import UserError
from engines.install import missing_message
from engines.values import VALUES

try:
    import resource
except ModuleNotFoundError:  # Windows
    resource = None  # type: ignore[assignment]


def _on_one_line(parse: Callable[..., docstring_parser.Docstring]) -> Callable[..., docstring_parser.Docstring]:
    """Parse docstrings so that every description is one line: tyro takes line ends in it for those of the help."""

    def parse_flat(*arguments: Any) -> docstring_parser.Docstring:
        parsed = parse(*arguments)
        for param in parsed.params:
            param.description = param.description and " ".join(param.description.split())
        return parsed

    return parse_flat


docstring_parser.parse = _on_one_line(docstring_parser.parse)
docstring_parser.parse_from_object = _on_one_line(docstring_parser.parse_from_object)

OPEN_FILES = 8192
"""Enough for all viewers; some systems refuse more, or none at all where there is no limit."""


class _LogConsole(Console):
    """Where the log goes; when nobody reads it any more, the program goes on."""

    def on_broken_pipe(self) -> None:
        """Leave it at that: by default this would end the program."""


def _set_up_process() -> None:
    """Set up a program that must not end by accident, nor untidily: logs never raise, there are enough open files."""
    handler = RichHandler(console=_LogConsole(stderr=True), show_time=False, show_path=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.raiseExceptions = False
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    if threading.current_thread() is threading.main_thread():
        for number in ending_signals():
            signal.signal(number, _end)
    if resource is not None:  # every viewer takes some: 256 or 1024, as systems allow at first, are few
        now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(most, OPEN_FILES)
        if now != resource.RLIM_INFINITY and now < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def ending_signals() -> list[signal.Signals]:
    """SIGTERM, and what a closed terminal sends, unless it shall be ignored, as nohup says."""
    closed = getattr(signal, "SIGHUP", None)  # Windows has none
    return [signal.SIGTERM, *([] if closed is None or signal.getsignal(closed) is signal.SIG_IGN else [closed])]


def _end(number: int, _frame: object) -> NoReturn:
    """End as an error would, so that nothing half-written is left; the next signal ends at once."""
    signal.signal(number, signal.SIG_DFL)
    sys.exit(128 + number)


def run_commands(
    commands: Mapping[str, Callable[..., Any]],
    *,
    prog: str,
    description: str,
    examples: Mapping[str, str],
    is_told: Callable[[], bool] = lambda: True,
) -> None:
    """Run the one of `commands` that the command line names, with the command line's arguments.

    Exit codes: 0 done, 2 a mistake that the user can correct (one sentence on stderr), 130 interrupted.

    Args:
        commands: by name.
        prog: the program's name.
        description: for its help.
        examples: by the names of commands, "subjects" or "subjects show"; their help ends with them, and the program's
            with the first.
        is_told: whether this process prints a mistake; of several that do the same, only one should.
    """
    if "--version" in sys.argv[1:]:
        print(f"{prog} {metadata.version('bodydouble')}")
        return
    _set_up_process()
    with plain_errors(prog, is_told=is_told):
        try:
            config = (tyro.conf.FlagCreatePairsOff,)
            name = next(iter(sys.argv[1:]), "").replace("_", "-")
            with VALUES:
                if name in commands:  # alone, so that a mistake names this command's help
                    tyro.cli(commands[name], prog=f"{prog} {name}", args=sys.argv[2:], config=config)
                elif meant := get_close_matches(name, commands, 1):
                    raise UserError(f"there is no command {name}: did you mean {meant[0]}?")
                else:
                    known = dict(commands)
                    tyro.extras.subcommand_cli_from_dict(known, prog=prog, description=description, config=config)
        except SystemExit as end:
            if not end.code and {"-h", "--help"} & {*sys.argv[1:]}:
                print(f"Example: {_example(examples)}")
            raise


def _example(examples: Mapping[str, str]) -> str:
    """That of the command that the command line names, of a command within it, or else the first."""
    for count in (2, 1):
        if found := examples.get(" ".join(sys.argv[1 : 1 + count])):
            return found
    return next(iter(examples.values()))


@contextmanager
def plain_errors(prog: str, *, is_told: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """End the program with a sentence and an exit code, and no traceback, for whatever is no fault of the program.

    Args:
        prog: the program's name.
        is_told: whether this process prints the sentence.
    """

    def end(sentence: str) -> NoReturn:
        if is_told():
            print(f"{prog}: {sentence}", file=sys.stderr)
        sys.exit(2)

    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # not at the end of the interpreter, which would tell of a closed pipe
    except UserError as error:
        end(str(error))
    except ImportError as error:
        sentence = missing_message(error)
        if sentence is None:
            raise
        end(sentence)
    except BrokenPipeError:  # `| head`: who reads has seen enough
        discard_stdout()
        sys.exit(0)
    except OSError as error:
        if error.filename is None:
            raise
        end(f"{error.filename} cannot be used ({error.strerror}): check the path and its rights.")
    except KeyboardInterrupt as stop:
        if str(stop) and is_told():
            print(f"{prog}: {stop}", file=sys.stderr)
        sys.exit(130)


def discard_stdout() -> None:
    """Print to nowhere from now on: whoever read it has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def stopping_says(kept: Callable[[], str]) -> Iterator[None]:
    """Where the block is stopped by Ctrl-C, `plain_errors` says what is kept, and how to go on.

    Args:
        kept: the sentence, asked for when it happens.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"stopped. {kept()}") from stop


def counted(count: int, word: str) -> str:
    """A number of things: "1 thread", "2 threads"."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def progress_bar(*columns: ProgressColumn, transient: bool = False) -> Progress:
    """A bar for long work: what is done, how many of how many, and how long the rest takes.

    Args:
        columns: more of them, at the end.
        transient: whether it vanishes when the work is done.
    """
    bar = BarColumn(bar_width=20)
    return Progress(
        TextColumn("{task.description}"),
        bar,
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        *columns,
        transient=transient,
    )
