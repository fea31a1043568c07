"""Structures and ioctls of the kernel's mode setting (linux/drm.h, drm_mode.h), as far as one screen needs them.

Dumb buffers are plain memory that every driver can show, so neither libdrm nor a GPU is needed.
"""

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from edge.errors import EmotionEdgeError

CONNECTED: Final = 1
PREFERRED: Final = 1 << 3
INTERLACED: Final = 1 << 4
FLIP_EVENT: Final = 0x01
CAN_DUMB_BUFFERS: Final = 0x1

_U16, _U32, _U64 = ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64


class Resources(ctypes.Structure):
    """struct drm_mode_card_res"""

    _fields_ = (
        *((name, _U64) for name in ("fb_id_ptr", "crtc_id_ptr", "connector_id_ptr", "encoder_id_ptr")),
        *((name, _U32) for name in ("count_fbs", "count_crtcs", "count_connectors", "count_encoders")),
        *((name, _U32) for name in ("min_width", "max_width", "min_height", "max_height")),
    )


class Mode(ctypes.Structure):
    """struct drm_mode_modeinfo"""

    _fields_ = (
        ("clock", _U32),
        *((name, _U16) for name in ("hdisplay", "hsync_start", "hsync_end", "htotal", "hskew")),
        *((name, _U16) for name in ("vdisplay", "vsync_start", "vsync_end", "vtotal", "vscan")),
        *((name, _U32) for name in ("vrefresh", "flags", "type")),
        ("name", ctypes.c_char * 32),
    )


class Crtc(ctypes.Structure):
    """struct drm_mode_crtc"""

    _fields_ = (
        ("set_connectors_ptr", _U64),
        *((name, _U32) for name in ("count_connectors", "crtc_id", "fb_id", "x", "y", "gamma_size", "mode_valid")),
        ("mode", Mode),
    )


class Encoder(ctypes.Structure):
    """struct drm_mode_get_encoder"""

    _fields_ = tuple(
        (name, _U32) for name in ("encoder_id", "encoder_type", "crtc_id", "possible_crtcs", "possible_clones")
    )


class Connector(ctypes.Structure):
    """struct drm_mode_get_connector"""

    _fields_ = (
        *((name, _U64) for name in ("encoders_ptr", "modes_ptr", "props_ptr", "prop_values_ptr")),
        *((name, _U32) for name in ("count_modes", "count_props", "count_encoders")),
        *((name, _U32) for name in ("encoder_id", "connector_id", "connector_type", "connector_type_id")),
        *((name, _U32) for name in ("connection", "mm_width", "mm_height", "subpixel", "pad")),
    )


class FrameBuffer(ctypes.Structure):
    """struct drm_mode_fb_cmd"""

    _fields_ = tuple((name, _U32) for name in ("fb_id", "width", "height", "pitch", "bpp", "depth", "handle"))


class PageFlip(ctypes.Structure):
    """struct drm_mode_crtc_page_flip"""

    _fields_ = (*((name, _U32) for name in ("crtc_id", "fb_id", "flags", "reserved")), ("user_data", _U64))


class CreateDumb(ctypes.Structure):
    """struct drm_mode_create_dumb"""

    _fields_ = (
        *((name, _U32) for name in ("height", "width", "bpp", "flags", "handle", "pitch")),
        ("size", _U64),
    )


class MapDumb(ctypes.Structure):
    """struct drm_mode_map_dumb"""

    _fields_ = (("handle", _U32), ("pad", _U32), ("offset", _U64))


class DestroyDumb(ctypes.Structure):
    """struct drm_mode_destroy_dumb"""

    _fields_ = (("handle", _U32),)


class Capability(ctypes.Structure):
    """struct drm_get_cap"""

    _fields_ = (("capability", _U64), ("value", _U64))


def _both_ways(number: int, structure: type[ctypes.Structure] | type[ctypes.c_uint32]) -> int:
    """Return the number of an ioctl that reads and writes a structure: DRM_IOWR (asm-generic/ioctl.h)."""
    return 3 << 30 | ctypes.sizeof(structure) << 16 | ord("d") << 8 | number


GET_CAP: Final = _both_ways(0x0C, Capability)
SET_MASTER: Final = ord("d") << 8 | 0x1E
GET_RESOURCES: Final = _both_ways(0xA0, Resources)
GET_CRTC: Final = _both_ways(0xA1, Crtc)
SET_CRTC: Final = _both_ways(0xA2, Crtc)
GET_ENCODER: Final = _both_ways(0xA6, Encoder)
GET_CONNECTOR: Final = _both_ways(0xA7, Connector)
ADD_FB: Final = _both_ways(0xAE, FrameBuffer)
REMOVE_FB: Final = _both_ways(0xAF, ctypes.c_uint32)
PAGE_FLIP: Final = _both_ways(0xB0, PageFlip)
CREATE_DUMB: Final = _both_ways(0xB2, CreateDumb)
MAP_DUMB: Final = _both_ways(0xB3, MapDumb)
DESTROY_DUMB: Final = _both_ways(0xB4, DestroyDumb)

