"""Base class of the live page's handlers: checks who asks, and sets the headers of every answer."""

import logging
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from tornado.web import HTTPError, RequestHandler

from edge.outputs.web.access import PageAccess
from edge.outputs.web.connections import Connections
from edge.outputs.web.guesses import Answer

_log = logging.getLogger(__name__)

_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; font-src 'self'; style-src 'self'; script-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-site",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PageHandler(RequestHandler):
    """Answers clients with access to the page, but no request that another site triggers.

    The header Sec-Fetch-Site says which site triggers a request (W3C, Fetch Metadata Request Headers). Browsers do not
    send it over plain HTTP on the network; there, Origin and Cross-Origin-Resource-Policy protect.
    """

    access: PageAccess

    def initialize(self, access: PageAccess) -> None:
        self.access = access

    @property
    def connections(self) -> Connections:
        """Registry of the server's connections."""
        connections: Connections = self.settings["connections"]
        return connections

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        for name, value in _HEADERS.items():
            self.set_header(name, value)

    async def prepare(self) -> None:
        if self.request.host not in self.access.hosts:
            raise HTTPError(403, reason="Not a name of this page: use localhost, or add the name to web.names")
        self._refuse_other_sites()
        if self.access.password:
            await self._authenticate()
        self.connections.working(self)

    def require_post(self, largest: int, too_large: str) -> None:
        """Refuse other methods than POST, and a body whose announced length is too large.

        Args:
            largest: most bytes of a body.
            too_large: reason of the status 413.

        Raises:
            HTTPError: 405 or 413.
        """
        if self.request.method != "POST":
            raise HTTPError(405)
        length = self.request.headers.get("Content-Length", "")
        if length.isdecimal() and (len(length) > 15 or int(length) > largest):
            raise HTTPError(413, reason=too_large)

    def on_finish(self) -> None:
        self.connections.idle(self)

    def _refuse_other_sites(self) -> None:
        fetch = {key: self.request.headers.get(f"Sec-Fetch-{key}") for key in ("Site", "Mode", "Dest")}
        opened = self.request.path == "/" and fetch["Mode"] == "navigate" and fetch["Dest"] == "document"
        foreign = fetch["Site"] == "cross-site" and not opened
        origin = self.request.headers.get("Origin")
        if self.request.method not in ("GET", "HEAD") and origin:
            foreign = foreign or _host_of(origin) != self.request.host.lower()
        if foreign:
            raise HTTPError(403, reason="Requests from other sites are refused")

    async def _authenticate(self) -> None:
        given = _password_in(self.request.headers.get("Authorization", ""))
        if given is None:
            raise HTTPError(401)
        address = self.access.client(str(self.request.remote_ip), self.request.headers.get("X-Forwarded-For", ""))
        device = self.access.devices.device(self.cookies)
        answer = await self.access.guesses.answer(address, self.access.matches(given), device)
        if answer is Answer.LATER:
            raise HTTPError(429)
        if answer is Answer.WRONG:
            _log.warning("live page: a wrong password from %s", address)
            raise HTTPError(401)
        if not device:
            name, value = self.access.devices.name, self.access.devices.new()
            self.set_cookie(name, value, httponly=True, samesite="Strict", secure=self.access.tls is not None)

    def write_error(self, status_code: int, **_: Any) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        if status_code == 401:
            self.set_header("WWW-Authenticate", 'Basic realm="Emotion Edge", charset="UTF-8"')
        if status_code in (429, 503):
            self.set_header("Retry-After", "1")
        self.finish(f"{status_code} {self._reason}\n")


def _host_of(origin: str) -> str | None:
    """Return host and port of an Origin header; None if it is no address."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _password_in(header: str) -> str | None:
    """Return the password of an Authorization header, Basic with any user name, or Bearer; None if it has none."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return None
    try:
        return b64decode(value).decode(errors="replace").partition(":")[2]
    except ValueError:
        # The header is not base64, or not even ASCII.
        return None
