"""What a card is to become: site.yaml, checked, and the files of cloud-init that say it to the board."""

import difflib
import hashlib
import json
import os
import pwd
import re
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from deploy.daemon_settings import check_settings, dump_settings
from edge.config.yaml_file import read_yaml
from edge.errors import EmotionEdgeError

FIRST_BOOT: Final = "/boot/firmware/emotion-edge/first-boot"

_GROUPS: Final = "adm,dialout,cdrom,audio,sudo,video,plugdev,users,input,render,netdev"
"""What Raspberry Pi OS gives its first user; those that are not on the board are left out there."""


class _Part(BaseModel):
    # Messages of pydantic show what was found: of a section with secrets that must not be.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class User(_Part):
    name: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")] = "pi"
    """Who logs in; may use sudo."""
    ssh_keys: tuple[Annotated[str, Field(pattern=r"^(ssh-|ecdsa-|sk-)\S+ \S+")], ...] = ()
    """Public keys that may log in over SSH, as in ~/.ssh/id_ed25519.pub."""
    ssh_key_files: tuple[Path, ...] = ()
    """Files of this machine with such keys."""
    password: SecretStr = SecretStr("")
    """Password on the board's own console, and over SSH where there is no key; empty: none. Its hash is written."""

    @model_validator(mode="after")
    def _a_way_in(self) -> Self:
        if not (self.ssh_keys or self.ssh_key_files or self.password.get_secret_value()):
            raise ValueError("nobody could log in: give ssh_keys, ssh_key_files or password")
        return self


class Wifi(_Part):
    ssid: Annotated[str, Field(min_length=1, max_length=32)]
    """Name of the network."""
    password: Annotated[SecretStr, Field(min_length=8, max_length=63)]
    """Its password (WPA), 8 to 63 characters. Only the key derived from it is written."""
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    """Where the board is, ISO 3166: DE, GB, US; the radio stays off without."""


