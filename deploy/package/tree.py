"""Lays out the files of the package other than the wheels."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.package.documents import write_documents, write_manual
from deploy.package.notices import notices
from deploy.package.sbom import write_sbom
from deploy.package.unused import remove_unused
from edge import __version__

NAME: Final = "emotion-edge"

UNITS: Final[Mapping[str, str]] = {
    "config-short.yaml": f"usr/share/{NAME}/config.yaml",
    f"{NAME}.service": f"usr/lib/systemd/system/{NAME}.service",
    f"{NAME}-serve.service": f"usr/lib/systemd/system/{NAME}-serve.service",
    f"{NAME}@.service": f"usr/lib/systemd/system/{NAME}@.service",
    f"{NAME}-update.service": f"usr/lib/systemd/system/{NAME}-update.service",
    f"{NAME}-update.timer": f"usr/lib/systemd/system/{NAME}-update.timer",
    "update": f"usr/share/{NAME}/update",
    "sysusers.conf": f"usr/lib/sysusers.d/{NAME}.conf",
    "tmpfiles.conf": f"usr/lib/tmpfiles.d/{NAME}.conf",
    "60-coral.rules": f"usr/lib/udev/rules.d/60-{NAME}-coral.rules",
}
"""Files of systemd/ and their paths in the package."""


def lay_out_tree(root: Path, tree: Path, python: str, version: str, epoch: int) -> None:
    """Copy everything but the wheels into `tree`, and remove unused files from the wheels already in it.

    Args:
        root: the checkout.
        tree: the package's root folder.
        python: version, as in `3.11`.
        version: version of the Debian package.
        epoch: Unix time of the changelog entry.
    """
    environment = tree / "opt" / NAME
    site = environment / "lib" / f"python{python}" / "site-packages"
    remove_unused(site)
    # `importlib.metadata` reads the version from the dist-info folder.
    shutil.copytree(root / "edge", site / "edge", ignore=shutil.ignore_patterns("__pycache__"))
    about = site / f"emotion_edge-{__version__}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {__version__}\n")
    (about / "INSTALLER").write_text("dpkg\n")
    _environment(environment, python)
    (tree / "usr" / "bin").mkdir(parents=True)
    (tree / "usr" / "bin" / NAME).symlink_to(f"/opt/{NAME}/bin/{NAME}")
    shutil.copytree(
        root / "models",
        tree / "usr" / "share" / NAME / "models",
        ignore=shutil.ignore_patterns("*.keras", "__pycache__"),
    )
    for source, target in UNITS.items():
        (tree / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / "systemd" / source, tree / target)
    for file in (Path(__file__).parents[1] / "boards" / "files").iterdir():
        shutil.copyfile(file, tree / "usr" / "share" / NAME / file.name)
    for unit in (name for name in UNITS if name.endswith(".service") and "update" not in name):
        folder = tree / "usr" / "lib" / "systemd" / "system" / f"{unit}.d"
        folder.mkdir()
        shutil.copyfile(root / "systemd" / "backoff.conf", folder / "backoff.conf")
    documents = tree / "usr" / "share" / "doc" / NAME
    write_documents(root, documents, NAME, version, epoch)
    (documents / "copyright").write_text(notices(root, tree, site))
    models = tree / "usr" / "share" / NAME / "models"
    write_sbom(documents / "sbom.cdx.json", NAME, version, site, models, epoch)
    write_manual(tree / "usr" / "share" / "man" / "man1" / f"{NAME}.1.gz", epoch)
    overrides = tree / "usr" / "share" / "lintian" / "overrides" / NAME
    overrides.parent.mkdir(parents=True)
    shutil.copyfile(Path(__file__).parent / "debian" / "lintian-overrides", overrides)


def _environment(folder: Path, python: str) -> None:
    """Create a virtual environment (PEP 405) like `python3 -m venv --system-site-packages --without-pip`."""
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = true\n")
    programs = folder / "bin"
    programs.mkdir()
    (programs / "python").symlink_to(f"/usr/bin/python{python}")
    (programs / "python3").symlink_to("python")
    # -I: PYTHON* variables and packages in the user's home are ignored, so that command and service import the same.
    (programs / NAME).write_text(
        f"#!/opt/{NAME}/bin/python -I\nimport sys\n\nfrom edge.cli import main\n\nsys.exit(main())\n"
    )
