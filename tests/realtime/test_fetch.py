"""Films at URLs, from a server of ours."""

import gc
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest

from engines.errors import UserError
from realtime.fetch import fetch, fetched, film_at, public_name
from realtime.live.source import FileSource, check_named, open_source, video_file
from realtime.live.stream_source import StreamSource
from realtime.video import open_sound, read_video
from tests.support.commands import DATA, assert_refused, command, command_here
from tests.support.films_with_sound import film_with_sound
from tests.support.footage_files import write_film
from tests.support.full_disk import no_file_beyond
from tests.support.streams import numbered_picture, read_number


class WebHandler(SimpleHTTPRequestHandler):
    """Serves a folder."""

    def log_message(self, *_: object) -> None: ...


class EndlessHandler(WebHandler):
    """Serves files without saying how long they are."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(Path(self.translate_path(self.path)).read_bytes())


class BreakingHandler(WebHandler):
    """Serves half of every file."""

    def do_GET(self) -> None:
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])


@contextmanager
def served(folder: Path, handler: type[WebHandler] = WebHandler) -> Iterator[str]:
    """An HTTP server's URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_film_is_fetched_once_with_its_sound(tmp_path: Path) -> None:
    pictures = [numbered_picture(number) for number in range(40)]
    film = film_with_sound(
        tmp_path / "a b.mkv", "aac", begin_s=7.0, pictures=pictures, times_s=[number / 30 for number in range(40)]
    )
    with served(tmp_path) as url:
        copy = fetch(f"{url}/a%20b.mkv?token=secret", tmp_path / "run")
        (tmp_path / "a b.mkv").rename(film := tmp_path / "moved.mkv")
        assert fetch(f"{url}/a%20b.mkv?token=secret", tmp_path / "run") == copy, "what is there is not fetched again"
    assert copy.name == "a b.mkv"
    for (ours, at_s), (theirs, there_s) in zip(read_video(copy), read_video(film), strict=True):
        assert np.array_equal(ours, theirs)
        assert at_s == pytest.approx(there_s, abs=2e-3)
    with open_sound(copy) as sound:
        assert sound
        assert sound.codec == "aac"


