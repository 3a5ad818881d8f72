"""The web server: the viewer page, its stats, and the endpoints of those who watch (WHEP) and publish (WHIP)."""

import asyncio
import logging
import math
import secrets
import ssl
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
from aiohttp import web
from yarl import URL

from server.access import Access, Role, response_headers, same_site_only
from server.address import ListenError, is_loopback, own_names, page_urls, why_not
from server.broadcast import Broadcast
from server.control import Command, Commands
from server.control_channel import ControlChannel
from server.guarded_site import GuardedSite
from server.ice_server import IceServer
from server.metrics import CONTENT_TYPE, metrics_text
from server.offer import MAX_OFFER_BYTES, PUBLISH, WATCH, Offer
from server.protocols import Inlet
from server.publisher_peer import PublisherPeer
from server.qr_code import svg_code
from server.sessions import Endpoint, Sessions, read_body
from server.socket_viewers import SocketViewers
from server.sound import Hear
from server.sound_track import SoundBroadcast
from server.stream import SharedStream
from server.viewer_peer import ViewerPeer

_VIEWER = Path(__file__).parent / "viewer"
_CONTENT_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
JSON = "application/json"
ASKED_S = 10.0
"""So long whoever publishes is told that somebody else asked for the place."""
PUBLISHERS = 4
"""One publishes; the others are being closed, because somebody took over or they never connected."""
_SHUTDOWN_S, _KEEP_ALIVE_S = 0.1, 30.0
WHEP, WHIP, CONTROL, WATCH_BY_SOCKET = "/whep", "/whip", "/control", "/watch"
_REQUESTS = logging.getLogger(f"{__name__}.requests")
_REQUESTS.setLevel(logging.CRITICAL)  # anybody can send requests that break: a page of traceback for each helps nobody


