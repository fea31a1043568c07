"""All settings as one typed tree of sections, with their defaults. `edge.config.load` fills it."""

import os
import re
import socket
from ipaddress import ip_address
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from edge.config.address import camera_source
from edge.config.setting_types import (
    LIVE,
    RESTART,
    Fraction,
    LabelChoice,
    Networks,
    OptionalPath,
    Period,
    Pixels,
    Port,
    Region,
    Seconds,
    Text,
    none_or_one_up,
)
from edge.errors import EmotionEdgeError
from edge.models.edge_tpu import AcceleratorChoice
from edge.models.runtime import RuntimeChoice
from edge.translations import known_language

ENV_PREFIX: Final = "EMOTION_EDGE_"
INSTANCE_VARIABLE: Final = ENV_PREFIX + "INSTANCE"
"""Environment variable that emotion-edge@NAME.service sets to NAME, which is appended to the default device id."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


def reaches_network(host: str) -> bool:
    """Whether a server that listens on this address can be reached from other machines."""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def _or_host_name(device_id: str) -> str:
    named = filter(None, (socket.gethostname() or "emotion-edge", os.environ.get(INSTANCE_VARIABLE)))
    return device_id or re.sub(r"[^a-zA-Z0-9_-]", "-", "-".join(named))


class CameraSettings(_Section):
    source: Annotated[str, Text, AfterValidator(camera_source), RESTART] = "auto"
    """Camera: auto, picamera2, V4L2 index or /dev path, video, image, folder of images, or rtsp/http address."""
    width: Annotated[Pixels, RESTART] = 640
    """Width to ask a camera for, in pixels."""
    height: Annotated[Pixels, RESTART] = 480
    """Height to ask a camera for, in pixels."""
    fps: Annotated[float, Field(gt=0, le=240), RESTART] = 30.0
    """Frames a second to ask a camera for; the rate at which a folder of images is shown."""
    loop: Annotated[bool, RESTART] = True
    """Start a video file or a folder of images again when it ends."""
    realtime: Annotated[bool, RESTART] = True
    """Play a video file or folder at its own pace; false: as fast as it goes."""
    rotate: Annotated[Literal["0", "90", "180", "270"], Text, RESTART] = "0"
    """Degrees to rotate the picture clockwise by, for a camera on its side (90, 270) or upside down (180)."""
    flip: Annotated[bool, RESTART] = False
    """Mirror the picture left to right, after the rotation, for a camera that looks into a mirror."""
    ca_file: Annotated[OptionalPath, RESTART] = None
    """Certificate of a camera at https:// or rtsps://, or of its authority, PEM; empty: the system's authorities."""


class DetectorSettings(_Section):
    kind: Annotated[Literal["yunet", "opencv-yunet", "haar", "res10"], LIVE] = "yunet"
    """Face detector: yunet (int8, default), or one of OpenCV's: opencv-yunet, haar, res10."""
    size: Annotated[Literal["auto", "160", "320", "640"], Text, LIVE] = "auto"
    """Width that yunet shrinks a picture to, pixels: 160 is fast, 640 finds far faces; auto: 320 and at times 640."""
    file: Annotated[OptionalPath, LIVE] = None
    """The model file of an OpenCV detector, or the model folder of another yunet; empty: the one that comes with it."""
    score: Annotated[Fraction, LIVE] = 0.5
    """Faces with a lower detection score are ignored."""
    every: Annotated[Annotated[int, Field(ge=1, le=30)] | Literal["auto"], LIVE] = "auto"
    """Look for faces in every n-th frame, 1 to 30, and follow them in between; auto: as the time allows."""
    region: Annotated[Region, LIVE] = None
    """Where to look for faces: [x, y, width, height], fractions of the picture, as [0.25, 0, 0.5, 1]; null: all."""
    min_face: Annotated[int, Field(ge=0, le=8192), LIVE] = 0
    """Faces narrower than this many pixels are ignored; 0: no limit."""
    max_faces: Annotated[int, Field(ge=1, le=64), LIVE] = 16
    """With more faces than this, the largest are kept."""


_SERVER: Final = r"^(https?://[^\s/?#@]+/v1/models/[^\s/?#:]+(/versions/\d+)?)?$"


