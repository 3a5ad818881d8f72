"""What the trainer is told: what to prepare, how to train, and where. `trainer/settings.py` has the presets."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec
from tyro.conf import Positional, Suppress, arg

from engines.errors import UserError
from engines.files import check_there
from engines.values import Inline
from realtime.fetch import is_url
from realtime.pose.estimation.config import EstimatorName, Followed
from realtime.pose.figure.styles import StyleName
from realtime.subject import BUNDLED, Consent, user_subjects

MOST_PX = 4096
"""Longest side of a subject's picture."""


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """Which footage to prepare, and how."""

    video: Annotated[Positional[str], arg(metavar="VIDEO")]
    """Video of one person, whole body, minutes long, from a camera that stands still: a path, an URL (http://, rtsp://;
    it is fetched into the run), or a folder of its frames."""
    size: Annotated[str | None, arg(metavar="WIDTHxHEIGHT", help_behavior_hint="")] = None
    """Size of the subject's picture in pixels, e.g. 512 (square) or 1024x512, multiples of 32; by default one that
    holds the person, upright or wide, and costs what 512 does, live on 2 cores."""
    crop: Annotated[str | None, arg(metavar="X,Y,WIDTH,HEIGHT", help_behavior_hint="")] = None
    """Part of the video to use, in its pixels; by default the largest that holds the person."""
    pose: EstimatorName = "refined"
    """What estimates the pose: refined; own, the same without the networks that refine joints; or the mediapipe
    library, the extra mediapipe."""
    openpose: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Folder with OpenPose's JSON files of this video: take the poses from these instead."""
    figure: Annotated[StyleName | None, Suppress] = None
    """How poses are drawn: limbs, in this program's own way, or edn, as in the paper; by default edn with --openpose,
    else limbs."""
    fps: Annotated[float | None, Suppress] = None
    """Pictures per second of a folder of pictures; by default 30."""

    def __post_init__(self) -> None:
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise UserError(f"--fps must be more than 0, not {self.fps:g}.")
        if any(side < 64 or side % 32 or side > MOST_PX for side in self.size_px or ()):
            raise UserError(f"--size must be multiples of 32, from 64 to {MOST_PX} pixels, not {self.size}.")
        if self.crop is not None:
            parse_crop(self.crop)

    @property
    def size_px(self) -> tuple[int, int] | None:
        """Width and height of the subject's picture; None if the footage decides."""
        if self.size is None:
            return None
        sides = self.size.split("x")
        if len(sides) not in (1, 2) or not all(side.isdecimal() for side in sides):
            raise UserError(f"--size must be like 512 or 1024x512, not {self.size!r}.")
        return int(sides[0]), int(sides[-1])

    @property
    def crop_box(self) -> tuple[int, int, int, int] | None:
        """The chosen part of the video, x, y, width, height in its pixels; None if none was."""
        return None if self.crop is None else parse_crop(self.crop)

    def check_there(self) -> None:
        """Tell of what is missing before anything that takes long.

        Raises:
            UserError: there is no such video, or no such folder of OpenPose's.
        """
        if not is_url(self.video):
            check_there(Path(self.video))
        if self.openpose is not None:
            check_there(self.openpose)

    @property
    def style_name(self) -> StyleName:
        """How poses are drawn, a name for `load_style`."""
        return self.figure or ("edn" if self.openpose else "limbs")


NOT_STATED = Consent(person="not stated", licence="not stated")


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Which subject to write, and where."""

    name: Annotated[str, arg(metavar="NAME")]
    """The subject's name."""
    out: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Where to put the subject's folder; by default among your own subjects."""
    replace: bool = False
    """Replace the subject of this name, if you have one already."""
    consent: Annotated[Consent, Inline] = NOT_STATED
    """For the manifest."""

    def __post_init__(self) -> None:
        if Path(self.name).name != self.name or not self.name or self.name.startswith("."):
            raise UserError(f"{self.name!r} cannot be a subject's name: choose one without slashes, and no dot before.")
        if self.out is None and (BUNDLED / self.name).exists():
            raise UserError(f"{self.name} is a subject of this program: choose another --name.")
        if (person := self.consent.person) in get_args(Followed) or person.isdecimal():
            raise UserError(
                f"--person is the name of who is shown and agreed, not {person!r}, whom to follow: give for example "
                "'Eva, who agreed'."
            )

    @property
    def folder(self) -> Path:
        """The subject's folder."""
        return (self.out or user_subjects()) / self.name


