"""`realtime control`: give a running session commands by POST /control."""

import asyncio
import ssl
from typing import Any

import aiohttp
import msgspec
from rich.console import Console
from rich.table import Table
from yarl import URL

from engines.errors import UserError
from engines.files import data_folder
from server.control import in_words

PATIENCE_S = 120.0
"""Subjects may have to be compiled."""
WHERE = "Name the session by --link LINK, which `realtime run` has printed, or by its --port PORT."


def control(link: str, command: str | None, value: str | None) -> None:
    """Carry out one command and print its result; without one, print what there is and how everything is now.

    Raises:
        UserError: the link is none, the server does not answer, or it refuses.
    """
    try:
        url = URL(link)
    except ValueError as error:
        raise UserError(f"{link!r} is no link. {WHERE}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise UserError(f"{link!r} is no link. {WHERE}")
    try:
        answer = asyncio.run(_ask(url, {"command": command, "value": value} if command else None))
    except (aiohttp.ClientError, TimeoutError) as error:
        if url.scheme == "http" and not isinstance(error, aiohttp.ClientConnectorError | TimeoutError):
            raise UserError(
                f"What listens at {url.origin()} speaks no http: a session with --tls is named by --link LINK, the "
                "https address that it has printed."
            ) from error
        if isinstance(error, aiohttp.ClientSSLError):
            raise UserError(
                f"What listens at {url.origin()} speaks no https: begin the link with http:// instead."
            ) from error
        raise UserError(f"Nothing answers at {url.origin()}: is `realtime run` running there? {WHERE}") from error
    if command is None:
        _show(answer)
    else:
        result = answer.get("result")
        print(f"{' '.join(filter(None, (command, value)))}: done." if result is None else result)


async def _ask(url: URL, request: dict[str, str | None] | None) -> dict[str, Any]:
    token, place = url.query.get("token"), url.with_path("/control").with_query(None)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S, connect=5.0)
    method, body = ("GET", None) if request is None else ("POST", msgspec.json.encode(request))
    connector = aiohttp.TCPConnector(ssl=_certificates())
    async with (
        aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as http,
        http.request(method, place, data=body) as response,
    ):
        text = await response.text()
        if response.content_type != "application/json":
            said = (text.strip() or response.reason or "no reason").splitlines()[0].rstrip(".")
            raise UserError(f"{url.origin()} answers {response.status}: {said}. {WHERE}")
    answer: dict[str, Any] = msgspec.json.decode(text)
    if error := answer.get("error"):
        raise UserError(str(error))
    return answer


def _certificates() -> ssl.SSLContext:
    """Trust this machine's own certificate, too, that `realtime run --tls` has made."""
    context, own = ssl.create_default_context(), data_folder() / "certificate.pem"
    if own.is_file():
        context.load_verify_locations(own)
    return context


def _show(description: dict[str, Any]) -> None:
    table = Table("command", "takes", "now", "what it does", box=None)
    for name, command in description["commands"].items():
        now = msgspec.json.encode(description["state"].get(name, "")).decode().strip('"')
        table.add_row(name, in_words(command["takes"]), now, command["meaning"])
    Console().print(table)
