"""Steps of the board's test: making a card, and its first boot."""

import yaml

from deploy.boards.facts import HOME
from deploy.emulated import base
from deploy.emulated.board import CA_FILE, CLIP, SLOW, Board
from deploy.emulated.machine import USER, wait_for
from deploy.emulated.packages import current_package, emotion_deploy
from deploy.emulated.repository import repository_key
from edge.errors import EmotionEdgeError


def image(board: Board) -> None:
    """A card from the base image, made by `emotion-deploy image`."""
    package = current_package(board.arch)
    site = {
        "hostname": "emulated",
        "user": {
            "name": USER,
            "ssh_key_files": [str(board.machine.key.with_suffix(".pub"))],
            "password": "on the wall",
        },
        "wifi": {"ssid": "attic", "password": "no radio here", "country": "DE"},
        "timezone": "Europe/Berlin",
        "files": {CA_FILE: str(base.broker_ca(board.arch))},
        "settings": {
            "camera": {"source": CLIP},
            "mqtt": {"host": "127.0.0.1", "port": 8883, "tls": True, "ca_file": CA_FILE, "device_id": "emulated"},
            "web": {"port": 8080},
        },
        "updates": {"url": board.machine.repository_url, "key": str(repository_key(board.folder))},
        "start_timeout": SLOW,
    }
    file, card = board.folder / "site.yaml", board.fresh_card
    file.write_text(yaml.safe_dump(site))
    file.chmod(0o600)
    image = str(base.image_path(board.arch))
    emotion_deploy("image", "--base", image, "--config", str(file), "-o", str(card), "--package", str(package))
    board.machine.insert(card)
    board.log(f"card: {card.stat().st_size / 1e6:.0f} MB, package {package.stat().st_size / 1e6:.0f} MB")


def first_boot(board: Board) -> None:
    """The package is installed without network, the service runs, and no secret stays on the boot partition."""
    board.boot()
    _installed_by_first_boot(board)
    board.healthy()
    _no_secrets(board)


def _installed_by_first_boot(board: Board) -> None:
    seconds = wait_for(lambda: bool(board.machine.shell(f"cat {HOME}/result || true")), "the first boot installs", SLOW)
    result = board.machine.shell(f"cat {HOME}/result")
    board.log(f"the first boot installed after {seconds:.0f} s more: {result}")
    if not result.startswith("ok "):
        raise EmotionEdgeError(
            board.machine.shell(f"cat {HOME}/progress {HOME}/install.log; journalctl -n 50 --no-pager")
        )


def _no_secrets(board: Board) -> None:
    gone = "! test -e /boot/firmware/emotion-edge && ! grep -q passwd /boot/firmware/user-data && echo gone"
    wait_for(lambda: board.machine.shell(f"{gone} || true") == "gone", "secrets leave the boot partition", SLOW)
    if modes := board.machine.shell(f"find /etc/emotion-edge/config.yaml {CA_FILE} /etc/netplan -type f -perm /o=r"):
        raise EmotionEdgeError(f"world-readable: {modes}")
    if board.machine.shell("hostname; readlink /etc/localtime").split() != [
        "emulated",
        "/usr/share/zoneinfo/Europe/Berlin",
    ]:
        raise EmotionEdgeError("the board does not have the host name and time zone of its site file")
    user = board.machine.shell(f"getent passwd {USER}; id -nG {USER}")
    if ":/bin/bash" not in user or "video" not in user.split():
        raise EmotionEdgeError(f"the user that was there without a login has not become one with a login: {user}")
    board.log("no secret is left on the boot partition or world-readable on the root partition")
