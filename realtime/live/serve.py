"""A session with its server, from start to Ctrl-C."""

import asyncio
import signal

from engines.errors import UserError
from realtime.live.performer_profile import load_profile
from realtime.live.session import Session, open_session
from realtime.live.source import open_source
from realtime.pose.estimation.config import PoseConfig
from realtime.subject import load_subject
from realtime.subject_engines import EngineConfig
from server.app import ListenError, Server


async def serve(
    subject_name: str,
    camera: str | None,
    source_name: str | None,
    *,
    fps: float,
    performer: str | None,
    host: str,
    port: int,
    engines: EngineConfig,
    pose: PoseConfig,
) -> None:
    """Play until Ctrl-C, SIGTERM or the source's end; closes every viewer's connection before it returns.

    Raises:
        UserError: the subject, the source, the performer's profile or the address cannot be used.
    """
    if not 0 <= port <= 65535:
        raise UserError(f"--port must be from 0 to 65535, not {port}.")
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    subject = load_subject(subject_name)
    profile = None if performer is None else load_profile(performer)
    source, remark = open_source(camera, source_name, fps=fps)
    if remark:
        print(remark)
    session = open_session(subject, source, engines, pose, profile=profile, say=print)
    title = subject.manifest.name
    server = Server(session.streams, title=title, host=host, port=port, info=session.info, commands=session.commands)
    try:
        await server.start()
        session.start()
        print(f"{title} follows {source.name}. Watch at {server.url} (Ctrl-C ends)", flush=True)
        await _until(stop, session)
    except ListenError as error:
        raise UserError(str(error)) from error
    finally:
        await server.stop()
        await asyncio.to_thread(session.stop)


async def _until(stop: asyncio.Event, session: Session) -> None:
    """Return when `stop` is set or the session has ended; raise what ended it."""
    while not stop.is_set():
        if session.wait(0):
            print("The source has ended.")
            return
        try:
            await asyncio.wait_for(stop.wait(), 0.2)
        except TimeoutError:
            continue
