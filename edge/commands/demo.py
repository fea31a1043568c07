"""`emotion-edge demo`: uses the bundled clip if there is no camera, and its own broker if none is configured."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from edge.cameras.choose import open_camera
from edge.config import Settings
from edge.errors import EmotionEdgeError
from edge.media import CLIP
from edge.outputs.mqtt.embedded_broker import start_broker

_log = logging.getLogger(__name__)


@contextmanager
def demo_settings(settings: Settings) -> Iterator[Settings]:
    """Fill in a camera and a broker where the settings have none; the broker runs until the context ends."""
    if settings.camera.source == "auto":
        try:
            open_camera(settings.camera).close()
        except EmotionEdgeError as error:
            _log.info("%s", error)
            _log.info("camera: the bundled clip takes its place")
            settings = settings.model_copy(update={"camera": settings.camera.model_copy(update={"source": str(CLIP)})})
    if settings.mqtt.host:
        yield settings
        return
    broker = start_broker(settings.mqtt.port)
    if broker.port != settings.mqtt.port:
        _log.warning("MQTT: port %d is taken (another broker? name it with --mqtt.host 127.0.0.1)", settings.mqtt.port)
    _log.info("MQTT: broker started on 127.0.0.1:%d, for this machine only; it speaks MQTT 3.1.1", broker.port)
    here = {"host": "127.0.0.1", "port": broker.port, "tls": False, "version": "3.1.1"}
    try:
        yield settings.model_copy(update={"mqtt": settings.mqtt.model_copy(update=here)})
    finally:
        broker.close()
