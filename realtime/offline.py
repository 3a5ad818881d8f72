"""`realtime render`: a whole video with a subject in the performer's place, every frame at its own time.

EDN's global pose normalization needs the whole video, so there are two passes: first every pose is estimated and
measured, then every picture is rendered from the poses, which stay in memory (2.5 kB a frame). Since what comes after a
frame is known, too, poses are smoothed in both directions.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import msgspec
import numpy as np
from rich.progress import Progress

from engines.console import counted, progress_bar, stopping_says
from engines.engine import BrokenOutputError
from engines.errors import UserError
from engines.files import check_free, check_writable, disk_full_message, legible
from realtime.figure import Figure
from realtime.frame import Rgb
from realtime.pictures import PICTURES, has_pictures
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.people import check_person
from realtime.pose.normalization.motion_range import Stand, whole_range
from realtime.pose.normalization.normalizer import Normalizer
from realtime.pose.normalization.proportions import LENGTHS_STEP_S, lengths
from realtime.pose.pose import Floats, Pose
from realtime.pose.smooth import SmoothStep, look_back
from realtime.pose.track import PoseTrack, TrackedPose
from realtime.render import Renderer
from realtime.subject import Manifest, Subject
from realtime.subject_engines import BEST, EngineConfig, open_renderer
from realtime.video import count_frames, frame_rate, open_sound, read_video, read_visible
from realtime.video_writer import VideoWriter

LOG = logging.getLogger(__name__)
LOOK_BACK_FRAMES = 60
"""So many frames after a pose decide about it; what comes later still would not change it any more."""
VIDEOS = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv"}
)
"""What counts as a video in a folder, by the end of its name."""


class RenderReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `realtime render` says of a video that it has written."""

    video: str
    out: str
    frames: int
    nobody: int
    """Of these, the ones without a person, which show the empty background."""
    length_s: float
    sound: str | None
    """Its codec in the source and whether it was copied, e.g. "opus, copied"; None without sound."""

    def __str__(self) -> str:
        empty = f", nobody in {self.nobody} of them" if self.nobody else ""
        heard = f"sound {self.sound}" if self.sound else "no sound"
        return f"{self.out}: {self.length_s:.1f} s, {counted(self.frames, 'frame')}{empty}; {heard}"


@dataclass(slots=True)
class Performance:
    """One person for as long as they are followed, in pictures of one size."""

    size_px: tuple[int, int]
    """Width and height."""
    poses: list[tuple[float, Pose | None]] = field(default_factory=list)
    """Every frame: its time in seconds, and the pose in its pixels, None while nobody is there. Until `finish` the last
    few are smoothed by what came before them only."""
    stands: list[Stand] = field(default_factory=list)
    bones: list[Floats] = field(default_factory=list)
    """Their `lengths`, every `LENGTHS_STEP_S`."""
    _measured_at_s: float = field(default=-math.inf, init=False)
    _recent: list[SmoothStep] = field(default_factory=list, init=False)
    """Of the last poses."""

    def add(self, tracked: TrackedPose, at_s: float) -> None:
        """Take the next frame's pose."""
        if tracked.smoothed is None:
            self.finish()
        else:
            self._recent.append(tracked.smoothed)
        self.poses.append((at_s, tracked.pose))
        if tracked.stand is not None:
            self.stands.append(tracked.stand)
        if tracked.pose is not None and at_s - self._measured_at_s >= LENGTHS_STEP_S:
            self._measured_at_s = at_s
            self.bones.append(lengths(tracked.pose))
        if len(self._recent) > 2 * LOOK_BACK_FRAMES:
            self._smooth_back(keep=LOOK_BACK_FRAMES)

    def finish(self) -> None:
        """Smooth the last poses, too: nothing that belongs to them comes any more."""
        self._smooth_back(keep=0)

    def _smooth_back(self, keep: int) -> None:
        """Smooth the recent poses by what came after each; the last `keep` of them not yet."""
        first, count = len(self.poses) - len(self._recent), len(self._recent) - keep
        for number, pose in enumerate(look_back(self._recent)[:count], first):
            self.poses[number] = self.poses[number][0], pose
        del self._recent[:count]

    def normalizer(self, manifest: Manifest) -> Normalizer:
        """What maps the poses to a subject, from the whole performance; without feet it learns as it does live."""
        known = whole_range(self.stands, manifest.motion) if self.stands else None
        return Normalizer(
            manifest.motion, self.size_px, known=known, proportions=manifest.proportions, known_lengths=self.bones
        )


