"""Links between the pages of the repository lead to files, and to headings of pages."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDERS = (".", "docs", "models", "integrations", "training", "quantize", "deploy")
PAGES = sorted({page for folder in FOLDERS for page in (ROOT / folder).glob("*.md" if folder == "." else "**/*.md")})


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives a page's headings: small letters, digits, and hyphens for spaces."""
    headings = [line.lstrip("#").strip() for line in page.read_text().splitlines() if re.match("#+ ", line)]
    shown = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in shown}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match("https?:|mailto:", target):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            wrong.append(target)
    assert not wrong


def test_pages_were_found() -> None:
    assert {ROOT / "README.md", ROOT / "docs/mqtt.md", ROOT / "models/emotion-small/CARD.md"} <= set(PAGES)
