"""debian/copyright in its machine-readable form (DEP-5): authors and licences of everything in the package."""

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
"""Debian's names for the licences that wheels state."""

_COPYRIGHT: Final = re.compile(
    r"^\W*(?i:copyright)\s+(?:\([Cc]\)\s*|©\s*)?((?:[12]\d{3}|(?:[Tt]he )?[A-Z][a-z]+ )[^\n]+?)[.,\s]*$", re.MULTILINE
)
"""Matches a copyright notice in a licence text, but not a sentence about copyright."""

_OPENCV: Final = """\
Comment: The libraries of others that are inside it, and beside it in opencv_python.libs, Qt (LGPL-3) and FFmpeg
 (LGPL-2.1 or later) among them, are listed with their licences in {site}/cv2/LICENSE-3RD-PARTY.txt.
"""


def notices(root: Path, tree: Path, site: Path) -> str:
    """Build the text of debian/copyright.

    Args:
        root: the checkout.
        tree: the package's files.
        site: its site-packages.

    Raises:
        EmotionEdgeError: for a wheel that has no licence text.
    """
    text = (Path(__file__).parent / "debian" / "copyright").read_text().replace("@site@", str(site.relative_to(tree)))
    parts = [text.strip()]
    parts += [
        _wheel_paragraph(tree, folder) for folder in sorted(site.glob("*.dist-info")) if (folder / "RECORD").exists()
    ]
    parts.append("License: Expat\n" + _indented((root / "models" / "yunet-320" / "LICENSE").read_text()))
    parts.append(
        "License: OFL-1.1\n" + _indented((root / "edge" / "outputs" / "drawing" / "font" / "LICENSE").read_text())
    )
    return "\n\n".join(parts) + "\n"


def _wheel_paragraph(tree: Path, about: Path) -> str:
    """Build the paragraph of debian/copyright on a wheel, from its *.dist-info folder."""
    site = about.parent
    metadata = message_from_string((about / "METADATA").read_text())
    tops = {line.split("/")[0].split(",")[0] for line in (about / "RECORD").read_text().splitlines()}
    here = sorted(top for top in tops if (site / top).exists() and top != "__pycache__")
    files = [f"{site.relative_to(tree)}/{top}{'/*' if (site / top).is_dir() else ''}" for top in here]
    texts = sorted(path for path in about.rglob("*") if path.is_file() and re.match("licen|edl", path.name, re.I))
    owners = list(
        dict.fromkeys(owner for text in texts for owner in _COPYRIGHT.findall(text.read_text(errors="replace")))
    )
    licence = licence_of(metadata)
    where = f"/{texts[0].relative_to(tree).parent}" if texts else "/usr/share/common-licenses/Apache-2.0"
    if not texts and licence != "Apache-2.0":
        raise EmotionEdgeError(
            f"package: {about.name} has licence {licence} and no licence text: add one to deploy/package/debian"
        )
    return (
        "Files: " + "\n ".join(files) + "\n"
        "Copyright: "
        + "\n ".join(owners or [f"the authors of {metadata['Name']}"])
        + "\n"
        f"License: {licence}\n The text is in {where}\n"
        f"{_OPENCV.format(site='/' + str(site.relative_to(tree))) if 'cv2' in here else ''}".rstrip()
    )


def licence_of(metadata: Message) -> str:
    """Return the licence stated in a wheel's METADATA, by Debian's name for it if there is one."""
    classifiers = [
        text.split(" :: ")[-1] for text in metadata.get_all("Classifier", []) if text.startswith("License ::")
    ]
    name = metadata["License-Expression"] or metadata["License"] or (classifiers or ["unknown"])[0]
    return re.sub(r" (AND|OR) ", lambda found: found[0].lower(), _NAMES.get(name, name))


def _indented(text: str) -> str:
    return "\n".join(f" {line}".rstrip() if line.strip() else " ." for line in text.strip().splitlines())
