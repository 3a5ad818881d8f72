"""A video's own pictures in a new file, as they are: nothing is lost, and it takes no more room than before."""

from fractions import Fraction
from pathlib import Path

import av

from engines.files import replace_file

CODECS = {"h264", "hevc", "vp9", "av1", "libdav1d", "mpeg4"}
"""What an .mp4 file may hold."""
LONGEST_GOP = 300
"""Frames between key frames beyond which a place in the video takes too long to find."""


def remux(video: Path, out: Path, fps: float, frames: int) -> bool:
    """Copy a video's pictures, without its sound, so that picture N is shown at N / fps.

    Args:
        video: its pictures come at a constant rate.
        out: an .mp4 file; appears when it is whole.
        fps: that rate.
        frames: how many pictures it has.

    Returns:
        False, and there is no file, where that cannot be: pictures are turned, stretched or missing, key frames are
        rare, or the format is not for such files.
    """
    with av.open(str(video)) as source:
        stream = source.streams.video[0]
        times = _times(source, stream)
        rank = {pts: number for number, pts in enumerate(sorted(times))}
        first = next(source.decode(stream), None) if len(rank) == len(times) == frames else None
        if first is None or first.side_data.get("DISPLAYMATRIX") is not None or (stream.sample_aspect_ratio or 1) != 1:
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
    """When each packet is shown, in the order of the file, then back to its start; empty where the video is no good."""
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
