"""Reads the newest version that the board's updater has stored, without using the network."""

import re
from pathlib import Path
from typing import Final

UPDATES: Final = Path("/var/lib/emotion-deploy")
"""Folder of root for upgrades."""

NEWEST_FILE: Final = "newest-version"
"""File in UPDATES into which `systemd/update` writes the newest version that its apt source offers."""

_VERSION: Final = re.compile(r"(?:\d{1,6}:)?(\d{1,6}(?:\.\d{1,6}){0,5})[0-9A-Za-z.+~-]{0,60}", re.ASCII)


def newest_version(installed: str, folder: Path = UPDATES) -> str:
    """Return the version in the file if it is newer than the installed one, else the installed one.

    Args:
        installed: such as `0.1.0`.
        folder: where the file is.
    """
    try:
        with (folder / NEWEST_FILE).open("rb") as file:
            lines = file.read(100).decode("ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return installed
    found = _VERSION.fullmatch(lines[0].strip()) if lines else None
    if found and _numbers(found[1]) > _numbers(installed):
        return found[1]
    return installed


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:6])
