"""`python -m tests.changed [COMMIT]` prints the test files that concern changed code, one a line.

A test file is printed if it changed, or imports a module that changed. A file counts as changed if it differs from the
commit (default HEAD, so uncommitted changes) or is new. Used by `make check`; `make test` runs everything.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def changed_files(commit: str) -> list[str]:
    """List the Python files that differ from a commit or are new, relative to the repository."""
    words = (["git", "diff", "--name-only", commit], ["git", "ls-files", "--others", "--exclude-standard"])
    outputs = [subprocess.run(each, cwd=ROOT, check=True, capture_output=True, text=True).stdout for each in words]
    return sorted(file for file in "".join(outputs).splitlines() if file.endswith(".py"))


def tests_of(files: list[str]) -> list[str]:
    """List the test files among files, and those that import one of them."""
    modules = [file.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for file in files]
    imported = re.compile(
        "|".join(
            rf"from {re.escape(module)} import|import {re.escape(module)}\b"
            rf"|from {re.escape(module.rpartition('.')[0])} import .*\b{re.escape(module.rpartition('.')[2])}\b"
            for module in modules
        )
    )
    tests = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    return [test for test in tests if test in files or (modules and imported.search((ROOT / test).read_text()))]


if __name__ == "__main__":
    print("\n".join(tests_of(changed_files(sys.argv[1] if len(sys.argv) > 1 else "HEAD"))))
