"""Reads and checks site.yaml, the settings of the board for which a card is made."""

import difflib
import json
import os
import pwd
import re
import zoneinfo
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator

from deploy.board_files import check_against, read_files
from deploy.daemon_settings import check_settings
from deploy.image.network import Network, Section, Wifi
from deploy.references import resolve, warn_of_plaintext
from edge.config.yaml_file import read_yaml
from edge.errors import EmotionEdgeError

_PUBLIC_KEY: Final = r"(ssh-|ecdsa-|sk-)\S+ \S+"


class User(Section):
    name: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")] = "pi"
    """Login name; has sudo without a password."""
    ssh_keys: tuple[Annotated[str, Field(pattern=rf"^{_PUBLIC_KEY}")], ...] = ()
    """Public keys for SSH, as in ~/.ssh/id_ed25519.pub."""
    ssh_key_files: tuple[Path, ...] = ()
    """Files on this machine with public SSH keys."""
    password: SecretStr = SecretStr("")
    """Password for the board's console, and for SSH if no key is given; empty: none. Only its hash is written."""

    @field_validator("password")
    @classmethod
    def _check_password(cls, password: SecretStr) -> SecretStr:
        if not (text := password.get_secret_value()).isprintable() or len(text.encode()) > 256:
            raise ValueError("must be one line of at most 256 bytes, without control characters")
        return password

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        if not (self.ssh_keys or self.ssh_key_files or self.password.get_secret_value()):
            raise ValueError("nobody could log in: give ssh_keys, ssh_key_files or password")
        return self


class Updates(Section):
    """Automatic updates of the board."""

    url: Annotated[str, Field(pattern=r"^https?://\S+$")]
    """Address of an apt repository made by `emotion-deploy repository`."""
    key: Path
    """File with the repository's public key, emotion-edge.asc."""


class Site(Section):
    """Content of a site file, site.yaml: the settings of the board for which a card is made."""

    hostname: Annotated[str, Field(pattern=r"^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$")]
    """Host name of the board, and its device id on MQTT unless mqtt.device_id is set."""
    user: User
    wifi: Wifi | None = None
    """Wi-Fi; empty: Ethernet."""
    network: Network | None = None
    """A static address; empty: DHCP."""
    timezone: str = "Etc/UTC"
    """Time zone, as in Europe/Berlin."""
    settings: dict[str, dict[str, Any] | None] = Field(default_factory=dict)
    """Settings of the daemon, in sections as in systemd/config.yaml."""
    files: dict[str, Path] = Field(default_factory=dict)
    """Files for the board: the source on this machine by absolute path on the board."""
    updates: Updates | None = None
    """Automatic updates; empty: none."""
    start_timeout: Annotated[int, Field(ge=30, le=3600)] = 300
    """Time limit for the service to become healthy on the first boot, seconds."""

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, name: str) -> str:
        known = zoneinfo.available_timezones()
        if known and name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)
            raise ValueError(f"is not a time zone (did you mean {nearest[0]}?)")
        return name

    def board_files(self) -> dict[str, bytes]:
        """Contents of `files`, by path on the board. Raises EmotionEdgeError where one cannot be read."""
        return read_files(self.files, "site file")


