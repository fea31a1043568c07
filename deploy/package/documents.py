"""Documents of the package: pages with working links, the man page, the change log."""

import gzip
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Final

from edge.errors import EmotionEdgeError

PAGES: Final = (
    "administration",
    "boards",
    "coral",
    "detectors",
    "display",
    "home-assistant",
    "install",
    "mqtt",
    "page",
    "record",
    "scale",
    "server",
    "tuning",
    "updates",
    "viewers",
)
"""Pages of docs/ about using a board."""

_LINK: Final = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def write_documents(root: Path, folder: Path, name: str, version: str, epoch: int) -> None:
    """Write the files of /usr/share/doc/NAME, except `copyright`.

    Args:
        root: the checkout.
        folder: the folder to write.
        name: name of the package.
        version: version of the package.
        epoch: Unix time of the changelog entry.
    """
    shutil.copytree(root / "docs" / "schemas", folder / "schemas")
    shutil.copytree(root / "integrations", folder / "integrations")
    shutil.copyfile(root / "systemd" / "config.yaml", folder / "config.yaml")
    shutil.copyfile(root / "CHANGELOG.md", folder / "CHANGELOG.md")
    for page in PAGES:
        shutil.copyfile(root / "docs" / f"{page}.md", folder / f"{page}.md")
    for file in folder.glob("*.md"):
        file.write_text(_relink(file.read_text(encoding="utf-8"), folder), encoding="utf-8")
    when = format_datetime(datetime.fromtimestamp(epoch, UTC))
    signed = f" -- Emotion Edge <packages@emotion-edge.invalid>  {when}"
    entry = f"{name} ({version}) stable; urgency=medium\n\n  * See CHANGELOG.md.\n\n{signed}\n"
    (folder / "changelog.gz").write_bytes(gzip.compress(entry.encode(), 9, mtime=0))


def _relink(text: str, folder: Path) -> str:
    """Adapt relative links: moved files get their new path, links to files that the package lacks become plain text."""

    def replace(found: re.Match[str]) -> str:
        picture, label, target = found.groups()
        path, mark, anchor = target.partition("#")
        if not path or "://" in path or path.startswith("mailto:"):
            return found[0]
        moved = path.removeprefix("../").removeprefix("docs/")
        moved = "config.yaml" if moved == "systemd/config.yaml" else moved
        if not picture and (folder / moved).exists():
            return f"[{label}]({moved}{mark}{anchor})"
        return "" if picture else label

    return _LINK.sub(replace, text)


def write_manual(path: Path, epoch: int) -> None:
    """Write the man page of emotion-edge, made from its --help by argparse-manpage, compressed.

    Raises EmotionEdgeError where argparse-manpage fails.
    """
    words = [sys.executable, "-c", "from argparse_manpage.cli import main; main()"]
    words += ["--module", "edge.cli", "--function", "_parser"]
    words += ["--project-name", "emotion-edge", "--manual-title", "Emotion Edge", "--format", "single-commands-section"]
    words += ["--description", "facial emotions from a camera to MQTT", "--author", "the contributors to Emotion Edge"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch), "COLUMNS": "100"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode or not done.stdout.startswith(".TH"):
        reason = done.stderr.strip().splitlines()[-1:] or [done.stdout[:200]]
        raise EmotionEdgeError(f"package: the man page cannot be made: {reason[0]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(done.stdout.encode(), 9, mtime=0))
