"""Where the daemon keeps what outlasts a restart."""

import os
from pathlib import Path
from typing import Final

SERVICE_STATE: Final = Path("/var/lib/emotion-edge")
"""The state folder of the service; those of its instances are in it."""


def state_folder() -> Path:
    """The folder set by systemd (StateDirectory=), else one in the user's home.

    The environment's names are those of systemd.exec(5) and of the XDG Base Directory Specification.
    """
    if given := os.environ.get("STATE_DIRECTORY", "").split(":")[0]:
        return Path(given)
    return Path(os.environ.get("XDG_STATE_HOME") or home() / ".local" / "state") / "emotion-edge"


def home() -> Path:
    """The user's home folder; a path that does not exist where the user has none."""
    try:
        return Path.home()
    except RuntimeError:  # neither $HOME nor an entry in the user database
        return Path("/nonexistent")


def expanded(path: Path | str) -> Path:
    """The path with `~` at its beginning replaced; as it is where that names nobody's home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
