"""What other systems lack, taken away from this one: programs go on without it."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from engines import backends, cache, files
from engines.errors import UserError
from engines.verify import host_bytes
from realtime.live import camera
from realtime.live.start_up import process_began_at_s

LACKING = """
    import asyncio.unix_events, os, pathlib, signal, sys

    sys.modules["resource"] = None
    for name in ("getuid", "sched_getaffinity", "sched_setaffinity", "fork"):
        delattr(os, name)
    for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL"):
        delattr(signal, name)

    def without_proc(method):
        def only_elsewhere(path, *arguments, **options):
            if path.parts[:2] == ("/", "proc"):
                raise FileNotFoundError(path)
            return method(path, *arguments, **options)
        return only_elsewhere

    for name in ("open", "read_text"):
        setattr(pathlib.Path, name, without_proc(getattr(pathlib.Path, name)))
    is_file = pathlib.Path.is_file
    pathlib.Path.is_file = lambda path: path.parts[:2] != ("/", "proc") and is_file(path)

    def unknown(*_):
        raise NotImplementedError

    asyncio.unix_events._UnixSelectorEventLoop.add_signal_handler = unknown
    sys.argv = {argv!r}
    from {package}.__main__ import main
    main()
"""


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("realtime.engine_tools", "engines list"),
        ("realtime", "realtime subjects"),
        ("realtime", "realtime bench --subject alice --source bob --seconds 1"),
        ("trainer", "trainer settings"),
    ],
)
def test_commands_run_where_there_is_nothing_of_unix(package: str, line: str) -> None:
    program = textwrap.dedent(LACKING).format(argv=line.split(), package=package)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_a_process_without_proc_began_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    before_s = time.perf_counter()
    assert process_began_at_s() >= before_s


def test_without_proc_nothing_is_known_of_processor_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_file", lambda _: False)
    assert backends.cpu_flags() == []
    assert backends.cpu_name()
    assert host_bytes() == 0


@pytest.mark.parametrize(("system", "asked"), [("nt", False), ("posix", True)])
def test_windows_is_not_asked_to_bring_a_folder_to_the_disk(
    system: str, asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def record(folder: Path, flags: int) -> int:
        opened.append(folder)
        return os.open(folder, flags)

    replaced = SimpleNamespace(name=system, open=record, O_RDONLY=os.O_RDONLY, fsync=os.fsync, close=os.close)
    monkeypatch.setattr(files, "os", replaced)
    files.sync_folder(tmp_path)
    assert opened == [tmp_path] * asked


def test_where_there_are_no_owners_a_cache_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(UserError, match="Others may write"):
        cache.Cache(tmp_path)
    monkeypatch.delattr(os, "getuid")
    assert cache.Cache(tmp_path).folder == tmp_path


def test_only_linux_tells_of_cameras_without_opening_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert camera.has_camera()
    assert camera._why(0).startswith("close other programs")
