"""Who may use the live page: by which names it is called, with which password, through which proxies."""

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
        hosts: names that it is called by.
        password: empty where none is asked for.
        tls: None for plain HTTP.
        proxies: networks of reverse proxies whose X-Forwarded-For is believed.
        guesses: limits wrong passwords.
        devices: browsers that had the right one.
    """

    hosts: HostNames
    password: str = ""
    tls: ssl.SSLContext | None = None
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    guesses: Guesses = field(default_factory=Guesses)
    devices: DeviceCookies = field(default_factory=DeviceCookies)

    def matches(self, given: str) -> bool:
        """Whether this is the password; it takes equally long for each that is not."""
        digests = (hashlib.sha256(text.encode()).digest() for text in (given, self.password))
        return hmac.compare_digest(*digests)

    def client(self, peer: str, forwarded: str) -> str:
        """The address of a client, which may have come through proxies.

        Args:
            peer: address of whoever is connected.
            forwarded: the header X-Forwarded-For, to which each proxy adds whom it serves; empty where there is none.
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
    """As the settings say. Raises EmotionEdgeError when the password or a certificate cannot be read."""
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
