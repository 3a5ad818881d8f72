"""`realtime`: play a subject live."""

import asyncio
import math
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from engines.console import run_commands
from engines.errors import UserError
from realtime.config import EngineConfig

Inline = tyro.conf.arg(name="")


def run(
    subject: str = "alice",
    camera: int | None = None,
    source: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8080,
    engines: Annotated[EngineConfig, Inline] = EngineConfig(),
) -> None:
    """Play a subject live: move in front of the camera, watch in a browser.

    Args:
        subject: who is shown: a name, or the path of a subject's folder.
        camera: which camera to use, 0 being the first. Without one, the bundled performer dances.
        source: a video to play instead of a camera: a path, or a bundled performer's name (bob).
        host: address to serve on. Only this machine can watch unless you change it.
        port: port to serve on.
        engines: how the networks run.
    """
    from realtime.live import serve

    asyncio.run(serve(subject, camera, source, host=host, port=port, engines=engines))


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


def pose(
    video: Annotated[Positional[Path], tyro.conf.arg(metavar="VIDEO")],
    /,
    out: Path | None = None,
    truth: Path | None = None,
    start_s: float = 0.0,
    end_s: float = math.inf,
) -> None:
    """Look at the poses in a video: draws them over it, and reports how well and how steadily the person is seen.

    Args:
        video: the video to look at.
        out: folder for pose.mp4 and report.html; VIDEO_pose here if not given.
        truth: exact joints to measure error, jitter and lag against: an .npz with names [J] (e.g. left_wrist, or the
            rig's bones: hand_l), xy [F, J, 2] in pixels, a row per frame, and visibility [F, J] (2 is visible).
        start_s: second of the video to start at.
        end_s: second of the video to end at.
    """
    from realtime.pose_report import report_poses

    report_poses(video, out or Path(f"{video.stem}_pose"), truth=truth, start_s=start_s, end_s=end_s)


def main() -> None:
    """Entry point."""
    run_commands(
        {"run": run, "bench": bench, "pose": pose},
        prog="realtime",
        description="Move in front of a camera, and a browser shows another person making your moves.",
    )
