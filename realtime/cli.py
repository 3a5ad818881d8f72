"""`realtime`: play a subject live."""

import asyncio
import math
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from engines.console import run_commands, stopping_says
from engines.errors import UserError
from engines.files import check_writable
from engines.values import Inline, SubjectName
from realtime.bench_tools.config import BenchConfig
from realtime.live.run_config import AccessConfig, CaptureConfig, RunConfig
from realtime.pose.estimation.config import PoseConfig
from realtime.subject_engines import BEST, EngineConfig
from realtime.subjects_cli import subjects

EXAMPLES = {
    "run": "realtime run --camera 0 --subject alice",
    "render": "realtime render dance.mp4 --subject alice --out alice_dance.mp4",
    "subjects": "realtime subjects show alice",
    "subjects list": "realtime subjects list",
    "subjects show": "realtime subjects show alice",
    "subjects remove": "realtime subjects remove eva",
    "calibrate": "realtime calibrate maria --camera 0",
    "pose": "realtime pose dance.mp4 --out dance_pose",
    "control": "realtime control subject alice",
    "bench": "realtime bench --subject alice --source bob",
    "bench-pose": "realtime bench-pose --source bob --frames 300",
}


def run(config: Annotated[RunConfig, Inline] = RunConfig()) -> None:
    """Play a subject live: move in front of the camera, watch in a browser."""
    from realtime.live.source import check_named
    from server.address import ListenError, check_address

    check_named(config.camera, config.source)  # before the server and networks are loaded
    try:
        check_address(config.access.host, config.access.port)
    except ListenError as error:
        raise UserError(str(error)) from error
    if config.output.record is not None:
        check_writable(config.output.record)
    from realtime.live.serve import serve

    asyncio.run(serve(config))


def render(
    video: Annotated[Positional[str], tyro.conf.arg(metavar="VIDEO")],
    /,
    subject: SubjectName = "alice",
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.mp4|FOLDER", help_behavior_hint="")] = None,
    side_by_side: bool = False,
    replace: bool = False,
    engines: Annotated[EngineConfig, Inline] = BEST,
    pose: Annotated[PoseConfig, Inline] = PoseConfig(),
) -> None:
    """Render a whole video with a subject in the performer's place: every frame, at its own time, with the sound.

    Args:
        video: who moves: a video, its URL, a bundled performer's name (bob), a folder of pictures, or a folder of
            videos, all of which are rendered.
        subject: who is shown: a name, or the path of a subject's folder.
        out: the .mp4 to write, or the folder; VIDEO_SUBJECT here if not given.
        side_by_side: write source | figure | result instead of the result alone.
        replace: make anew what is there already.
        engines: how the networks run.
        pose: what estimates the pose, and whose.
    """
    from realtime.live.source import video_file
    from realtime.offline import default_out, render_all
    from realtime.subject import load_subject

    shown = load_subject(subject)
    with video_file(video) as path:
        target = out or default_out(path, shown)
        render_all(path, shown, target, engines, pose, side_by_side=side_by_side, replace=replace)


def calibrate(
    performer: Annotated[Positional[str], tyro.conf.arg(metavar="NAME")],
    camera: Annotated[str | None, tyro.conf.arg(metavar="CAMERA", help_behavior_hint="")] = None,
    source: Annotated[str | None, tyro.conf.arg(metavar="VIDEO", help_behavior_hint="")] = None,
    capture: Annotated[CaptureConfig, Inline] = CaptureConfig(),
    pose: Annotated[PoseConfig, Inline] = PoseConfig(),
) -> None:
    """Five seconds to tell how near and how far you stand: then `realtime run --performer NAME` knows from the start.

    Of a film the whole is measured: try `realtime calibrate bob --source bob`.

    Args:
        performer: your name, for the profile.
        camera: which camera to use: its number, 0 being the first, its path, or a part of its name. Leave it where it
            is afterwards.
        source: a video to use instead of a camera: a path, an URL, or a bundled performer's name (bob).
        capture: what is asked of the camera; ask the same of it when you play.
        pose: what estimates the pose, and whose.
    """
    from rich.console import Console

    from realtime.live.calibrate import calibrate as guide
    from realtime.live.calibrate import calibrate_film
    from realtime.live.camera import has_camera
    from realtime.live.performer_profile import check_name, save_profile
    from realtime.live.source import is_recorded, open_source, video_file

    check_name(performer)
    if camera is None and source is None and not has_camera():
        raise UserError("There is no camera here: connect one, or try it out with --source bob.")
    if camera is None and source is not None and not capture.asks and is_recorded(source):
        with video_file(source, pose) as path:
            profile = calibrate_film(path, pose)
    else:
        opened, remark = open_source(camera, source, capture=capture, pose=pose)
        if remark:
            print(remark)
        profile = guide(opened, Console(), pose)
    path = save_profile(performer, profile)
    print(f"{path} is written. Use it: realtime run --performer {performer}")


