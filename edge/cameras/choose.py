"""Opens the camera that the settings name, and lists the cameras of this machine."""

from contextlib import suppress
from dataclasses import dataclass

from edge.cameras.camera import Camera
from edge.cameras.images import ImageFiles, is_image
from edge.cameras.mounting import upright
from edge.config import CameraSettings
from edge.config.address import is_address
from edge.config.secrets import without_password
from edge.errors import EmotionEdgeError
from edge.system.state_folder import expanded

# Each kind of camera is imported where it is opened: a board has one, and the libraries of the others take memory.


@dataclass(frozen=True, slots=True)
class FoundCamera:
    """A camera of this machine.

    Attributes:
        source: the value of `camera.source` that selects this camera.
        name: the camera's name as its maker or driver gives it.
    """

    source: str
    name: str


def find_cameras() -> list[FoundCamera]:
    """List the cameras of this machine in the order in which `auto` tries them, without opening any."""
    from edge.cameras.picamera import list_picameras
    from edge.cameras.v4l2 import list_devices

    ports = [FoundCamera("picamera2", name) for name in list_picameras()[:1]]
    return ports + [FoundCamera(path, name) for path, name in list_devices().items()]


def open_camera(settings: CameraSettings) -> Camera:
    """Open the camera that `settings.source` names and read its first picture.

    Raises:
        EmotionEdgeError: it is not there or delivers no picture; the message lists the cameras found.
    """
    source = settings.source
    if source == "auto":
        return _first_that_works(settings)
    if source == "picamera2":
        from edge.cameras.picamera import PiCamera

        pi_camera = PiCamera(settings)
        return pi_camera if pi_camera.turned else upright(pi_camera, settings)
    return upright(_open(source, settings), settings)


def _open(source: str, settings: CameraSettings) -> Camera:
    if is_address(source):
        return _open_stream(source, settings)
    if source.isdecimal() or source.startswith("/dev/"):
        from edge.cameras.v4l2 import DeviceCamera

        return DeviceCamera(f"/dev/video{source}" if source.isdecimal() else source, settings)
    path = expanded(source)
    if not path.exists():
        raise EmotionEdgeError(
            f"camera {without_password(source)}: not there (found: {_listed(find_cameras())}); it may be auto, "
            "picamera2, a V4L2 number or /dev path, a video, an image or a folder of images, or an rtsp or http address"
        )
    if path.is_dir() or is_image(path):
        return ImageFiles(path, settings)
    from edge.cameras.video_file import VideoFile

    return VideoFile(path, settings)


def _open_stream(url: str, settings: CameraSettings) -> Camera:
    if url.startswith("http"):
        from edge.cameras.http_camera import HttpCamera, NotPicturesError

        with suppress(NotPicturesError):
            return HttpCamera(url, settings)
    from edge.cameras.stream import StreamCamera

    return StreamCamera(url, settings.ca_file)


def can_come_back(source: str) -> bool:
    """Whether this `camera.source` may become available later: a device or network camera, not a mistyped file name."""
    return source in ("auto", "picamera2") or source.isdecimal() or is_address(source) or source.startswith("/dev/")


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
