"""The switches `detection` and `privacy`, set by users while the daemon runs, and requests for snapshots.

Outputs that take commands (MQTT) set the switches from any thread; the analysis loop applies them between two frames
and reports that it did. A file keeps them over a restart.
"""

import json
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from edge.errors import shortened
from edge.system.atomic_file import overwrite, write_atomically
from edge.system.backoff import Backoff
from edge.system.state_folder import state_folder

_log = logging.getLogger(__name__)

SWITCHES: Final = ("detection", "privacy")
SNAPSHOT: Final = "snapshot"
PRESS: Final = "PRESS"
"""MQTT payload that requests a snapshot, as Home Assistant's buttons send it."""

_FILE: Final = "controls.json"
_FILE_OF_DEVICE: Final = "controls-{}.json"
_SECTOR: Final = 512
"""Bytes that a disk writes completely or not at all."""
_RETRY_S: Final = (1.0, 60.0)
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Switches:
    """State of switches. detection: search for faces. privacy: the camera is closed, no picture is shown or sent."""

    detection: bool = True
    privacy: bool = False


class Controls:
    """The switches as users set them and as the analysis applied them. Thread-safe.

    A change is acknowledged (listeners are called) once it is applied and on the disk. If it cannot be written, privacy
    is still switched on, without an acknowledgement, and writing is retried; any other change is dropped.

    former_devices: earlier names of this device, under which the switches were stored.
    """

    def __init__(self, file: Path | None = None, snapshots: bool = False, device: str = "") -> None:
        """Read the switches from the file, and reserve its space on the disk: changing them then needs no free space.

        A file that cannot be read means privacy on, so that no camera opens because a file is damaged. If the file is
        missing, it begins as the most private of the other devices' files in its folder: the device may have been
        renamed.

        Args:
            file: keeps the switches; None: they are lost at the end.
            snapshots: whether snapshots may be requested.
            device: current name of the device.
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
        """The switches as set by users, which the analysis is to apply."""
        return self._wanted

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the controls as in their topics: the switches, and `snapshot` if allowed."""
        return (*SWITCHES, SNAPSHOT) if self._snapshots else SWITCHES

    def handle(self, control: str, payload: bytes) -> None:
        """Carry out a message on `<control>/set`: `ON` or `OFF`, or `PRESS` for a snapshot.

        Any other message is logged and ignored.
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
        """Turn a switch on or off. name: `detection` or `privacy`."""
        with self._lock:
            wanted = replace(self._wanted, **{name: on})
            if wanted == self._wanted:
                return
            urgent = name == "privacy" and on
            if urgent:
                # Privacy takes effect before the slow write to the disk.
                self._wanted = wanted
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
            # Publish the unchanged state: the client that set the switch may already show it as changed.
            self._acknowledge()

    def ask_snapshot(self) -> None:
        """Request a picture of the next frame."""
        self._snapshot_asked = True

    def take_snapshot(self) -> bool:
        """Return whether a snapshot was requested since the last call, and clear the request."""
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
        """Write the switches to the file for the next start. Raises OSError."""
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
        """Start a thread that retries writing the switches until it succeeds, unless one is running."""
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
    """Return the path of the file that keeps a device's switches.

    Each instance of the service has a state folder of its own, with one file for whatever the device is named; in a
    user's folder each device has a file.
    """
    own = "STATE_DIRECTORY" in os.environ
    return state_folder() / (_FILE if own else _FILE_OF_DEVICE.format(device_id))


@dataclass(frozen=True, slots=True)
class _Stored:
    """Switches from files. devices: names under which they were stored, if known. intact: all files were readable."""

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
    """Read the switches from a file; None if it does not exist."""
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
    """Return the bytes of the file, padded to whole disk sectors."""
    text = json.dumps({**asdict(switches), "device": device}).encode()
    return text.ljust(-(-len(text) // _SECTOR) * _SECTOR - 1) + b"\n"


def _shortened(payload: bytes) -> str:
    return shortened(payload[: _SHOWN + 1].decode(errors="replace"), _SHOWN)