_TYPES: Final = (
    # drm_connector_enum_list of the kernel, by number: the names in /sys/class/drm.
    "Unknown", "VGA", "DVI-I", "DVI-D", "DVI-A", "Composite", "SVIDEO", "LVDS", "Component", "DIN", "DP", "HDMI-A",
    "HDMI-B", "TV", "eDP", "Virtual", "DSI", "DPI", "Writeback", "SPI", "USB",
)  # fmt: skip


class NoScreenError(EmotionEdgeError):
    """No screen is available now; the message has the reason."""


def call(card: int, request: int, structure: ctypes.Structure | ctypes.c_uint32 | None = None) -> None:
    """Call an ioctl, again after an interruption by a signal, as libdrm does. Raises OSError."""
    while True:
        try:
            if structure is None:
                fcntl.ioctl(card, request)
            else:
                fcntl.ioctl(card, request, structure, True)
        except OSError as error:
            if error.errno in (errno.EINTR, errno.EAGAIN):
                continue
            raise
        return


def drives_displays(card: int) -> bool:
    """Whether this graphics card has display outputs: a Raspberry Pi has another one that only renders."""
    capability = Capability(capability=CAN_DUMB_BUFFERS)
    try:
        call(card, GET_CAP, capability)
        crtcs, connectors = resources(card)
    except OSError:
        return False
    return bool(capability.value and crtcs and connectors)


def resources(card: int) -> tuple[list[int], list[int]]:
    """Return the ids of the CRTCs, which scan out framebuffers, and of the connectors. Raises OSError."""
    while True:
        found = Resources()
        call(card, GET_RESOURCES, found)
        room = Resources(count_crtcs=found.count_crtcs, count_connectors=found.count_connectors)
        crtcs, connectors = (_U32 * max(1, found.count_crtcs))(), (_U32 * max(1, found.count_connectors))()
        room.crtc_id_ptr, room.connector_id_ptr = ctypes.addressof(crtcs), ctypes.addressof(connectors)
        call(card, GET_RESOURCES, room)
        if room.count_crtcs <= found.count_crtcs and room.count_connectors <= found.count_connectors:
            return crtcs[: room.count_crtcs], connectors[: room.count_connectors]


def connector(card: int, number: int, probe: bool) -> tuple[Connector, list[Mode], list[int]]:
    """Return a connector with its modes and the ids of its encoders. Raises OSError.

    probe: query the display, which takes tens of milliseconds; else use what the kernel knows.
    """
    found = Connector(connector_id=number, count_modes=0 if probe else 1)
    first = Mode()
    # If there is room for one mode, the kernel does not query the display.
    found.modes_ptr = ctypes.addressof(first)
    call(card, GET_CONNECTOR, found)
    while True:
        modes, encoders = (Mode * max(1, found.count_modes))(), (_U32 * max(1, found.count_encoders))()
        room = Connector(connector_id=number, count_modes=max(1, found.count_modes))
        room.count_encoders = found.count_encoders
        room.modes_ptr, room.encoders_ptr = ctypes.addressof(modes), ctypes.addressof(encoders)
        call(card, GET_CONNECTOR, room)
        if room.count_modes <= len(modes) and room.count_encoders <= len(encoders):
            return room, list(modes[: room.count_modes]), encoders[: room.count_encoders]
        found = room


def name_of(socket: Connector) -> str:
    """Return a connector's name as in /sys/class/drm, such as HDMI-A-1."""
    kind = _TYPES[socket.connector_type] if socket.connector_type < len(_TYPES) else "Unknown"
    return f"{kind}-{socket.connector_type_id}"


def crtc_for(card: int, socket: Connector, encoders: Iterable[int], crtcs: list[int]) -> int | None:
    """Return a CRTC that can feed the connector: the current one, else the first that can. Raises OSError."""
    possible = []
    for number in encoders:
        encoder = Encoder(encoder_id=number)
        call(card, GET_ENCODER, encoder)
        if number == socket.encoder_id and encoder.crtc_id in crtcs:
            return int(encoder.crtc_id)
        possible += [crtc for index, crtc in enumerate(crtcs) if encoder.possible_crtcs >> index & 1]
    return possible[0] if possible else None


def become_master(card: int) -> bool:
    """Become DRM master, the one process that may set modes. Return False if refused. Raises OSError otherwise."""
    try:
        call(card, SET_MASTER)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EBUSY, errno.EINVAL):
            return False
        raise
    return True


def open_card(path: Path) -> int:
    """Open a /dev/dri/card*, and return the file descriptor. Raises OSError."""
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)
