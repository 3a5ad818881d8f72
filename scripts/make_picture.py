"""Make README's looping picture, performer | figure | moved parts | subject, as an animated WebP, rendered as live.

python scripts/make_picture.py docs/alice.webp --subject alice --video realtime/performers/bob.mp4 --start-s 18
"""

import argparse
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from engines.files import replace_file
from realtime.frame import Rgb
from realtime.references.inputs import ReferenceInputs
from realtime.subject import load_subject
from realtime.subject_engines import EngineConfig
from trainer.evaluation.playback import PlaybackChain, VideoPlayback, VideoSpan

SETTLE_S = 2.0
"""Played before the picture begins: the performer's range is learnt by then."""


def perform(subject: str, video: Path, start_s: float, seconds: float) -> tuple[list[Rgb], float]:
    """The rows of a performance, and their rate."""
    played, engines = load_subject(subject), EngineConfig()
    part = VideoSpan(start_s=max(0.0, start_s - SETTLE_S), end_s=start_s + seconds)
    performance, chain = VideoPlayback(played, video, part, engines, self_driven=False), PlaybackChain(played, engines)
    inputs = ReferenceInputs(played.atlas, played.plate) if played.atlas else None
    rows = []
    for shown in performance.play():
        parts = [inputs.step(shown.pose).picture] if inputs else []
        rows.append(np.hstack([shown.footage, shown.figure, *parts, chain.step(shown.figure, shown.pose)]))
    return rows[round((start_s - part.start_s) * performance.fps) :], performance.fps


def write_webp(path: Path, rows: list[Rgb], fps: float, quality: int) -> None:
    """An endless loop."""
    with (
        replace_file(path) as file,
        av.open(file, "w", format="webp", options={"loop": "0"}) as container,
    ):
        options = {"quality": str(quality), "compression_level": "6"}
        stream = container.add_stream("libwebp_anim", rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.height, stream.width = rows[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for row in rows:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(row, format="rgb24")))
        container.mux(stream.encode(None))


def main() -> None:
    """Perform, thin out, make small, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help=".webp")
    parser.add_argument("--subject", default="alice")
    parser.add_argument("--video", type=Path, required=True, help="the performer")
    parser.add_argument("--start-s", type=float, default=SETTLE_S)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--every", type=int, default=2, help="of the video's pictures, every so many")
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--quality", type=int, default=60, help="0 to 100")
    asked = parser.parse_args()
    rows, fps = perform(asked.subject, asked.video, asked.start_s, asked.seconds)
    size = (round(rows[0].shape[1] * asked.height / rows[0].shape[0]), asked.height)
    small = [np.asarray(cv2.resize(row, size, interpolation=cv2.INTER_AREA), np.uint8) for row in rows[:: asked.every]]
    write_webp(asked.out, small, fps / asked.every, asked.quality)
    print(f"{asked.out}: {len(small)} pictures of {size[0]}x{size[1]}, {asked.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
