"""Who may do what: tokens with two roles, and no requests of foreign pages in somebody's browser."""

import asyncio
import enum
import hmac
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from types import MappingProxyType

from aiohttp import web
from aiohttp.typedefs import Middleware
from yarl import URL

from server.address import is_ip_address

_CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ENDPOINTS = ("/whep", "/whip")
PROTOCOL, _BEARER = "bodydouble", "bearer."
"""What a WebSocket of the page speaks; browsers let it carry a token only as the name of one more protocol."""
FAILURE_S = 1.0
"""So long a wrong token waits for its refusal ..."""
FAILURES = 16
"""... and so many may wait at a time; more are refused unread."""


class Role(enum.IntEnum):
    """What somebody may do; each includes the ones before it."""

    WATCH = 1
    CONTROL = 2
    """Also give commands and publish."""


class Access:
    """Who has which role.

    Args:
        tokens: of each role; none if everybody has every role.
    """

    def __init__(self, tokens: Mapping[Role, str] = MappingProxyType({})) -> None:
        self.tokens = tokens
        self._waiting = 0

    @classmethod
    def by_new_tokens(cls) -> "Access":
        """Only for whom is told a token, of which each role has one that cannot be guessed."""
        return cls({role: secrets.token_urlsafe(24) for role in Role})

    def role(self, request: web.Request) -> Role | None:
        """The role of the Bearer token (RFC 6750) that a request carries; None if it is wrong or missing."""
        if not self.tokens:
            return Role.CONTROL
        given = _bearer(request).encode(errors="surrogateescape")  # which is how bytes that are no text arrive
        # Every token is compared, each in constant time: how long it takes says nothing about them.
        found = [role for role, token in self.tokens.items() if hmac.compare_digest(token.encode(), given)]
        return max(found, default=None)

    async def check(self, request: web.Request, needed: Role) -> None:
        """Let a request pass that has the role.

        Raises:
            web.HTTPException: it has not.
        """
        role = self.role(request)
        if role is None:
            if given := _bearer(request):
                await self._pause()
            raise web.HTTPUnauthorized(
                text="This needs a token: open the link that the terminal printed.",
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"' if given else "Bearer"},
            )
        if role < needed:
            raise web.HTTPForbidden(
                text="This token is for watching only.",
                headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
            )

    async def _pause(self) -> None:
        """Wait, so that tokens cannot be tried at any rate; whoever has the right one never waits."""
        if self._waiting >= FAILURES:
            raise web.HTTPTooManyRequests(text="Too many wrong tokens.", headers={"Retry-After": f"{FAILURE_S:.0f}"})
        self._waiting += 1
        try:
            await asyncio.sleep(FAILURE_S)
        finally:
            self._waiting -= 1


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    offered = (each.strip() for each in request.headers.get("Sec-WebSocket-Protocol", "").split(","))
    return next((each.removeprefix(_BEARER) for each in offered if each.startswith(_BEARER)), "")


def response_headers(access: Access, *, camera: bool) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """A handler of `on_response_prepare`: puts the headers of security and CORS on every response, errors included.

    `camera` says whether the page may ask for the browser's camera.
    """
    always = {
        "Content-Security-Policy": _CONTENT_POLICY,
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": f"camera=({'self' if camera else ''}), microphone=(), geolocation=()",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    shared = {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "POST, PATCH, DELETE",
        "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
        "Access-Control-Expose-Headers": "Accept-Patch, Accept-Post, ETag, Link, Location, Retry-After",
    }

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(always)
        if access.tokens and request.path.startswith(_ENDPOINTS):
            response.headers.update(shared)
        response.headers.popall("Server", None)

    return add


def same_site_only(access: Access, allowed_hosts: Collection[str]) -> Middleware:
    """Refuse requests under a foreign host name, and writes and WebSockets from a foreign page.

    A page elsewhere can point its own name at this machine (DNS rebinding), but not at an IP address: so addresses,
    `localhost` and `allowed_hosts` are let through. Those carry the Origin of the page (RFC 6454), which must be ours;
    programs that are no browsers send none. Where there are tokens other pages may use the endpoints, for what they
    send must carry one.
    """
    names = {"localhost", *(name.lower() for name in allowed_hosts)}

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        name = _host_name(host)
        if not (name in names or is_ip_address(name)):
            raise web.HTTPMisdirectedRequest(text="This server does not answer to that host name.")
        origin = request.headers.get("Origin")
        ours = origin is None or origin.partition("://")[2] == host
        shared = access.tokens and request.path.startswith(_ENDPOINTS)
        reads = request.method in ("GET", "HEAD") and "Upgrade" not in request.headers
        if not reads and not ours and not shared:
            raise web.HTTPForbidden(text="Only the server's own pages may do that.")
        return await handler(request)

    return guard


def _host_name(host: str) -> str:
    try:
        return (URL(f"http://{host}").host or "").lower()
    except ValueError:
        return ""
