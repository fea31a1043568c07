"""Leaves out messages that are too large for the broker, which would close the connection at each of them."""

import logging
from collections.abc import Sequence
from typing import Final

from edge.outputs.mqtt.outbox import Outgoing

_log = logging.getLogger(__name__)

_LOSSES: Final = 3
"""Consecutive short connections with the same largest message after which the message is taken as the cause."""

_ALWAYS_SENT: Final = 1000
"""Bytes of a packet that every broker accepts; if a connection ends after a smaller one, that has another cause."""


def packet_size(outgoing: Outgoing) -> int:
    """Return the bytes of the PUBLISH packet in MQTT 5; one or two less in 3.1.1 (MQTT 5.0, sections 2.1.4 and 3.3)."""
    rest = 2 + len(outgoing.topic.encode()) + (2 if outgoing.qos else 0) + 1 + len(outgoing.payload)
    rest += 5 if outgoing.expiry is not None else 0
    length_bytes = 1 + (rest > 127) + (rest > 16_383) + (rest > 2_097_151)
    return 1 + length_bytes + rest


class SizeLimit:
    """The largest packet that the broker accepts: as announced in MQTT 5, or learned if it announces none.

    A broker without an announcement closes the connection at a packet that is too large. If _LOSSES consecutive short
    connections end while the largest unconfirmed message is on the same topic, messages of more than half its size are
    left out, until a connection that lasted is lost. Not thread-safe.
    """

    def __init__(self) -> None:
        self._learned: int | None = None
        self._suspects: list[Outgoing] = []
        self._warned: set[str] = set()

    def allows(self, outgoing: Outgoing, announced: int | None) -> bool:
        """Whether to send a message; logs a warning for the first message on each topic that is left out.

        Args:
            outgoing: the message.
            announced: the broker's Maximum Packet Size in bytes; None: it announced none.
        """
        size = packet_size(outgoing)
        limit = min((limit for limit in (announced, self._learned) if limit is not None), default=size)
        if size <= limit:
            return True
        if outgoing.topic not in self._warned:
            self._warned.add(outgoing.topic)
            why = "the broker accepts" if limit == announced else "the broker closed connections at larger ones, so"
            _log.warning(
                "MQTT: %s is not published: %d bytes are too large (%s %d at most)", outgoing.topic, size, why, limit
            )
        return False

    def connection_lost(self, unconfirmed: Sequence[Outgoing], lasted: bool) -> None:
        """Learn from the end of a connection that the broker had accepted.

        Args:
            unconfirmed: messages that were sent and not acknowledged, or sent with QoS 0.
            lasted: whether the connection was open for at least `_LASTED_S` of the MQTT output.
        """
        if lasted:
            self._learned = None
        largest = max(unconfirmed, key=packet_size, default=None)
        if largest is None or lasted or any(one.topic != largest.topic for one in self._suspects):
            self._suspects = []
        if largest and not lasted:
            self._suspects.append(largest)
        if len(self._suspects) >= _LOSSES:
            self._learned = max(_ALWAYS_SENT, min(map(packet_size, self._suspects)) // 2)
            self._suspects = []
