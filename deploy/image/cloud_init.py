"""Makes the files on a card's boot partition that cloud-init and the first boot read."""

import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.daemon_settings import dump_settings
from deploy.image.network import netplan
from deploy.image.site import Site, public_keys, read_key
from deploy.repository import source_entry
from edge.errors import EmotionEdgeError

SUITE: Final = "trixie"
"""The first release of Raspberry Pi OS with cloud-init."""

FIRST_BOOT: Final = "/boot/firmware/emotion-edge/first-boot"

_GROUPS: Final = "adm,dialout,cdrom,audio,sudo,video,plugdev,users,input,render,netdev,gpio,i2c,spi"
"""Groups of the first user of Raspberry Pi OS. cloud-init and `first-boot` skip those that the board lacks."""


def card_files(site: Site) -> dict[str, bytes]:
    """Return the contents of the files for the boot partition, without packages, by path on the partition."""
    card = str(uuid.uuid4())
    texts = {
        "user-data": "#cloud-config\n" + _yaml(user_data(site)),
        "network-config": _yaml(netplan(site.wifi, site.network)),
        # `instance-id` with a hyphen: cloud-init ignores the underscore of the official image's file. A new id makes
        # cloud-init set up a card again that was booted before.
        "meta-data": _yaml({"dsmode": "local", "instance-id": f"emotion-edge-{card}"}),
        "emotion-edge/id": f"{card}\n",
        "emotion-edge/config.yaml": dump_settings(site.settings) or "{}\n",
        "emotion-edge/start-timeout": f"{site.start_timeout}\n",
        "emotion-edge/user": f"{site.user.name} {_GROUPS}\n",
    }
    if site.wifi:
        texts["emotion-edge/wifi-country"] = f"{site.wifi.country}\n"
    here = Path(__file__).parents[1]
    for path in (*sorted((here / "image" / "files").iterdir()), *sorted((here / "boards" / "files").iterdir())):
        texts[f"emotion-edge/{path.name}"] = path.read_text(encoding="utf-8")
    files = {name: text.encode() for name, text in texts.items()}
    if site.updates:
        files["emotion-edge/apt/emotion-edge.sources"] = source_entry(site.updates.url, [SUITE]).encode()
        files["emotion-edge/apt/emotion-edge.asc"] = read_key(site.updates)
    return files | {f"emotion-edge/files{path}": content for path, content in site.board_files().items()}


def _yaml(tree: Mapping[str, Any]) -> str:
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def user_data(site: Site) -> dict[str, Any]:
    """Build the content of cloud-init's user-data."""
    keys = public_keys(site.user)
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
        # Unlike `passwd`, this key also applies to a user that already exists in the image.
        user["hashed_passwd"] = _password_hash(password)
    if keys:
        user["ssh_authorized_keys"] = keys
    return {
        "hostname": site.hostname,
        "manage_etc_hosts": True,
        "timezone": site.timezone,
        "users": [user],
        "ssh_pwauth": bool(password) and not keys,
        # At every boot, so that an interrupted first boot is continued; without effect once it is finished.
        "bootcmd": [["sh", FIRST_BOOT, "begin"]],
    }


def _password_hash(password: str) -> str:
    """Hash a password as in /etc/shadow (SHA-512 crypt), with openssl, as Python 3.13 has no crypt module."""
    words = ["openssl", "passwd", "-6", "-stdin"]
    try:
        done = subprocess.run(words, input=f"{password}\n", capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmotionEdgeError("the user's password: `openssl passwd -6` is needed here to hash it") from error
    return done.stdout.strip()
