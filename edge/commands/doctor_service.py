"""Checks of `emotion-edge doctor`: the service, its page and record, the disk and the clock."""

import errno
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Final

from edge.commands.finding import Finding
from edge.config import Settings
from edge.record.database import path_to_write
from edge.system.clock import synchronised
from edge.system.state_folder import state_folder

_UNIT: Final = "emotion-edge.service"
_FREE_MB: Final = 200
"""Megabytes of free disk space below which an update or a model may not fit."""


def service_properties() -> dict[str, str]:
    """Return the service's properties by their names in systemctl; empty if the service is not installed."""
    names = ("LoadState", "ActiveState", "StatusText", "NRestarts", "Result")
    command = ["systemctl", "show", _UNIT, *(f"--property={name}" for name in names)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return found if found.get("LoadState") == "loaded" else {}


def service(_: Settings) -> Finding:
    """Check whether the systemd service runs."""
    found = service_properties()
    if not found:
        return Finding("note", "not installed as a service")
    restarts = f", restarted {found['NRestarts']} times" if found.get("NRestarts", "0") != "0" else ""
    match found.get("ActiveState"):
        case "active":
            return Finding("ok", f"runs{restarts}; {found.get('StatusText') or 'no status yet'}")
        case "inactive":
            return Finding("note", "installed, but does not run (sudo systemctl start emotion-edge)")
        case state:
            return Finding(
                "fault", f"{state} ({found.get('Result')}){restarts}: `journalctl -u emotion-edge` has the reason"
            )


def page(settings: Settings) -> Finding:
    """Check whether the live page is switched off, answers, or is not served."""
    web = settings.web
    if not web.enabled:
        return Finding("note", "switched off (web.enabled)")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(web.host, web.host)
    try:
        socket.create_connection((host, web.port), timeout=3).close()
    except OSError:
        return Finding("note", f"nobody answers at {web.host}:{web.port}; the daemon serves it while it runs")
    return Finding("ok", f"{web.host}:{web.port} answers")


def record(settings: Settings) -> Finding:
    """Check whether the record is on, and can be written."""
    if not settings.record.enabled:
        return Finding("note", "off (record.enabled)")
    path = path_to_write(settings.record)
    try:
        if path.exists():
            with path.open("r+b"):
                return Finding("ok", f"{path}, {path.stat().st_size / 1e6:.1f} MB")
        folder = _existing(path.absolute().parent)
        if not _writable(folder):
            return Finding("fault", f"{path}: {folder} cannot be written by this user")
    except OSError as error:
        return Finding("fault", f"{path}: {error.strerror or error}")
    return Finding("ok", f"{path}, not begun yet")


def disk(_: Settings) -> Finding:
    """Check whether the state folder is writable and has free space."""
    folder = state_folder()
    there = _existing(folder)
    free = shutil.disk_usage(there).free // 1_000_000
    if not folder.exists() and "STATE_DIRECTORY" in os.environ:
        return Finding("note", f"{folder} is made when the service starts; {free} MB free at {there}")
    if not _writable(there):
        return Finding("fault", f"{folder} cannot be written: switches, models and the record are not kept")
    if free < _FREE_MB:
        return Finding("note", f"{free} MB free at {there}: an update or another model may not fit")
    return Finding("ok", f"{free} MB free at {there}")


def clock(_: Settings) -> Finding:
    """Check whether the clock is right."""
    match synchronised():
        case True:
            return Finding("ok", "synchronised")
        case False:
            return Finding("note", "not synchronised: times may be wrong, and the record deletes nothing by age")
        case _:
            return Finding("note", "cannot be asked whether it is synchronised")


def _existing(path: Path) -> Path:
    """Return the folder, or its nearest parent that exists. Raises OSError if that is no folder."""
    nearest = next(folder for folder in (path, *path.parents) if folder.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{nearest} is no folder")
    return nearest


def _writable(folder: Path) -> bool:
    try:
        (probe := folder / ".emotion-edge-probe").touch()
        probe.unlink()
    except OSError:
        return False
    return True
