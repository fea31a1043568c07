"""Limits on wrong passwords, tested over simulated hours."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from edge.outputs.web import guesses
from edge.outputs.web.guesses import ACCOUNT_BURST, ACCOUNT_RATE, FIRST_DELAY_S, LONGEST_DELAY_S, Answer, Guesses


class Hours:
    """A simulated clock that advances when all tasks sleep."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleeping: list[tuple[float, asyncio.Future[None]]] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return await _yield()
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleeping.append((self.now + max(seconds, 1e-6), woken))  # a real sleep always takes time
        await woken
        return None

    async def run(self, until: float) -> None:
        """Let time pass until `until`."""
        while True:
            for _ in range(20):
                await _yield()
            due = min((at for at, _ in self._sleeping), default=math.inf)
            if due > until:
                self.now = until
                return
            self.now = max(self.now, due)
            for at, woken in self._sleeping:
                if at <= self.now and not woken.done():
                    woken.set_result(None)
            self._sleeping = [(at, woken) for at, woken in self._sleeping if at > self.now]


_yield: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)  # noqa: E731


@pytest.fixture
def hours(monkeypatch: pytest.MonkeyPatch) -> Hours:
    hours = Hours()

    class Asyncio:
        sleep = staticmethod(hours.sleep)

        def __getattr__(self, name: str) -> Any:
            return getattr(asyncio, name)

    monkeypatch.setattr(guesses, "asyncio", Asyncio())
    return hours


async def guessing(limit: Guesses, address: str, told: list[Answer], hours: Hours) -> None:
    """Task of an attacker who sends the next wrong password after each answer, or later without one."""
    while True:
        told.append(await limit.answer(address, right=False))
        if told[-1] is Answer.LATER:
            await hours.sleep(5)


def test_guessers_are_slow_and_the_rightful_user_gets_in(hours: Hours) -> None:
    """Twelve addresses guess for an hour; every ten minutes a new user logs in from another address."""
    told: list[Answer] = []
    waited: list[float] = []

    async def user(number: int) -> None:
        await hours.sleep(600 * number + 300)
        began = hours.now
        assert await limit.answer(f"192.168.1.{number}", right=True) is Answer.RIGHT
        waited.append(hours.now - began)
        for _ in range(50):
            assert await limit.answer(f"192.168.1.{number}", right=True) is Answer.RIGHT

    async def all_of_them() -> None:
        guessers = [asyncio.create_task(guessing(limit, f"10.0.0.{n}", told, hours)) for n in range(12)]
        users = [asyncio.create_task(user(number)) for number in range(6)]
        await hours.run(3600)
        assert all(user.done() for user in users)
        for task in users:
            task.result()
        for guesser in guessers:
            guesser.cancel()

    limit = Guesses(hours.clock)
    asyncio.run(all_of_them())
    looked_at = sum(answer is Answer.WRONG for answer in told)
    assert looked_at < 12 * (3600 / LONGEST_DELAY_S + 8)
    assert len(waited) == 6
    assert max(waited) <= 2 / ACCOUNT_RATE


def test_a_browser_that_had_the_password_gets_in_while_its_own_address_guesses(hours: Hours) -> None:
    """Behind one router, an attacker guesses without a pause, and the user has the same address."""
    waited: list[float] = []

    async def user() -> None:
        for _ in range(50):
            await hours.sleep(60)
            began = hours.now
            assert await limit.answer("203.0.113.7", right=True, device="a0") is Answer.RIGHT
            waited.append(hours.now - began)
        for _ in range(2):
            assert await limit.answer("203.0.113.7", right=False, device="a0") is Answer.WRONG
        began = hours.now
        assert await limit.answer("203.0.113.7", right=True, device="a0") is Answer.RIGHT
        assert 0 < hours.now - began <= FIRST_DELAY_S, "its own wrong passwords count"

    async def all_of_them() -> None:
        guesser = asyncio.create_task(guessing(limit, "203.0.113.7", [], hours))
        rightful = asyncio.create_task(user())
        await hours.run(3600)
        rightful.result()
        guesser.cancel()

    limit = Guesses(hours.clock)
    asyncio.run(all_of_them())
    assert waited == [0] * 50


def test_from_many_addresses_guessing_is_as_slow_as_from_few(hours: Hours) -> None:
    told: list[Answer] = []

    async def all_of_them() -> None:
        limit = Guesses(hours.clock)
        tasks = [asyncio.create_task(guessing(limit, f"10.0.{n // 250}.{n % 250}", told, hours)) for n in range(400)]
        await hours.run(100)
        newcomer = asyncio.create_task(limit.answer("192.168.1.7", right=True))
        await hours.run(200)
        assert newcomer.result() is Answer.RIGHT
        for task in tasks:
            task.cancel()

    asyncio.run(all_of_them())
    assert sum(answer is Answer.WRONG for answer in told) <= ACCOUNT_BURST + 200 * ACCOUNT_RATE + 1


def test_a_slip_costs_a_second_and_right_passwords_cost_nothing(hours: Hours) -> None:
    async def all_of_them() -> None:
        limit = Guesses(hours.clock)
        slip = asyncio.create_task(limit.answer("10.0.0.1", right=False))
        await hours.run(0.1)
        corrected = asyncio.create_task(limit.answer("10.0.0.1", right=True))
        await hours.run(FIRST_DELAY_S + 0.1)
        assert (slip.result(), corrected.result()) == (Answer.WRONG, Answer.RIGHT)
        answers = [limit.answer("10.0.0.1", right=True) for _ in range(1000)]
        assert {await answer for answer in answers} == {Answer.RIGHT}

    asyncio.run(all_of_them())


def test_addresses_of_one_network_of_ipv6_are_one_client(hours: Hours) -> None:
    async def all_of_them() -> None:
        limit = Guesses(hours.clock)
        tasks = [asyncio.create_task(limit.answer(f"fd00::{n:x}", right=False)) for n in range(1, 20)]
        await hours.run(0.5)
        assert sum(task.done() and task.result() is Answer.LATER for task in tasks) == 19 - guesses.LINE_MAX
        elsewhere = await limit.answer("fd00:0:0:1::1", right=True)
        assert elsewhere is Answer.RIGHT
        for task in tasks:
            task.cancel()

    asyncio.run(all_of_them())
