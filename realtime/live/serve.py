"""A session with its server, from start to Ctrl-C."""

import asyncio
import logging
import os
import signal
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from engines.errors import UserError
from engines.files import data_folder
from realtime.live.performer_profile import load_profile
from realtime.live.run_config import RunConfig
from realtime.live.session import Session, open_session
from realtime.live.source import Source, open_source
from realtime.live.whip_source import WHIP, WhipSource
from realtime.subject import load_subject
from server.access import Access, Role
from server.address import ListenError, is_loopback, own_names, page_hosts
from server.app import Server
from server.certificate import CertificateError, tls_context
from server.ice_server import IceServer

LOG = logging.getLogger(__name__)
T = TypeVar("T")


async def serve(config: RunConfig) -> None:
    """Play until Ctrl-C, SIGTERM or the source's end; closes every viewer's connection before it returns.

    Raises:
        UserError: the subject, the source, the performer's profile or the address cannot be used.
    """
    ice_servers = [_ice_server(text) for text in config.ice_server]
    tls = _tls(config) if config.tls else None
    access = Access() if config.no_token or is_loopback(config.host) else Access.by_new_tokens()
    publisher = WhipSource() if config.source == WHIP and config.camera is None else None
    stop = _stopping()
    session = await _unless(stop, lambda: _load(config, publisher))
    title = session.renderer.subject.manifest.name
    server = Server(
        session.streams,
        title=title,
        host=config.host,
        port=config.port,
        info=session.info,
        commands=session.commands,
        allowed_hosts=config.allow_host,
        access=access,
        tls=tls,
        inlet=None if publisher is None else publisher.inlet,
        ice_servers=ice_servers,
    )
    try:
        await server.start()
        session.start()
        _say_where(server, f"{title} follows {session.source_name}.", access, publishing=publisher is not None)
        if config.no_token and not is_loopback(config.host):
            LOG.warning("Without tokens everybody who reaches this machine can watch, control and publish.")
        await _until(stop, session)
    except ListenError as error:
        raise UserError(str(error)) from error
    finally:
        await server.stop()
        await asyncio.to_thread(session.stop)


def _say_where(server: Server, title: str, access: Access, *, publishing: bool) -> None:
    watch = " or ".join(server.links(Role.WATCH))
    print(f"{title} Watch at {watch} (Ctrl-C ends)")
    if access.tokens:
        print(f"Control and publish at {' or '.join(server.links(Role.CONTROL))}")
        print("Whoever has a link also sees the performer's picture. Other programs send its token as a Bearer token.")
    if publishing:
        print(f'Publish by WHIP to {server.url}whip, or press "Use this camera" on the page.')
    sys.stdout.flush()


def _tls(config: RunConfig) -> ssl.SSLContext:
    names = {"localhost", "127.0.0.1", "::1", *page_hosts(config.host), *own_names(config.host), *config.allow_host}
    try:
        context, fingerprint = tls_context(data_folder() / "certificate.pem", names)
    except CertificateError as error:
        raise UserError(str(error)) from error
    print(f"The certificate's SHA-256 fingerprint: {fingerprint}")
    return context


def _ice_server(text: str) -> IceServer:
    try:
        return IceServer.parse(text)
    except ValueError as error:
        raise UserError(f"--ice-server {error}") from error


def _load(config: RunConfig, source: Source | None) -> Session:
    """Everything that takes its time."""
    subject = load_subject(config.subject)
    profile = None if config.performer is None else load_profile(config.performer)
    if source is None:
        source, remark = open_source(config.camera, config.source, capture=config.capture, fps=config.fps, say=print)
        if remark:
            print(remark)
    return open_session(subject, source, config.engines, config.pose, profile=profile, say=print)


def _say(sentence: str) -> None:
    """Print while frames flow: nobody who closes the terminal ends the show."""
    with suppress(OSError):
        print(sentence, flush=True)


def _stopping() -> asyncio.Event:
    """An event that is set by the first Ctrl-C or SIGTERM; the second one ends the process at once."""
    stop = asyncio.Event()

    def told() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, told)
        except NotImplementedError:  # Windows' event loops know no signals
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(told))
    return stop


async def _unless(stop: asyncio.Event, work: Callable[[], T]) -> T:
    """Do the work in a thread. Whoever is told to stop meanwhile need not wait for it: compilers take minutes."""
    working, stopping = asyncio.ensure_future(asyncio.to_thread(work)), asyncio.ensure_future(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)
    return working.result()


async def _until(stop: asyncio.Event, session: Session) -> None:
    """Return when `stop` is set or the session has ended; raise what ended it."""
    while not stop.is_set():
        if session.wait(0):
            _say("The source has ended.")
            return
        try:
            await asyncio.wait_for(stop.wait(), 0.2)
        except TimeoutError:
            continue
