"""The manifest for Raspberry Pi Imager: its fields, and that they fit the served files."""

import hashlib
import json
import lzma
import shutil
from datetime import date
from pathlib import Path

import pytest

from deploy.image.imager import publish_cards
from edge.errors import EmotionEdgeError

pytestmark = pytest.mark.skipif(not shutil.which("xz"), reason="xz is not installed")

# Fields that Imager's os-list-schema.json requires of an operating system, with their types.
REQUIRED = {
    "name": str,
    "description": str,
    "icon": str,
    "url": str,
    "extract_size": int,
    "extract_sha256": str,
    "image_download_size": int,
    "release_date": str,
}


def test_imager_finds_each_card_with_its_size_and_sum(tmp_path: Path) -> None:
    kitchen, hall = tmp_path / "kitchen.img", tmp_path / "hall.img"
    kitchen.write_bytes(b"kitchen" * 1000)
    hall.write_bytes(b"hall" * 1000)
    folder = tmp_path / "public"
    publish_cards(folder, [kitchen], "https://example.org/cards/", date(2026, 11, 28))
    publish_cards(folder, [hall], "https://example.org/cards", date(2026, 11, 29))
    entries = json.loads((folder / "os_list.json").read_text())["os_list"]
    assert [entry["name"] for entry in entries] == ["Emotion Edge: hall", "Emotion Edge: kitchen"]
    for entry, card in zip(entries, (hall, kitchen), strict=True):
        assert all(isinstance(entry[name], kind) for name, kind in REQUIRED.items())
        served = folder / entry["url"].removeprefix("https://example.org/cards/")
        assert served.stat().st_size == entry["image_download_size"]
        assert lzma.decompress(served.read_bytes()) == card.read_bytes()
        assert entry["extract_size"] == card.stat().st_size
        assert entry["extract_sha256"] == hashlib.sha256(card.read_bytes()).hexdigest()
        assert (folder / entry["icon"].removeprefix("https://example.org/cards/")).is_file()
        assert entry["init_format"] == "none"
    assert entries[0]["release_date"] == "2026-11-29"


def test_a_card_that_is_not_there_leaves_the_list_as_it_is(tmp_path: Path) -> None:
    card = tmp_path / "kitchen.img"
    card.write_bytes(b"kitchen")
    publish_cards(tmp_path / "public", [card], "https://example.org", date(2026, 11, 28))
    before = (tmp_path / "public/os_list.json").read_text()
    with pytest.raises(EmotionEdgeError, match=r"none\.img: cannot be read"):
        publish_cards(tmp_path / "public", [card, tmp_path / "none.img"], "https://example.org", date(2026, 11, 29))
    assert (tmp_path / "public/os_list.json").read_text() == before
