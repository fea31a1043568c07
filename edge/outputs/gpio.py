"""An LED that is lit while the camera delivers frames, and a privacy button, on the pins of a Raspberry Pi."""

import logging
import time
from typing import Any, Final

from edge.config import GpioSettings
from edge.controls import Controls
from edge.errors import EmotionEdgeError
from edge.reading import Reading, Stats

_log = logging.getLogger(__name__)

ONLINE: Final = "online"
BOUNCE_S: Final = 0.3
"""Seconds after a press of the button during which further presses are ignored as contact bounce."""


class GpioOutput:
    """An Output that lights an LED while the camera delivers frames, and toggles privacy when a button is pressed."""

    def __init__(self, settings: GpioSettings, controls: Controls) -> None:
        """Reserve the pins that the settings name.

        Args:
            settings: numbers of the pins; 0: none.
            controls: holds the privacy switch.

        Raises:
            EmotionEdgeError: gpiozero is not installed, or a pin is not available.
        """
        self._controls = controls
        self._pressed_at = -BOUNCE_S
        self._led: Any = None
        self._button: Any = None
        try:
            import gpiozero
        except ImportError as error:
            raise EmotionEdgeError(
                "gpio: gpiozero is not installed (Raspberry Pi: sudo apt-get install python3-gpiozero python3-lgpio)"
            ) from error
        try:
            if settings.led:
                self._led = gpiozero.LED(settings.led)
            if settings.button:
                self._button = gpiozero.Button(settings.button)
                self._button.when_pressed = self._toggle
        except Exception as error:
            # Each GPIO library has exceptions of its own.
            self.close()
            raise EmotionEdgeError(
                f"gpio: pin {settings.led or '-'} (led), {settings.button or '-'} (button) cannot be had: {error} (is "
                "this a Raspberry Pi, and is the user in the group gpio?)"
            ) from error
        _log.info("gpio: led on pin %s, button on pin %s", settings.led or "-", settings.button or "-")

    def put(self, reading: Reading) -> None:
        """Ignored: the LED shows whether the camera is read, not what it sees."""

    def report(self, stats: Stats) -> None:
        """Light the LED if the camera delivers frames, else switch it off."""
        if self._led is not None and bool(self._led.value) != (stats.camera == ONLINE):
            self._led.value = stats.camera == ONLINE

    def close(self) -> None:
        """Switch the LED off and release the pins."""
        if self._led is not None:
            self._led.off()
        for device in (self._led, self._button):
            if device is not None:
                device.close()
        self._led = self._button = None

    def _toggle(self) -> None:
        """Toggle the privacy switch. Called in a thread of gpiozero."""
        now = time.monotonic()
        if now - self._pressed_at >= BOUNCE_S:
            self._pressed_at = now
            self._controls.switch("privacy", not self._controls.wanted.privacy)