def render(
    video: Path,
    subject: Subject,
    out: Path,
    engines: EngineConfig = BEST,
    pose: PoseConfig = PoseConfig(),
    *,
    side_by_side: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
    say: Callable[[str], object] = LOG.info,
) -> RenderReport:
    """Render a video with a subject in the performer's place: every frame, at the source's times, with its sound.

    Args:
        video: who moves.
        subject: who is shown.
        out: the .mp4 to write; it appears when it is whole.
        engines: how the networks run, those of the pose on as many cores.
        pose: what estimates the pose, and whose.
        side_by_side: write source | figure | result, as high as the result.
        replace: whether `out` may be there already.
        progress: where the two passes show their progress.
        say: told what there is to know of the engines at the start.

    Raises:
        UserError: `out` is there or cannot be, the video cannot be read, no engine can play the subject, or the
            estimator cannot be loaded.
    """
    _check_out(video, out, replace=replace)
    check_person(video, pose)
    fps, progress = frame_rate(video), progress or Progress(disable=True, auto_refresh=False)
    track = PoseTrack.of(pose.for_skeleton(subject.manifest.skeleton_version), threads=engines.threads)
    renderer = open_renderer(subject, engines, say)
    with (
        disk_full_message("the video", out.parent),
        open_sound(video) as sound,
        VideoWriter(out, fps, sound=sound, comment=subject.disclosure) as writer,
    ):
        total, watching = count_frames(video) or None, f"Watching {video.name}"
        performances = watch(progress.track(read_visible(video), total, description=watching), track)
        frames = sum(len(each.poses) for each in performances)
        if not frames:
            raise UserError(f"The video {video} has no picture in it: give another one.")
        _warn_of(performances, video, out)
        nobody, last_s = 0, 0.0
        shown = _side_by_side(video, performances, subject) if side_by_side else _alone
        drawn = progress.track(figures(performances, subject), frames, description=f"Rendering {out.name}")
        for last_s, figure in drawn:
            nobody += figure.pose is None
            writer.write(shown(last_s, figure.rgb, _step(renderer, figure, engines)), last_s)
    return RenderReport(
        video=legible(str(video)),
        out=legible(str(out)),
        frames=frames,
        nobody=nobody,
        length_s=round(last_s + 1 / fps, 3),
        sound=f"{sound.codec}, {'copied' if sound.copied else 'now aac'}" if sound else None,
    )


def _warn_of(performances: Sequence[Performance], video: Path, out: Path) -> None:
    """Say what of a body is never in the picture."""
    if not any(pose for each in performances for _, pose in each.poses):
        LOG.warning("Nobody is ever seen in %s, so %s stays empty: film a whole body, in good light.", video, out)
    if any(each.bones for each in performances) and not any(each.stands for each in performances):
        LOG.warning("Both feet are never in the picture of %s, so the legs just stand.", video)


def watch(pictures: Iterable[tuple[Rgb, float]], track: PoseTrack) -> list[Performance]:
    """The first pass: whoever is followed, one after the other.

    Args:
        pictures: uint8 [H, W, 3], and their times in seconds.
        track: a new one.
    """
    performances: list[Performance] = []
    for rgb, at_s in pictures:
        tracked, size_px = track.step(rgb, at_s), (rgb.shape[1], rgb.shape[0])
        if not performances or tracked.new_person or performances[-1].size_px != size_px:
            performances.append(Performance(size_px))
        performances[-1].add(tracked, at_s)
    for each in performances:
        each.finish()
    return performances


def figures(performances: Sequence[Performance], subject: Subject) -> Iterator[tuple[float, Figure]]:
    """The second pass, up to the figures: every frame's time, and the figure in the subject's picture."""
    for each in performances:
        normalizer = each.normalizer(subject.manifest)
        for at_s, pose in each.poses:
            yield at_s, subject.figure(normalizer.normalize(pose, at_s) if pose else None)


def _step(renderer: Renderer, figure: Figure, engines: EngineConfig) -> Rgb:
    try:
        return renderer.step(figure)
    except BrokenOutputError as error:
        raise UserError(
            f"The networks compute no picture in {engines.precision} on {engines.backend} ({error}): choose another "
            "--precision or --backend."
        ) from error


Composition = Callable[[float, Rgb, Rgb], Rgb]
"""What is written of a frame: from its time, its figure and its result."""


def _alone(_at_s: float, _figure: Rgb, result: Rgb) -> Rgb:
    return result


