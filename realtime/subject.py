"""A subject: the folder that the trainer makes and a live session plays.

    alice/
      subject.json      this manifest
      generator.onnx    the temporal generator
      face.onnx         the face residual network, if it has one
      *.int8.xml, .bin  them quantized, if that is near enough
      atlas.npz         reference pictures of the person's parts, if the generator wants them
      clips.npz         clips of the person's own moves, to calibrate int8 and check engines on
      plate.png         the empty background
      thumbnail.jpg     the person
Nothing in it is ever unpickled, and every file is checked against its hash before it is opened.
"""

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated

import msgspec
import tyro

from engines.errors import UserError
from engines.files import NO_JSON, data_folder, legible, sha256, write_file
from realtime.figure import Figure
from realtime.frame import Rgb
from realtime.pictures import read_picture
from realtime.pose.figure.styles import Style, load_style
from realtime.pose.normalization.motion_range import MotionRange
from realtime.pose.normalization.proportions import Proportions
from realtime.pose.pose import Pose
from realtime.pose.skeleton import REFINED, UNREFINED
from realtime.references.atlas import ATLAS, Atlas, load_atlas

FORMAT = 3
MANIFEST = "subject.json"
GENERATOR, FACE, PLATE, THUMBNAIL = "generator.onnx", "face.onnx", "plate.png", "thumbnail.jpg"
OPENED = ("*.onnx", "*.xml", "*.bin", "*.npz")
"""What is opened by its name alone has to be in the manifest."""
BUNDLED = Path(__file__).parent / "subjects"

MetricValue = float | str | dict[str, float]
"""One that was measured, or what was measured on; or several of one kind."""


class Consent(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True, omit_defaults=True):
    """Who agreed to be played by others, and what of them the folder holds."""

    person: Annotated[str, tyro.conf.arg(metavar="NAME")]
    """Who is shown, e.g. "fictional person"."""
    licence: Annotated[str, tyro.conf.arg(metavar="TEXT")]
    """What the subject may be used for, e.g. "CC0-1.0"."""
    pictures: Annotated[bool, tyro.conf.Suppress] = False
    """Whether the folder holds pictures of the person, cut out of the footage; networks and a thumbnail it always
    holds."""


class Training(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True, omit_defaults=True):
    """How the subject came to be; None is not known."""

    video: str | None = None
    """File name of the footage, or its folder's."""
    footage_px: tuple[int, int] | None = None
    """Width and height of the footage."""
    crop: tuple[int, int, int, int] | None = None
    """The part of it that was trained on: x, y, width, height in its pixels."""
    footage_s: float
    """Seconds of video trained on."""
    hours: float | None = None
    """That the training took, without what it may have started from."""
    machine: str | None = None
    """Where, in general terms, e.g. "2 CPU cores, bf16"."""
    generator: str | None = None
    """Shape of the generator, e.g. "compact 48,96,192 x 1,1,2"."""
    steps: int
    """Steps of the generator."""
    face_steps: int
    """Steps of the face network; 0: there is none."""
    chain_psnr_db: tuple[float, float]
    """On held-out footage, running on its own outputs: the first and the last tenth of the chain."""
    metrics: dict[str, MetricValue] | None = None
    """What `trainer evaluate --record` measured on footage of the person."""

    def __post_init__(self) -> None:
        if self.crop is not None and self.footage_px is not None:
            (x, y, width, height), whole = self.crop, self.footage_px
            if min(x, y) < 0 or min(width, height) < 1 or x + width > whole[0] or y + height > whole[1]:
                raise ValueError(f"crop {self.crop} is not inside of the footage of {whole[0]}x{whole[1]}")


