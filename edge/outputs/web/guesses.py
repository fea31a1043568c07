"""Limits how fast passwords are tried: slow for guessers, at once for clients that had the right one before."""

import asyncio
import heapq
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from ipaddress import IPv6Address, ip_address
from itertools import count
from typing import Final, TypeVar

FIRST_DELAY_S: Final = 1.0
"""Seconds for which an address is blocked after its first wrong password; doubled after each further one."""

LONGEST_DELAY_S: Final = 60.0

ACCOUNT_BURST: Final = 20
"""Wrong passwords, from all addresses that never had the right one, after which these addresses must queue."""

ACCOUNT_RATE: Final = 1.0
"""Wrong passwords per second that are answered from then on, for all such addresses together."""

PATIENCE_S: Final = 5.0
"""Longest remaining block, in seconds, for which a password from a blocked address waits instead of being refused."""

LINE_MAX: Final = 2
"""Maximum number of passwords of one address that wait for an answer."""

QUEUE_MAX: Final = 256
_ADDRESSES_MAX: Final = 4096
_T = TypeVar("_T")


class Answer(Enum):
    """The decision about a request with a password."""

    RIGHT = "right"
    WRONG = "wrong"
    LATER = "later"
    """The password was not checked: too many wrong ones came from this address, or from everywhere."""


class Guesses:
    """Limits wrong passwords by address and for the page as a whole; a right one never counts. For one event loop.

    After a wrong password, passwords from the same address are not checked for a while. Addresses and browsers that had
    the right password before need not queue. All others share a budget of wrong passwords, for which they queue once it
    is used up: those with the fewest wrong ones first, and among these the newest first, so that a rightful user is not
    behind the guessers.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Wrong passwords of each address: how many, and the time until which the address is blocked.
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()
        # Number of passwords of each address that wait for an answer.
        self._line: dict[str, int] = {}
        self._budget = float(ACCOUNT_BURST)
        self._filled_at = clock()
        self._queue: list[tuple[int, int, asyncio.Future[bool]]] = []
        self._numbers = count()
        self._serving: asyncio.Task[None] | None = None

    async def answer(self, address: str, right: bool, device: str = "") -> Answer:
        """Decide how to answer a password, after the delay that the limits demand.

        Args:
            address: of the client, as text.
            right: whether its password is right; unless RIGHT or WRONG is returned, the client must not learn this.
            device: id of a browser that had the right password before; it counts in place of the address, which it
                may share with others.
        """
        client = f"device {device}" if device else _network_of(address)
        if self._line.get(client, 0) >= LINE_MAX:
            return Answer.LATER
        self._line[client] = self._line.get(client, 0) + 1
        try:
            return await self._in_line(client, right)
        finally:
            self._line[client] -= 1
            if not self._line[client]:
                del self._line[client]

    async def _in_line(self, client: str, right: bool) -> Answer:
        known = client in self._known or client.startswith("device ")
        while True:
            state = self._wrong.get(client, (0, 0.0))
            wrong, blocked_until = state
            if (left := blocked_until - self._clock()) > PATIENCE_S:
                return Answer.LATER
            if left > 0:
                await asyncio.sleep(left)
                continue
            if not known and not await self._turn(wrong):
                return Answer.LATER
            if self._wrong.get(client, (0, 0.0)) == state:
                break
            # Another wrong password of this client arrived meanwhile: return the budget and check again.
            self._budget += not known
        if right:
            self._wrong.pop(client, None)
            if not known:
                self._budget += 1
            _remember(self._known, client, None)
            return Answer.RIGHT
        delay = min(FIRST_DELAY_S * 2**wrong, LONGEST_DELAY_S)
        _remember(self._wrong, client, (min(wrong + 1, 16), self._clock() + delay))
        await asyncio.sleep(FIRST_DELAY_S)
        return Answer.WRONG

    async def _turn(self, wrong: int) -> bool:
        """Wait until the budget has room for another wrong password, and take it; return False if too many wait."""
        self._fill()
        if self._budget >= 1 and not self._queue:
            self._budget -= 1
            return True
        if len(self._queue) >= QUEUE_MAX:
            last = max(self._queue)
            if last[0] < wrong:
                return False
            self._queue.remove(last)
            heapq.heapify(self._queue)
            last[2].set_result(False)
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (wrong, -next(self._numbers), turn))
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve())
        return await turn

    async def _serve(self) -> None:
        while self._queue:
            self._fill()
            if self._budget >= 1:
                self._budget -= 1
                heapq.heappop(self._queue)[2].set_result(True)
            else:
                await asyncio.sleep((1 - self._budget) / ACCOUNT_RATE)

    def _fill(self) -> None:
        now = self._clock()
        self._budget = min(ACCOUNT_BURST, self._budget + (now - self._filled_at) * ACCOUNT_RATE)
        self._filled_at = now


def _network_of(address: str) -> str:
    """Return an IPv4 address itself, or the /64 network of an IPv6 one: a client can use any address within it."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or parsed.exploded[:19])
    return str(parsed)


def _remember(among: OrderedDict[str, _T], client: str, what: _T) -> None:
    among[client] = what
    among.move_to_end(client)
    while len(among) > _ADDRESSES_MAX:
        among.popitem(last=False)
