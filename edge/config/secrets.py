"""Passwords and tokens: read from a setting or from a file of their own, and hidden in texts."""

import re
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from edge.errors import EmotionEdgeError

_BYTES_MAX: Final = 65_536
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def secret_of(name: str, given: SecretStr, file: Path | None) -> str:
    """Return the secret from the first line of `file`, else the one given in the setting; empty if there is none.

    name: of the setting, such as `serve.token`. Raises EmotionEdgeError if the file cannot be read or begins with an
    empty line.
    """
    if file is None:
        return given.get_secret_value()
    where, kind = f"{name}_file {file}", name.rpartition(".")[2].replace("_", " ")
    try:
        with file.open("rb") as opened:
            text = opened.read(_BYTES_MAX).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise EmotionEdgeError(f"{where}: cannot be read: {error}") from error
    secret = text.split("\n", maxsplit=1)[0].removesuffix("\r")
    if not secret:
        raise EmotionEdgeError(f"{where}: its first line must be the {kind}")
    if _CONTROL.search(secret):
        raise EmotionEdgeError(f"{where}: its first line has a control character (is it plain text, in UTF-8?)")
    return secret


def token_of(name: str, given: SecretStr, file: Path | None) -> str:
    """As `secret_of`, for an HTTP header: raises EmotionEdgeError for characters that are not ASCII, too."""
    token = secret_of(name, given, file)
    if not token.isascii() or _CONTROL.search(token):
        raise EmotionEdgeError(f"{name}: must be of ASCII characters, without control characters")
    return token


def without_password(text: str) -> str:
    """Replace the passwords in a URL by stars; text without `://` is returned unchanged.

    Replaced are: all between :// and the last @ except a user name, the query, the fragment, and what follows a = in
    the path, where some cameras expect a password. The URL is not parsed, because an unescaped password may contain / ?
    and #.
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
