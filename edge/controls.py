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

from edge.system.atomic_file import write_atomically
from edge.system.state_folder import state_folder

_log = logging.getLogger(__name__)

SWITCHES: Final = ("detection", "privacy")
SNAPSHOT: Final = "snapshot"
PRESS: Final = "PRESS"
"""What asks for a snapshot: the word of Home Assistant's buttons."""

_OF_ONE: Final = "controls.json"
_OF_SEVERAL: Final = "controls-{}.json"
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Switches:
    """detection: faces are looked for. privacy: the camera is let go, and no picture is taken, shown or sent."""

    detection: bool = True
    privacy: bool = False


class Controls:
    """What is wanted and what is so. Every method may be called from any thread.

    names_before: what the device was called by whoever left the switches so, where that is not its name now.
    """

    def __init__(self, memory: Path | None = None, snapshots: bool = False, device: str = "") -> None:
        """memory: the file that keeps the switches through a restart; None: nothing is kept.

        snapshots: whether pictures may be asked for. device: what the device is called now.
        A memory that cannot be understood means privacy: who had switched the camera off must not be filmed because a
        file broke. Nor because the device was renamed: a memory that is not there begins as the most private of those
        beside it.
        """
        self._lock = threading.Lock()
        self._memory = memory
        self._device = device
        kept = _recalled(memory) if memory else _Kept(Switches(), (device,))
        self._wanted = kept.switches
        self.names_before = tuple(name for name in kept.devices if name not in ("", device))
        if memory and kept.whole and kept.devices != (device,):
            _remember(memory, self._wanted, device)
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
                _remember(self._memory, self._wanted, self._device)

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
    """Where the switches of a device are kept.

    A service has a folder of its own (each instance another), where the device may be renamed; in the user's own, any
    number of devices have theirs.
    """
    own = "STATE_DIRECTORY" in os.environ
    return state_folder() / (_OF_ONE if own else _OF_SEVERAL.format(device_id))


@dataclass(frozen=True, slots=True)
class _Kept:
    """devices: what those were called who left the switches so, as far as is known. whole: all could be understood."""

    switches: Switches
    devices: tuple[str, ...] = ()
    whole: bool = True


def _recalled(memory: Path) -> _Kept:
    found = _read(memory)
    if found is None:
        others = [kept for path in sorted(memory.parent.glob(_OF_SEVERAL.format("*"))) if (kept := _read(path))]
        detection = all(kept.switches.detection for kept in others)
        privacy = any(kept.switches.privacy for kept in others)
        devices = tuple(name for kept in others for name in kept.devices)
        found = _Kept(Switches(detection, privacy), devices, all(kept.whole for kept in others))
    for name in SWITCHES:
        if found.whole and getattr(found.switches, name) != getattr(Switches(), name):
            _log.info("%s: %s, as it was left", name, "on" if getattr(found.switches, name) else "off")
    return found


def _read(memory: Path) -> _Kept | None:
    """What a memory says; None where it is not there."""
    try:
        kept = json.loads(memory.read_text(encoding="utf-8"))
        switches = Switches(**{name: kept[name] for name in SWITCHES})
        if not all(isinstance(on, bool) for on in asdict(switches).values()):
            raise TypeError("a switch is neither true nor false")
        return _Kept(switches, (str(kept.get("device", "")),))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("privacy is on: %s cannot be understood (%s); delete it, or switch privacy off", memory, error)
        return _Kept(Switches(privacy=True), whole=False)


def _remember(memory: Path, switches: Switches, device: str) -> None:
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(memory, json.dumps({**asdict(switches), "device": device}).encode(), 0o600)
    except OSError as error:
        _log.warning("the switches will not outlast a restart: %s cannot be written: %s", memory, error)


def _shortened(payload: bytes) -> str:
    text = payload[: _SHOWN + 1].decode(errors="replace")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
