"""Reads YAML files that people write and that may hold passwords: no error message shows a value.

Refused are duplicate keys, of which YAML would keep the last, files that are too large or too deep, and aliases that
would expand to a huge document.
"""

import errno
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from edge.errors import EmotionEdgeError

BYTES_MAX: Final = 100_000
"""Largest file: a board parses about 50 kB a second, and the largest known file, for 200 boards, has 20 kB."""

_NODES_MAX: Final = 20_000
_PLAIN_KEY: Final = re.compile(r"[\w.-]{1,40}")

_INT: Final = "tag:yaml.org,2002:int"

Place = tuple[str, ...]
"""Path of a key in the document: the keys from the top down."""


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A parsed file. content: its document. lines: line number, from 1, of each key of the two upper levels."""

    content: Any = None
    lines: Mapping[Place, int] = field(default_factory=dict)


class _Loader(yaml.SafeLoader):
    """Reads whole numbers in decimal only. In YAML 1.1, 0123 is 83 and 12:30 is 750; here both are text."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _INT]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(_INT, re.compile("[-+]?(0|[1-9][0-9]*)$"), list("-+0123456789"))


def read_yaml(path: Path, what: str) -> Any:
    """Return the content of a YAML file. what: kind of file, for messages. Raises EmotionEdgeError."""
    return parse_yaml(path, what).content


def parse_yaml(path: Path, what: str) -> YamlFile:
    """Parse a YAML file, with the line numbers of its keys.

    Args:
        path: the file.
        what: the kind of file, with which each message begins.

    Raises:
        EmotionEdgeError: it cannot be read, is no YAML, or is refused as the module's docstring says.
    """
    try:
        text = _text(path)
    except UnicodeDecodeError as error:
        raise EmotionEdgeError(f"{what} {path}: cannot be read: it is not in UTF-8: save it so") from error
    except OSError as error:
        reason = error.strerror or str(error)
        reason = reason[:1].lower() + reason[1:]
        raise EmotionEdgeError(f"{what} {path}: cannot be read: {reason}") from error
    return parse_text(text, f"{what} {path}")


def parse_text(text: str, where: str) -> YamlFile:
    """Parse YAML of at most BYTES_MAX. where: what each message begins with. Raises EmotionEdgeError."""
    try:
        return _parse(text, where)
    except yaml.YAMLError as error:
        raise EmotionEdgeError(f"{where}: {_no_yaml(error)}") from None
    except RecursionError:
        raise EmotionEdgeError(f"{where}: is nested too deeply") from None
    except ValueError:
        # PyYAML raises it without a line number, and its text may contain a password.
        raise EmotionEdgeError(
            f"{where}: has what looks like a date or number and is none, as 2026-13-45 (put it in quotes)"
        ) from None


def _text(path: Path) -> str:
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        content = file.read(BYTES_MAX + 1)
    if len(content) > BYTES_MAX:
        raise OSError(errno.EFBIG, f"it has more than {BYTES_MAX // 1000} kB")
    return content.decode("utf-8-sig")


def _without_waiting(path: str, flags: int) -> int:
    # Opening a named pipe would wait until another process writes to it.
    return os.open(path, flags | os.O_NONBLOCK)


def _parse(text: str, where: str) -> YamlFile:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return YamlFile()
        _refuse_expansion(node, where)
        lines: dict[Place, int] = {}
        _note_keys(node, (), lines, where, set())
        return YamlFile(loader.construct_document(node), lines)
    finally:
        loader.dispose()


def _refuse_expansion(root: yaml.Node, where: str) -> None:
    """Raise EmotionEdgeError if the document is too large with its aliases expanded, or contains itself."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node))
        if known == 0:
            raise EmotionEdgeError(f"{where}: line {node.start_mark.line + 1}: contains itself, by an alias (*)")
        if known is None:
            # 0 marks a node that is being counted.
            sizes[id(node)] = 0
            known = sizes[id(node)] = 1 + sum(map(size, _children(node)))
        return known

    if size(root) > _NODES_MAX:
        raise EmotionEdgeError(f"{where}: has more than {_NODES_MAX:,} values (aliases, *, count each time)")


def _children(node: yaml.Node) -> list[yaml.Node]:
    match node:
        case yaml.MappingNode():
            return [part for pair in node.value for part in pair]
        case yaml.SequenceNode():
            return list(node.value)
        case _:
            return []


def _note_keys(node: yaml.Node, place: Place, lines: dict[Place, int], where: str, seen: set[int]) -> None:
    """Store the line of each key of the two upper levels; raise EmotionEdgeError for a duplicate key in a mapping."""
    if id(node) in seen:
        # An alias leads to a node that was visited already.
        return
    seen.add(id(node))
    if not isinstance(node, yaml.MappingNode):
        for child in _children(node):
            _note_keys(child, place, lines, where, seen)
        return
    first: dict[tuple[str, str], int] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        line, here = key.start_mark.line + 1, (*place, key.value)
        if before := first.get((key.tag, key.value)):
            shown = ".".join(part if _PLAIN_KEY.fullmatch(part) else "..." for part in here)
            raise EmotionEdgeError(f"{where}: {shown} is there twice, in lines {before} and {line}: put them together")
        first[key.tag, key.value] = line
        if len(here) <= 2:
            lines[here] = line
        _note_keys(value, here, lines, where, seen)


def _no_yaml(error: yaml.YAMLError) -> str:
    """Describe a syntax error and its line, without showing the line."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if isinstance(error, yaml.reader.ReaderError):
        return f"is no YAML: it has a character that may not be there, at position {error.position}"
    where = f" in line {mark.line + 1}" if mark else ""
    return f"is no YAML{where}" + (f": {problem}" if problem else "")
