"""Refuse requests of foreign pages in a viewer's browser; the server answers to its own pages only."""

import ipaddress
from collections.abc import Awaitable, Callable, Collection

from aiohttp import web
from aiohttp.typedefs import Middleware
from yarl import URL

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


async def add_security_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Put the headers on every response, errors included (a handler of `on_response_prepare`)."""
    response.headers.update(SECURITY_HEADERS)
    response.headers.popall("Server", None)


def same_site_only(allowed_hosts: Collection[str]) -> Middleware:
    """Refuse requests under a foreign host name and writes from a foreign page.

    A page elsewhere can point its own name at this machine (DNS rebinding), but not at an IP address: so addresses,
    `localhost` and `allowed_hosts` are let through. Writes carry the Origin of the page (RFC 6454), which must be ours;
    programs that are no browsers send none.
    """
    names = {"localhost", *(name.lower() for name in allowed_hosts)}

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        name = _host_name(host)
        if not (name in names or _is_address(name)):
            raise web.HTTPMisdirectedRequest(text="This server does not answer to that host name.")
        origin = request.headers.get("Origin")
        if request.method not in ("GET", "HEAD") and origin is not None and origin.partition("://")[2] != host:
            raise web.HTTPForbidden(text="Only the server's own pages may do that.")
        return await handler(request)

    return guard


def _host_name(host: str) -> str:
    try:
        return (URL(f"http://{host}").host or "").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
