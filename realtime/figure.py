"""All that a renderer knows of a person."""

from dataclasses import dataclass

from realtime.frame import Rgb
from realtime.pose.measure import HeadBox, head_box
from realtime.pose.pose import Pose
from realtime.references.inputs import MovedParts


@dataclass(frozen=True, slots=True)
class Figure:
    """A stick figure, and the pose that it shows."""

    rgb: Rgb
    """uint8 [H, W, 3] as the subject's style draws it; blank while nobody is there."""
    pose: Pose | None
    """In pixels of `rgb`; None while nobody is there."""
    frame: int | None = None
    """Number of the frame that the pose is from in the subject's own footage, None for any other pose."""
    moved: MovedParts | None = None
    """The subject's parts moved into the pose of every figure that is rendered, in their order, if somebody has done
    that already; None leaves it to the renderer."""

    @property
    def head(self) -> HeadBox | None:
        """Where the head is, in pixels; None while nobody is there."""
        return None if self.pose is None else head_box(self.pose)
