"""The commands in README install what the set-up needs."""

import re

from tests.conftest import ROOT


def test_the_apt_line_names_all_that_setting_up_needs() -> None:
    """Otherwise `make run` fails on a bare Debian for a user without sudo, who cannot install the rest."""
    lines = re.findall(r"^    sudo apt-get install (.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    named = set(lines[0].split())
    needed = set(re.findall(r'missing="\$missing ([a-z0-9.+-]+)"', (ROOT / "deploy/setup.sh").read_text()))
    assert len(needed) >= 5
    assert needed <= named, f"add to README's apt line: {needed - named}"
