"""Where frames come from: a camera, a video file played in its own time, a stream, or recorded poses."""

import logging
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from itertools import count
from pathlib import Path
from typing import Protocol, runtime_checkable

from engines.errors import UserError
from realtime.fetch import check_film, fetched, is_film, is_url, public_name, without_scheme
from realtime.frame import Frame, Rgb
from realtime.live.camera import REOPEN_S, CameraSource, find_device, has_camera
from realtime.live.film_sound import FilmSound
from realtime.live.openpose_source import PoseSource
from realtime.live.pace import Pace
from realtime.live.run_config import CaptureConfig
from realtime.live.stream_source import StreamSource
from realtime.live.whip_source import WHIP
from realtime.named_films import performers, video_path
from realtime.pictures import PICTURES_FPS, PictureFolder
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.people import check_person
from realtime.video import has_sound, read_video
from server.sound import Hear, Samples

POSES = "poses:"
MOST_FPS = 240
LOG = logging.getLogger(__name__)


class Source(Protocol):
    """A stream of frames in real time."""

    @property
    def name(self) -> str:
        """What people call it."""

    def read(self) -> Frame | None:
        """Wait for the next frame; None once the source has ended, at once if it was closed."""

    def close(self) -> None:
        """Let go of the device or file, at the latest with the `read` that follows; from any thread."""


@runtime_checkable
class AudibleSource(Source, Protocol):
    """A source that may be heard, too."""

    @property
    def has_sound(self) -> bool:
        """Whether there is any sound, or may be."""

    def listen(self, hear: Hear) -> None:
        """Hand the sound over, in the thread that reads or in one of its own; from any thread."""


class FileSource:
    """A video file, played and heard as fast as it was filmed, over and over if `loop`.

    When it vanishes or breaks meanwhile, a loop waits until it is back.

    Args:
        path: the file, or a folder of pictures.
        loop: whether to begin again at the end.
        fps: how fast pictures of a folder are played, and how often a single one of any film.
        title: what it is called where its path says nothing.

    Raises:
        UserError: it cannot be read; the first picture is decoded at once to find out.
    """

    def __init__(self, path: Path, *, loop: bool, fps: float = PICTURES_FPS, title: str = "") -> None:
        self.name = path.stem or path.resolve().name
        self.path, self.fps, self.title, self._loop = path, fps, title or str(path), loop
        self._sound = FilmSound(path)
        self._hear: Hear | None = None
        self._number, self._pace, self._noted = 0, Pace(), set[str]()
        self._pictures = self._play()
        self._first = next(self._pictures, None)
        if self._first is None:
            raise UserError(f"The video {path} has no picture in it: give another one.")

    @property
    def has_sound(self) -> bool:
        """Whether the film has any; not while it has vanished."""
        try:
            return has_sound(self.path)
        except UserError:
            return False

    def listen(self, hear: Hear) -> None:
        """Hand over the sound, a picture's length before it is due."""
        self._hear = hear

    def read(self) -> Frame | None:
        """Wait until the next picture is due; None after the last one, or once the source was closed."""
        picture, self._first = self._first or next(self._pictures, None), None
        if picture is not None and self._hear is not None:
            for pcm, due_s in self._sound.until(picture[1]):
                self._hear(Samples(pcm, self._pace.at_s(due_s)))
        if picture is None or not self._pace.wait(picture[1]):
            self._pictures.close()
            self._sound.close()
            return None
        self._number += 1
        return Frame(rgb=picture[0], captured_at_s=time.perf_counter(), number=self._number - 1)

    def close(self) -> None:
        """Let `read` end, which closes the file."""
        self._pace.close()

    def _play(self) -> Generator[tuple[Rgb, float], None, None]:
        """The pictures and when they are due, in seconds; a repeat goes on one frame after the end."""
        offset_s, away = 0.0, False
        for repeat in count():
            at_s = step_s = 0.0
            for rgb, time_s in self._read_again() if repeat else self._read():
                if repeat and not step_s and self._hear is not None:
                    self._sound.begin(offset_s)
                if away:
                    LOG.warning("%s is back.", self.name)
                    away = False
                at_s, step_s = time_s, max(time_s - at_s, 1e-3) if step_s else 1 / self.fps
                yield rgb, offset_s + at_s
            offset_s += at_s + step_s
            if not self._loop or not (repeat or step_s):  # nothing to repeat
                return
            if step_s:
                continue
            if not away:
                LOG.warning("%s gives no pictures. Waiting for it.", self.name)
                self._noted.clear()
                self._sound.close()
                away = True
            if not self._pace.pause(REOPEN_S):
                return
            offset_s = max(offset_s, self._pace.now_s())

    def _read_again(self) -> Iterator[tuple[Rgb, float]]:
        """The pictures as far as there are any."""
        with suppress(UserError, OSError):
            yield from self._read()

    def _read(self) -> Iterator[tuple[Rgb, float]]:
        if not self.path.is_dir():
            yield from read_video(self.path, note=self._note)
            return
        folder = PictureFolder(self.path, self.fps)
        for about in folder.notes:
            self._note(about)
        yield from folder.read(note=self._note if self._loop else None)

    def _note(self, sentence: str) -> None:
        """Once is enough."""
        if sentence not in self._noted:
            self._noted.add(sentence)
            LOG.warning(sentence.replace(str(self.path), self.title))


