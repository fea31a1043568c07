"""Loads another model while the daemon runs: after an install or rollback, or when one is chosen over MQTT."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from edge.config import Settings
from edge.emotion.classifier import Classifier, open_classifier
from edge.errors import EmotionEdgeError
from edge.models.active import active_stamp
from edge.models.card import EmotionCard
from edge.models.choice import ModelChoice
from edge.models.runtime import Runtime
from edge.models.trial import Stamp

_log = logging.getLogger(__name__)

_CHECK_S: Final = 1.0
"""Seconds between two checks of active.json."""


def with_model(settings: Settings, name: str) -> Settings:
    """Return the settings with another emotion.model."""
    return settings.model_copy(update={"emotion": settings.emotion.model_copy(update={"model": name})})


class ModelWatch:
    """A thread that watches active.json and the choice over MQTT, and loads another model when one of them changes.

    The analysis continues meanwhile.
    """

    def __init__(
        self,
        settings: Settings,
        runtime: Runtime,
        running: EmotionCard,
        seen: Stamp | None,
        choice: ModelChoice,
        swap: Callable[[Classifier], None],
    ) -> None:
        """Start the thread.

        Args:
            settings: settings of the daemon.
            runtime: interpreter for the models.
            running: card of the model that runs.
            seen: what `active_stamp()` returned before that model was opened; a later value means a new install.
            choice: the model chosen over MQTT.
            swap: called with each new classifier, in this thread.
        """
        self._settings = settings
        self._runtime = runtime
        self._running = running
        self._seen = seen
        self._choice = choice
        self._name = choice.name
        self._swap = swap
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="models")
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            if (found := active_stamp()) != self._seen:
                self._choice.installed(found)
            if found != self._seen or self._choice.name != self._name:
                self._seen, self._name = found, self._choice.name
                try:
                    self._load()
                except (EmotionEdgeError, OSError, RuntimeError, ValueError) as error:
                    _log.error("model: %s; %s keeps running", error, self._running.name)
                except Exception:
                    # The thread must survive, to handle the next install.
                    _log.exception("model: %s keeps running", self._running.name)
            if self._closed.wait(_CHECK_S):
                return

    def _load(self) -> None:
        settings = with_model(self._settings, self._name)
        classifier = open_classifier(settings.emotion, self._runtime, settings.runtime.threads)
        card, before = classifier.card, self._running
        if card.sha256 == before.sha256 and card.version == before.version:
            return
        if classifier.labels != before.primary.labels:
            _log.warning(
                "model: %s %s has other labels than %s (%s): restart the daemon to load it",
                *(card.name, card.version, before.name, ", ".join(classifier.labels)),
            )
            return
        self._running = card
        self._swap(classifier)
        _log.info("model: %s %s, %s, in place of %s", card.name, card.version, card.sha256[:12], before.name)
