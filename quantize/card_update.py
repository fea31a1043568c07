"""Adds figures that were measured later to the card of an existing model or committee."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_into(folder: Path, name: str, facts: Mapping[str, Any], section: str) -> None:
    """Add measured figures to the card of an existing model or committee.

    Args:
        folder: folder with the card and CARD.md; the latter may be missing.
        name: name of the JSON file of the card.
        facts: top-level keys to set or replace in that file.
        section: section of CARD.md, beginning with its heading (`## ...`); an existing one with this heading is
            replaced.
    """
    path, text = folder / name, folder / "CARD.md"
    content = json.loads(path.read_text(encoding="utf-8")) | dict(facts)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if text.is_file():
        text.write_text(with_section(text.read_text(encoding="utf-8"), section), encoding="utf-8")


def with_section(text: str, section: str) -> str:
    """Replace the section with the same heading in a Markdown text, or append it.

    section: Markdown that begins with a heading of level 2.
    """
    section = section.strip("\n")
    heading = re.escape(section.split("\n", 1)[0])
    there = re.compile(rf"^{heading}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    if there.search(text):
        return there.sub(lambda _: f"{section}\n\n", text, count=1).rstrip("\n") + "\n"
    return text.rstrip("\n") + f"\n\n{section}\n"
