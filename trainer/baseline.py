"""`python -m trainer.baseline THREADS`: time the paper's global generator at 512x256 in plain torch.

A process of its own, for `engines bench`, which knows neither the paper's networks nor torch.
"""

import sys

import msgspec
import torch
from torch.utils.flop_counter import FlopCounterMode

from engines.verify import durations_ms
from trainer.networks.pix2pixhd import GlobalGenerator

HEIGHT_PX, WIDTH_PX, RUNS = 256, 512, 3


def main(threads: int) -> None:
    """Print the milliseconds of each run, and the work in one, as JSON."""
    torch.set_num_threads(threads)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:  # counts without computing
        GlobalGenerator(6)(torch.zeros(1, 6, HEIGHT_PX, WIDTH_PX))
    network, picture = GlobalGenerator(6).eval(), torch.zeros(1, 6, HEIGHT_PX, WIDTH_PX)
    with torch.inference_mode():
        found_ms = durations_ms(lambda: network(picture), RUNS)
    gmac = counter.get_total_flops() / 2 / 1e9  # it counts a multiplication and an addition
    print(msgspec.json.encode({"durations_ms": found_ms, "gmac": gmac}).decode())


if __name__ == "__main__":
    main(int(sys.argv[1]))
