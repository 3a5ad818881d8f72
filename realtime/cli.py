"""`realtime`: play a subject live."""

import asyncio
from typing import Annotated

import tyro

from engines.console import run_commands
from engines.errors import UserError
from realtime.config import EngineConfig

Inline = tyro.conf.arg(name="")


def run(
    subject: str = "alice",
    camera: int | None = None,
    source: str | None = None,
    fps: float = 30.0,
    performer: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8080,
    engines: Annotated[EngineConfig, Inline] = EngineConfig(),
) -> None:
    """Play a subject live: move in front of the camera, watch in a browser.

    Args:
        subject: who is shown: a name, or the path of a subject's folder.
        camera: which camera to use, 0 being the first. Without one, the bundled performer dances.
        source: a video to play instead of a camera: a path, or a bundled performer's name (bob); or poses:FOLDER, the
            JSON files of OpenPose.
        fps: how many of these are played per second.
        performer: whose profile to use, made by `realtime calibrate`; without one your range is learnt while you move.
        host: address to serve on. Only this machine can watch unless you change it.
        port: port to serve on.
        engines: how the networks run.
    """
    from realtime.live import serve

    asyncio.run(serve(subject, camera, source, fps=fps, performer=performer, host=host, port=port, engines=engines))


def calibrate(performer: tyro.conf.Positional[str], camera: int | None = None, source: str | None = None) -> None:
    """Five seconds to tell how near and how far you stand: then `realtime run --performer NAME` knows from the start.

    Args:
        performer: your name, for the profile.
        camera: which camera to use, 0 being the first. Leave it where it is afterwards.
        source: a video to use instead of a camera: a path, or a bundled performer's name (bob).
    """
    from rich.console import Console

    from realtime.calibrate import calibrate as guide
    from realtime.profile import check_name, save_profile
    from realtime.source import open_source

    check_name(performer)
    opened, remark = open_source(camera, source)
    if remark:
        print(remark)
    path = save_profile(performer, guide(opened, Console()))
    print(f"{path} is written. Use it: realtime run --performer {performer}")


def bench(
    subject: str = "alice",
    source: str = "bob",
    seconds: float = 20.0,
    engines: Annotated[EngineConfig, Inline] = EngineConfig(),
) -> None:
    """Measure fps and latency of a live session on this machine, without a browser.

    Args:
        subject: who is shown: a name, or the path of a subject's folder.
        source: the video that drives it: a path, or a bundled performer's name.
        seconds: how long to measure, after a warm-up.
        engines: how the networks run.
    """
    from realtime.bench import bench as measure
    from realtime.bench import show
    from realtime.source import open_source
    from realtime.subject import load_subject

    if seconds <= 0:
        raise UserError(f"--seconds must be more than 0, not {seconds}.")
    show(measure(load_subject(subject), open_source(None, source)[0], engines, seconds=seconds))


def main() -> None:
    """Entry point."""
    run_commands(
        {"run": run, "calibrate": calibrate, "bench": bench},
        prog="realtime",
        description="Move in front of a camera, and a browser shows another person making your moves.",
    )
