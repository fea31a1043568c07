"""Rejects an int8 file whose predictions seldom agree with those of its float network."""

from typing import Final

from edge.errors import EmotionEdgeError

LEAST: Final = 0.5
"""Least share of images with equal predictions of file and float network for a file to be written; usually 0.95."""


class DisagreementError(EmotionEdgeError):
    """An int8 file does not agree with its float network."""

    status = 1


def check_agreement(name: str, same: float, force: bool) -> None:
    """Check the agreement of one output.

    Args:
        name: Name of the output, for the message.
        same: Share of the images for which file and float network predict the same label, 0 to 1.
        force: True accepts any share.

    Raises:
        DisagreementError: `same` is below LEAST.
    """
    if same < LEAST and not force:
        raise DisagreementError(
            f"output {name}: the int8 file has the float network's label for only {same:.0%} of the images; it is not "
            "written. Wrong calibration images or --value-range, or layers that int8 cannot hold, are the usual causes "
            "(docs/quantization.md, Your own Keras model); --force writes it all the same"
        )
