"""What lies where in the package, but for the wheels."""

import gzip
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Final

from deploy.package_notices import notices
from deploy.package_unused import remove_unused
from edge import __version__

NAME: Final = "emotion-edge"

UNITS: Final[Mapping[str, str]] = {
    "config.yaml": f"etc/{NAME}/config.yaml",
    f"{NAME}.service": f"usr/lib/systemd/system/{NAME}.service",
    f"{NAME}-serve.service": f"usr/lib/systemd/system/{NAME}-serve.service",
    f"{NAME}@.service": f"usr/lib/systemd/system/{NAME}@.service",
    "sysusers.conf": f"usr/lib/sysusers.d/{NAME}.conf",
    "tmpfiles.conf": f"usr/lib/tmpfiles.d/{NAME}.conf",
    "60-coral.rules": f"usr/lib/udev/rules.d/60-{NAME}-coral.rules",
}
"""Files of systemd/ and where they go."""

DOCUMENTS: Final = (
    "coral",
    "detectors",
    "display",
    "home-assistant",
    "install",
    "mqtt",
    "page",
    "record",
    "server",
    "tuning",
)
"""Pages of docs/ that are for who has a board before them."""


def lay_out(root: Path, tree: Path, python: str, version: str, epoch: int) -> None:
    """Put everything but the wheels, which lie there, below `tree`; and take out of the wheels what is not used.

    root: the checkout. python: `3.11`. version: Debian's. epoch: Unix time of the changelog's entry.
    """
    environment = tree / "opt" / NAME
    site = environment / "lib" / f"python{python}" / "site-packages"
    remove_unused(site)
    # The product itself, so that `importlib.metadata` finds its version.
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
    for unit in (name for name in UNITS if name.endswith(".service")):
        folder = tree / "usr" / "lib" / "systemd" / "system" / f"{unit}.d"
        folder.mkdir()
        shutil.copyfile(root / "systemd" / "backoff.conf", folder / "backoff.conf")
    _documents(root, tree, site, version, epoch)


def _environment(folder: Path, python: str) -> None:
    """What `python3 -m venv --system-site-packages --without-pip` makes, of the board's own Python (PEP 405)."""
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = true\n")
    programs = folder / "bin"
    programs.mkdir()
    (programs / "python").symlink_to(f"/usr/bin/python{python}")
    (programs / "python3").symlink_to("python")
    # -I: whatever a user's environment or home holds, the service and the command see the same packages.
    (programs / NAME).write_text(
        f"#!/opt/{NAME}/bin/python -I\nimport sys\n\nfrom edge.cli import main\n\nsys.exit(main())\n"
    )


def _documents(root: Path, tree: Path, site: Path, version: str, epoch: int) -> None:
    folder = tree / "usr" / "share" / "doc" / NAME
    folder.mkdir(parents=True)
    (folder / "copyright").write_text(notices(root, tree, site))
    for name in DOCUMENTS:
        shutil.copyfile(root / "docs" / f"{name}.md", folder / f"{name}.md")
    shutil.copytree(root / "docs" / "schemas", folder / "schemas")
    when = format_datetime(datetime.fromtimestamp(epoch, UTC))
    signed = f" -- Emotion Edge <packages@emotion-edge.invalid>  {when}"
    entry = f"{NAME} ({version}) stable; urgency=medium\n\n  * See CHANGELOG.md.\n\n{signed}\n"
    (folder / "changelog.gz").write_bytes(gzip.compress(entry.encode(), 9, mtime=0))
    shutil.copyfile(root / "CHANGELOG.md", folder / "CHANGELOG.md")
    overrides = tree / "usr" / "share" / "lintian" / "overrides" / NAME
    overrides.parent.mkdir(parents=True)
    shutil.copyfile(root / "deploy" / "debian" / "lintian-overrides", overrides)