class Server:
    """Serves streams to browsers, and takes what they publish and ask for; nothing listens before `start`.

    Args:
        streams: the main picture, and if there are two a small one beside it.
        title: of the page.
        host: where it is served. Addresses always work, and this machine's own names where others can reach it.
        port: 0 takes a free one.
        info: called on the event loop for each look at the stats, so it must be quick; returns what JSON can hold. The
            page shows `notice`, a sentence over the picture, and `delay_ms`, the time from the source to the encoded
            picture; `state` says how what `commands` change is now. Others are for /healthz (`flowing`) and /metrics
            (see `server.metrics`).
        commands: what clients may ask for whom `access` gives control, by POST to /control or over data channels.
        thumbnails: JPEGs of what the command `subject` takes.
        viewers_limit: so many may watch at a time.
        half_open_s: peers that have not connected by then are dropped.
        allowed_hosts: further names under which it may be reached, e.g. of a proxy.
        access: who may do what; without it everybody may do everything.
        inlet: what one publisher at a time may send pictures to; without it nobody may.
        hear: given what is heard with a publisher's pictures.
        sound: sent to who asks for it.
        ice_servers: used on both sides.
        tls: to serve https instead of http.

    Raises:
        ValueError: there is another number of streams, or the port is none.
    """

    def __init__(
        self,
        streams: Sequence[SharedStream[Any]],
        *,
        title: str = "bodydouble",
        host: str = "127.0.0.1",
        port: int,
        info: Callable[[], Mapping[str, object]] = dict,
        commands: Mapping[str, Command] = MappingProxyType({}),
        thumbnails: Mapping[str, bytes] = MappingProxyType({}),
        viewers_limit: int = 100,
        half_open_s: float = 10.0,
        allowed_hosts: Collection[str] = (),
        access: Access | None = None,
        inlet: Inlet | None = None,
        hear: Hear = lambda samples: None,
        sound: SoundBroadcast | None = None,
        ice_servers: Sequence[IceServer] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if not 1 <= len(streams) <= 2:
            raise ValueError(f"The server sends one or two streams, not {len(streams)}.")
        if not 0 <= port <= 65535:
            raise ValueError(f"A port is a number from 0 to 65535, not {port}.")
        self._streams = tuple(streams)
        self._title = title
        self._host = host
        self._port = port
        self._info = info
        self.commands = Commands(commands)
        """What clients may ask for."""
        self.figures = Broadcast()
        """What viewers draw over the picture."""
        self._thumbnails = thumbnails
        self._instance = ""
        self._access = access or Access()
        self._inlet, self._hear, self._ice_servers = inlet, hear, tuple(ice_servers)
        self._sound = sound
        self._publisher: PublisherPeer | None = None
        self._asked_at_s = -math.inf
        self._tls = tls

        def may_watch() -> bool:
            return self.viewers < viewers_limit

        def may_publish() -> bool:
            return self._sessions.count(WHIP) < PUBLISHERS

        watch = Endpoint(path=WHEP, role=Role.WATCH, admission=WATCH, make_peer=self._make_viewer, has_room=may_watch)
        publish = Endpoint(
            path=WHIP, role=Role.CONTROL, admission=PUBLISH, make_peer=self._make_publisher, has_room=may_publish
        )
        endpoints = [watch] if inlet is None else [watch, publish]
        self._sessions = Sessions(endpoints, self._access, self._ice_servers, half_open_s=half_open_s)
        self._sockets = SocketViewers(self._streams, self._access, may_watch)
        self._allowed_hosts = {*allowed_hosts, *own_names(host)}
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The page's address for this machine; with port 0 it is known after `start`."""
        return self.urls[0]

    @property
    def urls(self) -> list[str]:
        """All addresses of the page that are known."""
        return page_urls(self._host, self._port, "http" if self._tls is None else "https")

    def links(self, role: Role) -> list[str]:
        """The same, with the token that gives the role if there are tokens."""
        token = self._access.tokens.get(role)
        return self.urls if token is None else [f"{url}?token={token}" for url in self.urls]

    @property
    def viewers(self) -> int:
        """How many viewers there are, those that are still connecting included."""
        return self._sessions.count(WHEP) + self._sockets.count

    async def start(self) -> None:
        """Listen. Raises `ListenError`, for example when the port is in use."""
        assert self._runner is None
        files = await asyncio.to_thread(_read_viewer)
        app = web.Application(
            client_max_size=MAX_OFFER_BYTES, middlewares=[same_site_only(self._access, self._allowed_hosts)]
        )
        app.on_response_prepare.append(response_headers(self._access, camera=self._inlet is not None))
        app.add_routes(self._sessions.routes())
        pages = {
            "/stats": self._stats,
            "/metrics": self._metrics,
            "/healthz": self._health,
            "/subjects/{subject}": self._thumbnail,
            "/link/{role:watch|control}": self._qr_code,
            CONTROL: self._describe,
            WATCH_BY_SOCKET: self._sockets.handle,
        }
        app.add_routes([web.get(path, handler) for path, handler in (pages | files).items()])
        app.add_routes([web.post(CONTROL, self._command)])
        runner = web.AppRunner(
            app, access_log=None, logger=_REQUESTS, shutdown_timeout=_SHUTDOWN_S, keepalive_timeout=_KEEP_ALIVE_S
        )
        await runner.setup()
        try:
            await GuardedSite(runner, self._host, self._port, self._tls).start()
        except OSError as problem:
            await runner.cleanup()
            raise ListenError(why_not(problem, self._host, self._port)) from problem
        self._port = runner.addresses[0][1]
        self._instance = secrets.token_urlsafe(8)  # by which the page notices a restart
        self._runner = runner

    async def stop(self) -> None:
        """Close every viewer's connection and stop listening, within a second."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        await self._sockets.close()
        await runner.cleanup()  # first, so that nobody comes in behind those who leave
        await self._sessions.close()

    def _make_viewer(self, request: web.Request, offer: Offer) -> ViewerPeer:
        control = ControlChannel(self.commands, allowed=self._access.role(request) == Role.CONTROL)
        streams = list(zip(self._streams, offer.codecs, strict=False))
        sound = self._sound if offer.sound else None
        return ViewerPeer(streams, control, self.figures, request.remote, self._ice_servers, sound)

    def _make_publisher(self, request: web.Request, _: Offer) -> PublisherPeer:
        """The publisher that is live keeps its place, and is told with `?ask`; with `?takeover` it loses it."""
        assert self._inlet is not None
        if self._publishing and "takeover" not in request.query:
            if "ask" in request.query:
                self._asked_at_s = time.monotonic()
            raise web.HTTPConflict(text="Somebody else publishes now: take over with ?takeover.")
        if self._publisher is not None:
            self._publisher.end()
        self._publisher = PublisherPeer(self._inlet, self._hear, request.remote, self._ice_servers)
        self._asked_at_s = -math.inf
        return self._publisher

    @property
    def _publishing(self) -> bool:
        return self._publisher is not None and self._publisher.live

    async def _stats(self, request: web.Request) -> web.Response:
        await self._access.check(request, Role.WATCH)
        own = self._access.role(request) or Role.WATCH
        roles = [role for role in self._access.tokens or [Role.WATCH] if role <= own and self._link(role)]
        controls = own == Role.CONTROL
        state = "asked" if time.monotonic() - self._asked_at_s < ASKED_S else "live"
        publisher = None if self._inlet is None or not controls else state if self._publishing else "awaited"
        allowed = {
            "commands": self.commands.names if controls else [],
            "subjects": list(self._thumbnails) if controls else [],
            "publisher": publisher,
            "links": [role.name.lower() for role in roles],
        }
        return _json({**self._statistics(), **allowed})

    async def _thumbnail(self, request: web.Request) -> web.Response:
        await self._access.check(request, Role.WATCH)
        jpeg = self._thumbnails.get(request.match_info["subject"])
        if jpeg is None:
            raise web.HTTPNotFound(text="There is no such subject.")
        return web.Response(body=jpeg, content_type="image/jpeg")

    async def _qr_code(self, request: web.Request) -> web.Response:
        """A link for other devices, which gives at most the role of who asks for it."""
        role = Role[request.match_info["role"].upper()]
        await self._access.check(request, role)
        link = self._link(role)
        if link is None:
            raise web.HTTPNotFound(text="Other devices cannot reach this server: start it with --host.")
        return web.Response(body=svg_code(link), content_type="image/svg+xml", headers={"Cache-Control": "no-store"})

    def _link(self, role: Role) -> str | None:
        """Where other devices find the page; None if they cannot."""
        return next((link for link in self.links(role) if not is_loopback(URL(link).host or "")), None)

    async def _describe(self, request: web.Request) -> web.Response:
        await self._access.check(request, Role.CONTROL)
        return _json({"commands": self.commands.described(), "state": self._info().get("state", {})})

    async def _command(self, request: web.Request) -> web.Response:
        await self._access.check(request, Role.CONTROL)
        reply = await self.commands.answer(await read_body(request, JSON), allowed=True)
        return _json(reply, status=reply.status)

    async def _metrics(self, request: web.Request) -> web.Response:
        await self._access.check(request, Role.WATCH)
        return web.Response(body=metrics_text(self._statistics()).encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _health(self, _: web.Request) -> web.Response:
        """For whoever watches over the program: no token is needed, for it says next to nothing."""
        flowing = bool(self._info().get("flowing"))
        return web.Response(status=200 if flowing else 503, text="Frames flow." if flowing else "No frames flow.")

    def _statistics(self) -> dict[str, Any]:
        streams = [
            {
                "name": each.name,
                "viewers": each.viewers,
                "renditions": {f"{codec}/{rung}": count for (codec, rung), count in each.viewers_by_rendition.items()},
                **asdict(each.stats),
            }
            for each in self._streams
        ]
        return {
            "title": self._title,
            **self._info(),
            "instance": self._instance,
            "viewers": self.viewers,
            "sound": self._sound is not None and self._sound.heard,
            "streams": streams,
            "rejected_offers": dict(self._sessions.rejected),
        }


def _json(content: object, *, status: int = 200) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=msgspec.json.encode(content), content_type=JSON, status=status, headers=headers)


def _read_viewer() -> dict[str, Callable[[web.Request], Any]]:
    """The page's files, held in memory: they are few, small, and then no path from outside meets the disk."""

    def serve(body: bytes, content_type: str) -> Callable[[web.Request], Any]:
        async def file(_: web.Request) -> web.Response:
            headers = {"Cache-Control": "no-cache"}
            return web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)

        return file

    files = {
        f"/{path.name}": serve(path.read_bytes(), _CONTENT_TYPES[path.suffix])
        for path in _VIEWER.iterdir()
        if path.suffix in _CONTENT_TYPES
    }
    return {"/": files["/index.html"], **files}
