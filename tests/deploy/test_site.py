"""Site files: awkward values, secrets by reference, files for the board."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.image.cloud_init import card_files
from deploy.image.network import wpa_key
from deploy.image.site import read_site
from edge.errors import EmotionEdgeError
from tests.deploy.awkward_sites import BAD, GOOD, KEY, site, wifi


def matches(password: str, hashed: str) -> bool:
    """Return True if an SHA-512 crypt hash is that of a password."""
    words = ["openssl", "passwd", "-6", "-salt", hashed.split("$")[2], "-stdin"]
    return subprocess.run(words, input=password, capture_output=True, text=True, check=True).stdout.strip() == hashed


def write(folder: Path, tree: dict[str, Any], mode: int = 0o600) -> Path:
    file = folder / "site.yaml"
    file.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    file.chmod(mode)
    return file


def card_of(folder: Path, tree: dict[str, Any]) -> dict[str, Any]:
    """Make the files of a card for a site; returns the YAML files, parsed, by name."""
    files = card_files(read_site(write(folder, tree)))
    names = ("user-data", "network-config", "meta-data", "emotion-edge/config.yaml")
    return {name: yaml.safe_load(files[name]) for name in names}


@pytest.mark.parametrize("tree", GOOD, ids=str)
def test_awkward_values_arrive_as_they_are(tree: dict[str, Any], tmp_path: Path) -> None:
    card = card_of(tmp_path, tree)
    (user,) = card["user-data"]["users"]
    assert card["user-data"]["hostname"] == tree["hostname"]
    assert user["name"] == tree["user"]["name"]
    if secret := tree["user"].get("password"):
        assert matches(secret, user["hashed_passwd"])
    if settings := tree.get("wifi"):
        device = card["network-config"]["network"]["wifis"]["wlan0"]
        assert device["regulatory-domain"] == settings["country"]
        assert list(device["access-points"]) == [settings["ssid"]]
    assert card["emotion-edge/config.yaml"] == tree.get("settings", {})


@pytest.mark.parametrize(("tree", "message"), BAD, ids=str)
def test_what_cannot_work_is_refused_without_showing_it(tree: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(EmotionEdgeError) as caught:
        read_site(write(tmp_path, tree))
    assert message in str(caught.value)
    assert "12345678" not in str(caught.value)


def point(folder: Path, **changes: Any) -> dict[str, Any]:
    tree = card_of(folder, wifi(**changes))
    found: dict[str, Any] = tree["network-config"]["network"]["wifis"]["wlan0"]["access-points"]["attic"]
    return found


def test_each_kind_of_wifi_is_written_as_netplan_has_it(tmp_path: Path) -> None:
    assert point(tmp_path) == {"password": wpa_key("attic", "password")}
    assert point(tmp_path, password="f0" * 32) == {"password": "f0" * 32}
    assert point(tmp_path, password="", hidden=True) == {"hidden": True}
    plain = {"key-management": "sae", "password": "password"}
    assert point(tmp_path, security="wpa3") == {"auth": plain}


def test_a_static_address_is_that_of_the_device_in_use(tmp_path: Path) -> None:
    network = {"address": "192.168.1.20/24", "gateway": "192.168.1.1", "dns": ["192.168.1.1"]}
    expected = {
        "dhcp4": False,
        "optional": True,
        "addresses": ["192.168.1.20/24"],
        "routes": [{"to": "default", "via": "192.168.1.1"}],
        "nameservers": {"addresses": ["192.168.1.1"]},
    }
    cable = card_of(tmp_path, site(network=network))["network-config"]["network"]
    assert cable["ethernets"]["eth0"] == expected
    radio = card_of(tmp_path, wifi() | {"network": network})["network-config"]["network"]
    assert radio["ethernets"]["eth0"]["dhcp4"] is True
    assert expected.items() <= radio["wifis"]["wlan0"].items()


def test_secrets_come_from_files_the_environment_and_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wifi.txt").write_text("from a file\nsecond line\n")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "pass").write_text(
        '#!/bin/sh\n[ "$3" = boards/kitchen ] && echo "from pass" || { echo no >&2; exit 1; }\n'
    )
    (programs / "pass").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("KITCHEN_MQTT", "from the environment")
    tree = wifi(password={"from_file": "wifi.txt"}) | {
        "user": {"password": {"from_pass": "boards/kitchen"}},
        "settings": {"mqtt": {"host": "b", "username": "u", "password": {"from_env": "KITCHEN_MQTT"}}},
    }
    card = card_of(tmp_path, tree)
    key = card["network-config"]["network"]["wifis"]["wlan0"]["access-points"]["attic"]["password"]
    assert key == wpa_key("attic", "from a file")
    hashed = card["user-data"]["users"][0]["hashed_passwd"]
    assert matches("from pass", hashed)
    assert card["emotion-edge/config.yaml"]["mqtt"]["password"] == "from the environment"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({"from_file": "none.txt"}, "wifi: password: from_file none.txt: cannot be read"),
        ({"from_file": "/dev/zero"}, "wifi: password: from_file /dev/zero: its first line is longer than 4096"),
        ({"from_file": "a\0b"}, "wifi: password: from_file a"),
        ({"from_env": "NO_SUCH_VARIABLE"}, "wifi: password: from_env NO_SUCH_VARIABLE: is empty or not set"),
    ],
)
def test_a_reference_that_leads_nowhere_is_named(reference: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(EmotionEdgeError, match=message):
        read_site(write(tmp_path, wifi(password=reference)))


@pytest.mark.parametrize(("mode", "warned"), [(0o644, True), (0o640, True), (0o600, False)])
def test_plain_secrets_that_others_can_read_are_warned_of(
    mode: int, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read_site(write(tmp_path, wifi(), mode))
    assert ("wifi.password is in plain text" in caplog.text) == warned
    caplog.clear()
    (tmp_path / "key").write_text("password\n")
    read_site(write(tmp_path, wifi(password={"from_file": "key"}), 0o644))
    assert caplog.text == ""


def certificate(folder: Path) -> Path:
    file = folder / "ca.pem"
    words = f"openssl req -x509 -newkey ed25519 -nodes -days 2 -subj /CN=test -keyout {folder}/ca.key -out {file}"
    assert os.system(f"{words} 2>/dev/null") == 0
    return file


def test_files_of_the_settings_are_brought_along(tmp_path: Path) -> None:
    certificate(tmp_path)
    (tmp_path / "models" / "mine").mkdir(parents=True)
    (tmp_path / "models" / "mine" / "card.json").write_text("{}")
    tree = site(
        settings={"mqtt": {"host": "b", "tls": True, "ca_file": "/etc/emotion-edge/ca.pem"}},
        files={"/etc/emotion-edge/ca.pem": "ca.pem", "/srv/emotion-edge/mine": "models/mine"},
    )
    files = card_files(read_site(write(tmp_path, tree)))
    assert files["emotion-edge/files/etc/emotion-edge/ca.pem"] == (tmp_path / "ca.pem").read_bytes()
    assert files["emotion-edge/files/srv/emotion-edge/mine/card.json"] == b"{}"


@pytest.mark.parametrize(
    ("files", "settings", "message"),
    [
        ({"/etc/passwd": "ca.pem"}, {}, "must be below /etc/emotion-edge or /srv/emotion-edge"),
        ({"/etc/emotion-edge/../passwd": "ca.pem"}, {}, "must be below"),
        ({"/etc/emotion-edge/config.yaml": "ca.pem"}, {}, "belong under `settings:`"),
        ({"/etc/emotion-edge/ca.pem": "none.pem"}, {}, "files: .*none.pem: cannot be read"),
        ({}, {"ca_file": "/etc/emotion-edge/ca.pem"}, "mqtt.ca_file: /etc/emotion-edge/ca.pem is not on the board"),
        ({"/etc/emotion-edge/ca.pem": "text"}, {"ca_file": "/etc/emotion-edge/ca.pem"}, "is no certificate"),
        (
            {"/etc/emotion-edge/p": "empty"},
            {"username": "u", "password_file": "/etc/emotion-edge/p"},
            "first line of .* is empty",
        ),
        ({"/etc/emotion-edge/k": "text"}, {"key_file": "/etc/emotion-edge/k"}, "holds no private key"),
    ],
)
def test_files_that_would_not_work_are_refused(
    files: dict[str, str], settings: dict[str, str], message: str, tmp_path: Path
) -> None:
    certificate(tmp_path)
    (tmp_path / "text").write_text("not a certificate\n")
    (tmp_path / "empty").touch()
    tree = site(settings={"mqtt": {"host": "b", **settings}}, files=files)
    with pytest.raises(EmotionEdgeError, match=message):
        read_site(write(tmp_path, tree))


def test_a_card_may_update_itself_from_a_repository(tmp_path: Path) -> None:
    (tmp_path / "key.asc").write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    tree = site(updates={"url": "https://example.org/emotion-edge", "key": "key.asc"})
    files = card_files(read_site(write(tmp_path, tree)))
    assert b"URIs: https://example.org/emotion-edge\nSuites: trixie\n" in files["emotion-edge/apt/emotion-edge.sources"]
    assert files["emotion-edge/apt/emotion-edge.asc"].startswith(b"-----BEGIN PGP PUBLIC")
    (tmp_path / "key.asc").write_text("-----BEGIN PGP PRIVATE KEY BLOCK-----\n")
    with pytest.raises(EmotionEdgeError, match="is no public key of gpg"):
        read_site(write(tmp_path, tree))


def test_the_public_key_is_that_of_the_user(tmp_path: Path) -> None:
    assert card_of(tmp_path, site())["user-data"]["users"][0]["ssh_authorized_keys"] == [KEY]
