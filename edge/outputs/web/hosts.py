"""Checks the Host header against the server's names, because an attacker's name may resolve to it (DNS rebinding)."""

import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True)
class HostNames:
    """Accepted values of the Host header; others are refused, against DNS rebinding.

    Attributes:
        names: in lower case, without port.
        any_address: accept any IP address too; DNS rebinding needs a host name.
    """

    names: frozenset[str]
    any_address: bool

    def __contains__(self, host: str) -> bool:
        """Whether a value of the Host header is accepted."""
        lower = host.lower()
        name = lower if lower.endswith("]") else lower.rpartition(":")[0] or lower
        if name in self.names:
            return True
        try:
            return self.any_address and bool(ip_address(name.strip("[]")))
        except ValueError:
            return False


def host_names(names: str, on_network: bool) -> HostNames:
    """Return the accepted host names of a server.

    Args:
        names: additional names, separated by commas.
        on_network: whether the server listens on more than the loopback interface, so that clients use the board's name
            and addresses.
    """
    host = socket.gethostname().lower()
    own = {host, f"{host}.local"} if on_network else set()
    return HostNames(_LOOPBACK | own | {name.strip().lower() for name in names.split(",") if name.strip()}, on_network)
