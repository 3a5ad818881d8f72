"""Commands to a running session, with scripted parts; and `realtime control` as its users meet it."""

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby, repeat
from pathlib import Path
from typing import Literal, get_args

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.errors import UserError
from realtime.figure import Figure
from realtime.frame import Frame, Rgb
from realtime.live.calibrate import COME_IN, GIVE_UP_S, STEP_BACK
from realtime.live.commands import AWAITED, NO_BADGE, SessionCommands
from realtime.live.control_client import control
from realtime.live.figure_sender import figure_message
from realtime.live.latest import Latest
from realtime.live.lesson import TOLD_S
from realtime.live.openpose_source import PoseSource
from realtime.live.performer_profile import load_profile
from realtime.live.pipeline import FADE_S, STAGES, FigureFrame, PosePipeline, ShowPipeline
from realtime.live.quality import LEVELS
from realtime.live.run_config import CaptureConfig
from realtime.live.session import Session
from realtime.live.source import FileSource
from realtime.live.source_switch import SourceSwitch
from realtime.live.stream_source import StreamSource
from realtime.live.whip_source import WhipSource
from realtime.meter import Meter
from realtime.pose.skeleton import REFINED, UNREFINED
from realtime.pose.track import PoseTrack
from realtime.subject import load_subject
from server.access import Access, Role
from server.app import Server
from server.certificate import tls_context
from server.stream import SharedStream
from tests.support.commands import DATA, assert_refused, command
from tests.support.openpose_files import write_frame
from tests.support.scripted import KeptOutput, ScriptedEstimator, ScriptedRenderer, ScriptedSource
from tests.support.standing_pose import standing
from tests.support.waiting import until

LEFT_WHITE: Rgb = np.zeros((64, 64, 3), np.uint8)
LEFT_WHITE[:, :32] = 255


class Played:
    """A session that plays, its outputs, and its commands."""

    def __init__(self, folder: Path, pictures: Iterator[Rgb] | None = None) -> None:
        self.output, self.preview, self.loaded = KeptOutput(), KeptOutput(), list[str]()
        self.source = ScriptedSource(pictures or repeat(LEFT_WHITE), fps=30)
        self.estimator = ScriptedEstimator(standing(scale=0.5))
        track, meter = PoseTrack(self.estimator), Meter(*STAGES)
        self.session = Session(
            self.source, track, ScriptedRenderer(50), [self.output], previews=[self.preview], meter=meter
        )
        self.asked = SessionCommands(self.session, self._load, folder=folder)
        self.session.start()

    def _load(self, name: str) -> ScriptedRenderer:
        self.loaded.append(name)
        return ScriptedRenderer(200)

    @property
    def state(self) -> dict[str, object]:
        state = self.asked.info()["state"]
        assert isinstance(state, dict)
        return state

    @property
    def newest(self) -> Frame:
        return self.output.frames[-1]


@pytest.fixture
def played(tmp_path: Path) -> Iterator[Played]:
    played = Played(tmp_path)
    until(lambda: len(played.output.frames) > 2)
    yield played
    played.session.stop()


def test_every_command_is_listed_with_what_it_changes(played: Played) -> None:
    assert played.state.keys() == {"subject", "source", "mirror", "badge", "record", "fade", "quality"}
    assert played.state.keys() <= played.asked.commands.keys()
    assert all(each.meaning.endswith(".") for each in played.asked.commands.values())


def test_the_subject_is_exchanged_by_name_only(played: Played, tmp_path: Path) -> None:
    played.asked.show("alice")
    until(lambda: (played.newest.rgb == 200).all())
    assert played.loaded == ["alice"]
    for name in ("bert", str(load_subject("alice").folder), "../alice"):
        with pytest.raises(UserError, match="choose one of alice"):
            played.asked.show(name)


