"""Tells which installed model runs in place of one that the settings name.

`<state folder>/models` holds a folder for every installed model, and `active.json`, which says which of them runs in
place of which name. `edge/model_updates/install.py` writes both.
"""

import json
import logging
import os
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from edge.errors import EmotionEdgeError
from edge.models.card import read_any_card
from edge.models.trial import Stamp, failure
from edge.system.state_folder import SERVICE_STATE, state_folder

_log = logging.getLogger(__name__)

ACTIVE_FILE: Final = "active.json"


class Installed(BaseModel):
    """The models that were installed in place of one name in the settings.

    Attributes:
        runs: folder of the model that runs, below the models folder; None: the released model of that name.
        before: folder of the model that ran previously; None: the released model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: str | None
    before: str | None


class ActiveModels(BaseModel):
    """The content of active.json.

    Attributes:
        places: the installed models by the name that the settings use.
        changed: the name whose model was changed last; empty if an earlier version wrote the file.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: int = 1
    places: dict[str, Installed] = {}
    changed: str = ""


def models_folder() -> Path:
    """Return the folder of installed models: the service's, for all its instances, or the user's. It may not exist."""
    state = state_folder()
    of_service = SERVICE_STATE in (state, *state.parents)
    if of_service or ("STATE_DIRECTORY" not in os.environ and SERVICE_STATE.is_dir()):
        return SERVICE_STATE / "models"
    return state / "models"


def active_stamp() -> Stamp | None:
    """Return a value that changes with every install and rollback; None if nothing was ever installed."""
    try:
        found = (models_folder() / ACTIVE_FILE).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def active_model(name: str) -> str:
    """Return the model to load for a name in the settings: the folder of the installed one, else the name itself.

    An installed model that is damaged, missing or ended the analysis is skipped with a warning, in favour of the
    previous one, then of the name.
    """
    try:
        active = read_active()
    except EmotionEdgeError as error:
        _log.warning("%s; %s runs as released", error, name)
        return name
    installed = active.places.get(name, Installed(runs=None, before=None))
    why = failure(active_stamp()) if name == active.changed else ""
    for folder in (installed.runs, installed.before):
        if folder is None:
            break
        if why and folder == installed.runs:
            _log.warning("the model installed in place of %s (%s) is skipped: %s", name, folder, why)
            continue
        try:
            read_any_card(path := models_folder() / folder)
        except (EmotionEdgeError, OSError) as error:
            _log.warning("the model installed in place of %s is skipped: %s", name, error)
            continue
        return str(path)
    return name


def is_skipped(name: str) -> bool:
    """Whether the model installed for a name is skipped because it ended the analysis. Raises EmotionEdgeError."""
    return read_active().changed == name and bool(failure(active_stamp()))


def installed_for(name: str) -> Installed:
    """Return the models installed for a name, intact or not. Raises EmotionEdgeError if active.json is damaged."""
    return read_active().places.get(name, Installed(runs=None, before=None))


def read_active() -> ActiveModels:
    """Read active.json; empty if it does not exist. Raises EmotionEdgeError if it is damaged."""
    path = models_folder() / ACTIVE_FILE
    try:
        return ActiveModels.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ActiveModels()
    except (OSError, ValidationError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged"
        raise EmotionEdgeError(f"installed models: {path} cannot be read: {reason}") from error