class EmotionSettings(_Section):
    model: Annotated[str, RESTART] = "emotion-small"
    """Name or folder of a model; `committee`, or several models joined by +, vote, and the first is the primary one."""
    balance: Annotated[Fraction | Literal["auto"], RESTART] = "auto"
    """Weight of rare emotions, 0: as rare as in the training data, to 1: all equally likely; auto: the model's own."""
    labels: Annotated[LabelChoice, RESTART] = ""
    """What to publish instead of the model's labels: fer7, compact4, or groups {good: [happy]}; empty: the model's."""
    uncertain_below: Annotated[Fraction, LIVE] = 0.4
    """With a smoothed confidence below this, the emotion is published as uncertain."""
    smoothing: Annotated[float, Field(ge=0, le=60), LIVE] = 0.5
    """Time constant of the smoothing of each face's scores, in seconds; 0: none."""
    hysteresis: Annotated[Fraction, LIVE] = 0.08
    """A new emotion must lead the current one by this much before it takes over."""
    rate: Annotated[float, Field(ge=0, le=240), LIVE] = 10.0
    """Classifications of each face per second, at most; 0: in every frame."""
    server: Annotated[str, Field(pattern=_SERVER), RESTART] = ""
    """A server that classifies in place of this board: http://host:8501/v1/models/emotion-small; empty: none."""
    server_timeout: Annotated[float, Field(gt=0, le=10), RESTART] = 0.5
    """Seconds to wait for the server's answer; then this board's model is used, and the server is tried again later."""
    server_token: Annotated[SecretStr, RESTART] = SecretStr("")
    """Token of the server; better in EMOTION_EDGE_EMOTION_SERVER_TOKEN or in server_token_file."""
    server_token_file: Annotated[OptionalPath, RESTART] = None
    """A file whose first line is the token."""

    @property
    def fixed_balance(self) -> float | None:
        """The balance as a number; None if it is `auto`, the model card's."""
        return None if self.balance == "auto" else self.balance


class RuntimeSettings(_Section):
    interpreter: Annotated[RuntimeChoice, RESTART] = "auto"
    """Library that runs the networks: auto, ai-edge-litert or tflite-runtime."""
    accelerator: Annotated[AcceleratorChoice, RESTART] = "auto"
    """Coral Edge TPU, for models compiled for it: auto uses one if it is found, edgetpu always tries it, cpu never."""
    threads: Annotated[int, Field(ge=1, le=16), RESTART] = 1
    """Processor threads that run each network."""


class PaceSettings(_Section):
    max_fps: Annotated[float, Field(ge=0, le=240), AfterValidator(none_or_one_up), LIVE] = 0.0
    """Frames analysed a second at most, 1 or more; 0: as many as the camera gives and the board manages."""
    cores: Annotated[int, Field(ge=0, le=256), LIVE] = 0
    """Processor cores to use; 0: all."""
    idle_after: Annotated[Seconds, LIVE] = 30.0
    """After this many seconds with nobody in view the board idles, and wakes when somebody comes; 0: never."""
    idle_fps: Annotated[float, Field(ge=1, le=60), LIVE] = 5.0
    """Frames analysed a second while idle, 1 or more; with fewer than 5, waking takes longer than half a second."""
    dark: Annotated[float, Field(ge=0, le=255), LIVE] = 12.0
    """A picture with a mean brightness below this (0 to 255) and nobody in it is night: idle at once; 0: never."""
    hot: Annotated[float, Field(ge=0, le=150), LIVE] = 80.0
    """From this many degrees Celsius on, and while the firmware throttles, fewer frames are analysed; 0: never."""


_DEVICE_ID: Final = Field(pattern=r"^[a-zA-Z0-9_-]+$", max_length=128)
_TOPIC: Final = r"[^+#\s/\x00-\x1f\x7f]+(/[^+#\s/\x00-\x1f\x7f]+)*"


