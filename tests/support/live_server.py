"""A web server that sends a film as if it were being taken."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av


@contextmanager
def live_server(film: Path) -> Iterator[str]:
    """Serves it in its own time, as MPEG-TS, to everybody from the beginning; gives the URL."""

    class Live(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            with (
                suppress(OSError, av.error.FFmpegError),
                av.open(self.wfile, "w", format="mpegts", buffer_size=1316) as copy,
            ):
                _send(film, copy)

        def log_message(self, *_: object) -> None:
            """Nothing is told."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Live) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/live"
        finally:
            server.shutdown()
            thread.join()


def _send(film: Path, copy: av.container.OutputContainer) -> None:
    begun_at_s = time.perf_counter()
    with av.open(str(film)) as source:
        tracks = {each.index: copy.add_stream_from_template(each) for each in source.streams}
        for packet in source.demux():
            if packet.dts is not None and packet.time_base is not None:
                time.sleep(max(0.0, begun_at_s + float(packet.dts * packet.time_base) - time.perf_counter()))
                packet.stream = tracks[packet.stream.index]
                copy.mux(packet)
