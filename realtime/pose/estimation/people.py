"""Whether a film has the person who is asked for."""

from pathlib import Path

import cv2
import numpy as np

from engines.errors import UserError
from realtime.pose.estimation.config import PoseConfig
from realtime.pose.estimation.person_detector import PersonDetector
from realtime.video import count_frames, frame_rate, read_video

LOOKS = 16
"""Pictures of a film that are looked at, spread over it."""


def check_person(film: Path, pose: PoseConfig) -> None:
    """Refuse to follow the Nth person from the left where there never are so many; all else may be followed.

    Raises:
        UserError: there are fewer people, or the film cannot be read.
    """
    if not isinstance(pose.person, int) or pose.person == 1:
        return
    frames = count_frames(film)
    if not frames:  # a film that does not tell how long it is
        return
    length_s, detector, most = frames / frame_rate(film), PersonDetector(threads=1), 0
    for look in range(LOOKS):
        for rgb, _ in read_video(film, length_s * look / LOOKS, note=lambda about: None):
            most = max(most, len(detector.find(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA), np.uint8))))
            break
        if most >= pose.person:
            return
    people = "one person" if most == 1 else f"{most} people"
    raise UserError(f"--person {pose.person}: {film.name} has {people} at most at a time: choose another.")
