"""The video that training reads: the used pictures of the footage at network size, copied or encoded."""

from collections.abc import Sequence
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from engines.console import progress_bar
from engines.files import replace_file
from realtime import hdr
from realtime.frame import Rgb
from realtime.pose.pose import Pose
from realtime.video import opened
from realtime.video_writer import VideoWriter
from trainer.footage.background import PlateEstimator
from trainer.footage.crop import Crop
from trainer.footage.prepared import PLATE_GREY
from trainer.footage.source import FootageSource, Timing, VideoFile

MOST_SIZE, MOST_TOTAL = 2, 3
"""Times the footage's own bytes that the video may take, and the video together with the .npz files beside it."""
CODECS = {"h264", "hevc", "vp9", "av1", "libdav1d", "mpeg4"}
"""What an .mp4 file may hold."""
LONGEST_GOP = 300
"""Frames between key frames beyond which seeking takes too long."""


def extract_frames(
    source: FootageSource, timing: Timing, crop: Crop, poses: Sequence[Pose | None], out: Path, learnt: int
) -> Rgb:
    """Write the pictures that are used, at a constant rate, and estimate the plate on the way.

    A video that needs no change is copied packet by packet; all else is encoded nearly without loss, within the
    limits of `MOST_SIZE` and `MOST_TOTAL`.

    Args:
        source: the footage.
        timing: which of its pictures are used, and their rate.
        crop: which part of each.
        poses: of the used pictures, in the crop's pixels.
        out: the .mp4 file to write.
        learnt: the plate is that of the first so many used pictures.

    Returns:
        The plate, uint8 [H, W, 3]; grey where `learnt` is 0.
    """
    frames, (width, height) = len(timing.picked), crop.size_px
    plain = isinstance(source, VideoFile) and timing.constant and timing.fps == timing.source_fps
    copied = plain and crop == Crop(0, 0, width, height, crop.size_px) and remux(source.path, out, timing.fps, frames)
    counts = np.bincount(timing.picked)
    estimator = PlateEstimator(frames)
    with progress_bar() as progress, nullcontext() if copied else _writer(source, timing, out) as video:
        task, done = progress.add_task("Extracting", total=frames), 0
        for count, (rgb, _) in zip(counts.tolist(), source.read(), strict=False):
            if not count:
                continue
            picture = crop.picture(rgb)
            for _ in range(count):
                if done < learnt:
                    estimator.add(picture, poses[done])
                if video is not None:
                    video.write(picture)
                done += 1
            progress.advance(task, count)
    return estimator.estimate() if learnt else np.full((height, width, 3), PLATE_GREY, np.uint8)


def _writer(source: FootageSource, timing: Timing, out: Path) -> VideoWriter:
    """An encoder of near-lossless quality whose file keeps to the limits on its size."""
    beside_bytes = sum(file.stat().st_size for file in out.parent.glob("*.npz"))
    most_bytes = min(
        MOST_SIZE * source.size_bytes, max(source.size_bytes, MOST_TOTAL * source.size_bytes - beside_bytes)
    )
    bit_s = int(8 * most_bytes * timing.fps / len(timing.picked))
    return VideoWriter(out, timing.fps, crf=10, gop=12, pix_fmt="yuv444p", most_bit_s=bit_s)


def remux(video: Path, out: Path, fps: float, frames: int) -> bool:
    """Copy a video's packets, without its sound, so that picture N is shown at N / fps.

    Args:
        video: its pictures come at a constant rate.
        out: an .mp4 file; appears when it is whole.
        fps: that rate.
        frames: how many pictures it has.

    Returns:
        False, and there is no file, where that cannot be: pictures are turned, stretched, missing or of other colours
        than an ordinary display's, key frames are rare, or the codec is not for .mp4 files.
    """
    with opened(video) as (source, stream):
        times = _times(source, stream)
        rank = {pts: number for number, pts in enumerate(sorted(times))}
        first = next(source.decode(stream), None) if len(rank) == len(times) == frames else None
        if first is None or first.side_data.get("DISPLAYMATRIX") is not None or (stream.sample_aspect_ratio or 1) != 1:
            return False
        if hdr.name_of(first):
            return False
        delay = max(number - rank[pts] for number, pts in enumerate(times))
        step = 1 / Fraction(fps).limit_denominator(1001)
        source.seek(min(times), stream=stream)
        with replace_file(out) as file, av.open(file.name, "w", format="mp4") as target:
            copy = target.add_stream_from_template(stream)
            copy.time_base = step
            for number, packet in enumerate(packet for packet in source.demux(stream) if packet.size):
                assert packet.pts == times[number], f"{packet.pts} after seeking, {times[number]} before"
                packet.stream, packet.time_base = copy, step
                packet.pts, packet.dts, packet.duration = rank[packet.pts], number - delay, 1
                target.mux(packet)
    return True


def _times(source: av.container.InputContainer, stream: av.VideoStream) -> list[int]:
    """When each packet is shown, in the order of the file, then seek to its start; empty where it cannot be copied."""
    if stream.codec_context.name not in CODECS:
        return []
    times, last_key = list[int](), 0
    for number, packet in enumerate(packet for packet in source.demux(stream) if packet.size):
        last_key = number if packet.is_keyframe else last_key
        late = number - last_key >= LONGEST_GOP or (number == 0 and not packet.is_keyframe)
        if late or packet.pts is None or packet.is_corrupt:
            return []
        times.append(packet.pts)
    if times:
        source.seek(min(times), stream=stream)
    return times
