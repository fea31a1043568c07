"""Enters a root's unpacked packages into its dpkg database: `python -m deploy.emulated.unpacked ROOT`.

Setting the packages up runs their maintainer scripts, which takes half an hour where the processor is emulated.
"""

import shutil
import sys
from pathlib import Path

from deploy.emulated.commands import run


def register_packages(root: Path) -> None:
    """Enter the unpacked packages, whose files are in apt's archive folder of the root, into its dpkg database.

    The packages count as installed, with their maintainer scripts; the archives are removed.
    """
    database = root / "var/lib/dpkg"
    for name in ("info", "updates", "triggers"):
        (database / name).mkdir(parents=True, exist_ok=True)
    (database / "info/format").write_text("1\n")
    paragraphs = []
    for archive in sorted((root / "var/cache/apt/archives").glob("*.deb")):
        control = run("dpkg-deb", "-f", str(archive)).decode()
        fields = dict(line.split(": ", 1) for line in control.splitlines() if ": " in line and line[0] != " ")
        name = fields["Package"] + (":arm64" if fields.get("Multi-Arch") == "same" else "")
        paragraphs.append(control.replace("\n", "\nStatus: install ok installed\n", 1))
        folder = database / "control"
        run("dpkg-deb", "-e", str(archive), str(folder))
        for file in folder.iterdir():
            if file.name != "control":
                file.replace(database / "info" / f"{name}.{file.name}")
        shutil.rmtree(folder)
        listed = run("sh", "-c", 'dpkg-deb --fsys-tarfile "$1" | tar -t', "sh", str(archive)).decode().splitlines()
        paths = [line.removeprefix(".").rstrip("/") or "/." for line in listed]
        (database / "info" / f"{name}.list").write_text("".join(f"{path}\n" for path in paths))
        archive.unlink()
    (database / "status").write_text("\n".join(paragraphs))


if __name__ == "__main__":
    register_packages(Path(sys.argv[1]))
