"""Fields of a .deb file."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from edge.errors import EmotionEdgeError


def package_fields(package: Path) -> dict[str, str]:
    """Read the fields of a .deb's control file. Raises EmotionEdgeError if the file is not a Debian package."""
    try:
        done = subprocess.run(["dpkg-deb", "-f", str(package)], capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise EmotionEdgeError("dpkg-deb is not here (Debian, Fedora and Homebrew have it in `dpkg`)") from error
    except subprocess.CalledProcessError as error:
        raise EmotionEdgeError(f"{package}: is no Debian package: {error.stderr.strip()}") from error
    lines = [line.partition(": ") for line in done.stdout.splitlines() if not line.startswith(" ")]
    return {name: value for name, _, value in lines}


def board_file_name(fields: Mapping[str, str]) -> str:
    """Return the file name of a package on a board, NAME_VERSION_ARCH.deb, independent of the local file's name.

    The colon of an epoch is escaped like in apt's cache, as FAT does not allow it in names.
    """
    version = fields["Version"].replace(":", "%3a")
    return f"{fields['Package']}_{version}_{fields['Architecture']}.deb"


def suite_of(fields: Mapping[str, str]) -> str:
    """Return the Debian release for which a package was built, by the Python it depends on; "" if unknown."""
    pythons = {"python3 (>= 3.11~)": "bookworm", "python3 (>= 3.13~)": "trixie"}
    return next((suite for wanted, suite in pythons.items() if wanted in fields.get("Depends", "")), "")
