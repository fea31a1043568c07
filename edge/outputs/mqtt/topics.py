"""The topics of a device, each named here only; docs/mqtt.md describes what is published on them."""

from dataclasses import dataclass

from edge.config import MqttSettings
from edge.controls import SWITCHES


@dataclass(frozen=True, slots=True)
class Topics:
    """All topics of one device, in full.

    Attributes:
        device: base topic and device id, `emotion/<device_id>`; all but Home Assistant's topics are below it.
        discovery: where Home Assistant reads which entities the device has; None where discovery is off.
        home_assistant: where Home Assistant publishes `online` when it has started; None where discovery is off.
    """

    device: str
    discovery: str | None
    home_assistant: str | None

    @property
    def status(self) -> str:
        """`online` or `offline`, retained; `offline` is also the will."""
        return f"{self.device}/status"

    @property
    def state(self) -> str:
        """The emotion of the scene now, retained."""
        return f"{self.device}/state"

    @property
    def faces(self) -> str:
        """Every face of an analysed frame."""
        return f"{self.device}/faces"

    @property
    def event(self) -> str:
        """Faces that appear or leave, and emotions that change."""
        return f"{self.device}/event"

    @property
    def stats(self) -> str:
        """Rates, latencies and temperature, retained."""
        return f"{self.device}/stats"

    @property
    def snapshot(self) -> str:
        """Pictures that were asked for, JPEG."""
        return f"{self.device}/snapshot"

    @property
    def all(self) -> str:
        """The filter for everything below the device."""
        return f"{self.device}/#"

    def command(self, control: str) -> str:
        """Where the device listens for commands to a control of edge/controls.py."""
        return f"{self.device}/{control}/set"

    @property
    def model_command(self) -> str:
        """Where the device takes the name of another emotion model; `stats` has the one that runs."""
        return self.command("model")

    def control_state(self, control: str) -> str:
        """The position of a switch, retained."""
        return f"{self.device}/{control}/state"

    @property
    def retained(self) -> tuple[str, ...]:
        """Every topic on which the broker keeps a message of this device."""
        own = (self.state, self.stats, *map(self.control_state, SWITCHES), self.status)
        return (self.discovery, *own) if self.discovery else own


def topics_of(settings: MqttSettings) -> Topics:
    """The topics of the device that these settings name."""
    prefix = settings.discovery_prefix
    return Topics(
        device=f"{settings.base_topic}/{settings.device_id}",
        discovery=f"{prefix}/device/{settings.device_id}/config" if prefix else None,
        home_assistant=f"{prefix}/status" if prefix else None,
    )
