"""Writes a manifest for Raspberry Pi Imager, so that cards made by `emotion-deploy image` are in its list."""

import hashlib
import json
import shutil
import subprocess
from datetime import date
from pathlib import Path
from typing import Any, Final

from edge.errors import EmotionEdgeError

MANIFEST: Final = "os_list.json"
_ICON: Final = Path(__file__).parents[2] / "edge" / "outputs" / "web" / "page" / "icon.svg"
_BLOCK: Final = 1 << 20


def publish_cards(folder: Path, cards: list[Path], url: str, day: date) -> None:
    """Add cards to a folder that Imager reads over the network: `emotion-deploy imager`.

    Args:
        folder: for a web server; card images are packed into it.
        cards: made by `image -o`. Who can read the folder can read their secrets.
        url: where the folder will be served.
        day: shown as the release date.

    Raises:
        EmotionEdgeError: where a card cannot be read or xz is missing.
    """
    if not shutil.which("xz"):
        raise EmotionEdgeError("imager: xz is not here: sudo apt-get install xz-utils")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / MANIFEST
    known = {entry["name"]: entry for entry in json.loads(file.read_text())["os_list"]} if file.exists() else {}
    for card in cards:
        entry = _entry(card, folder, url.rstrip("/"), day)
        known[entry["name"]] = entry
    shutil.copyfile(_ICON, folder / _ICON.name)
    fresh = folder / f".{MANIFEST}.new"
    fresh.write_text(json.dumps({"os_list": [known[name] for name in sorted(known)]}, indent=2) + "\n")
    fresh.replace(file)


def _entry(card: Path, folder: Path, url: str, day: date) -> dict[str, Any]:
    """Describe a card as in Imager's os-list-schema.json; Imager checks the written card by the SHA-256."""
    digest = hashlib.sha256()
    try:
        with card.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise EmotionEdgeError(f"imager: {card}: cannot be read: {error.strerror}") from error
    packed = folder / f"{card.stem}.img.xz"
    with packed.open("wb") as out:
        done = subprocess.run(["xz", "-T0", "-c", str(card)], stdout=out, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise EmotionEdgeError(f"imager: {packed}: {done.stderr.decode(errors='replace').strip()}")
    return {
        "name": f"Emotion Edge: {card.stem}",
        "description": "Raspberry Pi OS that installs Emotion Edge on its first boot",
        "icon": f"{url}/{_ICON.name}",
        "url": f"{url}/{packed.name}",
        "extract_size": card.stat().st_size,
        "extract_sha256": digest.hexdigest(),
        "image_download_size": packed.stat().st_size,
        "release_date": day.isoformat(),
        # Imager's own customisation would replace the user-data that installs Emotion Edge.
        "init_format": "none",
        "devices": ["pi5-64bit", "pi4-64bit", "pi3-64bit"],
    }
