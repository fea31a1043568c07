"""Checks TLS certificates of network cameras: by chain and name, or as a certificate that the user trusts itself."""

import re
import socket
import ssl
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from edge.config.certificate import client_context

TLS_PORTS: Final = {"https": 443, "rtsps": 322}
SETTING: Final = "camera.ca_file"

TIMEOUT_S: Final = 5.0


def camera_context(url: str, ca_file: Path | None) -> ssl.SSLContext:
    """Return a TLS context that refuses a camera whose certificate is not trusted.

    The host name is not checked if `ca_file` holds the camera's own certificate: cameras sign theirs themselves, with
    names such as `IPCamera`.

    Args:
        url: the camera's address.
        ca_file: certificates to trust, PEM: of authorities or of the camera; None: the system's authorities.

    Raises:
        EmotionEdgeError: the file cannot be read, or holds no certificate.
        OSError, ValueError: the camera cannot be reached to fetch its certificate.
    """
    context = client_context(SETTING, ca_file)
    if ca_file is None:
        return context
    blocks = re.findall("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", ca_file.read_text(), re.DOTALL)
    shown = _shown_certificate(url)
    if shown not in map(ssl.PEM_cert_to_DER_cert, blocks):
        return context
    pinned = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    pinned.check_hostname = False
    pinned.load_verify_locations(cadata=shown)
    # The certificate itself is the trusted authority.
    pinned.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return pinned


def untrusted(error: ssl.SSLCertVerificationError) -> str:
    """Return the message for a certificate that is not trusted."""
    return (
        f"its certificate is not trusted: {error.verify_message} (name it, or the authority that signed it, in "
        f"{SETTING})"
    )


def _shown_certificate(url: str) -> bytes:
    """Fetch the certificate that a server presents, as DER, unchecked. Raises OSError or ValueError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with connected(url, context) as connection:
        return connection.getpeercert(binary_form=True) or b""


def connected(url: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Connect to a camera over TLS. Raises OSError or ValueError, before anything but the handshake is sent."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or TLS_PORTS[parts.scheme]
    connection = socket.create_connection((host, port), timeout=TIMEOUT_S)
    try:
        return context.wrap_socket(connection, server_hostname=host)
    except BaseException:
        connection.close()
        raise
