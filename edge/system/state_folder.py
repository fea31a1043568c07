"""Locates the state folder, which keeps data over a restart."""

import os
from pathlib import Path
from typing import Final

SERVICE_STATE: Final = Path("/var/lib/emotion-edge")
"""The state folder of the service; those of its instances are in it."""


def state_folder() -> Path:
    """Return the state folder: the one that systemd sets (StateDirectory=), else one in the user's home.

    The names of the environment variables are from systemd.exec(5) and the XDG Base Directory Specification.
    """
    if given := os.environ.get("STATE_DIRECTORY", "").split(":")[0]:
        return Path(given)
    return Path(os.environ.get("XDG_STATE_HOME") or home() / ".local" / "state") / "emotion-edge"


def home() -> Path:
    """Return the user's home folder; a path that does not exist if the user has none."""
    try:
        return Path.home()
    except RuntimeError:
        # There is neither $HOME nor an entry in the user database.
        return Path("/nonexistent")


def expanded(path: Path | str) -> Path:
    """Replace `~` at the beginning of a path; unchanged if there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
