"""What a person decides when a live session starts."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from engines.errors import UserError
from engines.values import Inline, SubjectName
from realtime.live.quality import AUTO, QualityConfig
from realtime.pose.estimation.config import PoseConfig
from realtime.subject_engines import EngineConfig

HOST_NAME = re.compile(r"[\w-]+(\.[\w-]+)*\.?|[0-9a-fA-F:]+")
"""Of a machine; or its address."""
BEARER = re.compile(r"[!-~]+")
"""What a token may be made of to stand in a header."""
LEAST_CAMERA_PX, MOST_CAMERA_PX = 16, 8192


@dataclass(frozen=True, kw_only=True)
class CaptureConfig:
    """What is asked of a camera; it gives what it can."""

    camera_size: Annotated[str | None, tyro.conf.arg(metavar="WIDTHxHEIGHT")] = None
    """Size of the camera's pictures, e.g. 1280x720; by default the camera's own choice."""
    camera_fps: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """Pictures per second of the camera, e.g. 60; by default the camera's own choice."""

    def __post_init__(self) -> None:
        if self.camera_size is not None and self.size_px is None:
            raise UserError(f"--camera-size must be like 1280x720, not {self.camera_size!r}.")
        if self.camera_fps is not None and not 1 <= self.camera_fps <= 1000:
            raise UserError(f"--camera-fps must be from 1 to 1000, not {self.camera_fps:g}.")

    @property
    def size_px(self) -> tuple[int, int] | None:
        """Width and height to ask for."""
        sides = (self.camera_size or "").split("x")
        if len(sides) != 2 or not all(side.isdecimal() for side in sides):
            return None
        width, height = int(sides[0]), int(sides[1])
        return (width, height) if all(LEAST_CAMERA_PX <= side <= MOST_CAMERA_PX for side in (width, height)) else None

    @property
    def asks(self) -> bool:
        """Whether anything is asked for."""
        return self.camera_size is not None or self.camera_fps is not None


@dataclass(frozen=True, kw_only=True)
class AccessConfig:
    """Where the session is served, and who may watch and control it."""

    host: Annotated[str, tyro.conf.arg(metavar="ADDRESS")] = "127.0.0.1"
    """Address to serve on. Only this machine can watch unless you change it; then links with tokens are printed: one
    to watch, and one to control and publish, too."""
    port: int = 8080
    """Port to serve on."""
    allow_host: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[NAME ...]")] = ()
    """Names under which browsers may reach the server, besides this machine's own."""
    no_token: bool = False
    """Let everybody who reaches another address watch, control and publish."""
    tls: bool = False
    """Serve https by a certificate of its own, so that phones may use their camera. It is made once; browsers warn of
    it, and its fingerprint is printed to compare."""
    ice_server: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[URL ...]")] = ()
    """STUN or TURN servers that help browsers in other networks: stun:HOST:PORT, turn:USER:PASSWORD@HOST:PORT."""
    osc: Annotated[int | None, tyro.conf.arg(metavar="PORT")] = None
    """UDP port for commands by Open Sound Control, e.g. of a lighting desk: /bodydouble/mirror 1."""

    def __post_init__(self) -> None:
        for name in self.allow_host:
            if not HOST_NAME.fullmatch(name):
                raise UserError(f"--allow-host takes a name alone, like stage.local, not {name!r}.")
        if self.osc is not None and not 1 <= self.osc <= 65535:
            raise UserError(f"--osc must be from 1 to 65535, not {self.osc}: desks have to know it.")


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """Where else pictures and sound go, and what is in them."""

    microphone: bool = False
    """Hear this machine's microphone instead of the source's sound."""
    no_sound: bool = False
    """Leave out the source's sound, which viewers can switch on and recordings have."""
    record: Annotated[Path | None, tyro.conf.arg(metavar="FILE.mp4")] = None
    """Record what is shown; it plays even if the program is killed. A name that is taken gets a number."""
    sign: bool = False
    """Sign recordings with content credentials (C2PA): made by AI, who is shown, who agreed."""
    virtual_camera: bool = False
    """Be a camera of this machine, too, for video calls and stage programs."""
    publish: Annotated[str | None, tyro.conf.arg(metavar="URL")] = None
    """Send the stream to a WHIP endpoint, too: MediaMTX, LiveKit, Cloudflare, Janus bring it to many more viewers."""
    publish_token: Annotated[str | None, tyro.conf.arg(metavar="TOKEN")] = None
    """The Bearer token of that endpoint."""
    no_badge: bool = False
    """Leave out what every picture says: that it is AI-generated. It is logged."""

    def __post_init__(self) -> None:
        if self.record is not None and self.record.suffix.lower() != ".mp4":
            name = self.record.name or "dance"
            better = self.record / "dance.mp4" if self.record.is_dir() else self.record.with_name(f"{name}.mp4")
            raise UserError(f"--record must be an .mp4, not {self.record}: say for example {better}.")
        if self.microphone and self.no_sound:
            raise UserError("--microphone is sound, which --no-sound leaves out: give one of them.")
        if self.publish_token is not None and self.publish is None:
            raise UserError("--publish-token is for --publish URL: give both.")
        if not BEARER.fullmatch(self.publish_token or "-"):
            raise UserError("--publish-token holds what no token does, such as a space or a line's end: copy it again.")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Who is played from which source, how, and to whom."""

    subject: SubjectName = "alice"
    """Who is shown: a name, or the path of a subject's folder."""
    camera: Annotated[str | None, tyro.conf.arg(metavar="CAMERA")] = None
    """Which camera to use: its number, 0 being the first, its path, or a part of its name. Without a camera the bundled
    performer dances."""
    source: Annotated[str | None, tyro.conf.arg(metavar="SOURCE")] = None
    """What to play instead of a camera: a video's path, a bundled performer's name (bob), an URL (rtsp://, http://), a
    named pipe, a folder of pictures, poses:FOLDER, the JSON files of OpenPose, or whip, which waits for whoever
    publishes to /whip or presses "Use this camera" on the page."""
    fps: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """How many pictures of a folder, or poses of OpenPose, are played per second; by default 30."""
    performer: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Whose profile to use, made by `realtime calibrate`; without one your range is learnt while you move."""
    mirror: bool = False
    """Move as in a mirror from the start; m on the page, or `realtime control mirror false`, changes that."""
    log_format: Literal["text", "json"] = "text"
    """How messages are written: for people, or a line of JSON each, with when clients come and go."""
    capture: Annotated[CaptureConfig, Inline] = CaptureConfig()
    """What is asked of the camera; it gives what it can."""
    output: Annotated[OutputConfig, Inline] = OutputConfig()
    """Where else pictures and sound go, and what is in them."""
    access: Annotated[AccessConfig, Inline] = AccessConfig()
    """Where the session is served, and who may watch and control it."""
    pose: Annotated[PoseConfig, Inline] = PoseConfig()
    """What is seen of whom."""
    quality: Annotated[QualityConfig, Inline] = AUTO
    """How much is computed."""
    engines: Annotated[EngineConfig, Inline] = EngineConfig()
    """How the networks run."""

    def __post_init__(self) -> None:
        if self.mirror and (self.source or "").startswith("poses:"):
            raise UserError("--mirror is of no use with poses:, which cannot be mirrored: leave it out.")
