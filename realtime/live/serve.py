"""A session with its server, from start to Ctrl-C."""

import asyncio
import logging
import math
import os
import signal
import ssl
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TypeVar

from yarl import URL

from engines.console import discard_stdout, ending_signals
from engines.errors import UserError
from engines.files import data_folder
from realtime.live.commands import NO_BADGE, SessionCommands
from realtime.live.content_credentials import ContentCredentials
from realtime.live.figure_sender import FigureSender
from realtime.live.json_log import log_as_json
from realtime.live.live_sound import LiveSound
from realtime.live.opening import live_renderer, open_session
from realtime.live.performer_profile import load_profile
from realtime.live.run_config import AccessConfig, OutputConfig, RunConfig
from realtime.live.session import Session
from realtime.live.source import Source, about_person, open_source
from realtime.live.start_up import StartUp
from realtime.live.virtual_camera import VirtualCameraOutput
from realtime.live.whip_source import WHIP, WhipSource
from realtime.subject import THUMBNAIL, is_whole, load_subject, subject_folders
from server.access import Access, Role
from server.address import ListenError, is_loopback, own_names, page_hosts
from server.app import Server
from server.certificate import CertificateError, tls_context
from server.ice_server import IceServer
from server.osc import listen_to_osc
from server.qr_code import terminal_code
from server.sound_track import SoundBroadcast
from server.whip_client import WhipClient, read_endpoint

LOG = logging.getLogger(__name__)
REPEATED_S = 1.0
"""Signals that follow the first one sooner mean the same."""
T = TypeVar("T")


async def serve(config: RunConfig) -> None:
    """Play until Ctrl-C, SIGTERM or the source's end; closes every viewer's connection before it returns.

    Raises:
        UserError: the subject, the source, the performer's profile or the address cannot be used.
    """
    start = StartUp()
    start.done("imports")
    if config.log_format == "json":
        log_as_json()
    ice_servers = [_ice_server(text) for text in config.access.ice_server]
    endpoint = None if config.output.publish is None else _endpoint(config.output.publish)
    tls = _tls(config.access) if config.access.tls else None
    access = Access() if config.access.no_token or is_loopback(config.access.host) else Access.by_new_tokens()
    publisher = WhipSource() if config.source == WHIP and config.camera is None else None
    stop = _stopping()
    credentials = ContentCredentials(data_folder() / "content_credentials.pem") if config.output.sign else None
    sound = None if config.output.no_sound else LiveSound(microphone=config.output.microphone)
    session = await _unless(stop, lambda: _load(config, publisher, sound, start))
    asked = SessionCommands(
        session,
        lambda name: live_renderer(load_subject(name), config.engines),
        publisher=publisher,
        sound=None if sound is None else sound.shared,
        credentials=credentials,
        capture=config.capture,
    )
    broadcast = None if sound is None else SoundBroadcast(sound.shared)
    server = _server(config.access, session, asked, access, tls, publisher, broadcast, ice_servers)
    async with AsyncExitStack() as ends:
        ends.callback(_say_recorded, asked)  # the last of all: then it is whole
        ends.push_async_callback(asyncio.to_thread, session.stop)
        ends.push_async_callback(server.stop)
        if sound is not None:
            sound.start(session)
            ends.callback(sound.close)
        _add_outputs(config.output, session, asked)
        try:
            await server.start()
            if config.access.osc is not None:
                ends.callback((await listen_to_osc(server.commands, config.access.host, config.access.osc)).close)
        except ListenError as error:
            raise UserError(str(error)) from error
        if endpoint is not None:
            token = config.output.publish_token
            client = WhipClient(endpoint, session.streams[0], token=token, ice_servers=ice_servers, sound=broadcast)
            ends.push_async_callback(_end, asyncio.create_task(client.run()))
        session.on_figure = FigureSender(server.figures).send
        session.start()
        about = f"{session.title} follows {session.source.name}."
        _say_where(server, about, access, publishing=publisher is not None)
        _warn(config, access, publishing=publisher is not None)
        start.done("server")
        await _until(stop, session, start)


def _server(
    config: AccessConfig,
    session: Session,
    asked: SessionCommands,
    access: Access,
    tls: ssl.SSLContext | None,
    publisher: WhipSource | None,
    sound: SoundBroadcast | None,
    ice_servers: list[IceServer],
) -> Server:
    return Server(
        session.streams,
        title=session.title,
        host=config.host,
        port=config.port,
        info=asked.info,
        commands=asked.commands,
        thumbnails=_thumbnails(),
        allowed_hosts=config.allow_host,
        access=access,
        tls=tls,
        inlet=None if publisher is None else publisher.inlet,
        hear=lambda samples: None if publisher is None else publisher.sound.put(samples),
        sound=sound,
        ice_servers=ice_servers,
    )


def _add_outputs(config: OutputConfig, session: Session, asked: SessionCommands) -> None:
    if config.virtual_camera:
        camera = VirtualCameraOutput(session.renderer.subject.size_px)
        session.add(camera)
        _say(f"It is the camera {camera.name}, too.")
    if config.record is not None:
        _say(f"Recording to {asked.record_to(config.record)}")


def _say_recorded(asked: SessionCommands) -> None:
    """Whoever ends the session is told what is kept of it."""
    if asked.recording is not None:
        _say(f"{asked.recording} is kept." if asked.recording.exists() else "Nothing was recorded.")


