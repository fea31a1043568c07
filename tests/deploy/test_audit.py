"""Known vulnerabilities of locked packages, from advisories in OSV format."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import main
from deploy.package.audit import ADVISORY_MAX, audit
from edge.errors import EmotionEdgeError

LOCK = """\
pillow==10.2.0 \\
    --hash=sha256:0
numpy==1.26.4 ; python_full_version < '3.12' \\
    --hash=sha256:0
PyYAML==6.0.1 \\
    --hash=sha256:0
"""


def advisory(name: str, identifier: str, **affected: Any) -> dict[str, Any]:
    package = {"ecosystem": "PyPI", "name": name}
    return {"id": identifier, "summary": f"fault in {name}", "affected": [{"package": package, **affected}]}


def between(*events: tuple[str, str]) -> dict[str, Any]:
    return {"ranges": [{"type": "ECOSYSTEM", "events": [dict([event]) for event in events]}]}


ADVISORIES = [
    advisory("Pillow", "OSV-1", **between(("introduced", "0"), ("fixed", "10.3.0"))),
    advisory("pillow", "OSV-2", **between(("introduced", "0"), ("fixed", "10.2.0"))),
    advisory("pillow", "OSV-3", **between(("fixed", "9.0"), ("introduced", "10.0"), ("introduced", "0"))),
    advisory("pillow", "OSV-4", **between(("introduced", "10.2.1"))),
    advisory("pillow", "OSV-5", **between(("introduced", "0"), ("last_affected", "10.1.0"))),
    advisory("pyyaml", "OSV-6", versions=["6.0.1"]),
    advisory("pyyaml", "OSV-7", versions=["6.0"]),
    advisory("numpy", "OSV-8", **between(("introduced", "0"), ("last_affected", "1.26.4"))),
    advisory("other", "OSV-9", **between(("introduced", "0"))),
    advisory("numpy", "OSV-10", **between(("introduced", "0"))) | {"withdrawn": "2026-01-01T00:00:00Z"},
]


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "board.txt"
    file.write_text(LOCK)
    return file


@pytest.fixture(params=["folder", "zip"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "folder":
        folder = tmp_path / "osv"
        folder.mkdir()
        for entry in ADVISORIES:
            (folder / f"{entry['id']}.json").write_text(json.dumps(entry))
        return folder
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for entry in ADVISORIES:
            archive.writestr(f"{entry['id']}.json", json.dumps(entry))
    return tmp_path / "all.zip"


def test_faults_of_the_locked_versions_are_named(
    lock: Path, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [fault.identifier for fault in audit([lock], database)] == ["OSV-8", "OSV-1", "OSV-3", "OSV-6"]
    assert main(["audit", str(lock), "--database", str(database)]) == 1
    out = capsys.readouterr().out
    assert "pillow 10.2.0: OSV-1: fault in Pillow; fixed in 10.3.0\n" in out
    assert "4 known faults" in out
    assert main(["audit", str(lock), "--database", str(database), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["package"] == "numpy"


def test_without_faults_the_status_is_zero(tmp_path: Path, lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "osv").mkdir()
    (tmp_path / "osv/one.json").write_text(json.dumps(advisory("other", "OSV-9", **between(("introduced", "0")))))
    assert main(["audit", str(lock), "--database", str(tmp_path / "osv")]) == 0
    assert "no known faults" in capsys.readouterr().out


def test_what_is_no_database_or_lock_is_named(tmp_path: Path, lock: Path) -> None:
    (tmp_path / "wrong.zip").write_text("no archive")
    with pytest.raises(EmotionEdgeError, match="no database of advisories"):
        audit([lock], tmp_path / "wrong.zip")
    with pytest.raises(EmotionEdgeError, match=r"none\.txt: cannot be read"):
        audit([tmp_path / "none.txt"], tmp_path)
    with pytest.raises(EmotionEdgeError, match="holds no advisory"):
        audit([lock], tmp_path)
    with pytest.raises(EmotionEdgeError, match=r"/dev/zero: .*not a regular file"):
        audit([lock], Path("/dev/zero"))
    with zipfile.ZipFile(tmp_path / "large.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("PYSEC-1.json", b" " * (ADVISORY_MAX + 1))
    with pytest.raises(EmotionEdgeError, match=r"PYSEC-1\.json has \d+ bytes"):
        audit([lock], tmp_path / "large.zip")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"dependencies": [{"name": "pillow", "version": "10.2.0", "vulns": []}]}, ""),
        (
            {"dependencies": [{"name": "pillow", "skip_reason": "not found on PyPI"}]},
            "left out 1 of 1.*not found on PyPI",
        ),
    ],
)
def test_packages_that_pip_audit_leaves_out_do_not_pass_for_faultless(
    answer: dict[str, Any], message: str, tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pip-audit"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(answer)}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if not message:
        assert audit([lock], None) == []
        return
    with pytest.raises(EmotionEdgeError, match=message):
        audit([lock], None)
