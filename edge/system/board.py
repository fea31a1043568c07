"""Temperature and throttling, as the board reports them."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

THERMAL: Final = Path("/sys/class/thermal")
FIRMWARE: Final = Path("/sys/devices/platform")
"""Below it: soc/soc:firmware/get_throttled; on a Pi 5 the soc's name ends with its address."""


def temperature(thermal: Path = THERMAL) -> float | None:
    """Degrees Celsius of the hottest thermal zone, or None where there is none."""
    readings = []
    with suppress(OSError):  # of the folder, where the process has no file descriptor left
        for zone in thermal.glob("thermal_zone*/temp"):
            with suppress(OSError, ValueError):  # a zone whose sensor is off
                readings.append(int(zone.read_text()) / 1000)  # the kernel counts millidegrees
    return max(readings, default=None)


def throttled(firmware: Path = FIRMWARE) -> bool | None:
    """Whether the Pi's firmware throttles the processor now; None where that cannot be found out.

    Bits 0 to 3 of its word: under-voltage, frequency capped, throttled, soft temperature limit (Raspberry Pi
    documentation, `vcgencmd get_throttled`).
    """
    try:
        word = next(firmware.glob("soc*/soc*:firmware/get_throttled")).read_text()
        return bool(int(word, 16) & 0b1111)
    except (OSError, StopIteration, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Health:
    """temperature: degrees Celsius, throttled: the clock is held down; None where it is not known."""

    temperature: float | None
    throttled: bool | None


def health(thermal: Path = THERMAL, firmware: Path = FIRMWARE) -> Health:
    """The board's temperature and throttling now."""
    return Health(temperature(thermal), throttled(firmware))
