"""What is done to whole networks' weights."""

from torch import Tensor, nn


def averaged_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The averaged network's `state_dict`, from that of its `AveragedModel`."""
    return {name.removeprefix("module."): value for name, value in state.items() if name.startswith("module.")}


def take_fitting(network: nn.Module, state: dict[str, Tensor]) -> int:
    """Load the tensors that have a place of their name and shape in `network`; returns how many."""
    own = network.state_dict()
    found = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    network.load_state_dict(found, strict=False)
    return len(found)


def freeze_statistics(network: nn.Module, averaged: nn.Module) -> None:
    """Let every BatchNorm use fixed statistics, those of the averaged network, from now on."""
    for ours, theirs in zip(network.modules(), averaged.modules(), strict=True):
        if isinstance(ours, nn.BatchNorm2d):
            ours.load_state_dict(theirs.state_dict() | dict(ours.named_parameters()))
            ours.eval()