class MqttSettings(_Section):
    host: Annotated[str, Field(pattern=r"^[^\s/]*$"), RESTART] = ""
    """Name or address of the broker; empty: none (`emotion-edge demo` then starts one of its own)."""
    port: Annotated[Port, RESTART] = 1883
    """Port of the broker; usually 8883 with TLS."""
    version: Annotated[Literal["auto", "5", "3.1.1"], Text, RESTART] = "auto"
    """Version of MQTT; auto: 5, and 3.1.1 where the broker does not understand 5."""
    username: Annotated[str, RESTART] = ""
    """User name at the broker; empty: none."""
    password: Annotated[SecretStr, RESTART] = SecretStr("")
    """Password at the broker; better in EMOTION_EDGE_MQTT_PASSWORD or in password_file."""
    password_file: Annotated[OptionalPath, RESTART] = None
    """A file whose first line is the password."""
    tls: Annotated[bool, RESTART] = False
    """Encrypt, and check the broker's certificate."""
    ca_file: Annotated[OptionalPath, RESTART] = None
    """Certificate authority of the broker's certificate, PEM; empty: the system's."""
    cert_file: Annotated[OptionalPath, RESTART] = None
    """Client certificate, PEM."""
    key_file: Annotated[OptionalPath, RESTART] = None
    """Key of the client certificate, PEM."""
    client_id: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=256), RESTART] = ""
    """Client id at the broker, for brokers that want a certain one; empty: the device id and a random number."""
    base_topic: Annotated[str, Field(pattern=rf"^{_TOPIC}$", max_length=256), RESTART] = "emotion"
    """Topics begin with this and the device id: emotion/<device_id>/state."""
    device_id: Annotated[
        str, BeforeValidator(_or_host_name), Field(pattern=r"^[a-zA-Z0-9_-]+$", max_length=128), RESTART
    ] = Field(default="", validate_default=True)
    """Name of this device in topics, of letters, digits, - and _; empty: the host name."""
    faces_rate: Annotated[float, Field(gt=0, le=60), LIVE] = 5.0
    """Messages a second at most on the topic `faces`."""
    heartbeat: Annotated[Period, LIVE] = 10.0
    """Seconds after which `state` is sent again though nothing changed."""
    stats_every: Annotated[Period, LIVE] = 10.0
    """Seconds between messages on the topic `stats`."""
    discovery_prefix: Annotated[str, Field(pattern=rf"^({_TOPIC})?$", max_length=256), RESTART] = "homeassistant"
    """Home Assistant discovery prefix; empty: no discovery."""
    snapshots: Annotated[bool, RESTART] = False
    """Allow snapshots over MQTT: anyone who may publish to `snapshot/set` then gets a picture."""

    @model_validator(mode="after")
    def _password_has_user(self) -> Self:
        if not self.username and (self.password.get_secret_value() or self.password_file):
            raise EmotionEdgeError(
                "mqtt.password: would not be sent without a user name: set mqtt.username (brokers that go by a token "
                "alone take any name), or leave the password out"
            )
        return self


class WebSettings(_Section):
    enabled: Annotated[bool, RESTART] = True
    """Serve the live page."""
    host: Annotated[str, Field(pattern=r"^[^\s/]+$"), RESTART] = "127.0.0.1"
    """Address to listen on: 127.0.0.1 is this board only; 0.0.0.0 is the network, and needs a password."""
    port: Annotated[Port, RESTART] = 8080
    """Port of the live page."""
    password: Annotated[SecretStr, RESTART] = SecretStr("")
    """Password of the page, with any user name; better in EMOTION_EDGE_WEB_PASSWORD or in password_file."""
    password_file: Annotated[OptionalPath, RESTART] = None
    """A file whose first line is the password."""
    cert_file: Annotated[OptionalPath, RESTART] = None
    """Certificate of the page, PEM: it is then served over HTTPS."""
    key_file: Annotated[OptionalPath, RESTART] = None
    """Key of the certificate, PEM; empty: it is in the same file."""
    names: Annotated[str, RESTART] = ""
    """Other host names of the page, separated by commas; localhost and the host name are accepted."""
    proxies: Annotated[Networks, RESTART] = ""
    """Addresses of reverse proxies before the page, separated by commas: their X-Forwarded-For is believed."""
    images: Annotated[bool, RESTART] = True
    """Show pictures on the page; false: emotions and figures only."""

    @property
    def on_network(self) -> bool:
        """Whether other machines can reach the live page."""
        return reaches_network(self.host)

    @model_validator(mode="after")
    def _no_open_door(self) -> Self:
        if self.on_network and not self.password.get_secret_value() and not self.password_file:
            # Not a ValueError: pydantic's message for one would show all values of the section, the password too.
            raise EmotionEdgeError(
                f"web.host {self.host}: the page would be open to everybody on the network: set web.password_file (or "
                "web.password), or leave web.host at 127.0.0.1 and come with  ssh -L 8080:127.0.0.1:8080 <this board>"
            )
        return self


