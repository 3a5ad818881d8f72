"""The web server around the streams: who may talk to it, what it says, and how it begins and ends."""

import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

import server
from realtime.frame import Frame
from realtime.live.latest import Latest
from server.access import Access
from server.address import ListenError, check_address, page_urls
from server.app import Server
from server.stream import SharedStream
from tests.support.server_harness import button, running_server


def stream(name: str = "alice") -> SharedStream[Frame]:
    return SharedStream(name, Latest[Frame]())


@pytest.fixture
async def running() -> AsyncIterator[Server]:
    info = {"notice": "No one", "viewers": -1}
    commands = {"wave": button(lambda: None)}
    house = Server([stream(), stream("bob")], port=0, title="Tea party", info=lambda: info, commands=commands)
    await house.start()
    yield house
    await house.stop()


async def get(house: Server, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    async with aiohttp.ClientSession() as http, http.get(house.url + path, headers=headers) as response:
        return response.status, await response.text(), dict(response.headers)


async def test_stats_carry_what_the_caller_knows_and_what_the_server_counts(running: Server) -> None:
    async with aiohttp.ClientSession() as http, http.get(running.url + "stats") as response:
        stats = await response.json()
        assert response.headers["Cache-Control"] == "no-store"
    assert stats["title"] == "Tea party"
    assert stats["notice"] == "No one"
    assert stats["viewers"] == 0, "the server's own count wins"
    assert [each["name"] for each in stats["streams"]] == ["alice", "bob"]
    assert stats["streams"][0]["encoded_frames"] == 0
    assert stats["commands"] == ["wave"]


async def test_metrics_are_the_figures_of_stats_in_the_format_of_prometheus() -> None:
    info = {
        "flowing": True,
        "shown": 300,
        "dropped": {"pose": 7, "encode": 0},
        "quality": {"level": 2, "name": "medium", "changes": "the hands in turns"},
        "stages_ms": {"pose": {"p50": 20.0, "p99": 31.5}, "render": {}, "latency": {"p95": 90.0}},
    }
    house = Server([stream('the "best"'), stream("bob")], port=0, info=lambda: info)
    await house.start()
    try:
        async with aiohttp.ClientSession(house.url) as http:
            for body in ("v=1", "v=2", "v=0"):
                await http.post("/whep", data=body, headers={"Content-Type": "application/sdp"})
        status, text, headers = await get(house, "metrics")
    finally:
        await house.stop()
    assert status == 200
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = text.splitlines()
    for line in (
        "bodydouble_flowing 1.0",
        "bodydouble_shown_frames_total 300.0",
        'bodydouble_dropped_frames_total{stage="pose"} 7.0',
        'bodydouble_dropped_frames_total{stage="encode"} 0.0',
        "bodydouble_quality_level 2.0",
        'bodydouble_stage_seconds{stage="pose",quantile="0.5"} 0.02',
        'bodydouble_stage_seconds{stage="pose",quantile="0.99"} 0.0315',
        'bodydouble_latency_seconds{quantile="0.95"} 0.09',
        'bodydouble_stream_fps{stream="the \\"best\\""} 0.0',
        'bodydouble_stream_viewers{stream="bob"} 0.0',
        'bodydouble_stream_bytes_total{stream="bob"} 0.0',
        'bodydouble_rejected_offers_total{status="400"} 2.0',
        'bodydouble_rejected_offers_total{status="422"} 1.0',
    ):
        assert line in lines, text
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families))
    label = r'\w+="(?:[^"\\\n]|\\.)*"'
    sample = re.compile(rf"(\w+)(?:{{{label}(?:,{label})*}})? \S+")
    for line in lines:
        match = sample.fullmatch(line)
        assert line.startswith("# ") or (match and match[1] in families), line


async def test_it_is_healthy_only_while_frames_flow() -> None:
    info: dict[str, object] = {}
    house = Server([stream()], port=0, info=lambda: info, access=Access.by_new_tokens())
    await house.start()
    try:
        assert (await get(house, "healthz"))[0] == 503
        info["flowing"] = True
        assert (await get(house, "healthz"))[0] == 200
        assert (await get(house, "metrics"))[0] == 401
    finally:
        await house.stop()


async def test_every_response_carries_the_security_headers(running: Server) -> None:
    for path, expected in (("", 200), ("main.js", 200), ("style.css", 200), ("stats", 200), ("nothing", 404)):
        status, _, headers = await get(running, path)
        assert status == expected
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


