"""Performers' profiles, made by `realtime calibrate`: where they stand near and far in their camera's picture."""

import re
import shlex
from pathlib import Path

import msgspec

from engines.errors import UserError
from engines.files import NO_JSON, data_folder, write_file
from realtime.pose.normalization.motion_range import MotionRange

PROFILE_FORMAT = 1


class Profile(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One performer in front of one camera."""

    format: int = PROFILE_FORMAT
    width_px: int
    height_px: int
    """The camera's picture."""
    motion: MotionRange

    def range_in(self, size_px: tuple[int, int]) -> MotionRange | None:
        """The range in a picture of another resolution; None where the picture has another shape.

        Args:
            size_px: width and height.
        """
        width, height = size_px
        if abs(width * self.height_px - height * self.width_px) > 0.02 * width * self.height_px:
            return None
        return self.motion.scaled(height / self.height_px)


def profiles_folder() -> Path:
    """Where profiles are kept."""
    return data_folder() / "performers"


def save_profile(name: str, profile: Profile) -> Path:
    """Write a performer's profile, whole or not at all; returns its path.

    Raises:
        UserError: the name cannot be a file's, or the folder cannot be written to.
    """
    path = _path(name)
    try:
        write_file(path, msgspec.json.format(msgspec.json.encode(profile), indent=2) + b"\n")
    except OSError as error:
        raise UserError(f"The profile {path} cannot be written ({error.strerror}): free space or allow it.") from error
    return path


def load_profile(name: str) -> Profile:
    """Read a performer's profile.

    Raises:
        UserError: there is none, or it is damaged or of another version.
    """
    path = _path(name)
    again = f"run `realtime calibrate {shlex.quote(name)}`"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in profiles_folder().glob("*.json"))) or "(none yet)"
        raise UserError(f"There is no profile of a performer {name!r} among {known}: {again} first.")
    try:
        profile = msgspec.json.decode(path.read_bytes(), type=Profile)
    except (OSError, *NO_JSON) as error:
        raise UserError(f"{path} is not a performer's profile ({error}): {again} again.") from error
    far, near = profile.motion.far_stature, profile.motion.near_stature
    if profile.format != PROFILE_FORMAT or not 0 < far < near or profile.motion.far_ankle >= profile.motion.near_ankle:
        raise UserError(f"{path} holds what this program cannot use: {again} again.")
    return profile


def check_name(name: str) -> None:
    """Check that a performer can be called so.

    Raises:
        UserError: the name cannot be a file's.
    """
    if not re.fullmatch(r"\w[\w .-]*", name):
        raise UserError(f"A performer cannot be called {name!r}: use letters, digits, spaces, dots, - and _.")


def _path(name: str) -> Path:
    check_name(name)
    return profiles_folder() / f"{name}.json"
