"""Access to the live page: accepted host names, password, certificate and reverse proxies."""

import hashlib
import hmac
import logging
import ssl
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from edge.config import WebSettings
from edge.config.certificate import load_certificate, refuse_lone_key
from edge.config.secrets import secret_of
from edge.outputs.web.devices import DeviceCookies
from edge.outputs.web.guesses import Guesses
from edge.outputs.web.hosts import HostNames, host_names

_log = logging.getLogger(__name__)


@dataclass
class PageAccess:
    """Who may use the live page.

    Attributes:
        hosts: accepted host names of the page.
        password: empty if none is required.
        tls: None for plain HTTP.
        proxies: networks of reverse proxies whose X-Forwarded-For is believed.
        guesses: limits wrong passwords.
        devices: recognises browsers that had the right password.
    """

    hosts: HostNames
    password: str = ""
    tls: ssl.SSLContext | None = None
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    guesses: Guesses = field(default_factory=Guesses)
    devices: DeviceCookies = field(default_factory=DeviceCookies)

    def matches(self, given: str) -> bool:
        """Whether `given` is the password; the comparison takes the same time for every wrong one."""
        digests = (hashlib.sha256(text.encode()).digest() for text in (given, self.password))
        return hmac.compare_digest(*digests)

    def client(self, peer: str, forwarded: str) -> str:
        """Return the address of a client, which may have come through proxies.

        Args:
            peer: address at the other end of the connection.
            forwarded: the header X-Forwarded-For, to which each proxy appends its own client; empty if there is none.
        """
        client = peer
        for address in reversed(forwarded.split(",")):
            if not self._is_proxy(client):
                break
            try:
                client = str(ip_address(address.strip()))
            except ValueError:
                break
        return client

    def _is_proxy(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self.proxies)


def page_access(settings: WebSettings) -> PageAccess:
    """Return the access that the settings describe. Raises EmotionEdgeError for an unreadable secret."""
    password = secret_of("web.password", settings.password, settings.password_file)
    proxies = tuple(ip_network(proxy.strip(), strict=False) for proxy in settings.proxies.split(",") if proxy.strip())
    hosts = host_names(settings.names, settings.on_network)
    access = PageAccess(hosts, password, _tls(settings), proxies)
    if settings.on_network and not access.tls:
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