def read_site(path: Path) -> Site:
    """Read a site file, look up its secret references, and check the daemon's settings in it.

    Raises EmotionEdgeError for a file that cannot be read, and for an unknown or invalid setting. Messages show no
    values, as some are secret.
    """
    tree = read_yaml(path, "site file")
    if not isinstance(tree, dict):
        raise EmotionEdgeError(f"site file {path}: must hold `hostname:`, `user:` and more (docs/install.md has one)")
    warn_of_plaintext(tree, path)
    try:
        site = Site.model_validate(resolve(tree, path.parent, f"site file {path}"))
    except ValidationError as error:
        problems = dict.fromkeys(_explain(problem) for problem in error.errors())
        raise EmotionEdgeError(
            "\nemotion-deploy: ".join(f"site file {path}: {problem}" for problem in problems)
        ) from None
    # Relative paths are those beside the site file; `~` is expanded where a key is read.
    keys = tuple(key if str(key).startswith("~") else path.parent / key for key in site.user.ssh_key_files)
    site = site.model_copy(
        update={
            "files": {name: path.parent / source for name, source in site.files.items()},
            "user": site.user.model_copy(update={"ssh_key_files": keys}),
        }
    )
    if site.updates:
        updates = site.updates.model_copy(update={"key": path.parent / site.updates.key})
        read_key(updates)
        site = site.model_copy(update={"updates": updates})
    settings = check_settings(site.settings, f"site file {path}: settings")
    check_against(settings, site.board_files(), f"site file {path}", complete=True)
    public_keys(site.user)
    return site


def _explain(problem: Any) -> str:
    """Format a validation error of pydantic as a message, without the value."""
    names = [part for part in problem["loc"] if isinstance(part, str)]
    name = ".".join(names) or "the file"
    if problem["type"] == "extra_forbidden":
        sections: dict[str, type[BaseModel]] = {"user": User, "wifi": Wifi, "network": Network, "updates": Updates}
        owner = sections.get(names[0], Site) if names[1:] else Site
        nearest = difflib.get_close_matches(names[-1], owner.model_fields, n=1, cutoff=0)
        return f"{name} is not known (did you mean {nearest[0]}?)"
    if problem["type"] in ("string_type", "string_sub_type"):
        value = problem.get("input")
        if value is False and name == "wifi.country":
            return "wifi.country: NO without quotes is the word `no` in YAML: write country: 'NO'"
        return f"{name}: YAML reads this as a {_yaml_type(value)}, not as text: put it in quotes"
    return f"{name}: {problem['msg'].removeprefix('Value error, ')}"


def _yaml_type(value: Any) -> str:
    names = {bool: "yes/no value", int: "number", float: "number", dict: "section", list: "list"}
    return names.get(type(value), "date" if hasattr(value, "year") else "empty value")


def read_key(updates: Updates) -> bytes:
    """Read the public key of the repository. Raises EmotionEdgeError if the file is not a public key."""
    try:
        key = updates.key.expanduser().read_bytes()
    except OSError as error:
        raise EmotionEdgeError(f"updates.key {updates.key}: cannot be read: {error.strerror}") from None
    if not key.startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----"):
        raise EmotionEdgeError(f"updates.key {updates.key}: is no public key of gpg (--armor --export)")
    return key


def public_keys(user: User) -> list[str]:
    """Return the user's public SSH keys, including those in files. Raises EmotionEdgeError if a file has none."""
    return [*user.ssh_keys, *(key for file in user.ssh_key_files for key in _keys_in(file))]


def _keys_in(file: Path) -> list[str]:
    try:
        text = _expand_user(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EmotionEdgeError(f"SSH key {file}: cannot be read: {error}") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or not all(re.match(_PUBLIC_KEY, line) for line in lines):
        raise EmotionEdgeError(f"SSH key {file}: is no public key (it should end in .pub)")
    return lines


def _expand_user(file: Path) -> Path:
    """Replace `~` by the user's home folder; under sudo, by that of the user who called it."""
    user = os.environ.get("SUDO_USER")
    if user and file.parts[:1] == ("~",):
        return Path(pwd.getpwnam(user).pw_dir, *file.parts[1:])
    return file.expanduser()


def summary(site: Site) -> str:
    """Summarise a site in one line, without secrets."""
    wifi = f"Wi-Fi {json.dumps(site.wifi.ssid, ensure_ascii=False)}" if site.wifi else "cable"
    broker = (site.settings.get("mqtt") or {}).get("host") or "no broker"
    return f"{site.hostname}: user {site.user.name}, {wifi}, {broker}"
