"""Write the generator that trainings start with, trainer/networks/base.safetensors, from a run trained on many people.

    python scripts/make_base.py runs/base

The run is trained with `trainer train runs/base --set more_runs=runs/person1,runs/person2,…`.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save

from engines.files import write_file
from trainer.networks.load import BASE, averaged_weights
from trainer.training.checkpoint import Checkpoints


def main() -> None:
    """Write the averaged weights in half precision: as near as int8 needs, in half the space."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the run's folder")
    body = Checkpoints(parser.parse_args().run / "checkpoints", "body").load_best()
    weights = averaged_weights(body["ema"])
    halves = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    write_file(BASE, save({name: value.contiguous() for name, value in halves.items()}))
    print(f"{BASE}: step {body['step']}, {BASE.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
