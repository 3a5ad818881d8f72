"""Films at an URL, fetched into a file so that they can be read more than once."""

import asyncio
import errno
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeAlias
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import aiohttp
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
HEAD_BYTES = 1024
LISTS = b"#EXTM3U", b"<MPD"
"""What is in the beginning of a file that only tells where the pieces of a film are."""
MB = 1_000_000
Packet: TypeAlias = "av.Packet[av.stream.Stream]"


def is_url(text: str) -> bool:
    """Whether a source is named by an URL, and not by a path."""
    return "://" in text


def without_scheme(source: str) -> str:
    """The path that a file: URL means; everything else as it is."""
    return url2pathname(urlsplit(source).path) if source.lower().startswith("file://") else source


def public_name(url: str) -> str:
    """An URL without user, password and query, which are nobody else's business; a path as it is."""
    if not is_url(url):
        return url
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UserError("The URL is none, with its host in brackets that are no IPv6 address: check it.") from error
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def refusal(address: str, error: OSError | av.error.FFmpegError, name: str = "") -> UserError:
    """The sentence about what could not be opened; FFmpeg's own ones name the URL, with its password.

    Args:
        address: the URL or the path.
        error: why not.
        name: what people call it, if it is not the address.
    """
    name = name or public_name(address)
    # It ended the wait by itself, or, as it says it, found no such host.
    if is_url(address) and (isinstance(error, av.error.ExitError | TimeoutError) or error.errno == errno.EIO):
        return silence(name)
    return UserError(f"{name} cannot be opened ({error.strerror or error}): is it there, and a video?")


def silence(name: str) -> UserError:
    """The sentence about an address at which there is nobody."""
    return UserError(f"{name} does not answer: check its host and port, and that this machine reaches it.")


@contextmanager
def fetched(url: str) -> Iterator[Path]:
    """`fetch` into a folder that is deleted when the block ends; its complaints of the copy are about the URL."""
    with tempfile.TemporaryDirectory(prefix="bodydouble-") as folder:
        path = fetch(url, Path(folder))
        try:
            yield path
        except UserError as error:
            raise UserError(str(error).replace(str(path), public_name(url))) from error


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
        check_film(source)
        yield Path(source)


def check_film(path: str) -> None:
    """See that there is something at a path that can be read more than once.

    Raises:
        UserError: there is nothing, or a named pipe.
    """
    if not path:
        raise UserError("The video's name is empty: give a path.")
    check_there(Path(path))
    if Path(path).is_fifo():
        raise UserError(f"{path} is a pipe, which can be read only once: write what comes into a file, and give that.")


def fetch(url: str, folder: Path) -> Path:
    """Copy the film at an URL (HTTP, RTSP, ...) into a folder, unless it is there already; Ctrl-C ends a live one.

    Raises:
        UserError: it cannot be opened, has no picture, or breaks off before its end.
    """
    if (local := without_scheme(url)) != url:
        check_film(local)
        return Path(local)
    name, path = public_name(url), PurePosixPath(unquote(urlsplit(url).path))
    copy, whole = (folder / f"{path.stem or 'stream'}{suffix}" for suffix in (".mkv", path.suffix or ".mkv"))
    for out in (copy, whole):
        if out.exists():
            return out
    with disk_full_message(f"a copy of {name}", folder):
        if _size(url):
            _fetch_whole(url, whole, name)
            return whole
        _fetch_stream(url, copy, name)
        return copy


def is_film(url: str) -> bool:
    """Whether a web server has a whole film there, and does not send pictures as they are taken.

    Raises:
        UserError: it cannot be opened, or has no picture.
    """
    if not url.lower().startswith("http"):
        return False
    if _size(url):
        return True
    with _opened(url) as source:
        return bool(source.duration)


def _size(url: str) -> int:
    """How many bytes a web server says that the film there has; 0 if it does not, or where there is no single file."""
    return asyncio.run(_ask_size(url)) if url.lower().startswith("http") else 0


async def _ask_size(url: str) -> int:
    try:
        async with _web() as web, web.get(url) as response:
            head = await response.content.read(HEAD_BYTES)
            if not response.ok or response.content_type.startswith("image/") or any(each in head for each in LISTS):
                return 0
            return response.content_length or 0
    except TimeoutError as error:
        raise silence(public_name(url)) from error
    except aiohttp.ClientError:
        return 0  # FFmpeg, which is asked next, may get on with it


def _web() -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=None, connect=OPEN_S, sock_read=SILENCE_S)
    return aiohttp.ClientSession(timeout=timeout, headers={"Accept-Encoding": "identity"}, trust_env=True)


def _fetch_whole(url: str, out: Path, name: str) -> None:
    """Copy a file as it is: where its index is at the end, it cannot be read before it has come."""
    with replace_file(out) as file:
        asyncio.run(_download(url, file, name))
        file.flush()
        with _opened(f"file:{file.name}", name):
            pass


async def _download(url: str, file: BinaryIO, name: str) -> None:
    done = size = 0
    try:
        async with _web() as web, web.get(url, raise_for_status=True) as response:
            size = response.content_length or 0
            with progress_bar(transient=True) as progress:
                task = progress.add_task(f"Fetching {name} (MB)", total=round(size / MB))
                async for piece in response.content.iter_any():
                    done += file.write(piece)
                    progress.update(task, completed=round(done / MB))
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UserError(f"{name} broke off after {done / MB:.1f} of {size / MB:.1f} MB: try again.") from error


def _fetch_stream(url: str, out: Path, name: str) -> None:
    """Copy the pictures and the sound as they come."""
    with _opened(url) as source, replace_file(out) as file:
        with av.open(file.name, "w", format="matroska") as copy:
            length_s = _copy(source, copy, name)
        # Some containers tell when they end, which is not how long they last if they begin late.
        announced_s = ((source.duration or 0) - (source.start_time or 0)) / av.time_base
        if length_s < min(0.95 * announced_s, announced_s - 0.5):
            raise UserError(f"{name} broke off after {length_s:.1f} of {announced_s:.1f} s: try again.")


@contextmanager
def _opened(url: str, name: str = "") -> Iterator[av.container.InputContainer]:
    """What is at an URL; `name` is what people call it, if it is not that."""
    name = name or public_name(url)
    try:
        source = av.open(url, options=OPTIONS, timeout=(OPEN_S, SILENCE_S))
    except (OSError, av.error.FFmpegError) as error:
        raise refusal(url, error, name) from error
    with source:
        if not source.streams.video:
            raise UserError(f"{name} has no picture in it: give the URL of a video.")
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
            raise UserError(f"{name} gives no picture ({error.strerror or error}): is it a video?") from error


def _time_s(packet: Packet, number: int) -> float:
    """When a packet of a picture is shown; where the stream does not say, it is told the usual rate."""
    assert packet.time_base is not None
    if packet.pts is None and packet.dts is None:
        rate = packet.stream.average_rate if isinstance(packet.stream, av.VideoStream) else None
        packet.pts = packet.dts = round(number / (float(rate or 30) * packet.time_base))
    shown_at = packet.pts if packet.pts is not None else packet.dts
    return float((shown_at or 0) * packet.time_base)
