"""Switches that people set while the daemon runs, and the request for a snapshot.

Detection and privacy are set by outputs that take commands (MQTT), from any thread; the analysis loop applies them
between two frames and reports that it did. They outlast a restart: a file keeps them.
"""

import json
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from edge.system.atomic_file import overwrite, write_atomically
from edge.system.backoff import Backoff
from edge.system.state_folder import state_folder

_log = logging.getLogger(__name__)

SWITCHES: Final = ("detection", "privacy")
SNAPSHOT: Final = "snapshot"
PRESS: Final = "PRESS"
"""Payload that asks for a snapshot, as Home Assistant's buttons send it."""

_FILE: Final = "controls.json"
_FILE_OF_DEVICE: Final = "controls-{}.json"
_SECTOR: Final = 512
"""Bytes that a disk writes whole or not at all."""
_RETRY_S: Final = (1.0, 60.0)
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Switches:
    """detection: look for faces. privacy: the camera is closed, and no picture is taken, shown or sent."""

    detection: bool = True
    privacy: bool = False


class Controls:
    """The switches as they are wanted and as they are applied. Every method may be called from any thread.

    A switch is acknowledged (listeners are told) once it is applied and on the disk. Where it cannot be written,
    privacy is switched on all the same, without an acknowledgement, and writing is tried again; any other switch stays
    as it was.

    former_devices: names of the device under which the switches were stored, where they are not its name now.
    """

    def __init__(self, file: Path | None = None, snapshots: bool = False, device: str = "") -> None:
        """Read the switches, and reserve their place on the disk: to change them then needs no free space.

        A file that cannot be read as switches means privacy, so that no camera opens because a file broke. A file that
        is not there begins as the most private of those beside it: the device may have been renamed.

        Args:
            file: keeps the switches; None: they are not kept.
            snapshots: whether snapshots may be asked for.
            device: name of the device now.
        """
        self._lock = threading.Lock()
        self._file = file
        self._device = device
        stored = _load(file) if file else _Stored(Switches(), (device,))
        self._wanted = self._kept = stored.switches
        self.former_devices = tuple(name for name in stored.devices if name not in ("", device))
        if file and stored.intact:
            self._reserve(file, _content(stored.switches, device))
        self._applied: Switches | None = None
        self._snapshots = snapshots
        self._snapshot_asked = False
        self._retrying = False
        self._listeners: list[Callable[[Switches], None]] = []

    @property
    def wanted(self) -> Switches:
        """The switches to apply."""
        return self._wanted

    @property
    def names(self) -> tuple[str, ...]:
        """The controls that there are, as in their topics."""
        return (*SWITCHES, SNAPSHOT) if self._snapshots else SWITCHES

    def handle(self, control: str, payload: bytes) -> None:
        """Carry out a message on `<control>/set`: `ON` or `OFF`, or `PRESS` for a snapshot.

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
        """Set a switch of `Switches`."""
        with self._lock:
            wanted = replace(self._wanted, **{name: on})
            if wanted == self._wanted:
                return
            urgent = name == "privacy" and on
            if urgent:
                self._wanted = wanted  # before the disk is waited for
            try:
                self._keep(wanted)
            except OSError as error:
                state = "is on, but may be off after a restart" if urgent else "stays as it is"
                _log.error("%s: %s: %s cannot be written: %s", name, state, self._file, error.strerror or error)
                if urgent:
                    self._retry()
            else:
                self._wanted = wanted
                _log.info("%s: %s", name, "on" if on else "off")
        if self._wanted != wanted:
            self._acknowledge()  # as it is: who asked may show the switch as set already

    def ask_snapshot(self) -> None:
        """Ask for a picture of the next frame."""
        self._snapshot_asked = True

    def take_snapshot(self) -> bool:
        """Whether a snapshot was asked for since the last call."""
        asked, self._snapshot_asked = self._snapshot_asked, False
        return asked

    def add_listener(self, listener: Callable[[Switches], None]) -> None:
        """Call `listener` with the acknowledged switches, now and at each change; it must not block."""
        with self._lock:
            self._listeners.append(listener)
            applied = self._applied if self._applied == self._kept else None
        if applied:
            listener(applied)

    def applied(self, switches: Switches) -> None:
        """Report that the analysis loop has applied these switches."""
        with self._lock:
            self._applied = switches
        self._acknowledge()

    def _acknowledge(self) -> None:
        with self._lock:
            switches = self._applied if self._applied == self._kept else None
            listeners = list(self._listeners)
        if switches:
            for listener in listeners:
                listener(switches)

    def _keep(self, switches: Switches) -> None:
        """Store the switches for the next start. Raises OSError where that fails."""
        if self._file and switches != self._kept:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            overwrite(self._file, _content(switches, self._device), 0o600)
        self._kept = switches

    def _reserve(self, file: Path, content: bytes) -> None:
        try:
            if not (file.is_file() and file.read_bytes() == content):
                file.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(file, content, 0o600)
        except OSError as error:
            _log.warning("switches cannot be kept: %s cannot be written: %s", file, error.strerror or error)

    def _retry(self) -> None:
        """Try to store the switches again until it is done, in a thread of its own."""
        if not self._retrying:
            self._retrying = True
            threading.Thread(target=self._retry_until_kept, name="switches", daemon=True).start()

    def _retry_until_kept(self) -> None:
        backoff, pause = Backoff(*_RETRY_S), threading.Event()
        while not pause.wait(backoff.next()):
            with self._lock:
                try:
                    self._keep(self._wanted)
                except OSError:
                    continue
                self._retrying = False
            _log.info("switches: written to %s", self._file)
            self._acknowledge()
            return


def switches_file(device_id: str) -> Path:
    """The file that keeps the switches of a device.

    A service has a state folder of its own, each instance another, in which the device may be renamed; in a user's
    folder each device has a file.
    """
    own = "STATE_DIRECTORY" in os.environ
    return state_folder() / (_FILE if own else _FILE_OF_DEVICE.format(device_id))


@dataclass(frozen=True, slots=True)
class _Stored:
    """devices: names under which the switches were stored, where known. intact: every file could be read."""

    switches: Switches
    devices: tuple[str, ...] = ()
    intact: bool = True


def _load(file: Path) -> _Stored:
    found = _read(file)
    if found is None:
        others = [stored for path in sorted(file.parent.glob(_FILE_OF_DEVICE.format("*"))) if (stored := _read(path))]
        detection = all(stored.switches.detection for stored in others)
        privacy = any(stored.switches.privacy for stored in others)
        devices = tuple(name for stored in others for name in stored.devices)
        found = _Stored(Switches(detection, privacy), devices, all(stored.intact for stored in others))
    for name in SWITCHES:
        if found.intact and getattr(found.switches, name) != getattr(Switches(), name):
            _log.info("%s: %s, as it was left", name, "on" if getattr(found.switches, name) else "off")
    return found


def _read(file: Path) -> _Stored | None:
    """What a file keeps; None where it is not there."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        switches = Switches(**{name: stored[name] for name in SWITCHES})
        if not all(isinstance(on, bool) for on in asdict(switches).values()):
            raise TypeError("a switch is neither true nor false")
        return _Stored(switches, (str(stored.get("device", "")),))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        _log.warning("privacy is on: %s cannot be understood (%s); delete it, or switch privacy off", file, error)
        return _Stored(Switches(privacy=True), intact=False)


def _content(switches: Switches, device: str) -> bytes:
    """The file's content, of whole sectors."""
    text = json.dumps({**asdict(switches), "device": device}).encode()
    return text.ljust(-(-len(text) // _SECTOR) * _SECTOR - 1) + b"\n"


def _shortened(payload: bytes) -> str:
    text = payload[: _SHOWN + 1].decode(errors="replace")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
