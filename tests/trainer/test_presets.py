"""The presets: their networks, and the paper's way through the same stages."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from realtime.frame import Rgb
from realtime.subject import load_subject
from tests.support.commands import DATA, chosen, command_here
from trainer.config import Machine, Pix2PixHDConfig, PrepareConfig, TrainConfig
from trainer.footage.prepared import Footage
from trainer.networks.discriminator import MultiScaleDiscriminator
from trainer.networks.load import build_face, build_generator, load_matching
from trainer.settings import GPU, LIVE, PAPER, PRESETS
from trainer.training.body import BodyStage
from trainer.training.distributed import assemble
from trainer.training.optimize import set_learning_rate

TINY = Pix2PixHDConfig(ngf=8, downsamplings=2, blocks=1, enhancer_blocks=1)


def millions(network: nn.Module) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


def test_the_papers_preset_has_the_papers_networks() -> None:
    with torch.device("meta"):
        coarse = build_generator(PAPER.generator, background=PAPER.background, coarse=True)
        fine = build_generator(PAPER.generator, background=PAPER.background)
        face = build_face(PAPER.face)
        judge = MultiScaleDiscriminator(12, PAPER.ndf, PAPER.scales)
    assert millions(coarse) == pytest.approx(182.45, abs=0.02)
    assert millions(fine) == pytest.approx(182.72, abs=0.02)
    assert millions(face) == pytest.approx(26.72, abs=0.02)
    assert millions(judge) == pytest.approx(3 * 2.77, abs=0.05)


@pytest.mark.parametrize(("network", "background"), [(LIVE.generator, True), (TINY, True), (TINY, False)])
def test_every_generator_has_the_same_ends(network: Pix2PixHDConfig, *, background: bool) -> None:
    torch.manual_seed(0)
    generator = build_generator(network, background=background).eval()
    packed, plate = torch.rand(1, 144, 16, 32) * 2 - 1, torch.rand(1, 48, 16, 32) * 2 - 1
    packed.requires_grad_()
    picture, mask = generator(packed, plate)
    assert picture.shape == mask.shape == (1, 48, 16, 32)
    assert picture.abs().max() <= 1
    assert 0 <= mask.min() <= mask.max() <= 1
    picture.sum().backward()
    gradient = packed.grad
    assert gradient is not None
    assert gradient[:, 96:].abs().sum() > 0, "through the previous output"
    assert bool(gradient[:, 48:96].any()) == background, "the paper's has no previous figure"


def test_configurations_survive_json() -> None:
    for config in PRESETS.values():
        assert msgspec.json.decode(msgspec.json.encode(config), type=TrainConfig) == config


def test_sizes() -> None:
    assert PrepareConfig(video="v.mp4").size_px is None
    assert PrepareConfig(video="v.mp4", size="512").size_px == (512, 512)
    assert PrepareConfig(video="v.mp4", size="1024x512").size_px == (1024, 512)


def test_the_paper_s_chains_are_two_frames_long() -> None:
    assert PAPER.mean_chain_frames == PAPER.unroll == 2
    assert GPU.mean_chain_frames > 100


def test_rates_fall_as_told() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([parameter])
    schedules: list[Literal["cosine", "linear"]] = ["cosine", "linear"]
    for schedule in schedules:
        for done, share in ((0.0, 1.0), (0.5, 1.0), (0.75, 0.51), (1.0, 0.02)):
            set_learning_rate(optimizer, 1e-3, done, schedule)
            assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * share)
    set_learning_rate(optimizer, 1e-3, 0.9, "cosine")
    assert optimizer.param_groups[0]["lr"] < 0.2e-3


def test_only_what_fits_is_taken_over() -> None:
    one, two = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4)), nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 5))
    assert load_matching(two, one.state_dict()) == 2
    assert torch.equal(one.get_parameter("0.weight"), two.get_parameter("0.weight"))


@pytest.fixture(scope="module")
def paper_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the preset `paper` with toy networks in a wide picture, through the command line."""
    run = tmp_path_factory.mktemp("paper") / "run"
    prepared = command_here("trainer", "prepare", DATA / "alice_clip.mp4", "--out", run, "--size", "128x64")
    assert prepared.returncode == 0, prepared.stdout + prepared.stderr
    steps = chosen(coarse_steps=2, face_steps=2, ndf=8)
    shape = {"ngf": 8, "downsamplings": 2, "blocks": 1}
    shapes = {f"{network}__{name}": value for network in ("generator", "face") for name, value in shape.items()}
    flags = ["--preset", "paper", "--steps", "2", *steps, *chosen(**shapes, generator__enhancer_blocks=1)]
    trained = command_here("trainer", "train", run, *flags)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    return run


def test_the_paper_s_stages_end_in_a_subject(paper_run: Path, tmp_path: Path) -> None:
    for stage in ("coarse", "body", "face"):
        assert (paper_run / "checkpoints" / f"{stage}_best.pt").exists()
    done = command_here("trainer", "export", paper_run, "--name", "p", "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    subject = load_subject(str(tmp_path / "p"))
    assert (subject.manifest.width_px, subject.manifest.height_px) == (128, 64)
    assert (subject.plate == 128).all(), "chains begin with zeros"


def test_the_enhancer_begins_with_the_coarse_generator(paper_run: Path) -> None:
    config = replace(PAPER, ndf=8, generator=TINY)
    footage = Footage(paper_run / "data", background=False)
    fabric = assemble(Machine(accelerator="cpu"), config.batch)
    coarse = BodyStage(footage, replace(config, coarse_steps=1), fabric, coarse=True)
    body = BodyStage(footage, config, fabric)
    coarse.step()
    coarse.close()
    body.initialize_from(coarse.state_dict())
    ours, theirs = body.generator.state_dict(), coarse.generator.state_dict()
    shared = [name for name in theirs if ".features." in name]
    assert shared
    assert all(torch.equal(ours[name], theirs[name]) for name in shared)
    shown: list[Rgb] = []
    coarse.validate(2, shown.append)
    assert shown[0].shape == (32, 3 * 64, 3), "half the size"
    assert np.ptp(shown[0]) > 0