def _endpoint(text: str) -> URL:
    try:
        return read_endpoint(text)
    except ValueError as error:
        raise UserError(f"--publish {error}") from error


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _thumbnails() -> dict[str, bytes]:
    """Of the subjects that can be played; read once, so that no request meets the disk."""
    found = {name: folder / THUMBNAIL for name, folder in subject_folders().items() if is_whole(folder)}
    return {name: path.read_bytes() if path.is_file() else b"" for name, path in found.items()}


def _warn(config: RunConfig, access: Access, *, publishing: bool) -> None:
    if config.output.no_badge:
        LOG.warning(NO_BADGE)
    if config.access.no_token and not is_loopback(config.access.host):
        LOG.warning("Without tokens everybody who reaches this machine can watch, control and publish.")
    if publishing and not config.access.tls and not is_loopback(config.access.host):
        LOG.warning("Phones and other devices give their camera to https pages only: begin with --tls to use theirs.")
    if config.access.osc is not None and access.tokens:
        LOG.warning("OSC knows no tokens: everybody who reaches UDP port %d can give commands.", config.access.osc)


def _say_where(server: Server, title: str, access: Access, *, publishing: bool) -> None:
    watch_links = server.links(Role.WATCH)
    _say(f"{title} Watch at {' or '.join(watch_links)} (Ctrl-C ends)")
    if access.tokens:
        _say(f"Control and publish at {' or '.join(server.links(Role.CONTROL))}")
        _say("Whoever has a link also sees the performer's picture. Other programs send its token as a Bearer token.")
    if len(watch_links) > 1 and sys.stdout.isatty():
        _say(f"For phones:\n{terminal_code(server.links(Role.CONTROL if publishing else Role.WATCH)[-1])}")
    if publishing:
        addresses = " or ".join(f"{url}whip" for url in server.urls)
        _say(f'Publish by WHIP to {addresses}, or press "Use this camera" on the page.')


def _tls(config: AccessConfig) -> ssl.SSLContext:
    names = {"localhost", "127.0.0.1", "::1", *page_hosts(config.host), *own_names(config.host), *config.allow_host}
    try:
        context, fingerprint = tls_context(data_folder() / "certificate.pem", names)
    except CertificateError as error:
        raise UserError(str(error)) from error
    _say(f"The certificate's SHA-256 fingerprint: {fingerprint}")
    return context


def _ice_server(text: str) -> IceServer:
    try:
        return IceServer.parse(text)
    except ValueError as error:
        raise UserError(f"--ice-server {error}") from error


def _load(config: RunConfig, source: Source | None, sound: LiveSound | None, start: StartUp) -> Session:
    """Everything that takes its time."""
    subject = load_subject(config.subject)
    profile = None if config.performer is None else load_profile(config.performer)
    remark = about_person(config.pose)
    if source is None:
        source, remark = open_source(
            config.camera, config.source, capture=config.capture, fps=config.fps, pose=config.pose, say=_say
        )
    if remark:
        _say(remark)
    start.done("subject and source")
    session = open_session(
        subject,
        source,
        config.engines,
        config.pose,
        profile=profile,
        badge=not config.output.no_badge,
        on_encoded=(lambda frame: None) if sound is None else sound.follow,
        quality=config.quality,
        say=_say,
    )
    session.mirrored = config.mirror
    start.done("networks")
    return session


def _say(sentence: str) -> None:
    """Print: nobody who closes the terminal, or has read enough, ends the show."""
    try:
        print(sentence, flush=True)
    except OSError:
        discard_stdout()


def _stopping() -> asyncio.Event:
    """An event that is set by the first Ctrl-C or SIGTERM, or when the terminal is closed; another Ctrl-C or SIGTERM
    ends the process at once, but not what comes along with the first: shells tell, too, that their terminal closes."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    told_at_s = -math.inf

    def told(number: int) -> None:
        nonlocal told_at_s
        if not stop.is_set():
            told_at_s = loop.time()
            stop.set()
        elif number in (signal.SIGINT, signal.SIGTERM) and loop.time() - told_at_s > REPEATED_S:
            os._exit(130)

    for number in (signal.SIGINT, *ending_signals()):
        try:
            loop.add_signal_handler(number, told, number)
        except NotImplementedError:  # Windows' event loops know no signals
            signal.signal(number, lambda number, _: loop.call_soon_threadsafe(told, number))
    return stop


async def _unless(stop: asyncio.Event, work: Callable[[], T]) -> T:
    """Do the work in a thread. Whoever is told to stop meanwhile need not wait for it: compilers take minutes."""
    working, stopping = asyncio.ensure_future(asyncio.to_thread(work)), asyncio.ensure_future(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        logging.shutdown()
        os._exit(0)
    return working.result()


async def _until(stop: asyncio.Event, session: Session, start: StartUp) -> None:
    """Return when `stop` is set or the session has ended; raise what ended it. Says how long the start took."""
    said = False
    while not stop.is_set():
        if not said and session.first_picture_at_s is not None:
            start.done("first picture", session.first_picture_at_s)
            _say(str(start))
            said = True
        if session.wait(0):
            _say("The source has ended.")
            return
        try:
            await asyncio.wait_for(stop.wait(), 0.2)
        except TimeoutError:
            continue
