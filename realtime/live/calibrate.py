"""`realtime calibrate`: measure in five seconds, or over a film, where a performer stands near and far."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.align import Align
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.text import Text

from engines.console import progress_bar
from engines.errors import UserError
from realtime.live.openpose_source import PosedFrame
from realtime.live.performer_profile import Profile
from realtime.live.source import Source
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.normalization.motion_range import Stand, measure_range
from realtime.pose.track import PoseTrack, TrackedPose
from realtime.video import count_frames, read_video


class CalibrationStep(NamedTuple):
    """What a performer is asked to do, and for how long."""

    hint: str
    length_s: float


CALIBRATION_STEPS = (
    CalibrationStep("Stand where you will dance.", 1.0),
    CalibrationStep("Step near, as near as your feet stay in the picture.", 2.0),
    CalibrationStep("Step far, as far as you will go.", 2.0),
)
CALIBRATION_S = sum(part.length_s for part in CALIBRATION_STEPS)
GIVE_UP_S = 30.0
"""Time without feet in the picture after which it ends."""
CLOCK_STEP_S = 0.2
FILM_STEP_S = 0.1
"""Between the pictures of a film that are looked at: people step slowly."""
LEAST_RATIO = 1.08
"""Least near stature by the far one: with less the performer has not stepped."""
STEP_BACK = "Step back: your feet must be in the picture."
COME_IN = "Come into the picture."


class Calibration:
    """What was seen of a performer so far. Its clock runs only while the feet are seen, so no step is cut short."""

    def __init__(self) -> None:
        self._stands: list[Stand] = []
        self._at_s: float | None = None
        self.done_s = 0.0
        """Of `CALIBRATION_S`."""
        self.waited_s = 0.0
        """Since the feet were seen last, by the frames' times."""

    def add(self, stand: Stand | None, at_s: float) -> None:
        """Count where the performer stood at `at_s` seconds; None where the feet were not seen."""
        elapsed_s = 0.0 if self._at_s is None else min(at_s - self._at_s, CLOCK_STEP_S)
        self._at_s = at_s
        if stand is None:
            self.waited_s += elapsed_s
        else:
            self._stands.append(stand)
            self.done_s, self.waited_s = self.done_s + elapsed_s, 0.0

    def see(self, tracked: TrackedPose, at_s: float) -> str:
        """Count where the performer is; returns what to do next, or what is in the way of counting."""
        self.add(tracked.stand, at_s)
        return COME_IN if tracked.seen is None else STEP_BACK if tracked.stand is None else self.hint

    @property
    def gave_up(self) -> bool:
        """Whether the feet have been missed for so long that nothing will come of it."""
        return self.waited_s > GIVE_UP_S

    @property
    def done(self) -> bool:
        """Whether everything has been asked for."""
        return self.done_s >= CALIBRATION_S

    @property
    def hint(self) -> str:
        """What the performer should do now."""
        from_s = 0.0
        for part in CALIBRATION_STEPS:
            from_s += part.length_s
            if self.done_s < from_s:
                return part.hint
        return "Thank you."

    def profile(self, size_px: tuple[int, int]) -> Profile:
        """The performer's profile, in pictures of this width and height.

        Raises:
            UserError: the performer has hardly moved.
        """
        return _profile(self._stands, size_px)


def _profile(stands: Sequence[Stand], size_px: tuple[int, int]) -> Profile:
    motion = measure_range(stands, least_ratio=1.0)
    if motion.near_stature < LEAST_RATIO * motion.far_stature or motion.near_ankle <= motion.far_ankle:
        raise UserError("You hardly came nearer or went farther: calibrate again, and step a metre each way.")
    return Profile(width_px=size_px[0], height_px=size_px[1], motion=motion)


def calibrate_film(film: Path, pose: PoseConfig = PoseConfig()) -> Profile:
    """The profile of whoever is in a film, from where they stand in the whole of it.

    Raises:
        UserError: it cannot be read, no such estimator, nobody is in it from head to toes, or they do not move.
    """
    track, stands, size_px, next_s = PoseTrack.of(pose), list[Stand](), (0, 0), 0.0
    with progress_bar(transient=True) as progress:
        task = progress.add_task(f"Watching {film.name}", total=count_frames(film) or None)
        for rgb, at_s in read_video(film):
            progress.advance(task)
            if at_s < next_s:
                continue
            next_s, size_px = at_s + FILM_STEP_S, (rgb.shape[1], rgb.shape[0])
            stand = track.step(rgb, at_s).stand
            if stand is not None:
                stands.append(stand)
    if not stands:
        raise UserError(f"Nobody is in {film} with both feet in the picture: give another film.")
    return _profile(stands, size_px)


def calibrate(source: Source, console: Console, pose: PoseConfig = PoseConfig()) -> Profile:
    """Guide a performer with hints on `console`; closes the source.

    Args:
        source: shows the performer.
        console: for the hints.
        pose: what estimates the pose, and whose.

    Raises:
        UserError: no such estimator, nobody came, the feet were not seen, they did not move, or the source ended.
    """
    calibration, size_px = Calibration(), (0, 0)
    try:
        track = PoseTrack.of(pose)
        with Live(_screen(COME_IN, calibration), console=console, transient=True) as live:
            while not calibration.done:
                frame = source.read()
                if frame is None:
                    raise UserError(f"The {source.name} has ended before the calibration: give a longer one.")
                size_px = frame.rgb.shape[1], frame.rgb.shape[0]
                if isinstance(frame, PosedFrame):
                    tracked = track.step_seen(frame.pose, frame.captured_at_s)
                else:
                    tracked = track.step(frame.rgb, frame.captured_at_s)
                hint = calibration.see(tracked, frame.captured_at_s)
                live.update(_screen(hint, calibration))
                if calibration.gave_up:
                    raise UserError(f"Gave up after {GIVE_UP_S:.0f} s. {hint} Then calibrate again.")
    finally:
        source.close()
    return calibration.profile(size_px)


def _screen(hint: str, calibration: Calibration) -> RenderableType:
    bar = ProgressBar(total=CALIBRATION_S, completed=calibration.done_s)
    return Panel(Group(Align.center(Text(f"\n{hint}\n", style="bold")), bar), title="Calibration")
