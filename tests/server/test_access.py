"""Tokens and their roles, other people's pages, and https."""

import asyncio
import json
import ssl
import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from playwright.async_api import Browser, expect
from yarl import URL

from realtime.live.latest import Latest
from server import access as access_module
from server.access import Access, Role
from server.certificate import VALID_DAYS, CertificateError, tls_context
from server.control_channel import LABEL
from server.ice_server import IceServer
from server.protocols import ReceivedPicture
from tests.server.test_page import stage, visit
from tests.support.server_harness import ServerHarness, button, offer_of, receive, running_server
from tests.support.waiting import HANG_S, eventually


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def access() -> Access:
    return Access.by_new_tokens()


@pytest.fixture
async def inside(access: Access) -> AsyncIterator[ServerHarness]:
    options: dict[str, Any] = {
        "access": access,
        "inlet": Latest[ReceivedPicture](),
        "commands": {"wave": button(lambda: None)},
    }
    async with running_server(**options) as harness:
        yield harness


def test_tokens_cannot_be_guessed() -> None:
    tokens = [token for _ in range(20) for token in Access.by_new_tokens().tokens.values()]
    assert len(set(tokens)) == 40
    assert all(len(token) >= 32 for token in tokens)


async def test_a_token_that_is_no_text_is_wrong(inside: ServerHarness) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(inside.server.url).port)
    writer.write(b"GET /stats HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \xff\xfe\r\n\r\n")
    assert b" 401 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_without_a_token_there_is_the_page_and_nothing_else(inside: ServerHarness) -> None:
    for path, status in (("/", 200), ("/main.js", 200), ("/stats", 401), ("/control", 401)):
        async with inside.http.get(path) as response:
            assert response.status == status
    for path in ("/whep", "/whip"):
        async with await inside.post(await offer_of(), path) as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"] == "Bearer"
            assert "link" in await response.text()
        for method in ("PATCH", "DELETE"):
            async with inside.http.request(method, f"{path}/somebody") as response:
                assert response.status == 401
    assert inside.server.viewers == 0


async def test_each_token_gives_its_role(inside: ServerHarness, access: Access) -> None:
    watch, control = access.tokens[Role.WATCH], access.tokens[Role.CONTROL]
    for token, commands, publisher in ((watch, [], None), (control, ["wave"], "awaited")):
        async with inside.http.get("/stats", headers=bearer(token)) as response:
            stats = await response.json()
            assert (stats["commands"], stats["publisher"]) == (commands, publisher)
        async with await inside.post(await offer_of(), **bearer(token)) as response:
            assert response.status == 201
        async with inside.http.delete(response.headers["Location"], headers=bearer(token)) as deleted:
            assert deleted.status == 200
    offer = await offer_of(direction="sendonly")
    for token, status in ((watch, 403), (control, 201)):
        async with await inside.post(offer, "/whip", **bearer(token)) as response:
            assert response.status == status
    assert inside.server.links(Role.WATCH) == [f"{inside.server.url}?token={watch}"]
    assert inside.server.links(Role.CONTROL) == [f"{inside.server.url}?token={control}"]


@pytest.mark.parametrize("role", Role)
async def test_commands_need_the_control_token(role: Role) -> None:
    asked: list[str] = []
    access = Access.by_new_tokens()
    async with running_server(
        streams=1, access=access, commands={"wave": button(lambda: asked.append("wave"))}
    ) as inside:
        inside.http.headers.update(bearer(access.tokens[role]))
        _, tracks, _ = await inside.peer(videos=1, channels=[LABEL])
        [channel] = inside.channels
        await eventually(lambda: channel.readyState == "open")
        statuses: list[int] = []
        channel.on("message", lambda reply: statuses.append(json.loads(reply)["status"]))
        channel.send('{"command": "wave"}')
        await eventually(lambda: bool(statuses))
        async with inside.http.post("/control", json={"command": "wave"}) as response:
            statuses.append(response.status)
        may = role is Role.CONTROL
        assert (statuses, asked) == (([200] * 2, ["wave"] * 2) if may else ([403] * 2, []))
        await receive(tracks[0], 3)


async def test_wrong_tokens_wait_and_the_right_one_does_not(
    inside: ServerHarness, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_module, "FAILURE_S", 0.1)
    monkeypatch.setattr(access_module, "FAILURES", 4)

    async def status(token: str) -> int:
        async with inside.http.get("/stats", headers=bearer(token)) as response:
            return response.status

    assert await status("guess") == 401
    monkeypatch.setattr(access_module, "FAILURE_S", 3600.0)
    guesses = [asyncio.create_task(status(f"guess{number}")) for number in range(4)]
    await eventually(lambda: access._waiting == 4)
    async with inside.http.get("/stats", headers=bearer("guess")) as response:
        assert response.status == 429
        assert response.headers["Retry-After"] == "3600"
    assert await status(access.tokens[Role.WATCH]) == 200
    assert not any(guess.done() for guess in guesses)
    for guess in guesses:
        guess.cancel()


