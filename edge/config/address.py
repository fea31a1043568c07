"""Addresses of cameras on the network: normalises them, and refuses those that can never work."""

import re
from typing import Final
from urllib.parse import urlsplit

STREAM_SCHEMES: Final = ("rtsp", "rtsps", "http", "https")

UNESCAPED: Final = "cannot be opened (in a user name or password, write / as %2F, ? as %3F and # as %23)"
NO_ADDRESS: Final = "not an address (is there a : with anything but a port after it, or a [ without its ]?)"

_ADDRESS: Final = re.compile(r"\s*([^/\\]*?)://(.*)", re.DOTALL)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_ZONE: Final = re.compile(r"\[([0-9a-fA-F:.]+)%25([^\]]+)\]")
"""An IPv6 address with the zone of RFC 6874, `[fe80::1%25eth0]`; the system's resolver wants fe80::1%eth0."""


def camera_source(source: str) -> str:
    """A camera's source with the scheme of its address in lower case; a source that is no address is unchanged.

    Raises ValueError for an address that can never work, such as one without a host; its text has no password.
    """
    if not (found := _ADDRESS.match(source)):
        return source
    scheme, rest = found[1].lower(), found[2].rstrip()
    if scheme not in STREAM_SCHEMES:
        alone = " (of a file, write the path alone)" if scheme == "file" else ""
        raise ValueError(f"an address begins with rtsp://, rtsps://, http:// or https://, without quotes{alone}")
    if _CONTROL.search(rest):
        raise ValueError("an address has no control characters and no line breaks")
    user, at, place = rest.rpartition("@")
    place = _ZONE.sub(r"[\1%\2]", place)
    address = f"{scheme}://{user}{at}{place}"
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError:
        raise ValueError(UNESCAPED if has_unescaped_login(address) else NO_ADDRESS) from None
    if not host:
        raise ValueError(f"names no camera: its name or IP address goes behind the ://, as in {scheme}://192.168.1.20/")
    if re.search(r"\s", host):
        raise ValueError("a name or IP address has no space")
    return address


def has_unescaped_login(address: str) -> bool:
    """Whether a user name or password in an address has a /, ? or #, which would end the host's part of it."""
    return bool(re.search("[/?#]", address.partition("://")[2].rpartition("@")[0]))


def is_address(source: str) -> bool:
    """Whether what `camera.source` names is an address on the network."""
    return source.partition("://")[0].lower() in STREAM_SCHEMES