def parse_crop(text: str) -> tuple[int, int, int, int]:
    """X, y, width and height of "320,0,720,720".

    Raises:
        UserError: it is something else.
    """
    parts = text.split(",")
    if len(parts) != 4 or not all(part.isdecimal() for part in parts):
        raise UserError(f"--crop must be X,Y,WIDTH,HEIGHT in pixels of the video, like 320,0,720,720, not {text!r}.")
    x, y, width, height = map(int, parts)
    return x, y, width, height


class CompactConfig(msgspec.Struct, frozen=True, kw_only=True, tag="compact"):
    """Shape of a compact network, which works at 1/4, 1/8 and 1/16 of the picture's size."""

    widths: tuple[int, int, int]
    """Channels at 1/4, 1/8 and 1/16 of the size."""
    blocks: tuple[int, int, int]
    """Residual blocks at 1/4, at 1/8 (so many in the encoder and in the decoder), and at 1/16."""

    def __str__(self) -> str:
        return f"compact {','.join(map(str, self.widths))} x {','.join(map(str, self.blocks))}"


class Pix2PixHDConfig(msgspec.Struct, frozen=True, kw_only=True, tag="pix2pixhd"):
    """Shape of one of pix2pixHD's networks: the global generator, and the local enhancer around it."""

    ngf: int = 64
    """Channels of the global generator's first layer; the enhancer's has half as many."""
    downsamplings: int = 4
    """How often the global generator halves the size."""
    blocks: int = 9
    """Residual blocks of the global generator."""
    enhancer_blocks: int = 0
    """Residual blocks of the local enhancer; 0 leaves the enhancer out."""

    def __str__(self) -> str:
        enhancer = f", {self.enhancer_blocks} in the enhancer" if self.enhancer_blocks else ""
        return f"pix2pixHD, ngf {self.ngf}, {self.downsamplings} downsamplings, {self.blocks} blocks{enhancer}"


Network = CompactConfig | Pix2PixHDConfig

Ranges = Mapping[str, tuple[float, float]]
"""Of settings by name, the least value and the most."""

FOR_EVER = 10**12
"""Of frames, steps or minutes after which something is done: never."""
STEPS, SHARE, WEIGHT = (0, 100_000_000), (0, 1), (0, 1e40)
TRAIN_RANGES: Ranges = {
    "steps": (1, STEPS[1]),
    **dict.fromkeys(("coarse_steps", "face_steps", "joint_steps", "warmup_steps"), STEPS),
    "batch": (1, 4096),
    "chains": (1, 100_000),
    "unroll": (2, 100),
    "mean_chain_frames": (1, FOR_EVER),
    "seed": (0, 2**32 - 1),
    **dict.fromkeys(("window_px", "perceptual_px"), (0, MOST_PX)),
    "ndf": (1, 1024),
    "scales": (1, 8),
    **dict.fromkeys(("learning_rate", "discriminator_learning_rate"), (0, 1)),
    "ema_decay": (0, 0.999999),
    **dict.fromkeys(
        (
            *("l1_weight", "adversarial_weight", "feature_matching_weight", "perceptual_weight"),
            *("image_weight", "hand_weight", "texture_weight", "mask_weight"),
        ),
        WEIGHT,
    ),
    **dict.fromkeys(
        (
            *("view_balance", "freeze_norm_at", "feedback_noise", "part_dropout", "keypoint_noise"),
            *("motion_blur", "far_references", "zoom_out"),
        ),
        SHARE,
    ),
}
NETWORK_RANGES: Ranges = {
    "widths": (1, 4096),
    "ngf": (2, 1024),
    "downsamplings": (1, 8),
    "blocks": (0, 100),
    "enhancer_blocks": (0, 100),
}
CHECKPOINT_RANGES: Ranges = {"validate_every": (1, FOR_EVER), "save_minutes": (0, FOR_EVER), "keep": (1, FOR_EVER)}


def check_ranges(config: object, ranges: Ranges, prefix: str = "") -> None:
    """Check the numbers of a config; what it does not have is passed over.

    Raises:
        UserError: one is not in its range, or no number.
    """
    for name, (least, most) in ranges.items():
        found = getattr(config, name, ())
        for value in found if isinstance(found, tuple) else (found,):
            if not least <= value <= most:
                raise UserError(f"{prefix}{name} must be from {least} to {most}, not {value}.")


