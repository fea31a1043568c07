"""The emotion model that users choose over MQTT while the daemon runs, among those with the same labels.

A choice survives a restart, until another model is installed or emotion.model changes.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from edge.errors import printable
from edge.models.trial import Stamp
from edge.system.atomic_file import write_atomically
from edge.system.state_folder import state_folder

_log = logging.getLogger(__name__)

CHOICE_FILE: Final = "model-choice.json"


class _Choice(BaseModel):
    """The stored choice. model: its name. settings, stamp: emotion.model and `active_stamp()` when it was made."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: str
    settings: str
    stamp: Stamp | None


class ModelChoice:
    """Keeps the chosen emotion model. Thread-safe.

    Attributes:
        name: the model to run, as in emotion.model.
        options: the names that may be chosen.
    """

    def __init__(self, configured: str, stamp: Stamp | None) -> None:
        """Read the stored choice.

        Args:
            configured: emotion.model of the settings.
            stamp: current value of `active_stamp()`; a stored choice with another stamp is dropped.
        """
        self._configured = configured
        self._stamp = stamp
        self.options: tuple[str, ...] = ()
        self._own = configured
        chosen = _read()
        kept = chosen is not None and (chosen.settings, chosen.stamp) == (configured, stamp)
        self.name = chosen.model if chosen and kept else configured

    def offer(self, names: Sequence[str], running: str) -> None:
        """Offer models for selection over MQTT.

        Args:
            names: models on the board.
            running: the name in the card of the model that runs, which may differ from the configured name if another
                model is installed in its place.
        """
        self._own = running if self.name == self._configured else self._configured
        self.options = tuple(dict.fromkeys((self._own, *names)))

    def choose(self, payload: bytes) -> None:
        """Choose a model by its name; an unknown name is logged and ignored."""
        name = payload[:200].decode(errors="replace").strip()
        if name not in self.options:
            _log.warning("model: %s is not one to choose from (%s)", printable(name)[:60], ", ".join(self.options))
            return
        self.name = self._configured if name == self._own else name
        choice = _Choice(model=self.name, settings=self._configured, stamp=self._stamp)
        file = _file()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, choice.model_dump_json().encode())
        except OSError as error:
            _log.warning("model: the choice of %s is lost at the next start: %s: %s", name, file, error.strerror)

    def installed(self, stamp: Stamp | None) -> None:
        """Drop the choice because another model was installed: the configured name counts again."""
        self._stamp = stamp
        self.name = self._configured


def _file() -> Path:
    return state_folder() / CHOICE_FILE


def _read() -> _Choice | None:
    try:
        with _file().open("rb") as file:
            return _Choice.model_validate(json.loads(file.read(10_000)))
    except (OSError, ValueError, ValidationError, RecursionError):
        return None