class Site(_Part):
    """site.yaml. settings: the daemon's own, as in /etc/emotion-edge/config.yaml."""

    hostname: Annotated[str, Field(pattern=r"^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$")]
    """Name of the board, in the network and (unless mqtt.device_id is set) in topics."""
    user: User
    wifi: Wifi | None = None
    """Empty: a cable."""
    timezone: Annotated[str, Field(pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$")] = "Etc/UTC"
    """As in Europe/Berlin."""
    settings: dict[str, dict[str, Any] | None] = {}
    """Settings of the daemon, in sections as in systemd/config.yaml."""
    start_timeout: Annotated[int, Field(ge=30, le=3600)] = 300
    """Seconds that the service is given to start on the first boot."""


def read_site(path: Path) -> Site:
    """The site of a file, its daemon's settings checked as the daemon does.

    Raises EmotionEdgeError for what cannot be read, is not known or does not fit, and never shows a value.
    """
    tree = read_yaml(path, "site file")
    if not isinstance(tree, dict):
        raise EmotionEdgeError(f"site file {path}: must hold `hostname:`, `user:` and more (docs/install.md has one)")
    try:
        site = Site.model_validate(tree)
    except ValidationError as error:
        raise EmotionEdgeError(
            "\nemotion-deploy: ".join(f"site file {path}: {_explain(problem)}" for problem in error.errors())
        ) from None
    check_settings(site.settings, f"site file {path}: settings")
    for file in site.user.ssh_key_files:
        _keys_of(file)
    return site


def _explain(problem: Any) -> str:
    names = [part for part in problem["loc"] if isinstance(part, str)]
    name = ".".join(names) or "the whole"
    if problem["type"] == "extra_forbidden":
        sections: dict[str, type[BaseModel]] = {"user": User, "wifi": Wifi}
        owner = sections.get(names[0], Site) if names[1:] else Site
        nearest = difflib.get_close_matches(names[-1], owner.model_fields, n=1, cutoff=0)
        return f"{name} is not known (did you mean {nearest[0]}?)"
    return f"{name}: {problem['msg']}"


def _of_user(file: Path) -> Path:
    """`~` is the home of who typed sudo, not root's."""
    user = os.environ.get("SUDO_USER")
    if user and file.parts[:1] == ("~",):
        return Path(pwd.getpwnam(user).pw_dir, *file.parts[1:])
    return file.expanduser()


def _keys_of(file: Path) -> list[str]:
    try:
        lines = [line.strip() for line in _of_user(file).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise EmotionEdgeError(f"SSH key {file}: cannot be read: {error}") from error
    if not lines or not all(re.match(r"(ssh-|ecdsa-|sk-)\S+ \S+", line) for line in lines):
        raise EmotionEdgeError(f"SSH key {file}: is no public key (it should end in .pub)")
    return lines


def card_files(site: Site) -> dict[str, bytes]:
    """What cloud-init and the first boot read, by path on the boot partition; packages are not among them."""
    card = str(uuid.uuid4())
    files = {
        "user-data": "#cloud-config\n" + _yaml(_user_data(site)),
        "network-config": _yaml(_network(site)),
        # With a hyphen: cloud-init does not know the underscore that the official image has. A new name means a new
        # machine, so that a card that was booted before is set up again.
        "meta-data": _yaml({"dsmode": "local", "instance-id": f"emotion-edge-{card}"}),
        "emotion-edge/id": f"{card}\n",
        "emotion-edge/config.yaml": dump_settings(site.settings) or "{}\n",
        "emotion-edge/seconds": f"{site.start_timeout}\n",
    }
    if site.wifi:
        files["emotion-edge/wifi-country"] = f"{site.wifi.country}\n"
    here = Path(__file__).parents[1]
    for path in (*sorted((here / "image" / "files").iterdir()), *sorted((here / "boards" / "files").iterdir())):
        files[f"emotion-edge/{path.name}"] = path.read_text(encoding="utf-8")
    return {name: text.encode() for name, text in files.items()}


def _yaml(tree: Mapping[str, Any]) -> str:
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def _user_data(site: Site) -> dict[str, Any]:
    keys = [*site.user.ssh_keys, *(key for file in site.user.ssh_key_files for key in _keys_of(file))]
    password = site.user.password.get_secret_value()
    user: dict[str, Any] = {
        "name": site.user.name,
        "gecos": site.user.name,
        "groups": _GROUPS,
        "shell": "/bin/bash",
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "lock_passwd": not password,
    }
    if password:
        user["passwd"] = _password_hash(password)
    if keys:
        user["ssh_authorized_keys"] = keys
    return {
        "hostname": site.hostname,
        "manage_etc_hosts": True,
        "timezone": site.timezone,
        "users": [user],
        "ssh_pwauth": bool(password) and not keys,
        # At every boot, so that an interrupted first boot is carried on; it does nothing once it is done.
        "bootcmd": [["sh", FIRST_BOOT, "begin"]],
    }


def _password_hash(password: str) -> str:
    """As in /etc/shadow, SHA-512 crypt; by openssl, as Python 3.13 has no crypt."""
    words = ["openssl", "passwd", "-6", "-stdin"]
    try:
        done = subprocess.run(words, input=f"{password}\n", capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmotionEdgeError("the user's password: `openssl passwd -6` is needed here to hash it") from error
    return done.stdout.strip()


def _network(site: Site) -> dict[str, Any]:
    network: dict[str, Any] = {"version": 2, "ethernets": {"eth0": {"dhcp4": True, "optional": True}}}
    if site.wifi:
        points = {site.wifi.ssid: {"password": wpa_key(site.wifi.ssid, site.wifi.password.get_secret_value())}}
        wifi = {"dhcp4": True, "optional": True, "regulatory-domain": site.wifi.country, "access-points": points}
        network["wifis"] = {"wlan0": wifi}
    return {"network": network}


def wpa_key(ssid: str, password: str) -> str:
    """The key of a WPA network, 64 hexadecimal digits: PBKDF2 of IEEE 802.11i, annex H.4."""
    return hashlib.pbkdf2_hmac("sha1", password.encode(), ssid.encode(), 4096, 32).hex()


def summary(site: Site) -> str:
    """What is going to be written, in a line, without secrets."""
    wifi = f"Wi-Fi {json.dumps(site.wifi.ssid, ensure_ascii=False)}" if site.wifi else "cable"
    broker = (site.settings.get("mqtt") or {}).get("host") or "no broker"
    return f"{site.hostname}: user {site.user.name}, {wifi}, {broker}"
