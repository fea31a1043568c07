"""Secrets of the settings: given there, in a file of their own, or inside an address."""

import re
from pathlib import Path

from pydantic import SecretStr

from edge.errors import EmotionEdgeError


def secret_of(name: str, given: SecretStr, file: Path | None) -> str:
    """The secret in the first line of the file, or the one given; empty where there is none.

    name: of the setting, as `serve.token`. Raises EmotionEdgeError when the file cannot be read or begins with an empty
    line.
    """
    if file is None:
        return given.get_secret_value()
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EmotionEdgeError(f"{name}_file {file}: cannot be read: {error}") from error
    if not lines or not lines[0]:
        raise EmotionEdgeError(f"{name}_file {file}: its first line must be the {name.rpartition('.')[2]}")
    return lines[0]


def without_password(text: str) -> str:
    """An address, or words with one in them, as they may be shown; without `://`, as they are.

    Stars stand for all between :// and the last @ but a user name, for the query, and for what follows a = in the path,
    where some cameras want a password. It goes by the characters alone: in a password that was not escaped as an
    address wants it, / ? and # end nothing.
    """
    scheme, mark, rest = text.partition("://")
    if not mark:
        return text
    user, at, place = rest.rpartition("@")
    name = re.match(r"[^/?#=:@]*:", user)
    if at:
        user = f"{name[0] if name else ''}***"
    place = re.sub("([?#=]).+", r"\1***", place, count=1, flags=re.DOTALL)
    return f"{scheme}{mark}{user}{at}{place}"
