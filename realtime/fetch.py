"""Films at an URL, fetched into a file so that they can be read more than once."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

import av

from engines.console import progress_bar
from engines.errors import UserError
from engines.files import check_there, disk_full_message, replace_file

OPTIONS = {
    "rtsp_transport": "tcp",
    "reconnect": "1",
    "reconnect_streamed": "1",
    "reconnect_delay_max": "4",
    "reconnect_max_retries": "3",
}
"""FFmpeg's: what a protocol has no use for it leaves alone."""
OPEN_S, SILENCE_S = 5.0, 10.0
"""How long an URL may take to answer, and be silent, before it counts as gone."""
Packet: TypeAlias = "av.Packet[av.stream.Stream]"


def is_url(text: str) -> bool:
    """Whether a source is named by an URL, and not by a path."""
    return "://" in text


def public_name(url: str) -> str:
    """An URL without user, password and query, which are nobody else's business; a path as it is."""
    if not is_url(url):
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def reason_of(error: OSError | av.error.FFmpegError) -> str:
    """Why something could not be opened; FFmpeg's own sentences name the URL, with its password."""
    return error.strerror or f"{error}"


@contextmanager
def fetched(url: str) -> Iterator[Path]:
    """`fetch` into a folder that is deleted when the block ends."""
    with tempfile.TemporaryDirectory(prefix="bodydouble-") as folder:
        yield fetch(url, Path(folder))


@contextmanager
def film_at(source: str) -> Iterator[Path]:
    """The film that a command line names by a path or an URL; what is at an URL is fetched meanwhile.

    Raises:
        UserError: there is no such film.
    """
    if is_url(source):
        with fetched(source) as path:
            yield path
    else:
        check_there(Path(source))
        yield Path(source)


def fetch(url: str, folder: Path) -> Path:
    """Copy the film at an URL (HTTP, RTSP, ...) into a folder, unless it is there already; Ctrl-C ends a live one.

    Raises:
        UserError: it cannot be opened, has no picture, or breaks off before its end.
    """
    name = public_name(url)
    out = folder / f"{PurePosixPath(unquote(urlsplit(url).path)).stem or 'stream'}.mkv"
    if out.exists():
        return out
    with _opened(url) as source, disk_full_message(f"a copy of {name}", folder), replace_file(out) as file:
        with av.open(file.name, "w", format="matroska") as copy:
            length_s = _copy(source, copy, name)
        # Some containers tell when they end, which is not how long they last if they begin late.
        announced_s = ((source.duration or 0) - (source.start_time or 0)) / av.time_base
        if length_s < min(0.95 * announced_s, announced_s - 0.5):
            raise UserError(f"{name} broke off after {length_s:.1f} of {announced_s:.1f} s: try again.")
    return out


def is_film(url: str) -> bool:
    """Whether a web server has a whole film there, and does not send pictures as they are taken.

    Raises:
        UserError: it cannot be opened, or has no picture.
    """
    with _opened(url) as source:
        return bool(source.duration) and url.lower().startswith("http")


@contextmanager
def _opened(url: str) -> Iterator[av.container.InputContainer]:
    try:
        source = av.open(url, options=OPTIONS, timeout=(OPEN_S, SILENCE_S))
    except (OSError, av.error.FFmpegError) as error:
        raise UserError(f"{public_name(url)} cannot be opened ({reason_of(error)}): is it there, a video?") from error
    with source:
        if not source.streams.video:
            raise UserError(f"{public_name(url)} has no picture in it: give the URL of a video.")
        yield source


def _copy(source: av.container.InputContainer, copy: av.container.OutputContainer, name: str) -> float:
    """Copy a picture and a sound track packet by packet; returns how many seconds there were."""
    tracks = [track for kind in ("video", "audio") if (track := source.streams.best(kind)) is not None]
    copies = {track.index: copy.add_stream_from_template(track) for track in tracks}
    video, begin_s, at_s, number = tracks[0], None, 0.0, 0
    length_s = round((source.duration or 0) / av.time_base)
    with progress_bar(transient=True) as progress:
        said = f"Fetching {name}" + ("" if length_s else ", Ctrl-C ends it")
        task = progress.add_task(f"{said} (s)", total=length_s or None)
        try:
            for packet in _packets(source, tracks, name):
                if packet.stream is video:
                    at_s = _time_s(packet, number)
                    begin_s, number = at_s if begin_s is None else begin_s, number + 1
                    progress.update(task, completed=round(at_s - begin_s))
                packet.stream = copies[packet.stream.index]
                copy.mux(packet)
        except KeyboardInterrupt:
            if length_s or not number:
                raise
    if begin_s is None:
        raise UserError(f"{name} gives no picture: is it a video?")
    return at_s - begin_s


def _packets(source: av.container.InputContainer, tracks: Sequence[av.stream.Stream], name: str) -> Iterator[Packet]:
    """What comes, until its end or until it breaks off."""
    came = False
    try:
        for packet in source.demux(list(tracks)):
            if packet.size:
                came = True
                yield packet
    except (OSError, av.error.FFmpegError) as error:
        if not came:
            raise UserError(f"{name} gives no picture ({reason_of(error)}): is it a video?") from error


def _time_s(packet: Packet, number: int) -> float:
    """When a packet of a picture is shown; where the stream does not say, it is told the usual rate."""
    assert packet.time_base is not None
    if packet.pts is None and packet.dts is None:
        rate = packet.stream.average_rate if isinstance(packet.stream, av.VideoStream) else None
        packet.pts = packet.dts = round(number / (float(rate or 30) * packet.time_base))
    shown_at = packet.pts if packet.pts is not None else packet.dts
    return float((shown_at or 0) * packet.time_base)
