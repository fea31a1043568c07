"""A secret of the settings: given there, or in a file of its own."""

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
