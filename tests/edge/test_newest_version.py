"""The newest available version, as announced to the board."""

from pathlib import Path

import pytest

from edge.system.newest_version import NEWEST_FILE, newest_version


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("0.2.0\n", "0.2.0"),
        ("0.10.0-1~bookworm\nmore", "0.10.0"),
        ("1:0.3\n", "0.3"),
        ("0.1.0\n", "0.1.0"),
        ("0.0.9\n", "0.1.0"),
        ("", "0.1.0"),
        ("9" * 99, "0.1.0"),
        ("2.0 <script>", "0.1.0"),
        ("\x1b[2J9.9", "0.1.0"),
        ("ü9.9", "0.1.0"),
    ],
)
def test_a_newer_version_is_told_and_nothing_else(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / NEWEST_FILE).write_text(content)
    assert newest_version("0.1.0", tmp_path) == expected


def test_without_the_file_the_installed_version_is_the_newest(tmp_path: Path) -> None:
    assert newest_version("0.1.0", tmp_path) == "0.1.0"
    (tmp_path / NEWEST_FILE).mkdir()
    assert newest_version("0.1.0", tmp_path) == "0.1.0"
