"""Signed recordings: what they say, that changes are found, and what happens when they cannot be signed."""

import json
import os
from pathlib import Path

import pytest

from engines.errors import UserError
from realtime.live.commands import SessionCommands
from realtime.live.content_credentials import MADE_BY_AI, SUBJECT, ContentCredentials
from realtime.live.pipeline import STAGES
from realtime.live.session import Session
from realtime.meter import Meter
from realtime.pose.track import PoseTrack
from tests.support.scripted import ScriptedEstimator, ScriptedRenderer, ScriptedSource
from tests.support.streams import numbered_picture
from tests.support.waiting import until

c2pa = pytest.importorskip("c2pa")


def test_a_recording_says_that_it_is_made_by_ai_and_of_whom(tmp_path: Path) -> None:
    pictures = (numbered_picture(number) for number in range(10_000))
    source, renderer = ScriptedSource(pictures), ScriptedRenderer(90)
    session = Session(source, PoseTrack(ScriptedEstimator()), renderer, [], meter=Meter(*STAGES))
    credentials = ContentCredentials(tmp_path / "keys" / "signing.pem")
    asked = SessionCommands(session, lambda name: renderer, credentials=credentials)
    session.start()
    path = asked.record_to(tmp_path / "out.mp4")
    until(lambda: session.meter.count("render") > 20)
    asked.record("stop")
    session.stop()
    with c2pa.Reader(str(path)) as reader:
        assert reader.get_validation_state() == "Valid"
        told = json.loads(reader.json())
    claims = {each["label"]: each["data"] for each in told["manifests"][told["active_manifest"]]["assertions"]}
    assert claims["c2pa.actions.v2"]["actions"][0]["digitalSourceType"] == MADE_BY_AI
    consent = {"person": "fictional person", "licence": "CC0-1.0", "pictures": True}
    assert claims[SUBJECT]["subjects"] == [{"name": "alice", "consent": consent}]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["keys", "out.mp4"]
    changed = bytearray(path.read_bytes())
    changed[changed.index(b"mdat") + 500] ^= 1
    path.write_bytes(changed)
    with c2pa.Reader(str(path)) as reader:
        assert reader.get_validation_state() == "Invalid"


def test_the_key_is_kept_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    ContentCredentials(path)
    before = path.read_bytes()
    ContentCredentials(path)
    assert path.read_bytes() == before
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("nonsense")
    with pytest.raises(UserError, match=r"signing\.pem holds no certificates"):
        ContentCredentials(path)


def test_what_cannot_be_signed_stays_as_it_is(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"nothing like a film " * 250)
    with pytest.raises(UserError, match=r"film\.mp4 could not be signed"):
        ContentCredentials(tmp_path / "signing.pem").sign(film, [])
    assert film.stat().st_size == 5000
    assert sorted(each.name for each in tmp_path.iterdir()) == ["film.mp4", "signing.pem"]


def test_viewers_learn_no_path_from_what_cannot_be_signed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^gone\.mp4 could not be signed") as refused:
        ContentCredentials(tmp_path / "signing.pem").sign(tmp_path / "gone.mp4", [])
    assert str(tmp_path) not in str(refused.value)