def _side_by_side(video: Path, performances: Sequence[Performance], subject: Subject) -> Composition:
    """Compositions source | figure | result, to be asked for in the order of the frames."""
    pictures = read_video(video, note=LOG.debug)  # said in the first pass
    rgb, rgb_at_s = next(pictures)
    (width, height), (_, result_height) = performances[0].size_px, subject.size_px
    size_px = max(2, round(width * result_height / height / 2) * 2), result_height
    smaller = result_height < height

    def compose(at_s: float, figure: Rgb, result: Rgb) -> Rgb:
        nonlocal rgb, rgb_at_s
        while rgb_at_s < at_s and (newer := next(pictures, None)):
            rgb, rgb_at_s = newer
        source = cv2.resize(rgb, size_px, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
        return np.hstack([np.asarray(source, np.uint8), figure, result])

    return compose


def _check_out(video: Path, out: Path, *, replace: bool) -> None:
    if out.suffix.lower() != ".mp4":
        raise UserError(f"--out must be an .mp4, not {out}: name it {out.name}.mp4.")
    if out.exists() and video.exists() and out.samefile(video):
        raise UserError(f"--out is the video itself, {video}: give another name.")
    check_free(out, replace=replace)
    check_writable(out)


def is_one_film(video: Path) -> bool:
    """Whether it is one film, a file or a folder of pictures, and not a folder of films."""
    return not video.is_dir() or (not _videos_in(video) and has_pictures(video))


def default_out(video: Path, subject: Subject) -> Path:
    """What is written where nobody says so: VIDEO_SUBJECT here."""
    beside = f"{video.resolve().name if video.is_dir() else video.stem}_{subject.folder.resolve().name}"
    return Path(f"{beside}.mp4" if is_one_film(video) else beside)


def _videos_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in VIDEOS and file.name[0] != ".")


def plan(video: Path, out: Path) -> dict[Path, Path]:
    """Which videos become which: one, or all of a folder.

    Raises:
        UserError: the folder has no videos, two would get the same name, or `out` is no folder of its own.
    """
    if is_one_film(video):
        return {video: out / f"{video.stem}.mp4" if out.is_dir() else out}
    found = _videos_in(video)
    if not found:
        raise UserError(
            f"The folder {video} has neither videos ({', '.join(sorted(VIDEOS))}) nor pictures "
            f"({', '.join(sorted(PICTURES))}) in it: give another one."
        )
    if out.is_file() or (out.exists() and out.samefile(video)):
        raise UserError(f"{video} is a folder, so --out must be another one, not {out}.")
    planned: dict[Path, Path] = {}
    by_name: dict[str, Path] = {}
    for file in found:
        if (other := by_name.setdefault(file.stem.lower(), file)) is not file:
            raise UserError(f"{other} and {file.name} would both become {file.stem}.mp4: rename one of them.")
        planned[file] = out / f"{file.stem}.mp4"
    return planned


def render_all(
    video: Path,
    subject: Subject,
    out: Path,
    engines: EngineConfig = BEST,
    pose: PoseConfig = PoseConfig(),
    *,
    side_by_side: bool,
    replace: bool,
) -> None:
    """Render a video, or every video of a folder into another; prints a line for each, and one of JSON at the end.

    Of a folder, what is there already stays, so that the same command goes on where it was stopped, and what cannot be
    rendered does not keep the others from it.

    Raises:
        UserError: see `render` and `plan`; of a folder, after all the others, that some could not be rendered.
    """
    planned, one, reports, failed = plan(video, out), is_one_film(video), list[RenderReport](), list[str]()
    with stopping_says(lambda: _kept(out, one=one, replace=replace)), progress_bar(transient=True) as progress:
        for source, target in planned.items():
            if not one and target.exists() and not replace:
                print(f"{target} is there already and stays as it is; --replace makes it anew.")
                continue
            try:
                how = {"side_by_side": side_by_side, "replace": replace}
                report = render(source, subject, target, engines, pose, **how, progress=progress, say=print)
            except UserError as error:
                if one:
                    raise
                failed.append(source.name)
                print(error)
                continue
            reports.append(report)
            print(report)
    print(msgspec.json.encode({"videos": reports}).decode())
    if failed:
        raise UserError(f"{len(failed)} of {len(planned)} videos could not be rendered: {', '.join(failed)}.")


def _kept(out: Path, *, one: bool, replace: bool) -> str:
    """What is there of what was stopped: videos are written whole or not at all."""
    if one:
        return "Nothing is written of a video that is not rendered to its end."
    goes_on = "" if replace else "; the same command goes on with the others"
    return f"The videos that are whole are kept in {out}{goes_on}."
