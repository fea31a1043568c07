"""Reads the settings again while the daemon runs, and applies those that can change without a restart."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from edge.config.fields import on_reload, setting_names
from edge.config.setting_types import OnReload
from edge.config.settings import Settings
from edge.errors import EmotionEdgeError
from edge.system.systemd import Notifier

_log = logging.getLogger(__name__)


def merged(running: Settings, wanted: Settings) -> tuple[Settings, list[str], list[str]]:
    """Merge settings: values from `wanted` if they can change without a restart, all others from `running`.

    Returns the merged settings, the names that changed in them, and the names that differ but need a restart.
    """
    sections: dict[str, dict[str, Any]] = {}
    left = []
    for name in setting_names():
        section, key = name.split(".")
        value = getattr(getattr(wanted, section), key)
        if value == getattr(getattr(running, section), key):
            continue
        if on_reload(name) is OnReload.LIVE:
            sections.setdefault(section, {})[key] = value
        else:
            left.append(name)
    update = {section: getattr(running, section).model_copy(update=keys) for section, keys in sections.items()}
    applied = [f"{section}.{key}" for section, keys in sections.items() for key in keys]
    return running.model_copy(update=update), applied, left


class Reloader:
    """Reads the settings again on request, in a thread of its own."""

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Settings] | None,
        notifier: Notifier,
        asked: threading.Event | None = None,
    ) -> None:
        """Create the reloader; `start` starts its thread.

        Args:
            settings: the settings at the start of the daemon.
            read: reads the settings again, as `edge.config.load.load`; None: they never change.
            notifier: is told when a reload begins and ends.
            asked: event that requests a reload when it is set.
        """
        self._settings = settings
        self._read = read
        self._notifier = notifier
        self._asked = asked or threading.Event()
        self._listeners: Sequence[Callable[[Settings], None]] = ()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="settings")

    @property
    def settings(self) -> Settings:
        """The settings that are in effect. Thread-safe."""
        return self._settings

    def start(self, listeners: Sequence[Callable[[Settings], None]]) -> None:
        """Start the thread, which reloads on request, at once if that was requested before.

        listeners: called with the new settings, in order; if the first raises EmotionEdgeError, nothing is changed.
        """
        self._listeners = listeners
        if self._read:
            self._thread.start()

    def ask(self) -> None:
        """Request a reload; may be called from a signal handler."""
        self._asked.set()

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._asked.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            if self._closed:
                return
            self._notifier.reloading()
            try:
                self._reload()
            except (EmotionEdgeError, OSError) as error:
                _log.error("settings: nothing is changed: %s", str(error).replace("\nemotion-edge: ", "; "))
            except Exception:
                # The thread must survive an unexpected error, to serve the next request.
                _log.exception("settings: nothing is changed")
            finally:
                self._notifier.ready()

    def _reload(self) -> None:
        assert self._read
        settings, applied, left = merged(self._settings, self._read())
        if left:
            _log.warning("settings: %s: changed, but needs a restart", ", ".join(left))
        if applied:
            for listener in self._listeners:
                listener(settings)
            self._settings = settings
            _log.info("settings: applied: %s", ", ".join(applied))
        elif not left:
            _log.info("settings: nothing has changed")
