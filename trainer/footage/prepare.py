"""From footage to training data: pictures at network size, the pose in each, the empty room, the person's range.

RUN/
  report.html      what the footage is worth: look at it before you train
  data/
    frames.mp4     every picture, at a constant rate
    poses.npz      the pose in each, in its pixels (`realtime.pose.archive`)
    plate.png      the empty room; grey where the camera moves
    prepare.json   `Prepared`
    scanned/       what was seen so far, until all of this is there
"""

import os
from itertools import islice
from pathlib import Path

import msgspec

from engines.errors import UserError
from realtime.pose.archive import save_poses
from realtime.pose.estimation.load import load_estimator
from realtime.pose.figure.styles import load_style
from realtime.pose.normalization.motion_range import observe
from realtime.pose.normalization.proportions import lengths, measure_proportions
from realtime.pose.openpose import read_openpose
from trainer.files import write_picture, writing
from trainer.footage.analyse import analyse_footage
from trainer.footage.crop import Crop
from trainer.footage.extract import extract_frames
from trainer.footage.prepared import Prepared, training_frames
from trainer.footage.report_page import publish
from trainer.footage.scan import FootageScan, delete_scan, scan
from trainer.footage.source import FootageSource, constant_rate, open_footage


def prepare(
    video: Path,
    run: Path,
    *,
    size_px: tuple[int, int],
    estimator: str = "own",
    openpose: Path | None = None,
    figure: str | None = None,
    crop: tuple[int, int, int, int] | None = None,
    fps: float | None = None,
    only_report: bool = False,
) -> Prepared | None:
    """Prepare footage for training; what was done before a stop is not done again.

    Args:
        video: the footage, or a folder of pictures.
        run: folder to write.
        size_px: width and height of the pictures.
        estimator: what finds the poses, a name for `load_estimator`.
        openpose: folder of OpenPose files to take the poses from instead.
        figure: how the poses will be drawn, a name for `load_style`; by default as the paper does for OpenPose's.
        crop: x, y, width, height of the part to use; by default the largest that holds the person.
        fps: rate of a folder's pictures.
        only_report: stop once the report is written.

    Returns:
        None after `only_report`.

    Raises:
        UserError: the video or the poses cannot be read or do not belong together, or nothing can be learnt from it.
    """
    if any(side < 64 or side % 32 for side in size_px):
        raise UserError(f"Sizes must be multiples of 32 and at least 64 pixels, not {size_px[0]} x {size_px[1]}.")
    style = load_style(figure or ("edn" if openpose else "limbs"))
    source = open_footage(video, fps)
    if crop is not None:
        for rgb, _ in islice(source.read(), 1):  # a mistake is told before minutes of watching
            Crop.chosen(crop, (rgb.shape[1], rgb.shape[0]), size_px)
    data = run / "data"
    scanned = _watch(source, data / "scanned", estimator, openpose)
    timing = constant_rate(scanned.times_s)
    learnt = training_frames(len(timing.picked), timing.fps)
    report, track, stills = analyse_footage(video.name, scanned, timing, learnt, size_px=size_px, box=crop)
    publish(report, track, stills, run)
    if report.reasons or report.person is None or report.person.motion is None:
        delete_scan(data / "scanned")
        raise UserError(f"{video} cannot be used: {'; '.join(report.reasons)} (see {run / 'report.html'}).")
    if only_report:
        return None
    (data / "prepare.json").unlink(missing_ok=True)  # written last: it says that the rest is whole
    save_poses(data / "poses.npz", track.poses, exact=style.exact)
    plate = extract_frames(
        source, timing, Crop(*report.crop, size_px), track.poses, data / "frames.mp4", learnt if report.static else 0
    )
    write_picture(data / "plate.png", plate)
    prepared = Prepared(
        video=video.name,
        width_px=size_px[0],
        height_px=size_px[1],
        fps=timing.fps,
        frames=len(track.poses),
        seen=int(track.seen.sum()),
        motion=report.person.motion,
        proportions=measure_proportions(lengths(pose) for pose in track.poses[:learnt] if pose and observe(pose)),
        figure_style=style.name,
        figure_version=style.version,
        source_px=report.source_px,
        source_fps=timing.source_fps,
        crop=report.crop,
        static=report.static,
    )
    with writing(data / "prepare.json") as file:
        file.write(msgspec.json.format(msgspec.json.encode(prepared), indent=2) + b"\n")
    delete_scan(data / "scanned")
    return prepared


def _watch(source: FootageSource, folder: Path, estimator: str, openpose: Path | None) -> FootageScan:
    """See everything with an estimator, or as OpenPose saw it."""
    if openpose is None:
        model = load_estimator(estimator, threads=os.cpu_count() or 1)
        return scan(source, lambda _, rgb: model.estimate(rgb), folder, by=estimator)
    labels = read_openpose(openpose)
    by = f"{openpose.resolve()} {len(labels)} {max(file.stat().st_mtime_ns for file in openpose.glob('*.json'))}"
    scanned = scan(source, lambda n, _: labels[n] if n < len(labels) else None, folder, by=by)
    frames = len(scanned.times_s)
    if frames != len(labels):
        delete_scan(folder)
        raise UserError(
            f"{openpose} has poses for {len(labels)} frames, but {source.path} has {frames}: run OpenPose on this "
            "very video."
        )
    return scanned
