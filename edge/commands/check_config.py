"""What the settings name and this machine has not: files and models. The settings themselves `edge.config` checks."""

from collections.abc import Iterator
from pathlib import Path

from edge.config import Settings
from edge.emotion.committee import committee_file, member_folders
from edge.errors import EmotionEdgeError
from edge.record.database import path_to_write


def complaints(settings: Settings) -> list[str]:
    """A line for each file or model that is named and cannot be had by whoever asks; empty where all is there."""
    found = list(_unreadable(settings))
    try:
        if committee_file(settings.emotion.model) is None:
            member_folders(settings.emotion.model)
    except (EmotionEdgeError, OSError) as error:
        found.append(f"emotion.model: {error}")
    try:
        path_to_write(settings.record)
    except EmotionEdgeError as error:
        found.append(str(error))
    return found


def _unreadable(settings: Settings) -> Iterator[str]:
    for section, keys in settings:
        for key, value in keys:
            if isinstance(value, Path) and (section, key) != ("record", "file"):
                try:
                    if not value.is_dir():
                        value.open("rb").close()
                except OSError as error:
                    yield f"{section}.{key} {value}: {(error.strerror or str(error)).lower()}"
