"""What a person decides when a live session starts."""

from dataclasses import dataclass
from typing import Annotated

import tyro
from tyro.conf import FlagCreatePairsOff

from realtime.pose.estimation.config import PoseConfig
from realtime.subject_engines import EngineConfig

_Inline = tyro.conf.arg(name="")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Who is played from which source, and who may watch."""

    subject: str = "alice"
    """Who is shown: a name, or the path of a subject's folder."""
    camera: Annotated[str | None, tyro.conf.arg(metavar="CAMERA")] = None
    """Which camera to use: its number, 0 being the first, its path, or a part of its name. Without a camera the bundled
    performer dances."""
    source: Annotated[str | None, tyro.conf.arg(metavar="SOURCE")] = None
    """What to play instead of a camera: a video's path, a bundled performer's name (bob), an URL (rtsp://, http://), a
    named pipe, a folder of pictures, poses:FOLDER, the JSON files of OpenPose, or whip, which waits for whoever
    publishes to /whip or presses "Use this camera" on the page."""
    fps: float = 30.0
    """How many pictures of a folder, or poses of OpenPose, are played per second."""
    performer: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Whose profile to use, made by `realtime calibrate`; without one your range is learnt while you move."""
    host: str = "127.0.0.1"
    """Address to serve on. Only this machine can watch unless you change it; then links with tokens are printed: one
    to watch, and one to control and publish, too."""
    port: int = 8080
    """Port to serve on."""
    allow_host: tuple[str, ...] = ()
    """Names under which browsers may reach the server, besides this machine's own."""
    no_token: FlagCreatePairsOff[bool] = False
    """Let everybody who reaches another address watch, control and publish."""
    tls: FlagCreatePairsOff[bool] = False
    """Serve https by a certificate of its own, so that phones may use their camera. It is made once; browsers warn of
    it, and its fingerprint is printed to compare."""
    ice_server: tuple[str, ...] = ()
    """STUN or TURN servers that help browsers in other networks: stun:HOST:PORT, turn:USER:PASSWORD@HOST:PORT."""
    engines: Annotated[EngineConfig, _Inline] = EngineConfig()
    """How the networks run."""
    pose: Annotated[PoseConfig, _Inline] = PoseConfig()
    """What is seen of whom."""
