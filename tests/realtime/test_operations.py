"""A session that runs by itself: logs for programs, the systemd unit, the container."""

import json
import logging
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime.live.json_log import log_as_json
from tests.support.help_text import help_of, options_in
from tests.support.server_harness import offer_of, receive, running_server

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "docs" / "bodydouble.service"


@pytest.fixture
def as_json() -> Iterator[None]:
    root, packages = logging.getLogger(), [logging.getLogger(name) for name in ("engines", "realtime", "server")]
    handlers, levels = root.handlers[:], [(each, each.level) for each in [root, *packages]]
    root.handlers.clear()  # pytest's own; they come back below
    yield
    root.handlers[:] = handlers
    for logger, level in levels:
        logger.setLevel(level)


@pytest.mark.usefixtures("as_json")
async def test_every_message_is_a_line_of_json_and_tells_nothing_of_people(capsys: pytest.CaptureFixture[str]) -> None:
    log_as_json()
    async with running_server(streams=1) as inside:
        _, tracks, location = await inside.peer(videos=1)
        await receive(tracks[0], 2)
        await (await inside.http.delete(location)).read()
        await (await inside.post(await offer_of(direction="sendonly"))).read()
        try:
            raise OSError("two\nlines")
        except OSError:
            logging.getLogger("realtime.test").exception("It %s.", "broke")
    said = capsys.readouterr().err
    lines = [json.loads(line) for line in said.splitlines()]
    ours = [line for line in lines if line["logger"] == "server.sessions"]
    messages = [line["message"] for line in ours]
    assert messages[:3] == ["A client has come.", "A client has connected.", "A client has gone."]
    assert messages[3].startswith("Refused an offer")
    assert {line["endpoint"] for line in ours} == {"/whep"}
    assert {line["session"] for line in ours[:3]} == {location.rpartition("/")[2][:8]}
    [broken] = [line for line in lines if line["level"] == "error"]
    assert broken["message"] == "It broke."
    assert "OSError: two\nlines" in broken["exception"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", line["time"]) for line in lines)
    assert "127.0.0.1" not in said
    assert location.rpartition("/")[2] not in said, "whoever knows it may end the session"


def commands_of(path: Path) -> list[list[str]]:
    """The `realtime run`s in a unit or Containerfile."""
    text = path.read_text()
    found = [line.split()[1:] for line in re.findall(r"^ExecStart=(.*)$", text, re.M)]
    return found + [json.loads(line) for line in re.findall(r"^CMD (\[.*\])$", text, re.M)]


@pytest.mark.parametrize("path", [UNIT, ROOT / "Containerfile"], ids=lambda path: path.name)
def test_their_options_exist(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from realtime import cli

    [words] = commands_of(path)
    known = options_in(help_of(cli.main, ["realtime", "run"], monkeypatch, capsys))
    assert words[0] == "run"
    assert {word for word in words if word.startswith("--")} <= set(known)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    here = tmp_path / UNIT.name
    here.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.M))
    done = subprocess.run(["systemd-analyze", "verify", here], capture_output=True, text=True, timeout=60, check=False)
    about_it = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert about_it == []
