"""YAML files that people write, and that may hold passwords: read with errors that show no line of them."""

from pathlib import Path
from typing import Any

import yaml

from edge.errors import EmotionEdgeError


def read_yaml(path: Path, what: str) -> Any:
    """What a file holds. what: the kind of file, which each message begins with. Raises EmotionEdgeError."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise EmotionEdgeError(f"{what} {path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise EmotionEdgeError(f"{what} {path}: {_no_yaml(error)}") from None
    except ValueError:  # PyYAML's, without a place; not shown, as it may hold a password
        raise EmotionEdgeError(
            f"{what} {path}: has what looks like a date or number and is none, as 2026-13-45 (put it in quotes)"
        ) from None


def _no_yaml(error: yaml.YAMLError) -> str:
    """What is wrong and in which line, without the line itself."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    where = f" in line {mark.line + 1}" if mark else ""
    return f"is no YAML{where}" + (f": {problem}" if problem else "")