class ServeSettings(_Section):
    host: Annotated[str, Field(pattern=r"^[^\s/]+$"), RESTART] = "127.0.0.1"
    """Where `emotion-edge serve` listens: 127.0.0.1 is this board alone; 0.0.0.0 is the network, and needs a token."""
    port: Annotated[Port, RESTART] = 8501
    """Port of the prediction server."""
    token: Annotated[SecretStr, RESTART] = SecretStr("")
    """Token that clients must send; better in EMOTION_EDGE_SERVE_TOKEN or in token_file."""
    token_file: Annotated[OptionalPath, RESTART] = None
    """A file whose first line is the token."""
    names: Annotated[str, RESTART] = ""
    """Other host names of the server, separated by commas; localhost, the host name and addresses are accepted."""

    @model_validator(mode="after")
    def _no_open_door(self) -> Self:
        if reaches_network(self.host) and not self.token.get_secret_value() and not self.token_file:
            raise EmotionEdgeError(
                f"serve.host {self.host}: anybody on the network could send pictures to this board: set "
                "serve.token_file (or serve.token), or leave serve.host at 127.0.0.1"
            )
        return self


class RecordSettings(_Section):
    enabled: Annotated[bool, RESTART] = False
    """Keep a record of emotions and times, never of images, in a file on this board; false: nothing is stored."""
    file: Annotated[OptionalPath, RESTART] = None
    """The record, .sqlite3 or .db; empty: the service has it in /var/lib/emotion-edge, a user in ~/.local/state."""
    days: Annotated[int, Field(ge=1, le=3660), RESTART] = 30
    """Rows of the record that are older than this many days are deleted."""
    max_mb: Annotated[int, Field(ge=1, le=1_000_000), RESTART] = 100
    """Largest size of the record in megabytes; beyond it, its oldest rows are deleted."""


class DisplaySettings(_Section):
    mode: Annotated[Literal["auto", "window", "drm", "off"], Text, RESTART] = "auto"
    """Display: window (on a desktop), drm (the whole screen, without a desktop), auto (what is available) or off."""
    fullscreen: Annotated[bool, RESTART] = False
    """Let the window fill the display."""
    language: Annotated[str, AfterValidator(known_language), RESTART] = "en"
    """Language of the texts on the screen and in pictures: en, de, fr, es, it, nl, pl, pt, uk or ru."""
    fps: Annotated[bool, RESTART] = False
    """Show the frame rate on the screen."""
    blur: Annotated[bool, RESTART] = False
    """Blur faces in every picture that is shown or sent; faces are then detected in every frame."""


class GpioSettings(_Section):
    led: Annotated[int, Field(ge=0, le=27), RESTART] = 0
    """Pin of an LED that is lit while the camera is read, by its BCM number (2 to 27); 0: none."""
    button: Annotated[int, Field(ge=0, le=27), RESTART] = 0
    """Pin of a button, to ground, that switches privacy on and off, by its BCM number (2 to 27); 0: none."""


class NoticeSettings(_Section):
    controller: Annotated[str, Field(max_length=300), LIVE] = ""
    """Who is responsible for the camera, for the notice on the door: a name and an address."""
    contact: Annotated[str, Field(max_length=300), LIVE] = ""
    """How to reach whoever is responsible for the camera: a telephone number or a mail address."""
    purpose: Annotated[str, Field(max_length=600), LIVE] = ""
    """What the emotions are used for."""
    url: Annotated[str, Field(pattern=r"^(https?://\S+)?$", max_length=300), LIVE] = ""
    """Address of more information, as a QR code on the notice; empty: the live page's where it is on the network."""


class LogSettings(_Section):
    level: Annotated[Literal["debug", "info", "warning", "error"], LIVE] = "info"
    """Lowest level of messages that are logged."""


class Settings(_Section):
    """All settings, frozen. Every setting has a default: `Settings()` equals an empty settings file."""

    camera: CameraSettings = CameraSettings()
    detector: DetectorSettings = DetectorSettings()
    emotion: EmotionSettings = EmotionSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    pace: PaceSettings = PaceSettings()
    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    web: WebSettings = WebSettings()
    serve: ServeSettings = ServeSettings()
    record: RecordSettings = RecordSettings()
    display: DisplaySettings = DisplaySettings()
    gpio: GpioSettings = GpioSettings()
    notice: NoticeSettings = NoticeSettings()
    log: LogSettings = LogSettings()