def test_a_subject_that_was_trained_with_other_keypoints_is_not_shown_in_this_session(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = load_subject("alice")
    other_version = UNREFINED if alice.manifest.skeleton_version == REFINED else REFINED
    other = replace(alice, manifest=msgspec.structs.replace(alice.manifest, skeleton_version=other_version))
    monkeypatch.setattr(played.asked, "_load", lambda name: ScriptedRenderer(200, subject=other))
    with pytest.raises(UserError, match="other keypoints: begin anew with `realtime run --subject alice`"):
        played.asked.show("alice")
    assert played.session.renderer.subject.manifest.skeleton_version == alice.manifest.skeleton_version


def test_the_source_is_exchanged_and_the_first_one_closed(played: Played) -> None:
    played.asked.follow("bob")
    assert played.source.closed.is_set()
    assert played.state["source"] == "bob"
    until(lambda: played.preview.frames[-1].rgb.shape != LEFT_WHITE.shape)
    numbers = [frame.number for frame in played.preview.frames]
    assert numbers == list(range(len(numbers))), "they go on"
    for name in ("whip", "no.mp4", "camera:/etc/passwd", "camera:"):
        with pytest.raises(UserError, match="no source"):
            played.asked.follow(name)
    assert not played.session.wait(0)


def test_the_film_that_the_session_began_with_may_be_followed_again(tmp_path: Path) -> None:
    film = tmp_path / "dance.mp4"
    film.write_bytes((DATA / "bob_clip.mp4").read_bytes())
    session = Session(
        FileSource(film, loop=True), PoseTrack(ScriptedEstimator()), ScriptedRenderer(), [], meter=Meter(*STAGES)
    )
    asked = SessionCommands(session, lambda _: ScriptedRenderer())
    asked.follow("bob")
    asked.follow("dance")
    assert isinstance(session.source, FileSource)
    assert session.source.path == film
    asked.follow("bob")
    film.unlink()
    with pytest.raises(UserError, match="no source 'dance': choose one of bob, or"):
        asked.follow("dance")
    session.stop()


def test_a_stream_and_poses_may_be_followed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StreamSource, "_open", lambda self: iter(repeat(LEFT_WHITE)))
    write_frame(tmp_path / "dance_000_keypoints.json", standing(scale=0.5))
    for first in (StreamSource("rtsp://alice:secret@stage/1", reopen=True), PoseSource(tmp_path, fps=10)):
        session = Session(first, PoseTrack(ScriptedEstimator()), ScriptedRenderer(), [], meter=Meter(*STAGES))
        asked = SessionCommands(session, lambda _: ScriptedRenderer())
        asked.follow("bob")
        asked.follow(first.name)
        assert isinstance(session.source, type(first))
        assert session.source is not first
        session.stop()