def control(
    command: Annotated[Positional[str | None], tyro.conf.arg(metavar="[COMMAND]", help_behavior_hint="")] = None,
    value: Annotated[Positional[str | None], tyro.conf.arg(metavar="[VALUE]", help_behavior_hint="")] = None,
    link: Annotated[str | None, tyro.conf.arg(metavar="LINK", help_behavior_hint="")] = None,
    port: Annotated[int | None, tyro.conf.arg(metavar="PORT", help_behavior_hint="")] = None,
) -> None:
    """Give the running session a command; without one, say which there are, what they take, and how everything is now.

    Args:
        command: e.g. subject, mirror, next-person, snapshot.
        value: what the command takes, if anything: `subject alice`, `mirror true`, `record start`.
        link: where the session is: the link to control that `realtime run` has printed, with its token. By default the
            session of this machine.
        port: the `--port` of a session on this machine, if it was given one; by default 8080.
    """
    from realtime.live.control_client import control as ask

    if link is not None and port is not None:
        raise UserError("--link names a port, too: give either --link or --port.")
    if port is not None and not 1 <= port <= 65535:
        raise UserError(f"--port must be from 1 to 65535, not {port}.")
    ask(link or f"http://127.0.0.1:{AccessConfig.port if port is None else port}/", command, value)


def bench(config: Annotated[BenchConfig, Inline] = BenchConfig()) -> None:
    """Measure fps and latency of a live session on this machine; without further options, without a browser."""
    from realtime.bench_tools.run import run_bench

    run_bench(config)


def bench_pose(
    source: Annotated[str, tyro.conf.arg(metavar="VIDEO")] = "bob",
    frames: int = 300,
    cores: int = 1,
    mediapipe_python: Annotated[Path | None, tyro.conf.arg(metavar="PYTHON", help_behavior_hint="")] = None,
    pose: Annotated[PoseConfig, Inline] = PoseConfig(),
) -> None:
    """Measure frame to pose on this machine, side by side with the mediapipe library where there is one.

    Args:
        source: the video to look at: a path, an URL, a folder of pictures, or a bundled performer's name.
        frames: how many frames to measure, after a warm-up.
        cores: processor cores that this program and the library are bound to, in turns.
        mediapipe_python: Python of another environment that has mediapipe 0.10.21, if this one has not.
        pose: what is estimated.
    """
    from realtime.live.source import video_file
    from realtime.pose_tools.bench import bench_pose as measure
    from realtime.pose_tools.bench import show

    if frames < 1 or cores < 1:
        raise UserError(f"--frames and --cores must be at least 1, not {frames} and {cores}.")
    with video_file(source, pose) as path:
        show(measure(path, pose, frames=frames, cores=cores, mediapipe_python=mediapipe_python))


def pose(
    video: Annotated[Positional[str], tyro.conf.arg(metavar="VIDEO")],
    /,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None,
    truth: Annotated[Path | None, tyro.conf.arg(metavar="FILE.npz", help_behavior_hint="")] = None,
    start_s: float = 0.0,
    end_s: float = math.inf,
    replace: bool = False,
    config: Annotated[PoseConfig, Inline] = PoseConfig(),
) -> None:
    """Look at the poses in a video: draws them over it, and reports how well and how steadily the person is seen.

    Args:
        video: the video to look at: a path, an URL, a folder of pictures, or a bundled performer's name.
        out: folder for pose.mp4 and report.html; VIDEO_pose here if not given.
        truth: exact joints to measure error, jitter and lag against: an .npz with names [J] (e.g. left_wrist, or the
            rig's bones: hand_l), xy [F, J, 2] in pixels, a row per frame, and visibility [F, J] (2 is visible).
        start_s: second of the video to start at.
        end_s: second of the video to end at.
        replace: overwrite pose.mp4 and report.html if they are there already.
        config: what estimates the pose, and whose.
    """
    from realtime.live.source import video_file
    from realtime.pose_tools.annotate import report_poses

    with stopping_says(lambda: "Nothing is written."), video_file(video, config) as path:
        folder = out or Path(f"{path.stem or path.resolve().name}_pose")
        report_poses(path, folder, config, truth=truth, start_s=start_s, end_s=end_s, replace=replace)


def main() -> None:
    """Entry point."""
    run_commands(
        {
            "run": run,
            "render": render,
            "subjects": subjects,
            "calibrate": calibrate,
            "control": control,
            "pose": pose,
            "bench": bench,
            "bench-pose": bench_pose,
        },
        prog="realtime",
        description="Move in front of a camera, and a browser shows another person making your moves.",
        examples=EXAMPLES,
    )
