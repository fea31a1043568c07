"""Notifies the service manager that the daemon is ready, of its status, and that it is alive.

The protocol of sd_notify(3) and sd_watchdog_enabled(3): each message is one datagram to the socket that $NOTIFY_SOCKET
names; without that variable nothing is sent.
"""

import logging
import math
import os
import socket
import time
from collections.abc import Mapping
from typing import Final

_log = logging.getLogger(__name__)

_FEEDS: Final = 4
"""Watchdog messages in each watchdog period; systemd recommends two, and a slow frame may delay one."""

_PATIENCE_S: Final = 1.0


class Notifier:
    """Sends notifications to the service manager. Thread-safe; no method raises.

    watchdog: seconds within which the manager expects a sign of life, None if it expects none.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Read the service manager's variables. environment: may have NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID."""
        address = environment.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the zero byte of an abstract socket's name.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.settimeout(_PATIENCE_S)
        self.watchdog = _period(environment)
        self._fed = -math.inf
        self._failed = False

    def ready(self) -> None:
        """Notify that the start, or a reload, is finished."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Set the status line that `systemctl status` shows."""
        self._send(f"STATUS={' '.join(text.split())}")

    def reloading(self) -> None:
        """Notify that the settings are being read again; `ready` notifies the end."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Notify that the service is stopping."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Feed the watchdog. Call it after each piece of work; it sends no more messages than the watchdog needs."""
        if self.watchdog is None:
            return
        now = time.monotonic()
        if now - self._fed >= self.watchdog / _FEEDS:
            self._fed = now
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(message.encode(errors="replace"), self._address)
            self._failed = False
        except OSError as error:
            if not self._failed:
                self._failed = True
                _log.warning("service manager: %s cannot be reached: %s", self._address.replace("\0", "@"), error)


def _period(environment: Mapping[str, str]) -> float | None:
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        # The watchdog is meant for a parent process.
        return None
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 else None
