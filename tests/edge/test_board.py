"""The board's own sensors, as files like the kernel's."""

import subprocess
import sys
from pathlib import Path

import pytest

from edge.system import board


def test_the_hottest_zone_counts(tmp_path: Path) -> None:
    for zone, text in {"thermal_zone0": "48312\n", "thermal_zone1": "61500\n", "thermal_zone2": ""}.items():
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "temp").write_text(text)
    assert board.temperature(tmp_path) == pytest.approx(61.5)


def test_what_no_sensor_can_mean_is_left_out(tmp_path: Path) -> None:
    texts = ("-273000", "2147483647", "9" * 5000, "9" * 400, "nan", "inf", "1e999", "hot", "\0", "41000")
    for number, text in enumerate(texts):
        (tmp_path / f"thermal_zone{number}").mkdir()
        (tmp_path / f"thermal_zone{number}" / "temp").write_text(text)
    assert board.temperature(tmp_path) == pytest.approx(41.0)


def test_no_zone_is_no_temperature(tmp_path: Path) -> None:
    assert board.temperature(tmp_path) is None


def firmware_file(folder: Path, soc: str) -> Path:
    """Path of the firmware's throttling file, in a folder in place of /sys/devices/platform."""
    file = folder / soc / f"{soc}:firmware" / "get_throttled"
    file.parent.mkdir(parents=True)
    return file


@pytest.mark.parametrize(("word", "held"), [("0", False), ("50000", False), ("50005", True), ("4", True)])
def test_only_what_holds_now_is_throttling(tmp_path: Path, word: str, held: bool) -> None:
    firmware_file(tmp_path, "soc").write_text(word + "\n")
    assert board.throttled(tmp_path) is held


def test_a_pi_5_has_its_firmware_under_another_name(tmp_path: Path) -> None:
    firmware_file(tmp_path, "soc@107c000000").write_text("4\n")
    assert board.throttled(tmp_path) is True


def test_no_firmware_is_unknown(tmp_path: Path) -> None:
    assert board.throttled(tmp_path) is None


def test_without_a_file_descriptor_left_the_board_says_nothing() -> None:
    code = (
        "import os, resource; from edge.system.board import health;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3));"
        "print(health())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "Health(temperature=None, throttled=None)\n"
