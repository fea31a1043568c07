"""The MQTT topics of a device, each named in this file only; docs/mqtt.md describes the messages."""

from dataclasses import dataclass

from edge.config import MqttSettings
from edge.controls import SWITCHES


@dataclass(frozen=True, slots=True)
class Topics:
    """All topics of one device, in full.

    Attributes:
        device: base topic and device id, `emotion/<device_id>`; all but Home Assistant's topics are below it.
        discovery: where Home Assistant reads which entities the device has; None if discovery is off.
        home_assistant: where Home Assistant publishes `online` when it has started; None if discovery is off.
    """

    device: str
    discovery: str | None
    home_assistant: str | None

    @property
    def status(self) -> str:
        """Topic of `online` or `offline`, retained; `offline` is also the will."""
        return f"{self.device}/status"

    @property
    def state(self) -> str:
        """Topic of the current emotion of the scene, retained."""
        return f"{self.device}/state"

    @property
    def faces(self) -> str:
        """Topic of every face of an analysed frame."""
        return f"{self.device}/faces"

    @property
    def event(self) -> str:
        """Topic of events: faces that appear or leave, and emotions that change."""
        return f"{self.device}/event"

    @property
    def stats(self) -> str:
        """Topic of rates, latencies and temperature, retained."""
        return f"{self.device}/stats"

    @property
    def snapshot(self) -> str:
        """Topic of requested pictures, JPEG."""
        return f"{self.device}/snapshot"

    @property
    def all(self) -> str:
        """Topic filter for everything below the device."""
        return f"{self.device}/#"

    def command(self, control: str) -> str:
        """Return the topic of commands to a control of edge/controls.py, such as `privacy`."""
        return f"{self.device}/{control}/set"

    @property
    def model_command(self) -> str:
        """Topic of commands that name another emotion model; `stats` has the one that runs."""
        return self.command("model")

    def control_state(self, control: str) -> str:
        """Return the topic of the position of a switch, retained."""
        return f"{self.device}/{control}/state"

    @property
    def retained(self) -> tuple[str, ...]:
        """Every topic on which the broker keeps a message of this device."""
        own = (self.state, self.stats, *map(self.control_state, SWITCHES), self.status)
        return (self.discovery, *own) if self.discovery else own


def topics_of(settings: MqttSettings) -> Topics:
    """Return the topics of the device that the settings name."""
    prefix = settings.discovery_prefix
    return Topics(
        device=f"{settings.base_topic}/{settings.device_id}",
        discovery=f"{prefix}/device/{settings.device_id}/config" if prefix else None,
        home_assistant=f"{prefix}/status" if prefix else None,
    )
