"""`python -m trainer.baseline THREADS`: time the paper's global generator at 512x256 in plain torch.

A process of its own, for `engines bench`, which knows neither the networks nor torch.
"""

import sys

import msgspec
import torch

from engines.timing import durations_ms
from trainer.networks.pix2pixhd import GlobalGenerator

HEIGHT, WIDTH, RUNS = 256, 512, 5


def main(threads: int) -> None:
    """Print the milliseconds of each run, and the work in one, as JSON."""
    torch.set_num_threads(threads)
    network = GlobalGenerator(6).eval()
    picture = torch.zeros(1, 6, HEIGHT, WIDTH)
    macs = 0

    def count(module: torch.nn.Module, _inputs: object, output: torch.Tensor) -> None:
        nonlocal macs
        assert isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d)
        places = output if isinstance(module, torch.nn.Conv2d) else _inputs[0]  # type: ignore[index]
        macs += module.weight.numel() * places.shape[2] * places.shape[3]

    with torch.inference_mode():
        convolutions = [each for each in network.modules() if isinstance(each, torch.nn.Conv2d | torch.nn.ConvTranspose2d)]
        hooks = [each.register_forward_hook(count) for each in convolutions]
        network(picture)
        for hook in hooks:
            hook.remove()
        found_ms = durations_ms(lambda: network(picture), RUNS)
    print(msgspec.json.encode({"durations_ms": found_ms, "gmac": macs / 1e9}).decode())


if __name__ == "__main__":
    main(int(sys.argv[1]))