def test_what_cannot_be_fetched(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with served(tmp_path) as url:
        user = url.replace("://", "://me:secret@")
        for name in ("missing.mp4", "text.mp4"):
            with pytest.raises(UserError, match=f"{url}/{name} cannot be opened") as refused:
                fetch(f"{user}/{name}?key=secret", tmp_path / "out")
            assert "secret" not in str(refused.value)
    with pytest.raises(UserError, match="cannot be opened"):
        fetch(f"{url}/gone.mp4", tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


def test_who_does_not_answer_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("realtime.fetch.OPEN_S", "realtime.fetch.SILENCE_S", "realtime.live.stream_source.OPEN_S"):
        monkeypatch.setattr(name, 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UserError, match=f"^http://{host}/a.mp4 does not answer: check its host and port"):
            fetch(f"http://me:secret@{host}/a.mp4", tmp_path)
        with pytest.raises(UserError, match=f"^tcp://{host} does not answer"):
            StreamSource(f"tcp://{host}", reopen=True)
    for scheme in ("http", "rtsp"):
        with pytest.raises(UserError, match=f"^{scheme}://nobody.invalid/a does not answer"):
            open_source(None, f"{scheme}://nobody.invalid/a")
    with pytest.raises(UserError, match="The URL is none"):
        open_source(None, "http://[me/a.mp4")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_film_that_is_read_more_than_once_is_no_pipe_and_has_a_name(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.ts"
    os.mkfifo(pipe)
    for words in (("realtime", "render"), ("realtime", "pose"), ("trainer", "prepare", "--out", tmp_path / "run")):
        assert_refused(command_here(*words, pipe), f"{pipe} is a pipe, which can be read only once")
    with pytest.raises(UserError, match="can be read only once"), film_at(str(pipe)):
        pass
    for named in (("realtime", "render"), ("realtime", "pose"), ("realtime", "run", "--source")):
        assert_refused(command_here(*named, ""), "There is no video ''")


def film_of_noise(path: Path) -> Path:
    """Too large for anybody to have it in a buffer; the index is at the end."""
    rng = np.random.default_rng(0)
    return write_film(path, (rng.integers(0, 256, (256, 256, 3)).astype(np.uint8) for _ in range(30)), 1 / 30)


def test_a_film_with_its_index_at_the_end_from_a_server_that_knows_no_ranges(tmp_path: Path) -> None:
    film = film_of_noise(tmp_path / "noise.mp4")
    with served(tmp_path) as url:
        copy = fetch(f"{url}/noise.mp4", tmp_path / "run")
        film.unlink()
        assert fetch(f"{url}/noise.mp4", tmp_path / "run") == copy
    assert len(list(read_video(copy))) == 30


def test_half_a_film_is_none(tmp_path: Path) -> None:
    film_of_noise(tmp_path / "noise.mp4")
    with served(tmp_path, BreakingHandler) as url, pytest.raises(UserError, match=r"noise\.mp4 broke off after .* MB"):
        fetch(f"{url.replace('://', '://me:secret@')}/noise.mp4?key=secret", tmp_path / "run")
    assert not list((tmp_path / "run").iterdir())


def test_a_film_that_is_damaged_is_named_by_its_url(tmp_path: Path) -> None:
    content = film_of_noise(tmp_path / "noise.mp4").read_bytes()
    begin, end = content.index(b"mdat") + 4, content.rindex(b"moov") - 4
    (tmp_path / "noise.mp4").write_bytes(content[:begin] + bytes(end - begin) + content[end:])
    with served(tmp_path) as url, pytest.raises(UserError, match=f"The video {url}/noise.mp4 is damaged"):
        open_source(None, f"{url}/noise.mp4")


def test_what_is_noted_of_a_film_names_its_url(caplog: pytest.LogCaptureFixture) -> None:
    with served(DATA / "faults") as url:
        source, _ = open_source(None, f"{url}/phone_hdr_hlg.mov")
    source.close()
    assert caplog.messages[0].startswith(f"The video {url}/phone_hdr_hlg.mov is ")


def test_nobody_hears_a_password() -> None:
    assert public_name("rtsp://me:se@cret@cam.local:554/live?key=1") == "rtsp://cam.local:554/live"


def test_a_film_plays_in_its_own_time_and_over_and_over(tmp_path: Path) -> None:
    film = write_film(tmp_path / "count.mp4", [numbered_picture(number) for number in range(12)], 1 / 30)
    with served(tmp_path) as url:
        source, _ = open_source(None, f"{url}/count.mp4")
    film.unlink()
    frames = [frame for _ in range(18) if (frame := source.read())]
    source.close()
    assert source.name == "count"
    assert [read_number(frame.rgb) for frame in frames] == [number % 12 for number in range(18)]
    assert frames[-1].captured_at_s - frames[0].captured_at_s >= 17 / 30 - 0.02


def test_a_film_without_a_length_in_seconds_is_one_if_it_has_one_in_bytes(tmp_path: Path) -> None:
    write_film(tmp_path / "count.ts", [numbered_picture(number) for number in range(12)], 1 / 30)
    with served(tmp_path) as url:
        source, _ = open_source(None, f"{url}/count.ts")
    frames = [frame for _ in range(18) if (frame := source.read())]
    source.close()
    assert [read_number(frame.rgb) for frame in frames] == [number % 12 for number in range(18)]


def test_a_list_of_pieces_is_no_film_for_having_a_length(tmp_path: Path) -> None:
    options = {"hls_time": "1", "hls_flags": "omit_endlist"}
    with av.open(str(tmp_path / "live.m3u8"), "w", format="hls", options=options) as container:
        track = container.add_stream("libx264", rate=30, options={"g": "30"})
        assert isinstance(track, av.VideoStream)
        track.width = track.height = 256
        track.pix_fmt = "yuv420p"
        for number in range(90):
            container.mux(track.encode(av.VideoFrame.from_ndarray(numbered_picture(number), format="rgb24")))
        container.mux(track.encode(None))
    with served(tmp_path) as url:
        source, _ = open_source(None, f"{url}/live.m3u8")
        source.close()
    assert isinstance(source, StreamSource)


def test_a_film_that_was_fetched_is_kept_for_as_long_as_its_source(tmp_path: Path) -> None:
    write_film(tmp_path / "count.ts", [numbered_picture(number) for number in range(12)], 1 / 30)
    with served(tmp_path) as url:
        source, _ = open_source(None, f"{url}/count.ts")
    assert isinstance(source, FileSource)
    source.close()
    path = source.path
    assert path.exists(), "somebody may come back to it"
    assert source.read() is None
    del source
    gc.collect()
    assert not path.parent.exists()


def test_an_url_of_a_file_is_a_path(tmp_path: Path) -> None:
    film = write_film(tmp_path / "a b.ts", [numbered_picture(number) for number in range(12)], 1 / 30)
    url = film.as_uri()
    assert "%20" in url
    source, _ = open_source(None, url)
    source.close()
    assert isinstance(source, FileSource)
    assert source.path == fetch(url, tmp_path / "run") == film
    with video_file(url) as path:
        assert path == film
    with pytest.raises(UserError, match="There is no video"):
        check_named(None, f"{url}.mp4")


def test_pictures_as_they_are_taken(tmp_path: Path) -> None:
    """A web server that sends a file without an end, as cameras do, and is asked again whenever it ends."""
    write_film(tmp_path / "live.ts", [numbered_picture(number) for number in range(60)], 1 / 30)
    with served(tmp_path, EndlessHandler) as url:
        source, _ = open_source(None, f"{url.replace('://', '://me:secret@')}/live.ts")
        assert source.name == f"{url}/live.ts"
        frames = [frame for _ in range(70) if (frame := source.read())]
        source.close()
    numbers = [read_number(frame.rgb) for frame in frames]
    assert len(numbers) == 70
    assert numbers[-1] < 59, "it was opened again"


def test_commands_take_urls(tmp_path: Path) -> None:
    with served(DATA / "faults") as url:
        with fetched(f"{url}/portrait_9x16.mp4") as path:
            assert len(list(read_video(path))) == 120
        assert not path.exists()
        done = command("realtime", "pose", f"{url}/portrait_9x16.mp4", "--out", tmp_path / "seen", "--end-s", "1")
        assert done.returncode == 0, done.stderr
        assert "portrait_9x16" in done.stdout
        prepared = command("trainer", "prepare", f"{url}/start_1h.mkv", "--out", tmp_path / "run", "--only-report")
        assert prepared.returncode == 0, prepared.stderr
        assert "start_1h" in (tmp_path / "run" / "report.html").read_text()
    assert_refused(command("realtime", "pose", f"{url}/portrait_9x16.mp4"), "cannot be opened")


def test_a_copy_for_which_there_is_no_space_is_none(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (64, 64, 3)).astype(np.uint8) for _ in range(60)]
    write_film(tmp_path / "noise.ts", noise, 1 / 30)
    refused = pytest.raises(UserError, match=r"no space for a copy of .*noise\.ts")
    with served(tmp_path, EndlessHandler) as url, no_file_beyond(20_000), refused:
        fetch(f"{url}/noise.ts", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
