"""A live session: which threads exist, who starts and stops them.

    capture ─ frames ─> pose ─ figures ─> parts ─ moved ─> render ─ rendered ─> show ─ pictures ─> outputs
       │                 └─ reprojected ──────────────────────────────────────>┘
       └───── previews ─────────────────────────────────────────────────────> preview outputs
Where networks take too long figures do not wait for them: the last rendering is moved into each, and its own is for
those that follow. Every hand-over is a `Latest`, and every output takes frames at its own pace: the newest wins,
nothing queues. Only what the parts are moved into is always rendered, so `parts` begins when the renderer has taken the
figure before.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np

from engines.ending import process_ends
from realtime.figure import Figure
from realtime.frame import Frame
from realtime.live.cpu_share import CpuShare
from realtime.live.just_in_time import JustInTime
from realtime.live.latest import Latest
from realtime.live.load import LoadMeter
from realtime.live.openpose_source import PosedFrame, PoseSource
from realtime.live.output import Output, StreamOutput
from realtime.live.performer_profile import Profile
from realtime.live.pipeline import (
    STAGES,
    FigureFrame,
    PartsPipeline,
    PosePipeline,
    RenderPipeline,
    ShowPipeline,
    SubjectRenderer,
)
from realtime.live.quality import AUTO, LEVELS, Level, QualityConfig, QualityController, QualityName
from realtime.live.source import FileSource, Source
from realtime.live.source_switch import SourceSwitch
from realtime.live.stall_log import STALLED_S, StallLog
from realtime.live.threads import Threads
from realtime.meter import Meter
from realtime.pose.track import PoseTrack
from server.sound import Hear
from server.stream import SharedStream

TICK_S = 0.25
"""The load is looked at so often."""
WAIT_S = 0.1
SILENT_S = 1.0
"""A source that gives nothing for so long is said to be gone; the last picture stays ..."""
IDLE_S = 3.0
"""... until then; afterwards the subject's empty background is shown."""
FLOW_S = 2.0
"""Frames flow while the newest one of the source, and the newest picture, are not older."""
MEASURED_S = 1.0
"""So old the quantiles of the stages may be that are shown."""
REST_S = 1.0
"""While nobody watches one frame is looked at in so long: enough to know who is there when somebody comes."""
RECENT = 90
"""Newest pictures that the delay on the page is of: three seconds."""
NEXT_PERSON_LOOKS, NEXT_PERSON_S, NEXT_PERSON_POLL_S = 3, 4 * REST_S, 0.02
"""Pictures that tell whether there is another person to follow (the first may be under way already), and the longest
that they are waited for."""
RENDER_S = 1 / 40
"""Reprojected figures are rendered only so often: of 60 a second every other one is enough."""
FEW_CORES = 2
"""With no more, a frame is looked at once the renderer has taken the figure before: three stages at a time would share
the cores, so that there were as many pictures, all of them later."""
STOP_S = 1.5
"""So long threads have to end."""
LOG = logging.getLogger(__name__)
NOBODY = "Nobody is in the picture."


