"""HTTP requests to cameras, with login, redirects and the check of certificates."""

import ssl
import urllib.request
from contextlib import suppress
from email.message import Message
from http.client import HTTPResponse
from typing import IO
from urllib.error import URLError
from urllib.parse import quote, unquote, urlsplit

_SAFE = "/%:=&?~+!$,;'@()*[]|"


class UnencryptedError(URLError):
    """A redirect leads from https to http, where the password and the pictures could be read and replaced."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise UnencryptedError("it redirects from https to http")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


class _Digest(urllib.request.HTTPDigestAuthHandler):
    def retry_http_digest_auth(self, req: urllib.request.Request, auth: str) -> HTTPResponse | None:
        try:
            return super().retry_http_digest_auth(req, auth)
        except IndexError:  # urllib on a field without a value: the request stays refused
            return None


def opener(url: str, context: ssl.SSLContext) -> urllib.request.OpenerDirector:
    """Return a URL opener that logs in at the host of `url` by Basic or Digest, with its user name and password.

    Args:
        url: address of the camera.
        context: for connections over TLS.
    """
    handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=context), _Redirects()]
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.username is not None:
            passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
            user, password = unquote(parts.username), unquote(parts.password or "")
            passwords.add_password(None, request(parts._replace(path="/", query="").geturl()).full_url, user, password)
            handlers += [
                urllib.request.HTTPBasicAuthHandler(passwords),
                _Digest(passwords),
            ]
    return urllib.request.build_opener(*handlers)


def request(url: str) -> urllib.request.Request:
    """Return the HTTP request for an address, without its user name and password. Raises ValueError."""
    parts = urlsplit(url)
    # Reading the port raises ValueError if it is no number.
    _ = parts.port
    place = parts.netloc.rpartition("@")[2]
    path, query = quote(parts.path, safe=_SAFE), quote(parts.query, safe=_SAFE)
    return urllib.request.Request(
        parts._replace(netloc=place, path=path, query=query, fragment="").geturl(),
        headers={"User-Agent": "emotion-edge", "Accept": "*/*"},
    )
