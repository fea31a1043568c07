"""What people may switch while the daemon runs, and how it is remembered: detection, privacy, and asking for a picture.

Outputs that hear people (MQTT) set what is wanted, from any thread; the daemon's loop does it between two frames, and
then says what is so.
"""

import json
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from edge.state import state_folder

_log = logging.getLogger(__name__)

SWITCHES: Final = ("detection", "privacy")
SNAPSHOT: Final = "snapshot"
PRESS: Final = "PRESS"
"""What asks for a snapshot: the word of Home Assistant's buttons."""

_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Switches:
    """detection: faces are looked for. privacy: the camera is let go, and no picture is taken, shown or sent."""

    detection: bool = True
    privacy: bool = False


class Controls:
    """What is wanted and what is so. Every method may be called from any thread."""

    def __init__(self, memory: Path | None = None, snapshots: bool = False) -> None:
        """memory: the file that keeps the switches through a restart; None: nothing is kept.

        snapshots: whether pictures may be asked for. A memory that cannot be understood means privacy: who had switched
        the camera off must not be filmed because a file broke.
        """
        self._lock = threading.Lock()
        self._memory = memory
        self._wanted = _recalled(memory) if memory else Switches()
        self._applied: Switches | None = None
        self._snapshots = snapshots
        self._asked = False
        self._listeners: list[Callable[[Switches], None]] = []

    @property
    def wanted(self) -> Switches:
        """How things should be."""
        return self._wanted

    @property
    def names(self) -> tuple[str, ...]:
        """The controls that there are, as in their topics."""
        return (*SWITCHES, SNAPSHOT) if self._snapshots else SWITCHES

    def obey(self, control: str, payload: bytes) -> None:
        """Do what a message on `<control>/set` asks for: `ON` or `OFF`, or `PRESS` for a snapshot.

        Anything else is ignored with a line in the log.
        """
        word = payload.decode(errors="replace").strip().upper()
        if control in SWITCHES and word in ("ON", "OFF"):
            self.switch(control, word == "ON")
        elif control == SNAPSHOT and self._snapshots and word == PRESS:
            self.ask_snapshot()
        else:
            known = PRESS if control == SNAPSHOT else "ON or OFF"
            _log.warning("%s/set: %r is ignored (known: %s)", control, _shortened(payload), known)

    def switch(self, name: str, on: bool) -> None:
        """Want a switch of `Switches` on or off; remembered at once."""
        with self._lock:
            before, self._wanted = self._wanted, replace(self._wanted, **{name: on})
            if self._wanted == before:
                return
            _log.info("%s: %s", name, "on" if on else "off")
            if self._memory:
                _remember(self._memory, self._wanted)

    def ask_snapshot(self) -> None:
        """Want a picture of the next frame."""
        self._asked = True

    def take_snapshot(self) -> bool:
        """Whether a picture was asked for since the last call."""
        asked, self._asked = self._asked, False
        return asked

    def listen(self, told: Callable[[Switches], None]) -> None:
        """Have `told` called with what is so, now if it is known, and whenever it changes; it must not wait."""
        with self._lock:
            self._listeners.append(told)
            applied = self._applied
        if applied:
            told(applied)

    def applied(self, switches: Switches) -> None:
        """The daemon's word that things are so now."""
        with self._lock:
            self._applied = switches
            listeners = list(self._listeners)
        for told in listeners:
            told(switches)


def memory_file(device_id: str) -> Path:
    """Where the switches of a device are kept."""
    return state_folder() / f"controls-{device_id}.json"


def _recalled(memory: Path) -> Switches:
    try:
        kept = json.loads(memory.read_text(encoding="utf-8"))
        switches = Switches(**{name: kept[name] for name in SWITCHES})
        if not all(isinstance(on, bool) for on in asdict(switches).values()):
            raise TypeError("a switch is neither true nor false")
    except (FileNotFoundError, NotADirectoryError):
        return Switches()
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("privacy is on: %s cannot be understood (%s); delete it, or switch privacy off", memory, error)
        return Switches(privacy=True)
    for name in SWITCHES:
        if getattr(switches, name) != getattr(Switches(), name):
            _log.info("%s: %s, as it was left", name, "on" if getattr(switches, name) else "off")
    return switches


def _remember(memory: Path, switches: Switches) -> None:
    """Write a new file, then put it in the old one's place: a power cut leaves the one or the other."""
    fresh = memory.with_suffix(".new")
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(asdict(switches), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(memory)
    except OSError as error:
        _log.warning("the switches will not outlast a restart: %s cannot be written: %s", memory, error)


def _shortened(payload: bytes) -> str:
    text = payload[: _SHOWN + 1].decode(errors="replace")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
