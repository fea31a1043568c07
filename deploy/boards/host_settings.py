"""Reads and checks the settings and files that an inventory names for a board, and compares settings."""

import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from deploy.board_files import check_against, read_files
from deploy.boards.inventory import Host
from deploy.daemon_settings import check_settings, dump_settings
from deploy.references import has_references, resolve, warn_of_plaintext
from edge.config.secrets import without_password
from edge.config.yaml_file import parse_text, read_yaml
from edge.errors import EmotionEdgeError

CONFIG: Final = "/etc/emotion-edge/config.yaml"


@dataclass(frozen=True)
class HostSettings:
    """Settings and files for a board. config: text of the settings file; None: unchanged. files: contents by path."""

    config: str | None
    files: Mapping[str, bytes]


def read_host_settings(host: Host) -> HostSettings:
    """Read and check a board's settings file. Raises EmotionEdgeError for invalid settings and unreadable files."""
    files = read_files(dict(host.files), host.name)
    if host.config is None:
        return HostSettings(None, files)
    where = f"settings file {host.config}"
    tree = read_yaml(host.config, "settings file") or {}
    if not isinstance(tree, dict):
        raise EmotionEdgeError(f"{where}: must hold sections such as `mqtt:`")
    warn_of_plaintext(tree, host.config)
    resolved = resolve(tree, host.config.parent, where)
    check_against(check_settings(resolved, where), files, where, complete=False)
    if has_references(tree):
        return HostSettings(dump_settings(resolved), files)
    return HostSettings(host.config.read_text(encoding="utf-8"), files)


def refuse_shared_ids(settings: Mapping[str, HostSettings]) -> None:
    """Raise EmotionEdgeError if two boards, given by name, would publish under one device id at one broker."""
    owners: dict[tuple[Any, ...], str] = {}
    for name, one in settings.items():
        given = _flat(one.config or "")
        device = given.get("mqtt.device_id")
        key = device, *(given.get(f"mqtt.{part}") for part in ("host", "port", "base_topic"))
        if device and (first := owners.setdefault(key, name)) != name:
            raise EmotionEdgeError(f"{first} and {name} have the same mqtt.device_id, {device}: each needs its own")


def settings_diff(old: str, new: str) -> list[str]:
    """List the changes between two settings files, one line per setting, without secrets."""
    before, after = _flat(old), _flat(new)
    return [
        f"{name}: {_shown(name, before.get(name))} -> {_shown(name, after.get(name))}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _flat(text: str) -> dict[str, Any]:
    try:
        tree = parse_text(text, "settings").content
    except EmotionEdgeError:
        return {}
    return dict(_leaves(tree)) if isinstance(tree, dict) else {}


def _leaves(tree: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for section, keys in tree.items():
        if isinstance(keys, Mapping):
            yield from ((f"{section}.{key}", value) for key, value in keys.items())


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "(default)"
    if ("password" in name or "token" in name) and not name.endswith("_file"):
        return "***"
    return without_password(str(value))


def archive(files: Mapping[str, bytes]) -> bytes:
    """Pack files, given by absolute path, into a tar archive below `files/`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(f"files{path}")
            entry.size, entry.mode = len(content), 0o600
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
