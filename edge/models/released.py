"""Finds released models: in a checkout's models/, or in share/emotion-edge/models of an installation."""

import sys
from pathlib import Path
from typing import Final

from edge.errors import EmotionEdgeError
from edge.models.card import CARD_FILE
from edge.system.state_folder import expanded

MODEL_FOLDERS: Final = (
    Path(__file__).resolve().parents[2] / "models",
    Path("/usr/share/emotion-edge/models"),
    Path(sys.prefix) / "share" / "emotion-edge" / "models",
)
"""Searched in this order: the checkout the package runs from, the system's, the virtual environment's."""


def installed_models() -> dict[str, Path]:
    """The folders of the models that are here, by name, sorted; of two with one name the first found."""
    found: dict[str, Path] = {}
    for folder in MODEL_FOLDERS:
        for card in folder.glob(f"*/{CARD_FILE}"):
            found.setdefault(card.parent.name, card.parent)
    return dict(sorted(found.items()))


def model_dir(name_or_path: str) -> Path:
    """The folder of a model: of a released one by its name, or any folder by its path.

    Raises EmotionEdgeError when it is neither, with the models that are here, or when its path cannot be followed.
    """
    found = installed_models()
    if name_or_path in found:
        return found[name_or_path]
    try:
        if (path := expanded(name_or_path)).is_dir():
            return path
    except (OSError, RuntimeError) as error:  # a parent folder that is not readable; `~` without a home
        raise EmotionEdgeError(f"model {name_or_path!r}: cannot be looked at: {error}") from error
    here = ", ".join(found) or f"none in {', '.join(map(str, MODEL_FOLDERS))}"
    raise EmotionEdgeError(f"model {name_or_path!r}: not there, neither by name nor as a folder (models here: {here})")
