"""Lists known vulnerabilities of locked Python packages: `emotion-deploy audit`."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packaging.version import InvalidVersion, Version

from edge.errors import EmotionEdgeError

ADVISORY_MAX: Final = 4 << 20
"""Maximum bytes of one advisory, which seldom has more than a few thousand."""


@dataclass(frozen=True)
class Fault:
    """A known vulnerability of a package. fixed: the versions in which it is fixed."""

    package: str
    version: str
    identifier: str
    summary: str
    fixed: tuple[str, ...]


def audit(locks: list[Path], database: Path | None) -> list[Fault]:
    """Find the known vulnerabilities of the packages in lock files.

    Args:
        locks: requirements with hashes.
        database: advisories of the OSV format (osv.dev's PyPI/all.zip, or a folder of its JSON files); None asks
            pip-audit, which asks over the network.

    Raises:
        EmotionEdgeError: where a file cannot be read or pip-audit is missing or fails.
    """
    if database is None:
        return _ask_pip_audit(locks)
    packages = {name: version for lock in locks for name, version in _locked(lock)}
    faults: list[Fault] = []
    count = 0
    for advisory in _advisories(database):
        count += 1
        faults += _faults(advisory, packages)
    if not count:
        raise EmotionEdgeError(f"{database}: holds no advisory")
    return sorted(faults, key=lambda fault: (fault.package, fault.identifier))


def _locked(lock: Path) -> Iterator[tuple[str, str]]:
    try:
        text = lock.read_text(encoding="utf-8")
    except OSError as error:
        raise EmotionEdgeError(f"{lock}: cannot be read: {error}") from error
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE):
        yield _normal(name), version


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _advisories(database: Path) -> Iterator[Mapping[str, Any]]:
    try:
        if database.is_dir():
            for file in sorted(path for path in database.glob("*.json") if path.is_file()):
                _limited(file.stat().st_size, file.name)
                yield json.loads(file.read_text(encoding="utf-8"))
        elif database.exists() and not database.is_file():
            raise ValueError("it is not a regular file")
        else:
            with zipfile.ZipFile(database) as archive:
                for entry in archive.infolist():
                    if entry.filename.endswith(".json"):
                        _limited(entry.file_size, entry.filename)
                        yield json.loads(archive.read(entry))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise EmotionEdgeError(f"{database}: is no database of advisories in the OSV format: {error}") from error


def _limited(size: int, name: str) -> None:
    """Raise ValueError for an advisory that is too large to be one."""
    if size > ADVISORY_MAX:
        raise ValueError(f"{name} has {size} bytes; an advisory has at most {ADVISORY_MAX}")


def _faults(advisory: Mapping[str, Any], packages: Mapping[str, str]) -> Iterator[Fault]:
    if advisory.get("withdrawn"):
        return
    for affected in advisory.get("affected", ()):
        package = affected.get("package", {})
        name = _normal(str(package.get("name", "")))
        if package.get("ecosystem") != "PyPI" or name not in packages or not _is_affected(packages[name], affected):
            continue
        events = [event for ranges in affected.get("ranges", ()) for event in ranges.get("events", ())]
        fixed = tuple(event["fixed"] for event in events if "fixed" in event)
        summary = advisory.get("summary") or str(advisory.get("details", "")).partition("\n")[0]
        yield Fault(name, packages[name], advisory["id"], summary[:200], fixed)


def _is_affected(version: str, affected: Mapping[str, Any]) -> bool:
    """Return True if a version is affected by the OSV schema: listed, or inside a range of type ECOSYSTEM."""
    if version in affected.get("versions", ()):
        return True
    for ranges in affected.get("ranges", ()):
        if ranges.get("type") != "ECOSYSTEM":
            continue
        inside = False
        for event in sorted(ranges.get("events", ()), key=_event_order):
            if "introduced" in event and _at_least(version, event["introduced"]):
                inside = True
            if "fixed" in event and _at_least(version, event["fixed"]):
                inside = False
            if "last_affected" in event and version != event["last_affected"]:
                inside = inside and not _at_least(version, event["last_affected"])
        if inside:
            return True
    return False


def _event_order(event: Mapping[str, str]) -> Version:
    return _version(next(iter(event.values())))


def _at_least(version: str, other: str) -> bool:
    return _version(version) >= _version(other)


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0")


def _ask_pip_audit(locks: list[Path]) -> list[Fault]:
    program = shutil.which("pip-audit") or shutil.which("pip-audit", path=str(Path(sys.executable).parent))
    if not program:
        raise EmotionEdgeError("audit: pip-audit is not here (pipx install pip-audit); or give --database")
    words = [program, "--format", "json", "--progress-spinner", "off", "--disable-pip", "--require-hashes"]
    done = subprocess.run(
        [*words, *(word for lock in locks for word in ("-r", str(lock)))], capture_output=True, text=True, check=False
    )
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = done.stderr.strip().splitlines()
        raise EmotionEdgeError(f"audit: pip-audit failed: {reason[-1] if reason else done.returncode}") from None
    if skipped := [str(item["skip_reason"]) for item in found if "skip_reason" in item]:
        raise EmotionEdgeError(f"audit: pip-audit left out {len(skipped)} of {len(found)} packages: {skipped[0]}")
    return [
        Fault(
            item["name"], item["version"], fault["id"], fault.get("description", "")[:200], tuple(fault["fix_versions"])
        )
        for item in found
        for fault in item.get("vulns", ())
    ]
