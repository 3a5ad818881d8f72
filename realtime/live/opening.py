"""What a live session is put together from: everything is loaded here."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2

from realtime.frame import Frame
from realtime.live.failover import FailoverRenderer
from realtime.live.heap import share_heaps
from realtime.live.output import StreamOutput
from realtime.live.performer_profile import Profile
from realtime.live.pipeline import STAGES, SubjectRenderer
from realtime.live.quality import AUTO, QualityConfig
from realtime.live.session import Session
from realtime.live.source import Source
from realtime.meter import Meter
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.track import PoseTrack
from realtime.subject import Subject
from realtime.subject_engines import EngineConfig, choose_engines
from server.encoder import Rung

PREVIEW = Rung(bitrate_bps=300_000, width_px=256)
"""Of the source's own pictures."""
LOG = logging.getLogger(__name__)


def live_renderer(subject: Subject, engines: EngineConfig, say: Callable[[str], object] = LOG.info) -> FailoverRenderer:
    """What renders a subject in a session.

    Raises:
        UserError: no engine can play it.
    """
    return FailoverRenderer(subject, choose_engines(subject, engines, say), engines.threads)


def open_session(
    subject: Subject,
    source: Source,
    engines: EngineConfig,
    pose: PoseConfig = PoseConfig(),
    *,
    profile: Profile | None = None,
    badge: bool = True,
    always: bool = False,
    quality: QualityConfig = AUTO,
    stream: type[StreamOutput] = StreamOutput,
    renderer: SubjectRenderer | None = None,
    on_encoded: Callable[[Frame], object] = lambda frame: None,
    say: Callable[[str], object] = LOG.info,
) -> Session:
    """A session that plays a subject to viewers: a stream of the subject, and a small one of the source.

    Args:
        subject: who is shown.
        source: who is moving.
        engines: how the networks run.
        pose: what estimates the pose, and whose.
        profile: the performer's, if it was calibrated.
        badge: whether pictures say that they are generated.
        always: encode even while nobody watches.
        quality: what may be left out, and how much of the machine may be used.
        stream: what the subject's stream is.
        renderer: of the subject; by default `live_renderer`.
        on_encoded: called with every rendered frame once it is encoded, in the encoding thread.
        say: told what there is to know of the engines at the start.

    Raises:
        UserError: no engine can play the subject, or the estimator cannot be loaded.
    """
    share_heaps()
    cv2.setNumThreads(1)  # every stage has a core of its own; OpenCV's pool would take them all
    meter = Meter(*STAGES)

    def encoded(frame: Frame, encode_s: float) -> None:
        now_s = time.perf_counter()
        meter.add("encode_wait", now_s - encode_s - frame.waiting_since_s)
        meter.add("encode", encode_s)
        meter.add("latency", now_s - frame.captured_at_s)
        on_encoded(frame)

    with ThreadPoolExecutor(1, "loading") as loading:  # beside the subject's networks
        track = loading.submit(PoseTrack.of, pose.for_skeleton(subject.manifest.skeleton_version))
        loaded = renderer or live_renderer(subject, engines, say)
    return Session(
        source,
        track.result(),
        loaded,
        [stream(subject.manifest.name, always=always, on_encoded=encoded)],
        previews=[StreamOutput(source.name, rungs=[PREVIEW])],
        meter=meter,
        profile=profile,
        badge=badge,
        quality=quality,
    )
