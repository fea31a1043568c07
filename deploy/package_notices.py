"""Whose work is in the package, and under which licence: debian/copyright in its machine-readable form (DEP-5)."""

import re
from email import message_from_string
from email.message import Message
from pathlib import Path
from typing import Final

from edge.errors import EmotionEdgeError

_NAMES: Final = {
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "MIT": "Expat",
    "MIT License": "Expat",
    "BSD License": "BSD-3-Clause",
}
"""What wheels call licences, and what Debian does."""

_OWNER: Final = re.compile(
    r"^\W*(?i:copyright)\s+(?:\([Cc]\)\s*|©\s*)?((?:[12]\d{3}|(?:[Tt]he )?[A-Z][a-z]+ )[^\n]+?)[.,\s]*$", re.MULTILINE
)
"""A line of a licence that names whose it is, and not one of its sentences about copyright."""

_OPENCV: Final = """\
Comment: The libraries of others that are inside it, and beside it in opencv_python.libs, Qt (LGPL-3) and FFmpeg
 (LGPL-2.1 or later) among them, are listed with their licences in {site}/cv2/LICENSE-3RD-PARTY.txt.
"""


def notices(root: Path, tree: Path, site: Path) -> str:
    """The text of debian/copyright.

    root: the checkout; tree: what the package holds; site: its site-packages.

    Raises EmotionEdgeError for a wheel that brings no text of its licence.
    """
    text = (root / "deploy" / "debian" / "copyright").read_text().replace("@site@", str(site.relative_to(tree)))
    parts = [text.strip()]
    parts += [_of_wheel(tree, folder) for folder in sorted(site.glob("*.dist-info")) if (folder / "RECORD").exists()]
    parts.append("License: Expat\n" + _indented((root / "models" / "yunet-320" / "LICENSE").read_text()))
    parts.append("License: OFL-1.1\n" + _indented((root / "edge" / "outputs" / "font" / "LICENSE").read_text()))
    return "\n\n".join(parts) + "\n"


def _of_wheel(tree: Path, about: Path) -> str:
    """The paragraph of a wheel. about: its *.dist-info."""
    site = about.parent
    said = message_from_string((about / "METADATA").read_text())
    tops = {line.split("/")[0].split(",")[0] for line in (about / "RECORD").read_text().splitlines()}
    here = sorted(top for top in tops if (site / top).exists() and top != "__pycache__")
    files = [f"{site.relative_to(tree)}/{top}{'/*' if (site / top).is_dir() else ''}" for top in here]
    texts = sorted(path for path in about.rglob("*") if path.is_file() and re.match("licen|edl", path.name, re.I))
    owners = list(dict.fromkeys(owner for text in texts for owner in _OWNER.findall(text.read_text(errors="replace"))))
    licence = _licence(said)
    where = f"/{texts[0].relative_to(tree).parent}" if texts else "/usr/share/common-licenses/Apache-2.0"
    if not texts and licence != "Apache-2.0":
        raise EmotionEdgeError(
            f"package: {about.name} says {licence} and brings no text of it: add one to deploy/debian"
        )
    return (
        "Files: " + "\n ".join(files) + "\n"
        "Copyright: "
        + "\n ".join(owners or [f"the authors of {said['Name']}"])
        + "\n"
        f"License: {licence}\n The text is in {where}\n"
        f"{_OPENCV.format(site='/' + str(site.relative_to(tree))) if 'cv2' in here else ''}".rstrip()
    )


def _licence(said: Message) -> str:
    classifiers = [text.split(" :: ")[-1] for text in said.get_all("Classifier", []) if text.startswith("License ::")]
    name = said["License-Expression"] or said["License"] or (classifiers or ["unknown"])[0]
    return re.sub(r" (AND|OR) ", lambda found: found[0].lower(), _NAMES.get(name, name))


def _indented(text: str) -> str:
    return "\n".join(f" {line}".rstrip() if line.strip() else " ." for line in text.strip().splitlines())
