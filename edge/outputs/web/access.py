"""Who may see the page: by which names it is called, with which password, and on behalf of which sites."""

import asyncio
import hashlib
import hmac
import logging
import socket
import ssl
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from tornado.web import HTTPError, RequestHandler

from edge.config import WebSettings
from edge.config.certificate import load_certificate, refuse_lone_key
from edge.config.secrets import secret_of

_log = logging.getLogger(__name__)

WRONG_SECONDS: Final = 1.0
"""What a wrong password costs. Meanwhile nothing else from the same address is looked at: one guess a second."""

_WRONG_AT_ONCE: Final = 8
"""Addresses that may be waiting so; with more, nobody's password is looked at until one is through."""

_SAID_SECONDS: Final = 60.0
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-site",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass
class Access:
    """names: what the page may be called, without port. open: it listens on more than this machine's loopback.

    password: empty where none is asked for. tls: None for plain HTTP. waiting: addresses whose guess was wrong.
    """

    names: frozenset[str]
    open: bool = False
    password: str = ""
    tls: ssl.SSLContext | None = None
    waiting: set[str] = field(default_factory=set)
    said_at: float = -_SAID_SECONDS

    def knows(self, host: str) -> bool:
        """Whether a Host header, lower case, is one of the page's names.

        A site may let its own name resolve to this board (DNS rebinding), but no site's name is a bare address: on the
        network any address will do.
        """
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name in self.names:
            return True
        try:
            return self.open and bool(ip_address(name.strip("[]")))
        except ValueError:
            return False

    def fits(self, given: str) -> bool:
        """Whether this is the password; it takes equally long for each that is not."""
        digests = (hashlib.sha256(text.encode()).digest() for text in (given, self.password))
        return hmac.compare_digest(*digests)


def access_of(settings: WebSettings) -> Access:
    """As the settings say. Raises EmotionEdgeError when the password or a certificate cannot be read."""
    own = {socket.gethostname().lower(), f"{socket.gethostname().lower()}.local"} if settings.on_network else set()
    password = secret_of("web.password", settings.password, settings.password_file)
    named = {name.strip().lower() for name in settings.names.split(",") if name.strip()}
    access = Access(_LOOPBACK | own | named, settings.on_network, password, _tls(settings))
    if access.open and not access.tls:
        _log.warning(
            "live page: on the network without encryption: who listens there can see the password and the pictures "
            "(set web.cert_file and web.key_file)"
        )
    return access


def _tls(settings: WebSettings) -> ssl.SSLContext | None:
    refuse_lone_key("web", settings.cert_file, settings.key_file)
    if settings.cert_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    load_certificate(context, "web", settings.cert_file, settings.key_file)
    return context


class Handler(RequestHandler):
    """What every answer has in common: for those who may see it, and not on behalf of another site.

    Sec-Fetch-Site is what the browser says about who asks (W3C, Fetch Metadata Request Headers); over plain HTTP on the
    network it does not say so, and Origin and Cross-Origin-Resource-Policy remain.
    """

    access: Access

    def initialize(self, access: Access) -> None:
        self.access = access

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        for name, value in _HEADERS.items():
            self.set_header(name, value)

    async def prepare(self) -> None:
        host = self.request.host.lower()
        if not self.access.knows(host):
            raise HTTPError(403, reason="Not a name of this page: use localhost, or add the name to web.names")
        fetch = {key: self.request.headers.get(f"Sec-Fetch-{key}") for key in ("Site", "Mode", "Dest")}
        opened = self.request.path == "/" and fetch["Mode"] == "navigate" and fetch["Dest"] == "document"
        if fetch["Site"] == "cross-site" and not opened:
            raise HTTPError(403, reason="Requests from other sites are refused")
        origin = self.request.headers.get("Origin")
        if self.request.method not in ("GET", "HEAD") and origin and urlsplit(origin).netloc.lower() != host:
            raise HTTPError(403, reason="Requests from other sites are refused")
        if self.access.password:
            await self._authenticate()

    async def _authenticate(self) -> None:
        given = _secret(self.request.headers.get("Authorization", ""))
        if given is None:
            raise HTTPError(401)
        address, waiting = str(self.request.remote_ip), self.access.waiting
        if address in waiting or len(waiting) >= _WRONG_AT_ONCE:
            raise HTTPError(429)
        if self.access.fits(given):
            return
        if time.monotonic() - self.access.said_at >= _SAID_SECONDS:
            self.access.said_at = time.monotonic()
            _log.warning("live page: a wrong password from %s", address)
        waiting.add(address)
        try:
            await asyncio.sleep(WRONG_SECONDS)
        finally:
            waiting.discard(address)
        raise HTTPError(401)

    def write_error(self, status_code: int, **_: Any) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        if status_code == 401:
            self.set_header("WWW-Authenticate", 'Basic realm="Emotion Edge", charset="UTF-8"')
        if status_code == 429:
            self.set_header("Retry-After", str(round(WRONG_SECONDS)))
        self.finish(f"{status_code} {self._reason}\n")


def _secret(header: str) -> str | None:
    """The password of an Authorization header, Basic with any user name, or Bearer; None where it holds none."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return None
    try:
        return b64decode(value).decode(errors="replace").partition(":")[2]
    except Base64Error:
        return None
