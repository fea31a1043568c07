"""The light and the button, on the pins of gpiozero's mock board."""

import builtins
import time
from collections.abc import Iterator
from typing import Any

import pytest
from gpiozero import Device
from gpiozero.pins.mock import MockFactory

from edge.config import GpioSettings
from edge.controls import Controls
from edge.errors import EmotionEdgeError
from edge.outputs.gpio import GpioOutput
from edge.reading import PRIVACY
from tests.support.samples import stats

LED, BUTTON = 17, 27


@pytest.fixture(autouse=True)
def pins() -> Iterator[MockFactory]:
    before, Device.pin_factory = Device.pin_factory, MockFactory()
    yield Device.pin_factory
    Device.pin_factory.reset()
    Device.pin_factory = before


def test_the_light_is_on_while_the_camera_is_read(pins: MockFactory) -> None:
    output = GpioOutput(GpioSettings(led=LED), Controls())
    light = pins.pin(LED)
    states = []
    for camera in ("online", PRIVACY, "online", "camera 0: unplugged", "online"):
        output.report(stats(camera))
        states.append(bool(light.state))
    assert states == [True, False, True, False, True]
    output.close()
    assert not light.state
    assert light.function == "input"


def test_the_button_toggles_privacy_once_a_press(pins: MockFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    controls = Controls()
    output = GpioOutput(GpioSettings(button=BUTTON), controls)
    button = pins.pin(BUTTON)

    def press(seconds: float) -> None:
        now[0] += seconds
        button.drive_low()
        button.drive_high()

    press(1)
    assert controls.wanted.privacy
    press(0.05)  # the contact bounces
    assert controls.wanted.privacy
    press(1)
    assert not controls.wanted.privacy
    output.close()


def test_without_gpiozero_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name == "gpiozero":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(EmotionEdgeError, match="python3-gpiozero"):
        GpioOutput(GpioSettings(led=LED), Controls())


def test_a_pin_that_is_taken_says_so() -> None:
    first = GpioOutput(GpioSettings(led=LED), Controls())
    with pytest.raises(EmotionEdgeError, match="cannot be had"):
        GpioOutput(GpioSettings(led=LED), Controls())
    first.close()
