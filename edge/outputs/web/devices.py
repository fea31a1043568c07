"""Recognises browsers that have shown the right password, even if they share an address with others."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from http.cookies import Morsel
from typing import Any, Final

_ID_BYTES: Final = 12


class DeviceCookies:
    """Creates and checks a session cookie that holds a random id and its signature, and nothing of the password.

    The cookie gives no access: the password is required all the same. The key lives as long as the process.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self.name = f"device-{hashlib.sha256(self._key).hexdigest()[:8]}"
        """Name of the cookie, different for each daemon on a board, because browsers share cookies between ports."""

    def new(self) -> str:
        """Return the value of a new cookie."""
        device = secrets.token_hex(_ID_BYTES)
        return f"{device}.{self._sign(device)}"

    def device(self, cookies: Mapping[str, Morsel[Any]]) -> str:
        """Return the id in a request's cookies; empty if there is none or another process signed it."""
        morsel = cookies.get(self.name)
        device, _, signature = morsel.value.partition(".") if morsel else ("", "", "")
        genuine = hmac.compare_digest(signature.encode(), self._sign(device).encode())
        return device if genuine else ""

    def _sign(self, device: str) -> str:
        return hmac.digest(self._key, device.encode(errors="replace"), "sha256").hex()
