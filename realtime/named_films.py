"""Films as a command line names them: by a path, or by the name of a performer that comes with the package."""

from pathlib import Path

from engines.errors import UserError

PERFORMERS = Path(__file__).parent / "performers"


def performers() -> dict[str, Path]:
    """The performers that come with the package, by name."""
    return {path.stem: path for path in sorted(PERFORMERS.glob("*.mp4"))}


def video_path(source: str) -> Path:
    """The video that the command line means by a path or a bundled performer's name.

    Raises:
        UserError: there is no such video.
    """
    known = performers()
    if source not in known and not (source and Path(source).exists()):
        raise UserError(f"There is no video {source!r}: give a path, or one of {', '.join(known)}.")
    return known.get(source, Path(source))
