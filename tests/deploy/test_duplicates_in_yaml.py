"""A key that is twice in a site file or an inventory is refused: YAML would keep the last."""

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.boards.inventory import read_inventory
from deploy.image.site import read_site
from edge.errors import EmotionEdgeError

SITE = """hostname: kitchen
user:
  name: pi
  ssh_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ me@pc]
wifi: {country: DE, password: secret123, ssid: home}
user:
  name: other
  password: x
"""
HOSTS = "hosts:\n  kitchen: pi@kitchen\n  hall: pi@hall\n  kitchen: pi@other\n"


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_site, SITE, "user is there twice, in lines 2 and 6"),
        (read_inventory, HOSTS, "hosts.kitchen is there twice, in lines 2 and 4"),
    ],
)
def test_both_lines_are_named(tmp_path: Path, read: Callable[[Path], object], text: str, message: str) -> None:
    (path := tmp_path / "file.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(EmotionEdgeError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "secret123" not in str(caught.value)
