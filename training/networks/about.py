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
    """source: the paper or page, with the year. parameters, multiply_adds: of the defaults at 48x48, 1 channel, heads
    ferplus8, fer7 and affect. int8: whether it can be made full int8, and what of the Edge TPU. imagenet: its
    pretrained network, None where there is none. scaling: what those weights want. scaling_of_files: what an .h5 file
    in Keras's older format wants, where that is something else. rgb: whether both want the channels red first (our
    images are blue first).
    """

    source: str
    parameters: int
    multiply_adds: int
    int8: str
    imagenet: Donor | None = None
    scaling: Scaling = SIGNED
    scaling_of_files: Scaling | None = None
    rgb: bool = True
