"""Boards named on the command line or in an inventory file."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.config.yaml_file import read_yaml
from edge.errors import EmotionEdgeError

INVENTORY: Final = Path("hosts.yaml")

_MISTAKES: Final = {
    "missing": "is missing",
    "model_type": "must be [user@]host, or a section with `host: [user@]host`",
    "string_type": "must be text: put it in quotes",
    "string_pattern_mismatch": "must be [user@]host",
    "int_parsing": "must be a whole number",
    "tuple_type": "must be a list, such as [test]",
    "dict_type": "must be a section of `path on the board: file here`",
}
"""Messages for pydantic's types of errors; other types keep pydantic's message."""


@dataclass(frozen=True)
class Host:
    """A board. name: as in the inventory. address: [user@]host for ssh. port: 0 for ssh's own.

    config: settings file for the board. files: sources on this machine by path on the board. groups: names for
    `--group`.
    """

    name: str
    address: str
    port: int = 0
    config: Path | None = None
    files: tuple[tuple[str, Path], ...] = ()
    groups: tuple[str, ...] = ()


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    host: Annotated[str, Field(pattern=r"^[^\s-][^\s]*$")]
    """[user@]host, or a name from ~/.ssh/config."""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port of the board's SSH server; 0: ssh's default."""
    config: Path | None = None
    """Settings file of the board's daemon, installed by each push; empty: the board keeps its own."""
    files: dict[str, Path] = Field(default_factory=dict)
    """Files that each push brings: the source on this machine by absolute path on the board."""
    groups: tuple[str, ...] = ()
    """Names of groups of boards, by which `--group` selects boards."""


def read_inventory(path: Path) -> list[Host]:
    """Read the boards of an inventory file, in its order: `boards: {kitchen: {host: pi@kitchen.lan}}`.

    Paths are relative to the file. Raises EmotionEdgeError for a file that cannot be read or an unknown key.
    """
    tree = read_yaml(path, "inventory")
    if not isinstance(tree, dict) or list(tree) != ["boards"] or not isinstance(tree["boards"], dict):
        raise EmotionEdgeError(f"inventory {path}: must hold `boards:`, and below it `name: {{host: pi@address}}`")
    hosts = [_host(str(name), entry, path) for name, entry in tree["boards"].items()]
    _refuse_duplicates(hosts, f"inventory {path}")
    return hosts


def _refuse_duplicates(hosts: list[Host], where: str) -> None:
    """Raise EmotionEdgeError if two names have one address, as simultaneous pushes to a board would collide."""
    named: dict[tuple[str, int], str] = {}
    for host in hosts:
        if (first := named.setdefault((host.address, host.port), host.name)) != host.name:
            raise EmotionEdgeError(f"{where}: {first} and {host.name} are the same board ({host.address})")


def _host(name: str, entry: Any, path: Path) -> Host:
    try:
        board = _Entry.model_validate({"host": entry} if isinstance(entry, str) else entry)
    except ValidationError as error:
        problems = error.errors()
        # A mistyped `host` is both missing and unknown: the unknown name is what its owner wrote.
        problem = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
        key = ".".join(map(str, (name, *problem["loc"])))
        if problem["type"] == "extra_forbidden":
            nearest = difflib.get_close_matches(str(problem["loc"][-1]), _Entry.model_fields, n=1, cutoff=0)
            raise EmotionEdgeError(f"inventory {path}: {key} is not known (did you mean {nearest[0]}?)") from None
        mistake = _MISTAKES.get(problem["type"], problem["msg"])
        raise EmotionEdgeError(f"inventory {path}: {key}: {mistake}") from None
    files = tuple((target, path.parent / source) for target, source in board.files.items())
    config = path.parent / board.config if board.config else None
    return Host(name, board.host, board.port, config, files, board.groups)


def choose_hosts(words: list[str], inventory: Path | None, group: str = "") -> list[Host]:
    """Select boards by name or address, in the inventory's order if all are in it.

    Args:
        words: names of the inventory or addresses; none: all of the inventory.
        inventory: the file; None: hosts.yaml where it exists.
        group: only the boards of this group.

    Raises:
        EmotionEdgeError: where no board is named, or a name is not in the given inventory.
    """
    file = inventory or INVENTORY
    known = {host.name: host for host in read_inventory(file)} if inventory or file.is_file() else {}
    if group:
        groups = sorted({name for host in known.values() for name in host.groups})
        known = {name: host for name, host in known.items() if group in host.groups}
        if not known:
            raise EmotionEdgeError(f"inventory {file}: no board is in the group {group} (groups: {', '.join(groups)})")
    if not words:
        if not known:
            raise EmotionEdgeError(f"which board? Name it (pi@kitchen.lan), or list yours in {INVENTORY}")
        return list(known.values())
    chosen = []
    for word in words:
        if group and word not in known:
            raise EmotionEdgeError(f"{word} is not in the group {group}")
        if word not in known and word.startswith("-"):
            raise EmotionEdgeError(f"{word} is not a host")
        if word not in known and "@" not in word:
            # With the inventory of the folder, a name may also be one of ~/.ssh/config, unless it looks mistyped.
            nearest = difflib.get_close_matches(word, known, n=1, cutoff=0 if inventory else 0.8)
            meant = f" (did you mean {nearest[0]}?)" if nearest else ""
            if inventory or nearest:
                raise EmotionEdgeError(f"inventory {file}: {word} is not in it{meant}")
        chosen.append(known.get(word) or Host(word, word))
    chosen = list(dict.fromkeys(chosen))
    _refuse_duplicates(chosen, "which board?")
    return chosen
