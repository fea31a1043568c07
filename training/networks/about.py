"""Description of an architecture in the registry, besides its builder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Scaling = tuple[float | Sequence[float], float | Sequence[float]]
"""Factor and offset that make of pixel / 255 what a network's first layer gets; a list is by channel, blue first."""

SIGNED: Final[Scaling] = (2.0, -1.0)

Donor = Callable[[Any, Mapping[str, Any]], Any]
"""From the keras module and the options: the network with ImageNet weights; a head after it is left out."""


@dataclass(frozen=True, slots=True)
class About:
    """Description of an architecture.

    source: paper or page, with the year. parameters, multiply_adds: of the default options at 48x48, 1 channel, heads
    ferplus8, fer7 and affect. int8: whether full int8 is possible, and how the Edge TPU runs it. imagenet: function
    that returns its pretrained network; None if there is none. scaling: pixel scaling of those weights.
    scaling_of_files: scaling of .h5 files in Keras's older format, if different. rgb: True if the weights expect RGB
    (the images here are BGR).
    """

    source: str
    parameters: int
    multiply_adds: int
    int8: str
    imagenet: Donor | None = None
    scaling: Scaling = SIGNED
    scaling_of_files: Scaling | None = None
    rgb: bool = True