def test_files_of_a_subject_that_cannot_be_played_are_named_in_the_log_alone(
    played: Played, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def load(name: str) -> ScriptedRenderer:
        raise UserError("/home/eva/alice/plate.png is damaged: export it again.")

    monkeypatch.setattr(played.asked, "_load", load)
    with pytest.raises(UserError, match="alice cannot be played: `realtime subjects show alice` says why"):
        played.asked.show("alice")
    assert "/home/eva/alice/plate.png is damaged" in caplog.text


def test_whoever_publishes_may_be_followed_where_the_session_began_with_it(tmp_path: Path) -> None:
    first = WhipSource()
    session = Session(first, PoseTrack(ScriptedEstimator()), ScriptedRenderer(), [], meter=Meter(*STAGES))
    asked = SessionCommands(session, lambda _: ScriptedRenderer(), publisher=first)
    asked.follow("bob")
    asked.follow("whip")
    assert isinstance(session.source, WhipSource)
    assert session.source.inlet is first.inlet, "the server puts the pictures where it did"


def test_pictures_say_which_source_they_are_from() -> None:
    switch = SourceSwitch(ScriptedSource(repeat(LEFT_WHITE), fps=1000))
    numbers = [frame.source for _ in range(2) if (frame := switch.read())]
    assert switch.exchange(ScriptedSource(repeat(LEFT_WHITE), fps=1000)) == 1
    numbers += [frame.source for _ in range(2) if (frame := switch.read())]
    assert numbers == [0, 0, 1, 1]


def test_every_source_that_is_left_is_read_once_more_to_let_it_close_what_it_has_open() -> None:
    class Kept(ScriptedSource):
        open = True

        def read(self) -> Frame | None:
            self.open = not self.closed.is_set()
            return super().read() if self.open else None

    first, skipped, last = (Kept(repeat(LEFT_WHITE), fps=1000) for _ in range(3))
    switch = SourceSwitch(first)

    def exchange() -> None:
        switch.exchange(skipped)
        switch.exchange(last)

    first._pictures = iter([exchange, LEFT_WHITE])
    assert [frame.source for _ in range(2) if (frame := switch.read())] == [2, 2]
    assert not first.open
    assert not skipped.open
    assert last.open


def test_a_camera_is_opened_as_the_session_was_asked_to_and_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = list[tuple[str, CaptureConfig]]()

    class Camera(ScriptedSource):
        def __init__(self, camera: str, capture: CaptureConfig) -> None:
            super().__init__([])
            self.camera, self.name = camera, f"camera {camera}"
            opened.append((camera, capture))

    monkeypatch.setattr("realtime.live.commands.CameraSource", Camera)
    asks = CaptureConfig(camera_size="1280x720")
    session = Session(ScriptedSource([]), PoseTrack(ScriptedEstimator()), ScriptedRenderer(), [], meter=Meter(*STAGES))
    asked = SessionCommands(session, lambda _: ScriptedRenderer(), capture=asks)
    asked.follow("camera:1")
    state = asked.info()["state"]
    assert isinstance(state, dict)
    asked.follow(state["source"])
    assert opened == [("1", asks)]


def test_a_source_that_is_exchanged_after_the_end_is_closed() -> None:
    first, second = ScriptedSource([]), ScriptedSource([])
    switch = SourceSwitch(first)
    switch.close()
    switch.exchange(second)
    assert first.closed.is_set()
    assert second.closed.is_set()
    assert switch.read() is None


def test_mirrored_pictures_are_what_everybody_sees(played: Played) -> None:
    assert played.preview.frames[-1].rgb[0, 0, 0] == 255
    played.asked.mirror(True)
    until(lambda: played.preview.frames[-1].rgb[0, 0, 0] == 0)
    played.asked.mirror(False)
    until(lambda: played.preview.frames[-1].rgb[0, 0, 0] == 255)


def test_the_quality_is_chosen_or_left_to_the_session(played: Played) -> None:
    assert played.state["quality"] == "auto"
    played.asked.quality("low")
    until(lambda: played.session.level is LEVELS[-1])
    assert played.asked.info()["state"]["quality"] == "low"  # type: ignore[index]
    info = played.asked.info()["quality"]
    assert isinstance(info, dict)
    assert (info["level"], info["name"]) == (3, "low")
    played.asked.quality("auto")
    until(lambda: played.session.level is LEVELS[0])


def test_it_fades_to_the_background_and_back(played: Played) -> None:
    plate = load_subject("alice").plate
    played.asked.fade("plate")
    until(lambda: bool((played.newest.rgb == plate).all()))
    played.asked.fade("in")
    until(lambda: (played.newest.rgb == 50).all())


Fade = Literal["to the background", "to another subject"]
BOTH = pytest.mark.parametrize("fade", get_args(Fade))


def missing(fade: Fade, times_s: Sequence[float]) -> NDArray[np.float64]:
    """How far from its end a fade is at these times, 1..0: the first picture is the last one before it."""
    pipeline, renderer, end = ShowPipeline(Meter(*STAGES)), ScriptedRenderer(50), load_subject("alice").plate
    far = []
    for number, at_s in enumerate(times_s):
        frame = Frame(rgb=LEFT_WHITE, captured_at_s=at_s, number=number)
        figure = renderer.subject.figure(None)
        shown = pipeline.step(FigureFrame(frame, figure, renderer, renderer.step(figure)))
        assert shown
        if number == 0 and fade == "to the background":
            pipeline.faded = True
        elif number == 0:
            renderer, end = ScriptedRenderer(200), np.full_like(end, 200)
        far.append(np.abs(shown.rgb.astype(int) - end).mean())
    return np.asarray(np.array(far) / far[0], np.float64)


@BOTH
def test_a_fade_takes_its_time(fade: Fade) -> None:
    far = missing(fade, np.arange(0, 1, 1 / 30).tolist())
    assert (np.diff(far[: round(FADE_S * 30)]) < 0).all()
    assert far[round(FADE_S * 30) // 2] == pytest.approx(0.5, abs=0.05)
    assert not any(far[round(FADE_S * 30) + 1 :])


@BOTH
@pytest.mark.parametrize("gap_s", [0.5, 60.0])
def test_it_does_not_jump_because_pictures_were_missing(fade: Fade, gap_s: float) -> None:
    assert 0.7 < missing(fade, [10.0, 10.0 + gap_s])[1] < 1


def test_the_badge_is_shown_and_hidden_which_is_logged(played: Played, caplog: pytest.LogCaptureFixture) -> None:
    assert not caplog.records
    played.asked.badge(True)
    until(lambda: bool((played.newest.rgb != 50).any()))
    played.asked.badge(False)
    until(lambda: bool((played.newest.rgb == 50).all()))
    assert [record.message for record in caplog.records] == [NO_BADGE]


def test_figures_are_sent_by_the_pictures_size() -> None:
    pose = standing(scale=0.5)
    message = json.loads(figure_message(Figure(np.zeros((500, 250, 3), np.uint8), pose), 2.5))
    assert message["at"] == 225_000
    assert len(message["points"]) == 33
    x, y, confidence = message["points"][0]
    assert (x * 250, y * 500) == pytest.approx(pose.at("nose"), abs=0.05)
    assert confidence == pytest.approx(float(pose.confidence[0]), abs=1e-3)
    nobody = json.loads(figure_message(Figure(np.zeros((8, 8, 3), np.uint8), None), 0.0))
    assert nobody == {"at": 0, "points": None}


def test_the_next_person(played: Played) -> None:
    played.asked.next_person(None)
    assert played.estimator.track_id == 1


def test_the_next_person_where_there_is_none_is_a_sentence(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(played.estimator, "next_person", lambda: None)
    with pytest.raises(UserError, match=r"^Nobody else is in the picture\.$"):
        played.asked.next_person(None)
    played.estimator._pose = None
    until(lambda: played.session.nobody)
    with pytest.raises(UserError, match=r"^Nobody is in the picture\.$"):
        played.asked.next_person(None)


def test_a_calibration_that_waits_for_somebody_says_so(played: Played) -> None:
    played.estimator._pose = None
    until(lambda: played.session.nobody)
    assert played.asked.calibrate(None) == AWAITED
    until(lambda: played.session.info().get("notice") == COME_IN)
    played.estimator._pose = standing(scale=0.5)
    until(lambda: not played.session.nobody)
    assert played.asked.calibrate(None) is None


def test_a_snapshot_is_a_picture_with_a_name_of_its_own(played: Played, tmp_path: Path) -> None:
    written = {played.asked.snapshot(None) for _ in range(3)}
    assert {str(path.resolve()) for path in tmp_path.iterdir()} == written
    assert len(written) == 3
    for path in written:
        assert Path(path).name.startswith("alice_")
        picture = cv2.imread(path)
        assert picture is not None
        assert np.ptp(picture) == 0
        assert picture[0, 0, 0] == 50


def test_a_snapshot_that_cannot_be_written_is_a_sentence(played: Played, tmp_path: Path) -> None:
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        SessionCommands(played.session, lambda _: ScriptedRenderer(), folder=nowhere).snapshot(None)


def test_a_calibration_in_the_session_becomes_a_profile(
    played: Played, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(UserError, match="cannot be called"):
        played.asked.calibrate("../maria")
    played.estimator._pose = None
    played.asked.calibrate("maria")

    def told() -> str:
        return str(played.session.info().get("notice"))

    def obey() -> None:
        played.estimator._pose = standing(scale=0.6 if told().startswith("Step near") else 0.5)

    until(lambda: told() == COME_IN)
    until(lambda: "Thank you" in told(), obey)
    profile = load_profile("maria")
    assert (profile.width_px, profile.height_px) == (64, 64)
    assert profile.motion.near_stature > profile.motion.far_stature


def test_a_calibration_that_fails_says_so_and_ends() -> None:
    legless, renderer = standing(scale=0.5), ScriptedRenderer()
    legless.confidence[27:33] = 0
    pipeline = PosePipeline(PoseTrack(ScriptedEstimator(legless)), renderer, Meter(*STAGES))
    pipeline.calibrate(None)
    said = []
    for number in range(round(5 * (GIVE_UP_S + TOLD_S + 2))):
        pipeline.step(Frame(rgb=LEFT_WHITE, captured_at_s=number / 5, number=number), renderer)
        said.append(pipeline.notice or "")
    (hint, hinted), (failure, told), *after = [(notice, len([*same])) for notice, same in groupby(said)]
    assert hint == STEP_BACK
    assert hinted / 5 == pytest.approx(GIVE_UP_S, abs=0.5)
    assert failure.startswith("Gave up")
    assert told / 5 == pytest.approx(TOLD_S, abs=0.5)
    assert after
    assert not pipeline.calibrating


async def test_the_command_line_of_control(tmp_path: Path) -> None:
    played = Played(tmp_path)
    access = Access.by_new_tokens()
    server = Server([_stream()], port=0, access=access, info=played.asked.info, commands=played.asked.commands)
    await server.start()
    try:
        [link], [watching] = server.links(Role.CONTROL), server.links(Role.WATCH)
        for words, said in (
            ([], "true or false"),
            (["mirror", "true"], "mirror true: done."),
            (["snapshot"], ".png"),
        ):
            done = await asyncio.to_thread(command, "realtime", "control", *words, "--link", link)
            assert done.returncode == 0, done.stderr
            assert said in done.stdout
        assert played.session.mirrored
        for words, link_used, said in (
            (["mirror", "perhaps"], link, "mirror takes true or false, and was given 'perhaps'."),
            (["mirror"], link, "mirror takes true or false, and was given nothing."),
            (["record", "on"], link, "record takes start or stop, and was given 'on'."),
            (["next-person", "2"], link, "next-person takes nothing, and was given '2'."),
            (["jump"], link, "no command 'jump'"),
            (["mirror", "true"], watching, "watching only"),
            (["mirror", "true"], str(server.url), "answers 401"),
            (["mirror", "true"], str(server.url), "--link LINK"),
            (["mirror", "true"], "http://127.0.0.1:9/", "Nothing answers"),
            (
                ["mirror", "true"],
                "http://127.0.0.1:9/",
                "--link LINK, which `realtime run` has printed, or by its --port",
            ),
            (["mirror", "true"], "ftp://x", "no link"),
        ):
            with pytest.raises(UserError, match=re.escape(said)):
                await asyncio.to_thread(control, link_used, words[0], " ".join(words[1:]) or None)
        assert_refused(await asyncio.to_thread(command, "realtime", "control", "jump", "--link", link), "no command")
    finally:
        await server.stop()
        played.session.stop()


async def test_control_of_a_session_on_another_port(tmp_path: Path) -> None:
    played = Played(tmp_path)
    server = Server([_stream()], port=0, info=played.asked.info, commands=played.asked.commands)
    await server.start()
    try:
        port = str(server.url).rstrip("/").rpartition(":")[2]
        done = await asyncio.to_thread(command, "realtime", "control", "mirror", "true", "--port", port)
        assert done.returncode == 0, done.stderr
        assert played.session.mirrored
    finally:
        await server.stop()
        played.session.stop()
    assert_refused(command("realtime", "control", "mirror", "true", "--port", "70000"), "from 1 to 65535")
    both = command("realtime", "control", "mirror", "true", "--port", port, "--link", "http://127.0.0.1:9/")
    assert_refused(both, "either --link or --port")


async def test_control_by_port_of_a_session_with_tls(tmp_path: Path) -> None:
    tls, _ = tls_context(tmp_path / "certificate.pem", {"127.0.0.1"})
    server = Server([_stream()], port=0, tls=tls)
    await server.start()
    try:
        link = str(server.url).replace("https", "http")
        with pytest.raises(UserError, match="speaks no http: a session with --tls is named by --link LINK"):
            await asyncio.to_thread(control, link, None, None)
    finally:
        await server.stop()


def _stream() -> SharedStream[Frame]:
    return SharedStream("alice", Latest[Frame]())
