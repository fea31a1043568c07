"""Reads and checks files to install on a board, named in a site or inventory file: certificates, models etc."""

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edge.config import Settings
from edge.errors import EmotionEdgeError

FOLDERS: Final = ("/etc/emotion-edge", "/srv/emotion-edge")
"""Folders in which files may be installed (as root:emotion-edge, 0640), as the service can read them."""

_TARGET: Final = re.compile(rf"({'|'.join(FOLDERS)})(/[A-Za-z0-9_][A-Za-z0-9._-]*)+")
_OWN: Final = "/etc/emotion-edge/config.yaml"
_MAX_BYTES: Final = 64 << 20


def read_files(files: Mapping[str, Path], where: str) -> dict[str, bytes]:
    """Read the files for a board.

    Args:
        files: the source on this machine, a file or a folder, by absolute path on the board.
        where: the file that names them, for messages.

    Returns:
        Contents by absolute path on the board.

    Raises:
        EmotionEdgeError: for a target outside of FOLDERS, and a source that cannot be read, is empty or too large.
    """
    found: dict[str, bytes] = {}
    for target, name in files.items():
        source = name.expanduser()
        try:
            parts = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
            for part in parts:
                path = f"{target}/{part.relative_to(source)}" if source.is_dir() else target
                if not _TARGET.fullmatch(path) or path == _OWN:
                    raise EmotionEdgeError(
                        f"{where}: files: {path}: must be below {' or '.join(FOLDERS)}, of letters, digits, . _ - "
                        f"(settings of the daemon belong under `settings:` or `config:`)"
                    )
                found[path] = part.read_bytes()
        except OSError as error:
            raise EmotionEdgeError(f"{where}: files: {name}: cannot be read: {error.strerror}") from None
        if not parts:
            raise EmotionEdgeError(f"{where}: files: {name}: the folder is empty")
    if (size := sum(map(len, found.values()))) > _MAX_BYTES:
        raise EmotionEdgeError(f"{where}: files: {size / 1e6:.0f} MB are too many ({_MAX_BYTES / 1e6:.0f} MB at most)")
    return found


def check_against(settings: Settings, files: Mapping[str, bytes], where: str, complete: bool) -> None:
    """Check the files that the daemon's settings name before they are on the board.

    Args:
        settings: settings of the daemon.
        files: contents by path on the board.
        where: the file that names them, for messages.
        complete: True if the board has no other files below FOLDERS, so that a missing one is an error.

    Raises:
        EmotionEdgeError: for a named file that is missing, an unreadable certificate and an empty password file.
    """
    named = {
        f"{section}.{key}": str(value)
        for section, keys in settings
        for key, value in keys
        if isinstance(value, Path) and str(value).startswith(FOLDERS)
    }
    if settings.emotion.model.startswith(FOLDERS):
        named["emotion.model"] = f"{settings.emotion.model}/card.json"
    for name, path in named.items():
        if path in files:
            _check_content(name, path, files[path], where)
        elif complete and name != "record.file":
            raise EmotionEdgeError(f"{where}: settings: {name}: {path} is not on the board: add it under `files:`")


def _check_content(name: str, path: str, content: bytes, where: str) -> None:
    if name.endswith(("password_file", "token_file")) and not content.partition(b"\n")[0].strip():
        raise EmotionEdgeError(f"{where}: settings: {name}: the first line of {path} is empty")
    if name.endswith(("ca_file", "cert_file")):
        try:
            _as_certificates(content)
        except (ssl.SSLError, ValueError) as error:
            raise EmotionEdgeError(f"{where}: settings: {name}: {path} is no certificate (PEM): {error}") from None
    if name.endswith("key_file") and b"PRIVATE KEY-----" not in content:
        raise EmotionEdgeError(f"{where}: settings: {name}: {path} holds no private key (PEM)")


def _as_certificates(content: bytes) -> Any:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return context.load_verify_locations(cadata=content.decode("ascii"))
