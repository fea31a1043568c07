"""The page's statements for visitors: whether recognition runs now, what leaves the board, and what is stored.

Every statement follows from the current state; the page has the sentences by key, in each language.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from edge.config import Settings, WebSettings
from edge.outputs.web.latest import LatestReading
from edge.reading import PRIVACY

MQTT: Final = "MQTT"
RECORD: Final = "Record"
CONNECTED: Final = "connected"
PAUSED: Final = "paused"
"""Names of parts and texts of states in `health`, as the page shows them."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts for the statements that depend on the settings.

    Attributes:
        images: the page shows images.
        shared: other machines can reach the page.
        snapshots: an image can be requested over MQTT.
        server: a server classifies the faces.
        record_days: days that the record is kept; 0: there is none.
    """

    images: bool = True
    shared: bool = False
    snapshots: bool = False
    server: bool = False
    record_days: int = 0


def is_shared(web: WebSettings) -> bool:
    """Whether other machines can reach the page: over the network, or through a reverse proxy."""
    return web.on_network or bool(web.proxies or web.names)


def facts_of(settings: Settings) -> Facts:
    """Derive the facts from the settings."""
    return Facts(
        images=settings.web.enabled and settings.web.images,
        shared=settings.web.enabled and is_shared(settings.web),
        snapshots=settings.mqtt.snapshots and bool(settings.mqtt.host),
        server=bool(settings.emotion.server),
        record_days=settings.record.days if settings.record.enabled else 0,
    )


def recognition(live: LatestReading) -> str:
    """Return `running`, `off` (detection is switched off), `privacy` (the camera is off) or `lost` (no picture)."""
    if live.stats and live.stats.camera == PRIVACY:
        return "privacy"
    if live.problem() or live.newest is None:
        return "lost"
    return "running" if live.newest[1].analysed else "off"


def statements(facts: Facts, state: str, health: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the statements that are true now, in the order of display: `key` of the text, and values for its fields.

    Args:
        facts: from the settings.
        state: from `recognition`.
        health: state of the MQTT connection and of the record, by the names MQTT and RECORD.
    """
    runs = {"running": "say_running", "off": "say_off", "privacy": "say_off", "lost": "say_no_picture"}
    keys = [runs[state]]
    if state == "privacy":
        keys.append("say_camera_off")
    else:
        leaves = {
            "say_server": facts.server and state == "running",
            "say_snapshots": facts.snapshots,
            "say_images_page": facts.images and facts.shared,
        }
        keys += [key for key, so in leaves.items() if so] or ["say_no_image"]
    if MQTT in health:
        connected = health[MQTT] == CONNECTED
        if not connected or state == "running":
            keys.append("say_mqtt" if connected else "say_mqtt_lost")
    if facts.record_days == 0:
        keys.append("say_not_recorded")
    elif state != "running":
        keys.append("say_record_idle")
    elif health.get(RECORD, "").startswith(PAUSED):
        keys.append("say_record_paused")
    else:
        keys.append("say_recorded")
    return [{"key": key, "days": facts.record_days} if key == "say_recorded" else {"key": key} for key in keys]