async def test_the_page_keeps_to_its_own_policy(running: Server) -> None:
    viewer = Path(server.__file__).parent / "viewer"
    for file in viewer.iterdir():
        text = file.read_text()
        assert not re.search(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[a-z0-9-]+\.", text), f"{file.name} names a host"
    page = (viewer / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", page)
    for path in re.findall(r'(?:src|href)="/([^"]+)"', page):
        status, _, headers = await get(running, path)
        assert status == 200
        assert headers["Content-Type"].endswith("charset=utf-8")


@pytest.mark.parametrize("path", ["../app.py", "%2e%2e/app.py", "viewer/index.html", "/etc/passwd"])
async def test_only_the_page_s_files_are_served(running: Server, path: str) -> None:
    status, text, _ = await get(running, path)
    assert status == 404
    assert "import" not in text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:9000", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("192.0.2.7:8080", 200),
        ("studio.example", 200),
        ("evil.example", 421),
        ("evil.example:8080", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("127.0.0.1:port", 421),
        ("", 421),
    ],
)
async def test_foreign_host_names_are_refused(host: str, status: int) -> None:
    house = Server([stream()], port=0, allowed_hosts=["Studio.example"])
    await house.start()
    try:
        assert (await get(house, "stats", Host=host))[0] == status
    finally:
        await house.stop()


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 400),
        ("http://127.0.0.1:{port}", 400),
        ("http://127.0.0.1:1", 403),
        ("http://localhost:{port}", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ],
)
async def test_only_our_own_pages_may_open_or_end_a_session(running: Server, origin: str | None, status: int) -> None:
    port = running.url.rsplit(":", 1)[1].strip("/")
    headers = {"Content-Type": "application/sdp"}
    if origin is not None:
        headers["Origin"] = origin.format(port=port)
    async with aiohttp.ClientSession(running.url) as http:
        async with http.post("/whep", data="no offer", headers=headers) as response:
            assert response.status == status
        async with http.delete("/whep/nobody", headers=headers) as response:
            assert response.status == (404 if status == 400 else 403)


async def test_a_port_in_use_is_explained(running: Server) -> None:
    port = int(running.url.rsplit(":", 1)[1].strip("/"))
    second = Server([stream()], port=port)
    with pytest.raises(ListenError) as caught:
        await second.start()
    assert str(caught.value) == (
        f"Port {port} on 127.0.0.1 is in use: stop the other program or choose another port with --port."
    )
    await second.stop()


@pytest.mark.parametrize("host", ["192.0.2.250", "no-such-host.invalid"])
async def test_a_foreign_address_is_explained(host: str) -> None:
    with pytest.raises(ListenError, match="is no address of this machine"):
        await Server([stream()], host=host, port=0).start()


async def test_it_starts_again_on_the_same_port_after_stop(running: Server) -> None:
    before = await get(running, "stats")
    await running.stop()
    await running.stop()
    await running.start()
    after = await get(running, "stats")
    assert before[0] == after[0] == 200
    assert before[1] != after[1], "the page can tell that it was restarted"


@pytest.mark.parametrize("port", [-1, 65536])
def test_impossible_ports(port: int) -> None:
    with pytest.raises(ValueError, match="0 to 65535"):
        Server([stream()], port=port)


@pytest.mark.parametrize("count", [0, 3])
def test_one_or_two_streams(count: int) -> None:
    with pytest.raises(ValueError, match="one or two streams"):
        Server([stream()] * count, port=0)


def test_addresses_that_are_printed_can_be_opened() -> None:
    assert page_urls("127.0.0.1", 80) == ["http://127.0.0.1:80/"]
    assert page_urls("::1", 80) == ["http://[::1]:80/"]
    first, *others = page_urls("0.0.0.0", 8080)
    assert first == "http://127.0.0.1:8080/"
    assert not any("0.0.0.0" in url for url in others)
    assert page_urls("::", 8080)[0] == "http://[::1]:8080/"
    assert not [url for url in page_urls("::", 8080) if "[" not in url], "IPv4 does not reach it"


@pytest.mark.parametrize("host", ["a..b", 64 * "a" + ".example"])
def test_a_name_that_cannot_be_spelt(host: str) -> None:
    with pytest.raises(ListenError, match="choose another with --host"):
        check_address(host, 8080)


async def test_own_names_are_answered_where_others_can_reach_the_machine() -> None:
    name = socket.gethostname()
    for host, status in (("0.0.0.0", 200), ("127.0.0.1", 421)):
        async with running_server(streams=1, host=host, allowed_hosts=["stage.example"]) as inside:
            for named, wanted in (
                (name, status),
                (f"{name}.local", status),
                ("stage.example", 200),
                ("evil.example", 421),
            ):
                async with inside.http.get("/stats", headers={"Host": f"{named}:80"}) as response:
                    assert response.status == wanted, (host, named)