async def test_other_people_s_pages_may_use_the_endpoints_with_a_token_only(access: Access) -> None:
    page = {"Origin": "https://player.example"}
    async with running_server(streams=1, access=access) as inside:
        async with inside.http.options("/whep", headers={**page, "Access-Control-Request-Method": "POST"}) as response:
            assert response.status == 200
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
        async with await inside.post(await offer_of(), **page) as response:
            assert response.status == 401
            assert response.headers["Access-Control-Allow-Origin"] == "*"
        async with await inside.post(await offer_of(), **page, **bearer(access.tokens[Role.WATCH])) as response:
            assert response.status == 201
            assert "Location" in response.headers["Access-Control-Expose-Headers"]
        async with inside.http.get("/stats", headers={**page, **bearer(access.tokens[Role.WATCH])}) as response:
            assert "Access-Control-Allow-Origin" not in response.headers
    async with running_server(streams=1) as inside:
        for method in ("OPTIONS", "POST"):
            async with inside.http.request(method, "/whep", headers=page) as response:
                assert response.status == 403
                assert "Access-Control-Allow-Origin" not in response.headers


async def test_only_who_may_watch_is_told_the_ice_servers(access: Access) -> None:
    servers = [IceServer.parse("stun:127.0.0.1:9")]  # nobody answers there: a session would wait for it
    async with running_server(streams=1, access=access, ice_servers=servers) as inside:
        async with inside.http.options("/whep") as response:
            assert response.status == 200
            assert "Link" not in response.headers
        async with inside.http.options("/whep", headers=bearer(access.tokens[Role.WATCH])) as response:
            assert response.headers["Link"] == '<stun:127.0.0.1:9>; rel="ice-server"'


@pytest.mark.parametrize("transport", ["", "?transport=ws"])
async def test_the_page_tells_who_has_no_token_what_to_do_and_asks_no_more(
    browser: Browser, access: Access, transport: str
) -> None:
    async with stage(access=access) as on_stage:
        stranger = await visit(browser, f"{on_stage.server.url}{transport}")
        sentence = "This needs a token: open the link that the terminal printed."
        await expect(stranger.page.locator("#sentence")).to_have_text(sentence)
        await expect(stranger.page.locator("#ring")).to_be_hidden()
        asked_before = len(stranger.requests)
        await stranger.page.wait_for_timeout(2500)
        assert len(stranger.requests) == asked_before
        await expect(stranger.page.locator("#sentence")).to_have_text(sentence)


async def test_the_page_keeps_the_token_of_its_link(browser: Browser, access: Access) -> None:
    asked: list[str] = []
    commands = {"next-person": button(lambda: asked.append("next"))}
    async with stage(access=access, inlet=Latest[ReceivedPicture](), commands=commands) as on_stage:
        server = on_stage.server
        watcher = await visit(browser, server.links(Role.WATCH)[0])
        await watcher.live()
        assert watcher.page.url == server.url, "the address does not show it"
        await watcher.page.reload()
        await watcher.live()
        await expect(watcher.page).to_have_title("Tea party")
        await expect(watcher.page.locator("#camera-button")).to_be_hidden()
        await watcher.page.keyboard.press("n")

        controller = await visit(browser, server.links(Role.CONTROL)[0])
        await controller.live()
        await expect(controller.page.locator("#camera-button")).to_be_visible()
        assert asked == []
        await controller.page.keyboard.press("n")
        await eventually(lambda: asked == ["next"])
        assert [*watcher.complaints, *controller.complaints] == []
        await controller.page.goto("about:blank")
        await eventually(lambda: server.viewers == 1)


async def test_the_page_and_its_camera_work_by_https(browser: Browser, tmp_path: Path) -> None:
    context, _ = tls_context(tmp_path / "certificate.pem", ["127.0.0.1"])
    inlet = Latest[ReceivedPicture]()
    async with stage(tls=context, inlet=inlet) as on_stage:
        assert on_stage.server.url.startswith("https://127.0.0.1:")
        visitor = await visit(browser, on_stage.server.url, ignore_https_errors=True, permissions=["camera"])
        await visitor.live()
        await visitor.page.get_by_role("button", name="Use this camera").click()
        assert await asyncio.to_thread(inlet.take, HANG_S) is not None


async def test_old_versions_of_tls_are_refused_and_the_certificate_is_the_printed_one(tmp_path: Path) -> None:
    path = tmp_path / "data" / "certificate.pem"
    context, fingerprint = tls_context(path, ["localhost", "127.0.0.1", "stage.local", "", "bühne"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["certificate.pem"]
    assert tls_context(path, ["other.example"])[1] == fingerprint, "it is kept"
    trusting = ssl.create_default_context(cafile=str(path))
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    async with running_server(streams=1, tls=context) as inside:
        async with inside.http.get("/", ssl=trusting) as response:
            assert response.status == 200
        pinned = aiohttp.Fingerprint(bytes.fromhex(fingerprint.replace(":", "")))
        async with aiohttp.ClientSession() as http, http.get(inside.server.url, ssl=pinned) as response:
            assert response.status == 200
        with pytest.raises(aiohttp.ClientConnectorError):
            await inside.http.get(inside.server.url.replace("127.0.0.1", "localhost"), ssl=old)


def test_a_certificate_that_is_too_old_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "certificate.pem"
    monkeypatch.setattr("server.certificate.VALID_DAYS", -0.5)
    before = tls_context(path, ["localhost"])[1]
    monkeypatch.undo()
    after = tls_context(path, ["localhost"])[1]
    assert after != before
    until_then = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc - datetime.now(UTC)
    assert until_then <= timedelta(days=VALID_DAYS) < timedelta(days=825)


def test_what_is_no_certificate_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "certificate.pem"
    path.write_text("nothing")
    with pytest.raises(CertificateError, match="delete it"):
        tls_context(path, ["localhost"])
    assert path.read_text() == "nothing"
    (tmp_path / "file").write_text("")
    with pytest.raises(CertificateError, match="leave out --tls"):
        tls_context(tmp_path / "file" / "certificate.pem", ["localhost"])