LEAST_PERCEPTUAL_PX = 16
"""VGG halves its pictures four times."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What is learnt and how; the defaults are those of the preset live."""

    steps: int = 8000
    """Optimizer steps of the body's generator."""
    coarse_steps: int = 0
    """Steps of the global generator alone, at half the size, before the local enhancer joins it."""
    face_steps: int = 2000
    """Steps of the face network, after the body's; 0 leaves it out."""
    joint_steps: int = 0
    """Steps of both networks together, after the face's, at a tenth of the learning rates; the losses on the head then
    reach the body's generator, too."""
    batch: int = 3
    """Chains in a step, shared by all processes. A chain renders frame after frame from its own last output."""
    chains: int = 12
    """Chains altogether; they take turns, so that successive steps see different scenes."""
    unroll: int = 2
    """Successive frames of a chain in a step, through all of which the gradient flows; at least 2, because the
    discriminator judges pairs."""
    window_px: int = 256
    """Side of the square window on the person that training sees, a multiple of 32; 0 is the whole picture."""
    mean_chain_frames: int = 150
    """Mean number of frames after which a chain starts anew."""
    view_balance: float = 0.5
    """How evenly chains start at all views of the body: 0 as often as they were filmed, 1 all equally often."""
    seed: int = 0
    """Of all random numbers."""

    more_runs: tuple[Path, ...] = ()
    """Other prepared runs, of the same size, whose people some of the chains show: the network is then a start for
    anybody's training."""
    pretrained: bool = True
    """Start with the generator that comes with this package, trained on many people, if it has this shape."""

    temporal: bool = True
    """The generator sees the previous output, and pairs of frames are judged; without it every frame stands alone
    (pix2pixHD)."""
    background: bool = True
    """The generator predicts a mask, and the output is composited over the plate; a compact one always does so."""
    references: bool = True
    """Every part of the person is taken from the frame of the footage that shows it best and moved into the pose; the
    generator may copy it, keep its previous output, or paint."""
    generator: Network = CompactConfig(widths=(48, 96, 192), blocks=(1, 1, 2))
    """The body's network."""
    face: Network = CompactConfig(widths=(48, 96, 128), blocks=(1, 1, 2))
    """The face network."""
    ndf: int = 32
    """Channels of the discriminators' first layers."""
    scales: int = 2
    """Sizes at which the body's discriminator judges, each half the one before."""

    learning_rate: float = 8e-4
    """Adam's, of the generator and the face network; constant for the first half of the steps."""
    discriminator_learning_rate: float = 2.7e-4
    """Adam's, of the discriminators; constant for the first half of the steps."""
    lr_schedule: Literal["cosine", "linear"] = "cosine"
    """How the learning rates fall to 2 % in the second half of the steps."""
    warmup_steps: int = 300
    """First steps of the body, without the adversarial losses."""
    freeze_norm_at: float = 0.6
    """Share of the body's steps after which BatchNorm keeps its statistics, so that what is trained is what is
    exported."""
    ema_decay: float = 0.998
    """Decay per step of the weights' moving average, which is what is exported; 0 exports the weights themselves."""

    l1_weight: float = 30.0
    """Of the mean absolute difference."""
    adversarial_weight: float = 1.0
    """Of the least-squares GAN loss."""
    feature_matching_weight: float = 4.0
    """Of the difference of the discriminator's features."""
    perceptual_weight: float = 4.0
    """Of the difference of VGG's features."""
    perceptual_px: int = 128
    """Side of the crop, on the head, a hand or another keypoint, that the perceptual loss sees; 0 is the whole
    window."""
    crops: int = 1
    """So many chains of a step, in turns, have such crops, at most batch: the perceptual network is slow on a CPU."""
    vgg19: Path | None = None
    """File vgg19-dcbb9e9d.pth of torchvision: compute the perceptual loss with the paper's VGG19 instead of VGG16."""
    image_weight: float = 0.5
    """Of the losses of a second discriminator, which judges single frames through the perceptual crop; 0 leaves it
    out."""
    hand_weight: float = 0.5
    """Of L1 and perceptual loss on a crop around a hand, added to those on the rest; 0 leaves it out."""
    texture_weight: float = 0.0
    """Of the difference of the Gram matrices of VGG's features; 0 leaves it out."""
    mask_weight: float = 1.5
    """Of the mask's mean: the price of painting where the plate would do."""

    feedback_noise: float = 0.4
    """Probability that a chain's previous output is spoilt: in a quarter of these cases it becomes the plate, in the
    others noise is added."""
    part_dropout: float = 0.05
    """Probability per chain and step that the face, a hand, an arm or a foot is missing from the figure."""
    keypoint_noise: float = 0.004
    """Standard deviation of noise on the keypoints, in statures, with a probability of 1/4 per chain and step."""
    motion_blur: float = 0.05
    """Probability per chain and step that the figure is blurred along its motion."""
    far_references: float = 0.2
    """Probability per chain and step that references near in time are left out, as they are for a performer."""
    zoom_out: float = 0.05
    """Probability that a chain sees a larger part of the picture, made smaller to the window's size."""

    def __post_init__(self) -> None:
        check_ranges(self, TRAIN_RANGES)
        check_ranges(self.generator, NETWORK_RANGES, "generator.")
        check_ranges(self.face, NETWORK_RANGES, "face.")
        if self.joint_steps and not self.face_steps:
            raise UserError("joint_steps need a face network: set face_steps.")
        if self.chains < self.batch:
            raise UserError(f"chains must be at least batch, {self.batch}, not {self.chains}.")
        if not 1 <= self.crops <= self.batch:
            raise UserError(f"crops must be at least 1 and at most batch, {self.batch}, not {self.crops}.")
        enhancer = isinstance(self.generator, Pix2PixHDConfig) and self.generator.enhancer_blocks
        if self.references and (self.coarse_steps or enhancer or not self.background or not self.temporal):
            raise UserError("references need background and temporal, and no local enhancer: set references to false.")
        if 0 < self.perceptual_px < LEAST_PERCEPTUAL_PX:
            raise UserError(f"perceptual_px must be 0 or at least {LEAST_PERCEPTUAL_PX}, not {self.perceptual_px}.")
        if self.window_px % 32 or (self.window_px and self.perceptual_px > self.window_px):
            raise UserError(
                f"window_px must be a multiple of 32 and at least perceptual_px ({self.perceptual_px}), "
                f"not {self.window_px}."
            )

    def for_footage(self, size_px: tuple[int, int], *, static: bool) -> "TrainConfig":
        """The same as far as it fits footage of this width and height, filmed by a camera that stood still or not.

        Where the camera moved there is no plate, nor a mask that tells the person from the background.
        """
        window_px = min(self.window_px, *size_px)
        return replace(
            self,
            background=self.background and static,
            references=self.references and static,
            mask_weight=self.mask_weight if static else 0.0,
            window_px=window_px,
            perceptual_px=min(self.perceptual_px, window_px) if window_px else self.perceptual_px,
        )


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where to train; does not change what is learnt, so a run may go on elsewhere than it began."""

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    """What computes; auto: the GPUs, if there are any."""
    devices: int | Literal["auto"] = "auto"
    """Processes per machine, one per GPU, which share the batch; auto: as many as torchrun or SLURM started, otherwise
    one, or as many GPUs as divide the batch."""
    precision: Literal["auto", "bf16", "f32"] = "auto"
    """bf16: mixed precision, weights in float32; auto: bf16 where the device has it."""

    def __post_init__(self) -> None:
        if self.devices != "auto" and self.devices < 1:
            raise UserError(f"devices must be auto or at least 1, not {self.devices}.")


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """How often to validate and to save; does not change what is learnt."""

    validate_every: int = 500
    """Steps between validations on held-out footage, each of which writes a preview and saves a checkpoint."""
    save_minutes: float = 5.0
    """Minutes between further checkpoints."""
    keep: int = 3
    """Checkpoints to keep beside the best one."""

    def __post_init__(self) -> None:
        check_ranges(self, CHECKPOINT_RANGES)


def first_process(*, on_machine: bool = False) -> bool:
    """Whether this is the first process of a training, or of those on this machine, by the launcher's environment."""
    everywhere, here = ("RANK", "LOCAL_RANK", "SLURM_PROCID"), ("LOCAL_RANK", "SLURM_LOCALID")
    return all(os.environ.get(name, "0") == "0" for name in (here if on_machine else everywhere))


def several_started() -> bool:
    """Whether torchrun or SLURM has started several processes of this command."""
    slurm = os.environ.get("SLURM_NTASKS", "1") if "SLURM_PROCID" in os.environ else "1"
    return int(os.environ.get("WORLD_SIZE", slurm)) > 1
