"""`python -m trainer.paper_step THREADS WIDTH HEIGHT`: time a step of the preset `paper` in plain torch.

A step is its generator for a picture of that size and its face network. The weights are random, which are as fast.
A process of its own, for `realtime bench --compare`, which knows neither the paper's networks nor torch.
"""

import sys
import time

import msgspec
import torch

from trainer.networks.load import build_face, build_generator, packed_channels
from trainer.networks.patches import CHANNELS, PATCH
from trainer.settings import PAPER
from trainer.training.face import face_side_px

RUNS = 3


def main(threads: int, width_px: int, height_px: int) -> None:
    """Print [[wall, processor], ...] as JSON: the seconds of each run after the first."""
    torch.set_num_threads(threads)
    h, w, f = (side // PATCH for side in (height_px, width_px, face_side_px(height_px)))
    generator = build_generator(PAPER.generator, background=PAPER.background).eval()
    face = build_face(PAPER.face).eval()
    packed, plate = torch.zeros(1, packed_channels(references=False), h, w), torch.zeros(1, CHANNELS, h, w)
    head = torch.zeros(1, 2 * CHANNELS, f, f)
    times_s = list[tuple[float, float]]()
    with torch.inference_mode():
        for _ in range(1 + RUNS):
            begun_at_s, busy_s = time.perf_counter(), time.process_time()
            generator(packed, plate)
            face(head)
            times_s.append((time.perf_counter() - begun_at_s, time.process_time() - busy_s))
    print(msgspec.json.encode(times_s[1:]).decode())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
