"""From footage to training data: pictures at network size, the pose in each, the plate, the person's range.

RUN/
  report.html      the footage report
  data/
    frames.mp4     every used picture, at a constant rate
    poses.npz      the pose in each, in its pixels (`realtime.pose.archive`)
    plate.png      the background; grey where the camera moves
    prepare.json   `Prepared`
    scanned/       the scan, until all of this is there
"""

import logging
from itertools import islice
from pathlib import Path

import msgspec

from engines.cores import usable_cores
from engines.errors import UserError
from engines.files import legible, write_file
from realtime.pictures import write_picture
from realtime.pose.archive import save_poses
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.estimator import load_estimator
from realtime.pose.figure.styles import load_style
from realtime.pose.normalization.motion_range import observe
from realtime.pose.normalization.proportions import lengths, measure_proportions
from realtime.pose.openpose_folder import read_openpose
from realtime.pose.skeleton import UNREFINED
from realtime.references.atlas import ATLAS
from trainer.config import PrepareConfig
from trainer.footage.acceptance import FootageReport, check_length
from trainer.footage.analyse import Track, analyse_footage
from trainer.footage.crop import Crop
from trainer.footage.extract import extract_frames
from trainer.footage.prepared import Prepared, load_prepared, training_frames
from trainer.footage.report_page import publish
from trainer.footage.scan import FootageScan, delete_scan, is_begun, scan
from trainer.footage.source import FootageSource, Timing, constant_rate, open_footage

LOG = logging.getLogger(__name__)


def prepare(config: PrepareConfig, run: Path) -> Prepared:
    """Prepare footage for training; what was done before a stop is not done again.

    Args:
        config: which footage, and how.
        run: folder to write.

    Raises:
        UserError: the video or the poses cannot be read or do not belong together, or it is not fit for training, or
            the run was trained already.
    """
    _check_untrained(run)
    source = open_footage(config.video, config.fps, run)
    check_length(source)
    report, track, timing = _report(source, config, run)
    if report.reasons:
        raise UserError(f"{source.path} cannot be used: {'; '.join(report.reasons)} (see {run / 'report.html'}).")
    prepared = _write_data(source, config, timing, report, track, run / "data")
    delete_scan(run / "data" / "scanned")
    return prepared


def report_footage(config: PrepareConfig, run: Path) -> FootageReport:
    """Write the report on footage, RUN/report.html, and nothing else; `prepare` then goes on from its scan.

    Args:
        config: which footage, and how.
        run: folder to write.

    Raises:
        UserError: the video or the poses cannot be read or do not belong together, or the run was prepared from another
            video, or trained already.
    """
    _check_untrained(run)
    source = open_footage(config.video, config.fps, run)
    if (run / "data" / "prepare.json").exists():
        prepared_from = load_prepared(run / "data").video
        if prepared_from != legible(source.path.name):
            raise UserError(f"{run} is prepared from {prepared_from}: choose another folder for {source.path}.")
    report, _, _ = _report(source, config, run)
    return report


def _check_untrained(run: Path) -> None:
    if (run / "checkpoints").exists():
        raise UserError(f"{run} was trained on what was prepared there: choose another folder.")


def kept(run: Path) -> str:
    """What there is of a run that was stopped, and how it goes on."""
    if (run / "data" / "prepare.json").exists() or is_begun(run / "data" / "scanned"):
        return f"What was done is kept in {run}; the same command goes on from there."
    return "Nothing was done yet."


def _report(source: FootageSource, config: PrepareConfig, run: Path) -> tuple[FootageReport, Track, Timing]:
    """Scan the footage and publish what is found; the scan of footage that cannot be used is not kept."""
    if config.crop_box is not None:
        for rgb, _ in islice(source.read(), 1):  # tell of a wrong crop before minutes of scanning
            Crop.chosen(config.crop_box, (rgb.shape[1], rgb.shape[0]), config.size_px)
    scanned = _scan(source, config, run / "data" / "scanned")
    timing = constant_rate(scanned.times_s)
    learnt = training_frames(len(timing.picked), timing.fps)
    report, track, stills = analyse_footage(
        legible(source.path.name), scanned, timing, learnt, size_px=config.size_px, box=config.crop_box
    )
    publish(report, track, stills, run)
    if report.reasons:
        delete_scan(run / "data" / "scanned")
    return report, track, timing


def _write_data(
    source: FootageSource,
    config: PrepareConfig,
    timing: Timing,
    report: FootageReport,
    track: Track,
    data: Path,
) -> Prepared:
    """Write everything that training reads."""
    assert report.person is not None
    assert report.person.motion is not None
    learnt = training_frames(len(track.poses), timing.fps)
    style = load_style(config.style_name)
    (data / "prepare.json").unlink(missing_ok=True)  # written last: it says that the rest is whole
    (data.parent / "fit.json").unlink(missing_ok=True)  # it tells what was prepared before
    save_poses(data / "poses.npz", track.poses, exact=style.exact)
    crop = Crop(*report.crop, report.size_px)
    plate = extract_frames(source, timing, crop, track.poses, data / "frames.mp4", learnt if report.static else 0)
    write_picture(data / "plate.png", plate)
    (data / ATLAS).unlink(missing_ok=True)  # of footage that was prepared before; training makes the new one
    prepared = Prepared(
        video=report.video,
        width_px=report.size_px[0],
        height_px=report.size_px[1],
        fps=timing.fps,
        frames=len(track.poses),
        seen=int(track.seen.sum()),
        motion=report.person.motion,
        proportions=measure_proportions(lengths(pose) for pose in track.poses[:learnt] if pose and observe(pose)),
        figure_style=style.name,
        figure_version=style.version,
        skeleton_version=UNREFINED if config.openpose else PoseConfig(estimator=config.pose).skeleton_version,
        source_px=report.source_px,
        source_fps=timing.source_fps,
        crop=report.crop,
        static=report.static,
    )
    write_file(data / "prepare.json", msgspec.json.format(msgspec.json.encode(prepared), indent=2) + b"\n")
    return prepared


def _scan(source: FootageSource, config: PrepareConfig, folder: Path) -> FootageScan:
    """Scan the footage with the chosen estimator, or with the poses that OpenPose has written."""
    if config.openpose is None:
        estimator = load_estimator(PoseConfig(estimator=config.pose), threads=usable_cores())
        return scan(source, lambda _, rgb: estimator.estimate(rgb), folder, by=config.pose)
    size_px = next(((rgb.shape[1], rgb.shape[0]) for rgb, _ in source.read()), None)
    labels = read_openpose(config.openpose, stems=source.stems, frames=source.frames or None, size_px=size_px)
    newest_ns = max(file.stat().st_mtime_ns for file in config.openpose.iterdir())
    by = f"{config.openpose.resolve()} {len(labels)} {newest_ns}"
    scanned = scan(source, lambda n, _: labels[n] if n < len(labels) else None, folder, by=by)
    frames = len(scanned.times_s)
    if abs(frames - len(labels)) == 1:
        LOG.warning("%s has poses for %d frames, but %s has %d.", config.openpose, len(labels), source.path, frames)
    elif frames != len(labels):
        delete_scan(folder)
        raise UserError(
            f"{config.openpose} has poses for {len(labels)} frames, but {source.path} has {frames}: run OpenPose on "
            "this very video."
        )
    return scanned
