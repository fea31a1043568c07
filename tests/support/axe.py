"""Checks a page's accessibility with axe-core, which is fetched once from npm into the checkout's cache."""

import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any, Final

import pytest
from selenium import webdriver

_VERSION: Final = "4.14.1"
_FOLDER: Final = Path(__file__).parents[2] / ".cache" / f"axe-core-{_VERSION}"


def violations(browser: webdriver.Chrome) -> list[str]:
    """List what axe finds wrong with the current page. Skips the test if axe is missing and npm cannot fetch it."""
    browser.execute_script(_script())
    run = "const done = arguments[arguments.length - 1]; axe.run(document, {resultTypes: ['violations']}).then(done)"
    found: dict[str, Any] = browser.execute_async_script(run)
    return [f"{one['id']}: {node['html'][:120]}" for one in found["violations"] for node in one["nodes"]]


def _script() -> str:
    file = _FOLDER / "package" / "axe.min.js"
    if not file.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("axe-core is not here, and there is no npm to bring it (Debian: npm)")
        _FOLDER.mkdir(parents=True, exist_ok=True)
        pack = [npm, "pack", "--json", "--pack-destination", str(_FOLDER), f"axe-core@{_VERSION}"]
        packed = subprocess.run(pack, capture_output=True, text=True, timeout=120, check=False)
        if packed.returncode:
            pytest.skip("axe-core cannot be fetched from npm")
        with tarfile.open(_FOLDER / json.loads(packed.stdout)[0]["filename"]) as archive:
            archive.extract("package/axe.min.js", _FOLDER, filter="data")
    return file.read_text(encoding="utf-8")