class Manifest(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What `subject.json` says."""

    format: int
    name: str
    width_px: int
    height_px: int
    """Of the picture."""
    skeleton_version: int
    figure_style: str
    figure_version: int
    motion: MotionRange
    """Where the person stood and how tall they were in the training footage, for normalization."""
    proportions: Proportions | None = None
    """Lengths of the person's bones, to which a performer's are fitted; None leaves the performer's."""
    consent: Consent
    training: Training
    files: dict[str, str]
    """SHA-256 of every other file, by name."""

    def __post_init__(self) -> None:
        if self.motion.far_ankle >= self.motion.near_ankle or self.motion.far_stature > self.motion.near_stature:
            raise ValueError("motion: who is near stands higher up in the picture, or is smaller, than who is far")


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject whose files have been checked."""

    folder: Path
    manifest: Manifest
    plate: Rgb
    style: Style
    """How its figures are drawn."""
    atlas: Atlas | None = None
    """Reference pictures of its parts, if its generator wants them."""

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the picture."""
        return self.manifest.width_px, self.manifest.height_px

    def figure(self, pose: Pose | None) -> Figure:
        """The figure of a pose in the picture's pixels."""
        return Figure(self.style.draw(pose, self.manifest.height_px, self.manifest.width_px), pose)

    @property
    def disclosure(self) -> str:
        """What files say that hold pictures of it."""
        return (
            f"Generated by bodydouble {metadata.version('bodydouble')}, not filmed: {self.manifest.name} "
            f"({self.manifest.consent.person})."
        )

    @property
    def graphs(self) -> tuple[Path, ...]:
        """The graphs of the generator and, if it has one, of the face network."""
        return (self.generator, self.face) if self.face else (self.generator,)

    @property
    def generator(self) -> Path:
        """The temporal generator's graph."""
        return self.folder / GENERATOR

    @property
    def face(self) -> Path | None:
        """The face network's graph, if it has one."""
        return self.folder / FACE if FACE in self.manifest.files else None


def subject_folders() -> dict[str, Path]:
    """The subjects that can be named: those of the package, and the user's own, which come first."""
    found = (path for folder in (BUNDLED, user_subjects()) for path in sorted(folder.glob(f"[!.]*/{MANIFEST}")))
    return {path.parent.name: path.parent for path in found}  # hidden ones are an export's drafts


def is_whole(folder: Path) -> bool:
    """Whether a subject's manifest can be read and all its files are there; what is in them is not looked at."""
    try:
        files = read_manifest(folder / MANIFEST).files
    except UserError:
        return False
    return all((folder / file).is_file() for file in {GENERATOR, PLATE, *files})


def user_subjects() -> Path:
    """Where `trainer` puts finished subjects."""
    return data_folder() / "subjects"


def load_subject(name: str) -> Subject:
    """Open a subject by its name or by the path of its folder.

    Raises:
        UserError: there is none, it is damaged, or this version cannot play it.
    """
    folder = Path(name)
    if not (folder / MANIFEST).is_file():
        known = subject_folders()
        if name not in known:
            raise UserError(
                f"There is no subject {name!r}: choose one of {', '.join(sorted(known)) or '(none yet)'}, "
                "or give the path of a subject's folder."
            )
        folder = known[name]
    if legible(str(folder)) != str(folder):
        raise UserError(
            f"The name of {legible(str(folder))} is not UTF-8, and networks cannot be read there: rename it."
        )
    manifest = read_manifest(folder / MANIFEST)
    try:
        style = load_style(manifest.figure_style, manifest.figure_version)
    except UserError as error:
        raise UserError(f"The subject {folder} cannot be played: {error}") from error
    found = {path.name for pattern in OPENED for path in folder.glob(pattern)}
    for file in sorted({GENERATOR, PLATE, *manifest.files, *found}):
        _check_file(folder, file, manifest.files.get(file))
    plate = read_picture(folder / PLATE)
    if plate is None or plate.shape != (manifest.height_px, manifest.width_px, 3):
        raise UserError(
            f"The plate of the subject {folder} is not a picture of {manifest.width_px} x {manifest.height_px} pixels: "
            "export it again."
        )
    atlas = load_atlas(folder / ATLAS) if ATLAS in manifest.files else None
    return Subject(folder, manifest, plate, style, atlas)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `subject.json`, whole or not at all."""
    write_file(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")


def read_manifest(path: Path) -> Manifest:
    """Read a `subject.json`; the files beside it are not looked at.

    Raises:
        UserError: it is none, or of a version that this program cannot play.
    """
    try:
        data = path.read_bytes()
        version = msgspec.json.decode(data, type=_Version).format
        if version != FORMAT:
            raise UserError(
                f"{path} has format {version}, this program reads {FORMAT}: export the subject again, "
                "or install the matching bodydouble."
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except (OSError, *NO_JSON) as error:
        raise UserError(
            f"{path} is not a subject's manifest ({error}): export or download the subject again."
        ) from error
    if manifest.skeleton_version not in (UNREFINED, REFINED):
        raise UserError(
            f"The subject {path.parent} has skeleton version {manifest.skeleton_version}, "
            f"this program has {REFINED}: train it again, or install a newer bodydouble."
        )
    return manifest


class _Version(msgspec.Struct):
    format: int


def _check_file(folder: Path, file: str, expected: str | None) -> None:
    again = "export or download the subject again"
    if Path(file).name != file:
        raise UserError(f"The manifest of {folder} names {file!r}, which is not a plain file name: do not trust it.")
    path = folder / file
    if not path.is_file():
        raise UserError(f"The subject {folder} lacks {file}: {again}.")
    if expected is None:
        raise UserError(f"The manifest of {folder} does not know {file}, so it cannot be trusted: {again}.")
    if sha256(path) != expected:
        raise UserError(f"{path} is damaged (its SHA-256 is not the manifest's): {again}.")
