"""Render pictures of random fictional people with their exact joints, for training the pose refiner.

The people, their rooms and motions come from the footage program (CC0; its README says how to set it up), so run this
with that program's Python:

    PROGRAM/v/bin/python scripts/render_people.py --program PROGRAM --persons 1-300 --out runs/people --jobs 2

Every person becomes one PERSON.npz: `pictures` (JPEG files, one behind the other), `ends` (where each of them ends),
and for every picture the exact joints of its own frame and of the two before it, `xy` F 3 J 2 (pixels), and their
`visibility` F J (0 outside of the picture, 1 hidden, 2 visible); `names` J. Said again, it goes on where it was.
The same numbers give the same pictures.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

for library in ("LP", "OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")  # --jobs shares out the cores

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from tqdm import tqdm  # type: ignore[import-untyped]  # noqa: E402

SIZES = ((512, 512), (720, 540), (540, 720), (960, 540))
SECONDS, FPS, WARM_UP = 30.0, 30, 45
JPEG_QUALITY = 93


def clutter(dice: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A room that is none: gradients, noise of many sizes, and shapes. H W 3, uint8."""
    picture = np.zeros((height, width, 3), np.float32) + dice.uniform(20, 220, 3)
    for cells in (2, 4, 8, 24, 80):
        noise = dice.normal(0, dice.uniform(2, 28), (cells, cells, dice.choice([1, 3]))).astype(np.float32)
        grown = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        picture += grown if grown.ndim == 3 else grown[..., None]
    for _ in range(dice.integers(4, 40)):
        colour = dice.uniform(0, 255, 3).tolist()
        x, y = dice.uniform(0, width), dice.uniform(0, height)
        long, thin = dice.uniform(10, width / 2), dice.uniform(4, 80)
        box = cv2.boxPoints(((x, y), (long, thin), dice.uniform(0, 180))).astype(np.int32)
        if dice.random() < 0.3:
            cv2.ellipse(picture, ((x, y), (long, thin), dice.uniform(0, 180)), colour, -1, cv2.LINE_AA)
        else:
            cv2.fillPoly(picture, [box], colour, cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (0, 0), dice.uniform(0.4, 3)).clip(0, 255).astype(np.uint8)


def render_person(program: str, number: int, count: int, out: str) -> None:
    """Render `count` pictures of one person, half of them in the person's own room."""
    sys.path.insert(0, program)
    import clip  # type: ignore[import-not-found]
    import footage  # type: ignore[import-not-found]
    import motion  # type: ignore[import-not-found]

    dice = np.random.default_rng([number, 13])
    size = SIZES[dice.integers(len(SIZES))]
    scene = footage.scene("random", number, size)
    wanted = SimpleNamespace(person="random", seed=13, seconds=SECONDS, fps=FPS, moves=motion.MOVES, walk_in=False)
    plan = footage.make_plan(wanted, scene, round(SECONDS * FPS), lambda part: None)
    worker = clip.Worker(scene.model, scene.camera, scene.plate, plan, ".", FPS, 20, number)
    worker.renderer.sun = worker.renderer.sun * (dice.choice([-1, 1]), 1, 1) + dice.normal(0, 0.25, 3)
    worker.renderer.sun /= np.linalg.norm(worker.renderer.sun)
    room, frames = worker.renderer.plate, np.sort(dice.choice(np.arange(WARM_UP, len(plan.xy)), count, replace=False))
    files, visible = [], []
    for frame in frames:
        worker.renderer.plate = room if dice.random() < 0.5 else clutter(dice, *size).astype(np.float32)
        picture, visibility = worker.picture(frame)
        files.append(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1])
        visible.append(visibility)
    half_written = Path(out).with_suffix(".tmp.npz")
    np.savez(
        half_written,
        pictures=np.concatenate(files),
        ends=np.cumsum([len(file) for file in files]),
        xy=np.stack([plan.xy[frames - back] for back in range(3)], axis=1).astype(np.float32),
        visibility=np.array(visible, np.uint8),
        names=np.array(plan.names),
        size_px=np.array(size),
        frames=frames,
    )
    half_written.replace(out)


def main() -> None:
    """Read the arguments and render."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="folder of the footage program")
    parser.add_argument("--persons", required=True, metavar="FIRST-LAST", help="which random people, e.g. 1-300")
    parser.add_argument("--pictures", type=int, default=48, help="of each person (default 48)")
    parser.add_argument("--out", type=Path, required=True, help="folder")
    parser.add_argument("--jobs", type=int, default=1, help="people at once; each takes one core (default 1)")
    arguments = parser.parse_args()
    first, last = map(int, arguments.persons.split("-"))
    arguments.out.mkdir(parents=True, exist_ok=True)
    missing = [n for n in range(first, last + 1) if not (arguments.out / f"{n:04d}.npz").exists()]
    with (
        ProcessPoolExecutor(arguments.jobs, get_context("spawn"), max_tasks_per_child=1) as pool,
        tqdm(total=len(missing), unit="person") as bar,
    ):
        for done in [
            pool.submit(render_person, arguments.program, n, arguments.pictures, str(arguments.out / f"{n:04d}.npz"))
            for n in missing
        ]:
            done.add_done_callback(lambda _: bar.update())
            done.result()


if __name__ == "__main__":
    main()
