"""The systemd units: confinement, limits, and that systemd-analyze reports no fault."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.outputs.web.connections import CONNECTIONS_MAX
from tests.conftest import ROOT

UNITS = ROOT / "systemd"
SERVICES = ("emotion-edge.service", "emotion-edge@.service", "emotion-edge-serve.service")
EXPOSURE = {
    **dict.fromkeys(SERVICES, 1.5),
    "emotion-edge-update.service": 2.2,
}
"""Largest allowed exposure by `systemd-analyze security`: 1.4 and 2.1 in systemd 252, slightly more in others."""

need_analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


@need_analyze
@pytest.mark.parametrize("unit", EXPOSURE)
def test_a_unit_is_no_more_exposed_than_before(unit: str) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNITS / unit)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    score = re.search(r"Overall exposure level for \S+: ([\d.]+)", text)
    assert score
    assert float(score[1]) <= EXPOSURE[unit]


@pytest.mark.parametrize("unit", SERVICES)
def test_a_service_has_the_limits_that_the_page_states(unit: str) -> None:
    limits = dict(re.findall(r"^(\w+)=(.*)$", (UNITS / unit).read_text(), re.MULTILINE))
    page = (ROOT / "docs" / "security.md").read_text()
    assert f"| {limits['MemoryMax']} of the board's (`MemoryMax`" in page
    assert f"| open files | {limits['LimitNOFILE']} (`LimitNOFILE`) |" in page
    assert 50 <= int(limits["MemoryMax"].removesuffix("%")) <= 80, "the rest of the board has the remainder"
    assert int(limits["LimitNOFILE"]) >= 4 * CONNECTIONS_MAX
    assert limits["OOMPolicy"] == "continue", "where memory runs out, the decoder of images ends, not the service"


@need_analyze
@pytest.mark.parametrize("unit", SERVICES)
def test_systemd_finds_no_fault_with_the_unit(unit: str, tmp_path: Path) -> None:
    # Its program is not installed here.
    text = (UNITS / unit).read_text().replace("/opt/emotion-edge/bin/emotion-edge", "/bin/true")
    file = tmp_path / unit.replace("@.", "@door.")
    file.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False)
    assert unit.split(".")[0] not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


def test_a_second_camera_has_the_same_limits_and_a_name_of_its_own() -> None:
    one, other = ((UNITS / unit).read_text().splitlines() for unit in ("emotion-edge.service", "emotion-edge@.service"))
    assert sorted(set(other) - set(one)) == [
        "Description=Emotion Edge %i: facial emotions from a camera to MQTT",
        "Environment=EMOTION_EDGE_INSTANCE=%i",
        "ExecStart=/opt/emotion-edge/bin/emotion-edge run --config /etc/emotion-edge/%i.yaml",
        "RuntimeDirectory=emotion-edge-%i",
        "StateDirectory=emotion-edge/instances/%i",
    ]
    assert len(set(one) - set(other)) == 4