def is_recorded(source: str) -> bool:
    """Whether a source is a film that can be read from its begin to its end: a file or a folder of pictures."""
    source = without_scheme(source)
    return not source.startswith(POSES) and not is_url(source) and not video_path(source).is_fifo()


@contextmanager
def video_file(source: str, pose: PoseConfig = PoseConfig()) -> Iterator[Path]:
    """The video that the command line means, as a file or a folder; what is at an URL is fetched meanwhile.

    Args:
        source: a path, an URL, or a bundled performer's name.
        pose: what shall be estimated, and whose.

    Raises:
        UserError: there is no such video, or it never has the person who is asked for.
    """
    source = without_scheme(source)
    with fetched(source) if is_url(source) else nullcontext(video_path(source)) as path:
        check_film(str(path))
        check_person(path, pose)
        yield path


def check_named(camera: str | None, source: str | None) -> None:
    """Look for the camera or file that the command line names, without opening it.

    Raises:
        UserError: there is none.
    """
    if camera is not None:
        find_device(camera)
    elif source is not None and not (source.startswith(POSES) or source == WHIP or is_url(without_scheme(source))):
        video_path(without_scheme(source))


def open_source(
    camera: str | None,
    source: str | None,
    *,
    capture: CaptureConfig = CaptureConfig(),
    fps: float | None = None,
    pose: PoseConfig = PoseConfig(),
    say: Callable[[str], object] = LOG.info,
) -> tuple[Source, str | None]:
    """Open what the command line asks for.

    Args:
        camera: a camera's index, path, or a part of its name; or None.
        source: a bundled performer's name, a video's path, an URL, a named pipe, a folder of pictures, poses:FOLDER,
            or None.
        capture: what to ask of the camera.
        fps: how fast recorded poses and folders of pictures are played; by default `PICTURES_FPS`.
        pose: what shall be estimated, and whose.
        say: told what the camera really gives.

    Returns:
        The source, and a sentence for people when it is not what they may expect.

    Raises:
        UserError: both are given, it cannot be opened, an option has no effect on it, or it never has the person who is
            asked for.
    """
    if camera is not None and source is not None:
        raise UserError("Give either --camera or --source, not both.")
    source = source and without_scheme(source)
    if source is not None and capture.asks:
        raise UserError("--camera-size and --camera-fps are for cameras: leave them out with --source.")
    if fps is not None and not (source and (source.startswith(POSES) or Path(source).is_dir())):
        raise UserError("--fps is for folders of pictures and for poses: everything else has times of its own.")
    if fps is not None and not 1 <= fps <= MOST_FPS:
        raise UserError(f"--fps must be from 1 to {MOST_FPS}, not {fps:g}.")
    if source is not None and source.startswith(POSES) and pose != PoseConfig():
        raise UserError("--pose, --pose-parts, --pose-effort and --person are of no use with poses:.")
    if source is not None:
        opened = _open_named(source, PICTURES_FPS if fps is None else fps)
        if isinstance(opened, FileSource):
            check_person(opened.path, pose)
        return opened, about_person(pose) if isinstance(opened, StreamSource) else None
    if camera is not None or has_camera():
        return CameraSource(camera or "0", capture, say=say), about_person(pose)
    if capture.asks:
        raise UserError("There is no camera here that --camera-size or --camera-fps could be asked of: connect one.")
    name, path = next(iter(performers().items()))
    check_person(path, pose)
    return FileSource(path, loop=True), f"No camera here: playing the performer {name} instead."


def about_person(pose: PoseConfig) -> str | None:
    """What happens live, where nobody knows how many will come, while there are fewer people than the Nth is of."""
    if not isinstance(pose.person, int) or pose.person == 1:
        return None
    return f"While there are fewer than {pose.person} people, the one at the right edge of the picture is followed."


def _open_named(source: str, fps: float) -> Source:
    if source == POSES:
        raise UserError("poses: needs a folder: give for example --source poses:openpose/json.")
    if source.startswith(POSES):
        return PoseSource(Path(source.removeprefix(POSES)), fps=fps)
    if is_url(source):
        return _open_url(source)
    path = video_path(source)
    if not path.is_fifo():
        return FileSource(path, loop=True, fps=fps)
    LOG.warning("%s is a pipe. Waiting for somebody to write into it.", path)
    return StreamSource(str(path), reopen=False)


def _open_url(url: str) -> Source:
    """A live stream; a whole film is fetched first, for it is played in its own time, and over and over."""
    if not is_film(url):
        return StreamSource(url, reopen=True)
    with ExitStack() as ends:
        source = FileSource(ends.enter_context(fetched(url)), loop=True, title=public_name(url))
        weakref.finalize(source, ends.pop_all().close)  # not when it is closed: a session may come back to the film
        return source
