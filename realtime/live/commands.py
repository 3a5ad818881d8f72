"""What may be asked of a running session, by name; the protocol around it is `server.control`."""

import logging
import math
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Literal

from engines.errors import UserError
from realtime.live.camera import CameraSource
from realtime.live.content_credentials import ContentCredentials
from realtime.live.openpose_source import PoseSource
from realtime.live.performer_profile import check_name
from realtime.live.pipeline import SubjectRenderer
from realtime.live.quality import QualityName
from realtime.live.recording import RecordingOutput
from realtime.live.run_config import CaptureConfig
from realtime.live.session import Session
from realtime.live.source import FileSource, Source
from realtime.live.stream_source import StreamSource
from realtime.live.whip_source import WHIP, WhipSource
from realtime.named_films import performers
from realtime.pictures import write_picture
from realtime.subject import Manifest, subject_folders
from server.control import Command
from server.sound import SharedSound

CAMERA = "camera:"
NO_BADGE = "The pictures do not say that they are AI-generated."
AWAITED = "Nobody is in the picture yet: it begins when somebody comes."
SAID_S = 10.0
"""So long the page shows what went wrong."""
LOG = logging.getLogger(__name__)


class SessionCommands:
    """Carries out, in any one thread at a time, what clients ask of a session.

    Nobody outside may name a file: subjects and performers are chosen among those that are listed, and what is written
    gets a name of its own in `folder`.

    Args:
        session: what is asked.
        load: makes a subject ready to be rendered.
        publisher: what whoever publishes is received with, if anybody may.
        sound: what is recorded with the pictures, if there is any.
        credentials: what recordings are signed with.
        capture: what is asked of cameras.
        folder: where pictures and recordings are written.
    """

    def __init__(
        self,
        session: Session,
        load: Callable[[str], SubjectRenderer],
        *,
        publisher: WhipSource | None = None,
        sound: SharedSound | None = None,
        credentials: ContentCredentials | None = None,
        capture: CaptureConfig = CaptureConfig(),
        folder: Path = Path(),
    ) -> None:
        self._session, self._load, self._folder = session, load, folder.resolve()
        self._recording: RecordingOutput | None = None
        self._sound, self._credentials, self._capture = sound, credentials, capture
        self._shown: list[Manifest] = []
        """Whom the present recording shows."""
        self._said, self._said_until_s = "", -math.inf
        self._publisher = publisher
        self._first_name, self._open_first = session.source.name, _opening(session.source)
        self.commands = {
            "subject": Command("Show another subject, by its name.", str, self.show),
            "source": Command(
                f"Follow a bundled performer or the first source by name, {CAMERA}NUMBER, or {WHIP} if begun with it.",
                str,
                self.follow,
            ),
            "mirror": Command("Move as in a mirror, or not.", bool, self.mirror),
            "next-person": Command("Follow the next person, if there are several.", None, self.next_person),
            "calibrate": Command(
                "Learn where the performer stands near and far; a name keeps it as a profile.",
                str | None,
                self.calibrate,
            ),
            "snapshot": Command("Write the present picture as a PNG; the result is its path.", None, self.snapshot),
            "badge": Command("Say in every picture that it is AI-generated, or not.", bool, self.badge),
            "record": Command(
                "Begin to record, or end it; the result is the file's path.", Literal["start", "stop"], self.record
            ),
            "quality": Command(
                "Compute as much for a picture as there is time for (auto), or always the same.",
                QualityName,
                self.quality,
            ),
            "fade": Command("Fade to the empty background (plate), or back (in).", Literal["plate", "in"], self.fade),
        }
        """By name."""

    def show(self, name: str) -> None:
        """Exchange the subject; returns once it is loaded."""
        if name not in subject_folders():
            raise UserError(f"There is no subject {name!r}: choose one of {', '.join(sorted(subject_folders()))}.")
        shown = self._session.renderer
        try:
            next_one = self._load(name)
        except UserError as error:  # about files, which are nobody else's business
            LOG.warning(str(error))
            raise UserError(f"{name} cannot be played: `realtime subjects show {name}` says why.") from error
        if next_one.subject.manifest.skeleton_version != shown.subject.manifest.skeleton_version:
            raise UserError(
                f"{name} was trained with other keypoints: begin anew with `realtime run --subject {name}`."
            )
        self._session.renderer = next_one
        if next_one.subject.manifest not in self._shown:
            self._shown.append(next_one.subject.manifest)

    def follow(self, name: str) -> None:
        """Exchange the source, unless it is that one."""
        if name != self._source:
            self._session.exchange_source(self._open(name))

    def mirror(self, on: bool) -> None:
        """Turn the source's pictures around."""
        if isinstance(self._session.source, PoseSource):
            raise UserError("Poses of OpenPose cannot be mirrored: choose another source.")
        self._session.mirrored = on

    def next_person(self, _: None) -> None:
        """Follow somebody else in the picture."""
        if not self._session.next_person():
            raise UserError(f"Nobody{'' if self._session.nobody else ' else'} is in the picture.")

    def calibrate(self, name: str | None) -> str | None:
        """Begin to calibrate; what to do is said as the session's notice. Returns what it waits for."""
        if name is not None:
            check_name(name)
        self._session.calibrate(name)
        return AWAITED if self._session.nobody else None

    def snapshot(self, _: None) -> str:
        """Write the picture that was rendered last; returns the file's full path."""
        picture = self._session.picture
        if picture is None:
            raise UserError("There is no picture yet.")
        path = new_path(self._folder, self._subject, ".png")
        try:
            write_picture(path, picture.rgb)
        except OSError as error:
            raise UserError(f"{path.name} cannot be written ({error.strerror}): free space or allow it.") from error
        return str(path)

    def badge(self, on: bool) -> None:
        """Show the badge, or hide it, which is logged."""
        if not on:
            LOG.warning(NO_BADGE)
        self._session.badge = on

    def record(self, what: str) -> str:
        """Begin a recording, or end it; returns the file's full path."""
        if what == "start":
            return str(self.record_to(new_path(self._folder, self._subject, ".mp4")))
        recording, self._recording = self._recording, None
        ended = recording is None or recording.ended
        if recording is not None:
            self._session.remove(recording)
        if recording is None or ended:
            raise UserError("Nothing is being recorded.")
        return str(recording.path.resolve())

    def record_to(self, path: Path) -> Path:
        """Begin a recording; returns the file's path, which has a number if that name was taken."""
        if self._recording is not None:
            if not self._recording.ended:
                raise UserError(f"{self._recording.path.name} is being recorded: stop that first.")
            self._session.remove(self._recording)
        subject = self._session.renderer.subject
        path, shown = free_path(path), [subject.manifest]
        self._shown = shown

        def sign(path: Path) -> None:
            if self._credentials is not None:
                self._credentials.sign(path, shown)

        self._recording = RecordingOutput(
            path, comment=subject.disclosure, sound=self._heard, finish=sign, on_end=self._say
        )
        self._session.add(self._recording)
        return path

    @property
    def recording(self) -> Path | None:
        """Where the present recording is, or the last one if it has ended by itself."""
        return None if self._recording is None else self._recording.path

    def quality(self, name: QualityName) -> None:
        """Choose a level, or let it be chosen."""
        self._session.quality = name

    def fade(self, to: str) -> None:
        """Fade out, or in."""
        self._session.faded = to == "plate"

    def info(self) -> dict[str, object]:
        """What the server tells of the session, with the `state` of what commands change."""
        session, recording, info = self._session, self._recording, self._session.info()
        if time.perf_counter() < self._said_until_s:
            info["notice"] = self._said
        state = {
            "subject": self._subject,
            "source": self._source,
            "mirror": session.mirrored,
            "badge": session.badge,
            "record": recording.path.name if recording is not None and not recording.ended else None,
            "quality": session.quality,
            "fade": "plate" if session.faded else "in",
        }
        return {**info, "state": state}

    @property
    def _heard(self) -> SharedSound | None:
        """What a recording that begins now has of sound: a track for it cannot be added later."""
        return self._sound if self._sound is not None and (self._session.has_sound or self._sound.heard) else None

    @property
    def _subject(self) -> str:
        """The name by which the present subject is chosen: its folder's."""
        return self._session.renderer.subject.folder.resolve().name

    @property
    def _source(self) -> str:
        """What is followed, as it is chosen, or by its name if it cannot be."""
        source = self._session.source
        if isinstance(source, CameraSource):
            return f"{CAMERA}{source.camera}"
        return WHIP if isinstance(source, WhipSource) else source.name

    def _say(self, sentence: str) -> None:
        LOG.warning(sentence)
        self._said, self._said_until_s = sentence, time.perf_counter() + SAID_S

    def _open(self, name: str) -> Source:
        films = performers()
        if name == self._first_name and (first := self._open_first()) is not None:
            return first
        if name in films:
            return FileSource(films[name], loop=True)
        if name.startswith(CAMERA) and name.removeprefix(CAMERA).isdecimal():
            return CameraSource(name.removeprefix(CAMERA), self._capture)
        if name == WHIP and self._publisher is not None:
            return WhipSource(self._publisher.inlet, self._publisher.sound)
        raise UserError(f"There is no source {name!r}: choose one of {', '.join(films)}, or {CAMERA}NUMBER.")


def _opening(source: Source) -> Callable[[], Source | None]:
    """What opens a source anew that has no other name to be opened by; None where it is no more."""
    if isinstance(source, FileSource):  # which stays: what was fetched is there for as long as it is
        path = source.path
        return lambda: FileSource(path, loop=True, fps=source.fps, title=source.title) if path.exists() else None
    if isinstance(source, StreamSource):
        return partial(StreamSource, source.address, reopen=source.reopens)
    if isinstance(source, PoseSource):
        return partial(PoseSource, source.folder, fps=source.fps)
    return lambda: None


def new_path(folder: Path, name: str, suffix: str) -> Path:
    """A path that says when it was chosen, and where nothing is yet."""
    return free_path(folder / f"{name}_{datetime.now().astimezone():%Y%m%d_%H%M%S}{suffix}")


def free_path(path: Path) -> Path:
    """The path, with a number where something is there already."""
    numbered = (path.with_stem(f"{path.stem}_{number}") for number in count(2))
    return next(each for each in chain([path], numbered) if not each.exists())
