"""The session as a camera of this machine, which any program can choose: pyvirtualcam, an extra."""

import logging
from typing import Any

from engines.errors import UserError
from engines.install import install_line
from realtime.live.output import POLL_S, WorkingOutput, fitted

NOMINAL_FPS = 30.0
"""What programs are told; they get a frame whenever there is one."""
INSTALL = "on Linux install v4l2loopback-dkms and run `sudo modprobe v4l2loopback`, elsewhere install OBS"
LOG = logging.getLogger(__name__)


class VirtualCameraOutput(WorkingOutput):
    """Sends frames to a virtual camera. When that breaks it ends, and nothing else does.

    Args:
        size_px: width and height of its pictures; frames of another size are fitted into it.

    Raises:
        UserError: the library or the device is missing.
    """

    def __init__(self, size_px: tuple[int, int]) -> None:
        super().__init__("virtual camera")
        self._size_px, self._camera = size_px, _open(size_px)
        self.name = str(self._camera.device)
        """Of the device."""
        self._thread.start()

    @property
    def watched(self) -> bool:
        """Whether frames are sent."""
        return self._thread.is_alive()

    def _work(self) -> None:
        with self._camera:
            try:
                while not self._stop.is_set():
                    if frame := self._frames.take(POLL_S):
                        self._camera.send(fitted(frame.rgb, self._size_px))
            except (RuntimeError, OSError) as error:
                LOG.warning("The virtual camera %s has ended, because %s; everything else goes on.", self.name, error)


def _open(size_px: tuple[int, int]) -> Any:
    try:
        import pyvirtualcam
    except ModuleNotFoundError as error:
        raise UserError(f"--virtual-camera needs a library: {install_line('virtual-camera')}.") from error
    try:
        return pyvirtualcam.Camera(width=size_px[0], height=size_px[1], fps=NOMINAL_FPS)
    except RuntimeError as error:
        raise UserError(f"There is no virtual camera on this machine: {INSTALL}.") from error
