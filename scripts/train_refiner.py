"""Train the refiner of bodies or hands on rendered people, and export it.

    python scripts/render_people.py --program PROGRAM --persons 1-260 --out runs/people --jobs 2
    python scripts/train_refiner.py body --people runs/people --run runs/refiner_body --steps 8000
    python scripts/train_refiner.py hand --people runs/people --run runs/refiner_hand --steps 8000

Said again, it goes on from its last checkpoint. The last people (`--held-out`) are measured on and not trained on.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from realtime.pose.estimation.blazepose import BodyTracker
from realtime.pose.estimation.first_look import corrected
from trainer.refiner import first_look
from trainer.refiner.export import export_refiner
from trainer.refiner.people import load_crops, make_crops
from trainer.refiner.train import RefinerConfig, train


def main() -> None:
    """Read the arguments, cut the crops, train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["body", "hand"])
    parser.add_argument("--people", type=Path, required=True, help="folder that scripts/render_people.py wrote")
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoints and scores")
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--persons", type=int, default=10**6, help="train on so many people only")
    parser.add_argument("--held-out", type=int, nargs="*", default=[3, 7], help="numbers of people to measure on")
    parser.add_argument("--every", type=int, default=500, help="steps between checkpoints")
    parser.add_argument("--certain", action="store_true", help="ablation: without uncertainty")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--export", type=Path, help="write the trained network's graph here, and its int8 graph")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    crops_folder = arguments.people / "crops"
    for file in make_crops(arguments.people, crops_folder, BodyTracker(arguments.threads)):
        print(f"{file.name}: cropped", end="\r")
    crops = load_crops(crops_folder, arguments.kind)
    everybody = sorted(set(crops.person.tolist()))
    learnt = [each for each in everybody if each not in arguments.held_out][: arguments.persons]
    rows, held_out = crops.of(learnt), crops.of(arguments.held_out)
    if arguments.kind == "body":
        coefficients = first_look.fit(crops, rows)
        arguments.run.mkdir(parents=True, exist_ok=True)
        np.save(arguments.run / "first_look.npy", coefficients)
        crops = replace(crops, seen=corrected(crops.seen, coefficients))
    config = RefinerConfig(kind=arguments.kind, steps=arguments.steps, batch=arguments.batch, certain=arguments.certain)
    for step, found in train(
        crops, rows, held_out[:: max(1, len(held_out) // 200)], config, arguments.run, arguments.every
    ):
        if found is not None:
            print(f"{step} of {config.steps}: {found}", flush=True)
    if arguments.export is not None:
        print(export_refiner(arguments.run, arguments.kind, crops, arguments.export))


if __name__ == "__main__":
    main()
