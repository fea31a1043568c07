"""`emotion-edge check-config`: finds files, models and labels that the settings name but that do not exist."""

from collections.abc import Iterator
from pathlib import Path

from edge.config import Settings
from edge.emotion.committee import committee_file, member_folders, read_committee
from edge.emotion.groups import published_labels
from edge.errors import EmotionEdgeError
from edge.models.card import EmotionCard, read_card
from edge.models.released import model_dir
from edge.record.database import path_to_write
from edge.system.service_user import SERVICE_USER, hidden_from_service


def config_problems(settings: Settings, file: Path | None, service: bool) -> list[str]:
    """Return a line for each file, model or label that is named but missing or unreadable; empty if there is none.

    Args:
        settings: the settings to check.
        file: the file from which they were read.
        service: whether this runs as the service's user, who cannot see home folders.
    """
    found = list(_unreadable(settings, service))
    if file:
        found += _problem(f"settings file {file}", file, service)
    try:
        labels = _model_labels(settings.emotion.model)
    except (EmotionEdgeError, OSError) as error:
        found.append(f"emotion.model: {error}")
    else:
        try:
            published_labels(settings.emotion, labels)
        except EmotionEdgeError as error:
            found.append(str(error))
    try:
        path_to_write(settings.record)
    except EmotionEdgeError as error:
        found.append(str(error))
    return found


def _model_labels(name: str) -> tuple[str, ...]:
    """Return the labels of a model, or of the first model of a committee."""
    file = committee_file(name)
    folder = model_dir(read_committee(file).members[0].model) if file else member_folders(name)[0]
    return read_card(EmotionCard, folder).primary.labels


def _unreadable(settings: Settings, service: bool) -> Iterator[str]:
    for section, keys in settings:
        for key, value in keys:
            if isinstance(value, Path) and (section, key) != ("record", "file"):
                yield from _problem(f"{section}.{key} {value}", value, service)


def _problem(name: str, path: Path, service: bool) -> Iterator[str]:
    if service and hidden_from_service(path):
        yield f"{name}: the service sees no home folders (put it into /etc/emotion-edge)"
        return
    try:
        if not path.is_dir():
            path.open("rb").close()
    except OSError as error:
        who = f" by the service's user, {SERVICE_USER}" if service and isinstance(error, PermissionError) else ""
        yield f"{name}: {(error.strerror or str(error)).lower()}{who}"
