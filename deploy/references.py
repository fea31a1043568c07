"""Secrets by reference in site and settings files: `{from_file: ...}`, `{from_env: ...}`, `{from_pass: ...}`."""

import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from edge.errors import EmotionEdgeError

_log = logging.getLogger(__name__)

_LINE_MAX: Final = 4096
_SECRETS: Final = ("password", "token", "server_token")
"""Keys whose values are secret."""


def resolve(tree: Any, folder: Path, where: str) -> Any:
    """Replace each reference in a YAML tree by the secret's text.

    Args:
        tree: mappings, lists and values as YAML gives them. A mapping with the one key `from_file` (a path, relative to
            `folder`), `from_env` (an environment variable) or `from_pass` (an entry of the password store) is a
            reference; its value is the first line.
        folder: folder of the file that the tree was read from.
        where: the file, for messages.

    Raises:
        EmotionEdgeError: A file, variable or entry that a reference names does not exist or is empty.
    """
    if isinstance(tree, dict):
        if len(tree) == 1 and (kind := next(iter(tree))) in _READERS:
            return _READERS[kind](str(tree[kind]), folder, where)
        return {key: resolve(value, folder, f"{where}: {key}") for key, value in tree.items()}
    if isinstance(tree, list):
        return [resolve(value, folder, where) for value in tree]
    return tree


def has_references(tree: Any) -> bool:
    """Return True if a YAML tree contains a reference to a secret, such as `{from_file: ...}`."""
    if isinstance(tree, dict):
        return (len(tree) == 1 and next(iter(tree)) in _READERS) or any(map(has_references, tree.values()))
    return isinstance(tree, list) and any(map(has_references, tree))


def warn_of_plaintext(tree: Any, path: Path) -> None:
    """Log a warning if a file contains a secret in plain text and other users can read it."""
    if not path.stat().st_mode & 0o044:
        return
    if found := next(_plaintext(tree), None):
        _log.warning(
            "%s: %s is in plain text, and other users can read the file: chmod 600 it, or use from_file, from_env or "
            "from_pass (docs/install.md)",
            path,
            found,
        )


def _plaintext(tree: Any, name: str = "") -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            below = f"{name}.{key}" if name else str(key)
            if key in _SECRETS and value and not isinstance(value, dict):
                yield below
            yield from _plaintext(value, below)


def _from_file(name: str, folder: Path, where: str) -> str:
    try:
        with (folder / Path(name).expanduser()).open("rb") as file:
            text = file.readline(_LINE_MAX + 1).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise EmotionEdgeError(f"{where}: from_file {name}: cannot be read: {error}") from None
    if len(text) > _LINE_MAX:
        raise EmotionEdgeError(f"{where}: from_file {name}: its first line is longer than {_LINE_MAX} characters")
    return _first_line(text, f"{where}: from_file {name}")


def _from_env(name: str, _folder: Path, where: str) -> str:
    return _first_line(os.environ.get(name, ""), f"{where}: from_env {name}")


def _from_pass(name: str, _folder: Path, where: str) -> str:
    try:
        done = subprocess.run(["pass", "show", "--", name], capture_output=True, text=True, check=False)
    except OSError:
        raise EmotionEdgeError(f"{where}: from_pass {name}: pass is not here: sudo apt-get install pass") from None
    if done.returncode:
        raise EmotionEdgeError(f"{where}: from_pass {name}: {done.stderr.strip() or 'pass failed'}")
    return _first_line(done.stdout, f"{where}: from_pass {name}")


def _first_line(text: str, where: str) -> str:
    line = text.partition("\n")[0].rstrip("\r")
    if not line:
        raise EmotionEdgeError(f"{where}: is empty or not set")
    return line


_READERS: Final = {"from_file": _from_file, "from_env": _from_env, "from_pass": _from_pass}
