"""Reads temperature and throttling from the board."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

THERMAL: Final = Path("/sys/class/thermal")
_LOWEST: Final = -50.0
_HIGHEST: Final = 150.0
"""Degrees that a sensor can mean; broken ones and those that are off report others, such as -273 or 2,147,483."""

FIRMWARE: Final = Path("/sys/devices/platform")
"""Folder that contains soc/soc:firmware/get_throttled; on a Pi 5 the soc's name ends with its address."""


def temperature(thermal: Path = THERMAL) -> float | None:
    """Return the degrees Celsius of the hottest thermal zone, or None if there is none."""
    readings = []
    # Listing the folder fails if the process has no file descriptor left.
    with suppress(OSError):
        for zone in thermal.glob("thermal_zone*/temp"):
            # The sensor of a zone may be off.
            with suppress(OSError, ValueError):
                # The kernel reports thousandths of a degree.
                readings.append(float(zone.read_text()) / 1000)
    return max((degrees for degrees in readings if _LOWEST <= degrees <= _HIGHEST), default=None)


def throttled(firmware: Path = FIRMWARE) -> bool | None:
    """Whether the Pi's firmware throttles the processor now; None if unknown.

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
    """State of the board. temperature: degrees Celsius; throttled: the processor's clock is reduced; None: unknown."""

    temperature: float | None
    throttled: bool | None


def health(thermal: Path = THERMAL, firmware: Path = FIRMWARE) -> Health:
    """Return the board's current temperature and throttling."""
    return Health(temperature(thermal), throttled(firmware))
