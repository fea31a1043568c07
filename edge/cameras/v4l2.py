"""The V4L2 devices of this machine: which are cameras, and why one cannot be opened."""

import fcntl
import os
import struct
from pathlib import Path
from typing import Final

# From linux/videodev2.h: VIDIOC_QUERYCAP and struct v4l2_capability (driver, card, bus, version, capabilities,
# device_caps, reserved).
_QUERYCAP: Final = 0x80685600
_CAPABILITY: Final = struct.Struct("=16s32s32sIII12x")
_VIDEO_CAPTURE: Final = 0x00000001 | 0x00001000
_MEMORY_TO_MEMORY: Final = 0x00004000 | 0x00008000
_NEEDS_MEDIA_CONTROLLER: Final = 0x20000000


def list_devices() -> dict[str, str]:
    """Path and name of every V4L2 device that gives pictures by itself, in the order of their numbers.

    The codecs and the raw sensor nodes of a Raspberry Pi, and the metadata nodes of USB cameras, are left out.
    """
    paths = sorted(Path("/dev").glob("video[0-9]*"), key=lambda path: (len(path.name), path.name))
    names = {str(path): _camera_name(path) for path in paths}
    return {path: name for path, name in names.items() if name}


def _camera_name(path: Path) -> str:
    """What the driver calls the camera; empty when the device is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except PermissionError:
        return "no permission to open it"
    except OSError:
        return ""
    try:
        answer = fcntl.ioctl(handle, _QUERYCAP, bytes(_CAPABILITY.size))
    except OSError:
        return ""
    finally:
        os.close(handle)
    _, card, _, _, _, capabilities = _CAPABILITY.unpack(answer)
    if not capabilities & _VIDEO_CAPTURE or capabilities & (_MEMORY_TO_MEMORY | _NEEDS_MEDIA_CONTROLLER):
        return ""
    return card.split(b"\0")[0].decode(errors="replace") or "camera"


def device_problem(path: str) -> str:
    """Why the device cannot be a camera, and what to do; empty when nothing is known against it."""
    if not Path(path).exists():
        return f"not there (found: {', '.join(list_devices()) or 'no camera'})"
    if not os.access(path, os.R_OK | os.W_OK):
        return "no permission (`sudo usermod -aG video $USER`, then log in again)"
    if not Path(path).is_char_device():
        return "not a device"
    return ""
