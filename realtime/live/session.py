"""A live session: which threads exist, who starts and stops them.

    capture ─ frames ─> pose ─ figures ─> render ─ pictures ─> stream "subject"
       └───── previews ──────────────────────────────────────> stream "source"
Every hand-over is a `Latest`: the newest value wins, nothing queues.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import cv2
import numpy as np

from realtime.config import EngineConfig
from realtime.frame import Frame
from realtime.live.failover import FailoverRenderer, choose_engines
from realtime.live.latest import Latest
from realtime.live.performer_profile import Profile
from realtime.live.pipeline import STAGES, FigureFrame, PosePipeline, RenderPipeline
from realtime.live.source import Source
from realtime.meter import Meter
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.track import PoseTrack
from realtime.subject import Subject
from server.encode import SharedStream

PREVIEW_WIDTH_PX = 256
WAIT_S = 0.1
LOG = logging.getLogger(__name__)
NOBODY = "Nobody in front of the camera."


class Session:
    """Plays a subject from a source.

    Args:
        subject: who is shown.
        source: who is moving; the session closes it.
        engines: how the networks run.
        pose: what estimates the pose, and whose.
        profile: the performer's, if it was calibrated.
        always: encode even while nobody watches.
        on_picture: called with every rendered frame once it is encoded, in the encoding thread.
        say: told what there is to know of the engines at the start.
    """

    def __init__(
        self,
        subject: Subject,
        source: Source,
        engines: EngineConfig,
        pose: PoseConfig = PoseConfig(),
        *,
        profile: Profile | None = None,
        always: bool = False,
        on_picture: Callable[[Frame], None] | None = None,
        say: Callable[[str], object] = LOG.info,
    ) -> None:
        self.meter = Meter(*STAGES)
        self._source, self._on_picture = source, on_picture
        cv2.setNumThreads(1)  # every stage has a core of its own; OpenCV's pool would take them all
        self.player = FailoverRenderer(subject, choose_engines(subject, engines, say), engines.threads)
        track = PoseTrack.of(pose)
        self._pose = PosePipeline(subject, track, self.meter, profile=profile)
        self.commands: Mapping[str, Callable[[], None]] = {"next-person": track.next_person}
        """What viewers may ask for; quick, from any thread."""
        self._render = RenderPipeline(self.player, self.meter)
        self._frames, self._figures = Latest[Frame](), Latest[FigureFrame]()
        self._pictures, self._previews = Latest[Frame](), Latest[Frame]()
        self._nobody = False
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self.streams = (
            SharedStream(subject.manifest.name, self._pictures, always=always, on_encoded=self._encoded),
            SharedStream(source.name, self._previews, bitrate_bps=300_000),
        )
        bodies: Mapping[str, Callable[[], None]] = {
            "capture": self._capture,
            "pose": self._estimate,
            "render": self._draw,
            "encode": lambda: self.streams[0].run(self._stop),
            "encode source": lambda: self.streams[1].run(self._stop),
        }
        self._threads = [
            threading.Thread(target=self._guard, args=(body,), name=name, daemon=True) for name, body in bodies.items()
        ]

    def start(self) -> None:
        """Start every thread."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop every thread; returns when all have ended."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        self._source.close()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the session has ended by itself; False when `timeout_s` passed first.

        Raises:
            BaseException: whatever ended one of its threads.
        """
        ended = self._stop.wait(timeout_s)
        if self._error is not None:
            raise self._error
        return ended

    @property
    def dropped(self) -> int:
        """Frames that a newer one overtook, at any hand-over."""
        return self._frames.dropped + self._figures.dropped + self._pictures.dropped

    def info(self) -> dict[str, object]:
        """Metrics for the viewer's page."""
        notice = NOBODY if self._nobody else self._pose.notice
        info: dict[str, object] = {"notice": notice} if notice else {}
        latency = self.meter.percentiles_ms("latency", 50)
        if self.player.replaced:
            info["replaced"] = self.player.replaced
        if latency:
            info["delay_ms"] = latency["p50"]
        return info

    def _guard(self, body: Callable[[], None]) -> None:
        """Whatever ends a thread ends the session, and its owner hears of it in `wait`."""
        try:
            body()
        except BaseException as error:  # noqa: BLE001 - handed over to `wait`, which raises it
            self._error = error
        finally:
            self._stop.set()

    def _capture(self) -> None:
        while not self._stop.is_set() and (frame := self._source.read()) is not None:
            self._frames.put(frame)
            height, width, _ = frame.rgb.shape
            size_px = PREVIEW_WIDTH_PX, max(2, round(PREVIEW_WIDTH_PX * height / width / 2) * 2)
            small = cv2.resize(frame.rgb, size_px, interpolation=cv2.INTER_AREA)
            self._previews.put(replace(frame, rgb=np.asarray(small, np.uint8)))

    def _estimate(self) -> None:
        while not self._stop.is_set():
            frame = self._frames.take(WAIT_S)
            if frame is not None:
                drawn = self._pose.step(frame)
                self._nobody = drawn.no_person
                self._figures.put(drawn)

    def _draw(self) -> None:
        while not self._stop.is_set():
            drawn = self._figures.take(WAIT_S)
            if drawn is not None:
                self._pictures.put(self._render.step(drawn))

    def _encoded(self, frame: Frame, encode_s: float) -> None:
        self.meter.add("encode", encode_s)
        self.meter.add("latency", time.perf_counter() - frame.captured_at_s)
        if self._on_picture is not None:
            self._on_picture(frame)
