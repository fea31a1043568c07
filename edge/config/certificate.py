"""Loads the TLS certificates and certificate authorities that the settings name."""

import ssl
from pathlib import Path

from edge.errors import EmotionEdgeError


def load_certificate(context: ssl.SSLContext, section: str, cert_file: Path, key_file: Path | None) -> None:
    """Load a certificate and its key into a TLS context. section: name of the settings' section, for messages.

    Raises EmotionEdgeError if a file cannot be read or certificate and key do not match.
    """
    check_readable(f"{section}.cert_file", cert_file)
    if key_file:
        check_readable(f"{section}.key_file", key_file)
    try:
        context.load_cert_chain(cert_file, key_file, password="")
    except ssl.SSLError as error:
        raise EmotionEdgeError(
            f"{section}.cert_file {cert_file}: no certificate that goes with its key: {error.reason or error} "
            "(both in PEM format, the key without a pass phrase)"
        ) from error


def client_context(setting: str, ca_file: Path | None) -> ssl.SSLContext:
    """Return a TLS context for a client that checks the chain and the name of the server's certificate.

    Python 3.13 made `VERIFY_X509_STRICT` (RFC 5280) part of the default. It refuses authorities without a key usage, as
    most instructions for a home authority make them, which Python 3.11, OpenSSL and Mosquitto accept; so it is cleared.

    Args:
        setting: name of the setting that gives the authority, for messages.
        ca_file: certificates of authorities, PEM; None: the system's.

    Raises:
        EmotionEdgeError: the file cannot be read, or holds no certificate.
    """
    if ca_file:
        check_readable(setting, ca_file)
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except ssl.SSLError as error:
        raise EmotionEdgeError(f"{setting} {ca_file}: holds no certificate in PEM format") from error
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def check_readable(name: str, file: Path) -> None:
    """Raise EmotionEdgeError, with the setting's name, if the text file cannot be read."""
    try:
        file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EmotionEdgeError(f"{name} {file}: cannot be read: {error}") from error


def refuse_lone_key(section: str, cert_file: Path | None, key_file: Path | None) -> None:
    """Raise EmotionEdgeError if the section has a key but no certificate."""
    if key_file and cert_file is None:
        raise EmotionEdgeError(f"{section}.key_file {key_file}: is of no use without {section}.cert_file")
