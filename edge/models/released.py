"""Finds released models: in the models/ of a checkout, or in share/emotion-edge/models of an installation."""

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
"""Folders of released models, searched in order: the checkout's, the system's, the virtual environment's."""


def installed_models() -> dict[str, Path]:
    """Return the folders of the models on this machine, sorted by name; of two with one name, the first found."""
    found: dict[str, Path] = {}
    for folder in MODEL_FOLDERS:
        for card in folder.glob(f"*/{CARD_FILE}"):
            found.setdefault(card.parent.name, card.parent)
    return dict(sorted(found.items()))


def model_dir(name_or_path: str) -> Path:
    """Return the folder of a model, given the name of a released one or any folder's path.

    Raises EmotionEdgeError, which lists the models on this machine, if it is neither or the path cannot be followed.
    """
    found = installed_models()
    if name_or_path in found:
        return found[name_or_path]
    try:
        if (path := expanded(name_or_path)).is_dir():
            return path
    except (OSError, RuntimeError) as error:
        # A parent folder is not readable, or `~` has no home.
        raise EmotionEdgeError(f"model {name_or_path!r}: cannot be looked at: {error}") from error
    here = ", ".join(found) or f"none in {', '.join(map(str, MODEL_FOLDERS))}"
    raise EmotionEdgeError(f"model {name_or_path!r}: not there, neither by name nor as a folder (models here: {here})")
