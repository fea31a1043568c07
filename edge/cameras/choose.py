"""The choice of a camera from the settings, and the list of those that are there."""

from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from edge.cameras.camera import Camera
from edge.cameras.http_camera import HttpCamera, NotPicturesError
from edge.cameras.images import ImageFiles, is_image
from edge.cameras.mounting import upright
from edge.cameras.picamera import PiCamera, list_picameras
from edge.cameras.stream import STREAM_SCHEMES, StreamCamera
from edge.cameras.v4l2 import DeviceCamera, list_devices
from edge.cameras.video_file import VideoFile
from edge.config import CameraSettings
from edge.config.secrets import without_password
from edge.errors import EmotionEdgeError
from edge.system.state_folder import expanded


@dataclass(frozen=True, slots=True)
class FoundCamera:
    """A camera of this machine.

    Attributes:
        source: what to write in `camera.source`.
        name: the maker's or the driver's name of it.
    """

    source: str
    name: str


def find_cameras() -> list[FoundCamera]:
    """The cameras of this machine, in the order `auto` tries them. None is opened."""
    ports = [FoundCamera("picamera2", name) for name in list_picameras()[:1]]
    return ports + [FoundCamera(path, name) for path, name in list_devices().items()]


def open_camera(settings: CameraSettings) -> Camera:
    """The camera that `settings.source` names, open and giving pictures.

    Raises:
        EmotionEdgeError: it is not there or gives no picture; the message says what was found instead.
    """
    source = settings.source
    if source == "auto":
        return _first_that_works(settings)
    if source == "picamera2":
        pi_camera = PiCamera(settings)
        return pi_camera if pi_camera.turned else upright(pi_camera, settings)
    return upright(_open(source, settings), settings)


def _open(source: str, settings: CameraSettings) -> Camera:
    if source.isdecimal():
        return DeviceCamera(f"/dev/video{source}", settings)
    scheme, mark, address = source.partition("://")
    if mark and scheme.lower() in STREAM_SCHEMES:
        _check_host(scheme.lower(), address)
        return _open_stream(f"{scheme.lower()}://{address}", settings)
    if source.startswith("/dev/"):
        return DeviceCamera(source, settings)
    path = expanded(source)
    if not path.exists():
        raise EmotionEdgeError(
            f"camera {without_password(source)}: not there (found: {_listed(find_cameras())}); it may be auto, "
            "picamera2, a V4L2 number or /dev path, a video, an image or a folder of images, or an rtsp or http address"
        )
    if path.is_dir() or is_image(path):
        return ImageFiles(path, settings)
    return VideoFile(path, settings)


def _check_host(scheme: str, address: str) -> None:
    """Raise EmotionEdgeError where an address names no computer, as `http://` and `rtsp:///live`."""
    with suppress(ValueError):  # another fault, which the camera's own message names
        if not urlsplit(f"{scheme}://{address}").hostname:
            raise EmotionEdgeError(
                f"camera {without_password(f'{scheme}://{address}')}: names no camera: its name or IP address goes "
                f"behind the ://, as in {scheme}://192.168.1.20/"
            )


def _open_stream(url: str, settings: CameraSettings) -> Camera:
    if url.startswith("http"):
        with suppress(NotPicturesError):
            return HttpCamera(url, settings)
    return StreamCamera(url, settings.ca_file)


def can_come_back(source: str) -> bool:
    """Whether what `camera.source` names may be there later: a device or a network camera, not a mistyped file name."""
    return source in ("auto", "picamera2") or source.isdecimal() or "://" in source or source.startswith("/dev/")


def _first_that_works(settings: CameraSettings) -> Camera:
    problems = []
    for found in find_cameras():
        try:
            return open_camera(settings.model_copy(update={"source": found.source}))
        except EmotionEdgeError as error:
            problems.append(str(error))
    reason = "; ".join(problems) or "no camera found"
    raise EmotionEdgeError(
        f"camera auto: {reason} (plug one in, or set camera.source to a video, a folder of images, or an rtsp or http "
        "address)"
    )


def _listed(found: list[FoundCamera]) -> str:
    return ", ".join(f"{camera.source} {camera.name}" for camera in found) or "no camera"
