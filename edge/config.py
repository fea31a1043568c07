"""One typed tree of settings: a YAML file, then the environment, then flags, each over the one before.

A setting is `section.key`: `mqtt: {host: ...}` in the file, `EMOTION_EDGE_MQTT_HOST` in the environment, `--mqtt.host`
as a flag. What is not known is refused, with the nearest name that is.
"""

import re
import socket
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from edge.runtime import RuntimeChoice

ENV_PREFIX: Final = "EMOTION_EDGE_"
CONFIG_VARIABLE: Final = ENV_PREFIX + "CONFIG"
SYSTEM_CONFIG: Final = Path("/etc/emotion-edge/config.yaml")

Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]
Port = Annotated[int, Field(ge=1, le=65535)]
Pixels = Annotated[int, Field(ge=16, le=8192)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class CameraSettings(_Section):
    source: str = "auto"
    """auto, picamera2, a V4L2 index or /dev path, a video, an image or folder of images, or an rtsp/http address."""
    width: Pixels = 640
    """Width to ask a camera for, in pixels."""
    height: Pixels = 480
    """Height to ask a camera for, in pixels."""
    fps: Annotated[float, Field(gt=0, le=240)] = 30.0
    """Frames a second to ask a camera for; the rate at which a folder of images is shown."""
    loop: bool = True
    """Start a video file or a folder of images again when it ends."""
    realtime: bool = True
    """Play a video file or folder at its own pace; false: as fast as it goes."""


class DetectorSettings(_Section):
    kind: Literal["yunet", "opencv-yunet", "haar", "res10"] = "yunet"
    """Face detector: yunet (int8, default), or one of OpenCV's: opencv-yunet, haar, res10."""
    file: Path | None = None
    """The model file of an OpenCV detector, or the model folder of another yunet; empty: the one that comes with it."""
    score: Fraction = 0.6
    """Faces with a lower detection score are ignored."""


class EmotionSettings(_Section):
    model: str = "emotion-small"
    """A released model's name, or the path of a folder with model.tflite and card.json."""
    uncertain_below: Fraction = 0.4
    """With a smoothed confidence below this, the emotion is published as uncertain."""
    smoothing: Seconds = 0.5
    """Time constant of the smoothing of each face's scores, in seconds; 0: none."""
    hysteresis: Fraction = 0.08
    """A new emotion must lead the current one by this much before it takes over."""


class RuntimeSettings(_Section):
    interpreter: RuntimeChoice = "auto"
    """auto, ai-edge-litert or tflite-runtime."""
    threads: Annotated[int, Field(ge=1, le=16)] = 1
    """Threads of each network."""


class MqttSettings(_Section):
    host: str = ""
    """Address of the broker; empty: none (`emotion-edge demo` then starts one of its own)."""
    port: Port = 1883
    """Port of the broker; usually 8883 with TLS."""
    username: str = ""
    """User name at the broker; empty: none."""
    password: SecretStr = SecretStr("")
    """Password at the broker; better in EMOTION_EDGE_MQTT_PASSWORD or in password_file."""
    password_file: Path | None = None
    """A file whose first line is the password."""
    tls: bool = False
    """Encrypt, and check the broker's certificate."""
    ca_file: Path | None = None
    """Certificate authority of the broker's certificate, PEM; empty: the system's."""
    cert_file: Path | None = None
    """Client certificate, PEM."""
    key_file: Path | None = None
    """Key of the client certificate, PEM."""
    base_topic: Annotated[str, Field(pattern=r"^[^+#\s/]+(/[^+#\s/]+)*$")] = "emotion"
    """Topics begin with this and the device id: emotion/<device_id>/state."""
    device_id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$")] = Field(
        default_factory=lambda: re.sub(r"[^a-zA-Z0-9_-]", "-", socket.gethostname()) or "emotion-edge"
    )
    """Name of this device in topics; empty file entry: the host name."""
    faces_rate: Annotated[float, Field(gt=0, le=60)] = 5.0
    """Messages a second at most on the topic `faces`."""
    heartbeat: Annotated[float, Field(gt=0)] = 10.0
    """Seconds after which `state` is sent again though nothing changed."""
    stats_every: Annotated[float, Field(gt=0)] = 10.0
    """Seconds between messages on the topic `stats`."""


class WebSettings(_Section):
    enabled: bool = True
    """Serve the live page."""
    host: Literal["127.0.0.1", "::1", "localhost"] = "127.0.0.1"
    """Address to listen on: the loopback only."""
    port: Port = 8080
    """Port of the live page."""


class DisplaySettings(_Section):
    mode: Literal["auto", "window", "off"] = "auto"
    """auto: a window where there is a display; window: a window, or an error in the log; off."""
    fullscreen: bool = False
    """Fill the display."""


class LogSettings(_Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """How much is logged."""


class Settings(BaseSettings):
    """All settings. Frozen; every section has defaults, so `Settings()` is what an empty file means."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        use_attribute_docstrings=True,
    )

    camera: CameraSettings = CameraSettings()
    detector: DetectorSettings = DetectorSettings()
    emotion: EmotionSettings = EmotionSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    web: WebSettings = WebSettings()
    display: DisplaySettings = DisplaySettings()
    log: LogSettings = LogSettings()
