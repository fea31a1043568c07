"""Description of an architecture in the registry, besides its builder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Scaling = tuple[float | Sequence[float], float | Sequence[float]]
"""Factor and offset applied to pixel / 255 before a network's first layer; a list has one per channel, blue first."""

SIGNED: Final[Scaling] = (2.0, -1.0)

Donor = Callable[[Any, Mapping[str, Any]], Any]
"""Function of the Keras module and the options that returns the network with ImageNet weights; its head is ignored."""


@dataclass(frozen=True, slots=True)
class About:
    """Description of an architecture.

    source: paper or page, with the year. parameters, multiply_adds: numbers of them with default options at 48x48, 1
    channel, heads ferplus8, fer7 and affect. int8: whether full int8 is possible, and how the Edge TPU runs it.
    imagenet: function that returns its pretrained network; None if there is none. scaling: pixel scaling of those
    weights. scaling_of_files: scaling of .h5 files in Keras's older format, if different. rgb: True if the weights
    expect RGB (the images here are BGR).
    """

    source: str
    parameters: int
    multiply_adds: int
    int8: str
    imagenet: Donor | None = None
    scaling: Scaling = SIGNED
    scaling_of_files: Scaling | None = None
    rgb: bool = True