class Session:
    """Plays a subject from a source to outputs. The session closes the source and the outputs.

    Args:
        source: who is moving.
        track: follows them.
        renderer: of the subject that is shown first.
        outputs: what takes the rendered frames.
        previews: what takes the source's own pictures.
        meter: where durations go.
        profile: the performer's, if it was calibrated.
        badge: whether pictures say that they are generated.
        quality: what may be left out, and how much of the machine may be used.
    """

    def __init__(
        self,
        source: Source,
        track: PoseTrack,
        renderer: SubjectRenderer,
        outputs: Sequence[Output],
        *,
        previews: Sequence[Output] = (),
        meter: Meter,
        profile: Profile | None = None,
        badge: bool = False,
        quality: QualityConfig = AUTO,
    ) -> None:
        self.meter = meter
        self.mirrored = False
        """Whether the source's pictures are turned around, as in a mirror; from any thread."""
        self.on_figure: Callable[[Figure, float], object] = lambda figure, captured_at_s: None
        """Called in the showing thread with every picture's figure and time, once it is shown."""
        self._source, self._outputs, self._previews = SourceSwitch(source), tuple(outputs), tuple(previews)
        self._renderer = renderer
        self._track = track
        self._pose = PosePipeline(track, renderer, meter, profile=profile, live=_is_live(source))
        self._parts, self._render = PartsPipeline(meter), RenderPipeline(meter)
        self._show = ShowPipeline(meter, badge=badge)
        self.quality: QualityName = quality.quality
        """A level's name, or auto; from any thread."""
        self._level = LEVELS[0]
        self._share = CpuShare(quality.cpu_share)
        self._load = LoadMeter(meter, self._share.cores)
        self._in_time = JustInTime()
        self._frames, self._figures, self._moved = Latest[Frame](), Latest[FigureFrame](), Latest[FigureFrame]()
        self._shown = Latest[FigureFrame]()
        self._taken = threading.Event()
        """With few cores: the renderer has taken the newest figure."""
        self._taken.set()
        self._moving = False
        """Whether the parts of a figure are being moved."""
        self._reprojects = False
        """Whether there is a rendering to move into new poses, so that frames are not timed by the renderer."""
        self._overtaken = 0
        """Figures that a newer one overtook and that were never shown."""
        self._nobody = False
        self._stalls = StallLog()
        self.looked_at, self.seen = 0, 0
        """Frames that were looked at, and those with somebody in them."""
        self._seen_at_s = time.perf_counter()
        """When the newest frame of the source was there."""
        self._shown_at_s = self._measured_at_s = -math.inf
        self.first_picture_at_s: float | None = None
        """When the first picture was there."""
        self._stages_ms: dict[str, dict[str, float]] = {}
        bodies = {
            "capture": self._capture,
            "pose": self._estimate,
            "parts": self._move,
            "render": self._draw,
            "show": self._present,
            "quality": self._adapt,
        }
        self._threads = Threads(bodies, awaited={"quality"})  # which compiles
        self._stop = self._threads.ending

    def start(self) -> None:
        """Start every thread."""
        self._threads.start()

    def stop(self) -> None:
        """Stop every thread and close source and outputs: within two seconds, or five more for a recording's end.

        A thread that hangs in a camera, an engine or an encoder is left behind: it ends with the process, which waits
        for none but a network that is being compiled.
        """
        self._stop.set()
        self._source.close()
        self._threads.join(STOP_S)
        for output in (*self._outputs, *self._previews):
            output.close()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the session has ended by itself; False when `timeout_s` passed first. Warns of a stalled stage.

        Raises:
            BaseException: whatever ended one of its threads or outputs.
        """
        ended = self._threads.wait(timeout_s)
        self._stalls.see(self._stalled, time.perf_counter())
        return ended

    @property
    def renderer(self) -> SubjectRenderer:
        """Of the subject that is shown now. Assign another one to exchange the subject; from any thread.

        The frames that are already drawn for the one before are still rendered by it.
        """
        return self._renderer

    @renderer.setter
    def renderer(self, renderer: SubjectRenderer) -> None:
        self._renderer = renderer

    @property
    def title(self) -> str:
        """The name of the subject that is shown now."""
        return self._renderer.subject.manifest.name

    @property
    def source(self) -> Source:
        """What is played now."""
        return self._source.current

    def exchange_source(self, source: Source) -> None:
        """Follow another source, which the session closes, too; from any thread."""
        number = self._source.exchange(source)
        self._pose.forget(number, live=_is_live(source))

    @property
    def has_sound(self) -> bool:
        """Whether the source may be heard, too."""
        return self._source.has_sound

    def listen(self, hear: Hear) -> None:
        """Hand over the sound of the source, and of those that follow it."""
        self._source.listen(hear)

    @property
    def nobody(self) -> bool:
        """Whether nobody is in the picture, and has not been for a while."""
        return self._nobody

    def next_person(self) -> bool:
        """Follow the next person, from any thread; returns whether there is one, as the next pictures tell."""
        before, looked_at, ends_at_s = self._track.track_id, self.looked_at, time.perf_counter() + NEXT_PERSON_S
        self._track.next_person()
        while self._track.track_id == before:
            if self.looked_at >= looked_at + NEXT_PERSON_LOOKS or time.perf_counter() > ends_at_s:
                return False
            if self._stop.wait(NEXT_PERSON_POLL_S):
                return False
        return True

    def calibrate(self, name: str | None = None) -> None:
        """Learn where the performer stands near and far, while the session goes on; its notice says what to do.

        Args:
            name: keeps it as this performer's profile.
        """
        self._pose.calibrate(name)

    @property
    def level(self) -> Level:
        """What is left out now."""
        return self._level

    @property
    def faded(self) -> bool:
        """Whether only the empty background is to be seen. Assign it from any thread: the picture fades."""
        return self._show.faded

    @faded.setter
    def faded(self, faded: bool) -> None:
        self._show.faded = faded

    @property
    def badge(self) -> bool:
        """Whether pictures say that they are generated. Assign it from any thread."""
        return self._show.badge

    @badge.setter
    def badge(self, badge: bool) -> None:
        self._show.badge = badge

    @property
    def picture(self) -> Frame | None:
        """The picture that was shown last."""
        return self._show.last

    def add(self, output: Output) -> None:
        """Give rendered frames to one more output; from any thread."""
        self._outputs = (*self._outputs, output)

    def remove(self, output: Output) -> None:
        """Give an output no more frames, and close it; from any thread."""
        self._outputs = tuple(each for each in self._outputs if each is not output)
        output.close()

    @property
    def streams(self) -> tuple[SharedStream[Frame], ...]:
        """The encoded streams among the outputs and previews, in their order."""
        return tuple(each.stream for each in (*self._outputs, *self._previews) if isinstance(each, StreamOutput))

    @property
    def dropped(self) -> dict[str, int]:
        """Frames that a newer one overtook on the way to the first output, by the stage that they waited for."""
        encode = sum(each.dropped for each in self._outputs[:1])
        return {"pose": self._frames.dropped, "parts": self._overtaken, "show": self._shown.dropped, "encode": encode}

    def info(self) -> dict[str, object]:
        """What the viewer's page shows beside the picture, and the figures of operation."""
        if stalled := self._stalled:
            notice: str | None = f"The stage {stalled} has stalled."
        elif self._silent_s > SILENT_S:
            notice = f"No picture from {self._source.name}. Waiting for it…"
        else:
            notice = NOBODY if self._nobody and not self._pose.calibrating else self._pose.notice
        now_s = time.perf_counter()
        if now_s - self._measured_at_s > MEASURED_S:
            self._measured_at_s = now_s
            self._stages_ms = {stage: self.meter.percentiles_ms(stage, 50, 95, 99) for stage in STAGES}
        info: dict[str, object] = {
            "title": self.title,
            "flowing": self._silent_s <= FLOW_S and now_s - self._shown_at_s <= FLOW_S,
            "shown": self.meter.count("show"),
            "dropped": self.dropped,
            "quality": {"level": LEVELS.index(self.level), "name": self.level.name, "changes": self.level.changes},
            "stages_ms": self._stages_ms,
        }
        if notice:
            info["notice"] = notice
        if self._renderer.replaced:
            info["replaced"] = self._renderer.replaced
        if latency := self.meter.percentiles_ms("latency", 50, newest=RECENT):
            info["delay_ms"] = latency["p50"]
        return info

    @property
    def _stalled(self) -> str | None:
        """The stage that does not get done with a frame."""
        stage, busy_s = self.meter.slowest_now()
        return stage if busy_s > STALLED_S else None

    @property
    def _watched(self) -> bool:
        """Whether anybody has anything of the pictures."""
        return any(each.watched for each in self._outputs)

    @property
    def _silent_s(self) -> float:
        """For how long the source has given nothing."""
        return time.perf_counter() - self._seen_at_s

    def _capture(self) -> None:
        while not self._stop.is_set() and (frame := self._source.read()) is not None:
            self._load.see(frame.captured_at_s)
            if self.mirrored and not isinstance(frame, PosedFrame):
                frame = replace(frame, rgb=np.asarray(cv2.flip(frame.rgb, 1), np.uint8))
            self._frames.put(frame)
            for output in self._previews:
                output.write(frame)

    def _estimate(self) -> None:
        last = Frame(rgb=self._renderer.subject.plate, captured_at_s=time.perf_counter(), number=0)
        looked_at_s, missed = -math.inf, False
        while not self._stop.is_set():
            if not self._taken.wait(WAIT_S) or self._stop.wait(self._pause_s()):
                continue
            frame = self._frames.take(WAIT_S)
            if frame is not None:
                last, self._seen_at_s = frame, time.perf_counter()
                if not self._watched and self._seen_at_s - looked_at_s < REST_S:
                    continue
                looked_at_s = self._seen_at_s
                drawn = self._pose.step(frame, self._renderer)
                self._in_time.posed(time.perf_counter() - looked_at_s)
                # Of looks that are a second apart a single one may miss whoever is there.
                self._nobody, missed = drawn.no_person and (missed or self._watched), drawn.no_person
                self.looked_at, self.seen = self.looked_at + 1, self.seen + (not drawn.no_person)
                self._hand_over(drawn)
            elif self._silent_s > IDLE_S:
                self._hand_over(self._pose.idle(replace(last, captured_at_s=time.perf_counter()), self._renderer))

    def _hand_over(self, drawn: FigureFrame) -> None:
        self._reprojects = self._level.reproject and self._show.has_rendering(drawn.renderer)
        if self._reprojects:
            drawn = replace(drawn, reproject=self._show.reprojectable(drawn))
        if drawn.reproject is not None:
            self._shown.put(drawn)
        elif self._share.cores <= FEW_CORES:
            self._taken.clear()
        overtaken = self._figures.put(drawn)
        self._overtaken += overtaken is not None and overtaken.reproject is None

    def _pause_s(self) -> float:
        """How long to wait before a frame is taken: it would only wait later, or too much has been computed."""
        if self._reprojects:
            return self._share.pause_s()
        figures = self._figures.waiting + self._moving + self._moved.waiting
        waits_s = self._in_time.wait_s(time.perf_counter(), figures=figures)
        return max(waits_s, self._share.pause_s())

    def _move(self) -> None:
        moved_at_s = -math.inf
        while not self._stop.is_set():
            if self._moved.free(WAIT_S) and (drawn := self._figures.take(WAIT_S)) is not None:
                if drawn.reproject is not None and drawn.frame.captured_at_s - moved_at_s < RENDER_S:
                    continue
                moved_at_s = drawn.frame.captured_at_s
                self._moving, begun_at_s = True, time.perf_counter()
                self._moved.put(self._parts.step(drawn))
                self._moving = False
                self._in_time.moved(time.perf_counter() - begun_at_s)

    def _draw(self) -> None:
        while not self._stop.is_set():
            drawn = self._moved.take(WAIT_S)
            if drawn is not None:
                self._taken.set()
                self._in_time.began(time.perf_counter())
                rendered = self._render.step(drawn)
                if self._level.reproject:
                    self._show.keep(rendered)
                if drawn.reproject is None:
                    self._shown.put(rendered)
                self._in_time.rendered(time.perf_counter())

    def _present(self) -> None:
        shown_at_s = -math.inf
        while not self._stop.is_set():
            drawn = self._shown.take(WAIT_S)
            # One that waited for its picture may be overtaken by those that did not.
            if drawn is None or drawn.frame.captured_at_s < shown_at_s:
                continue
            picture = self._show.step(drawn)
            if picture is None:
                continue
            shown_at_s, self._shown_at_s = picture.captured_at_s, time.perf_counter()
            self.first_picture_at_s = self.first_picture_at_s or self._shown_at_s
            for output in self._outputs:
                output.write(picture)
            self.on_figure(drawn.figure, picture.captured_at_s)

    def _adapt(self) -> None:
        fixed = {level.name: level for level in LEVELS}
        controller = QualityController(len(LEVELS))
        while not self._stop.wait(TICK_S) and not process_ends():
            beside = self._level.reproject and not self._share.limited
            load, chosen = self._load.take(beside=beside), self.quality
            rests = self._nobody or not self._watched
            if chosen != "auto":
                controller = QualityController(len(LEVELS))
            elif load is not None or rests:
                controller.step(time.perf_counter(), None if rests else load)
            wanted = fixed.get(chosen, LEVELS[controller.level])
            if wanted is not self._level:
                self._use(wanted)

    def _use(self, level: Level) -> None:
        """Go over to a level; what has to be loaded for it is loaded here, beside the frames."""
        self._pose.economize(level.economy)
        self._render.face_every = level.face_every
        self._level = level
        LOG.info("Quality %s: %s.", level.name, level.changes)


def _is_live(source: Source) -> bool:
    """Whether somebody is in front of a camera now; films and recorded poses are as they are."""
    return not isinstance(source, FileSource | PoseSource)
