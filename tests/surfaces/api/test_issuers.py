from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.clock import Instant
from taskbound.core.identity.issuer import IdentityIssuer, IssuerUse
from taskbound.ports.identity import IssuerFetch, Need
from taskbound.surfaces.api.operations import workload as issuers
from taskbound.surfaces.api.operations.workload import Issuers
from taskbound.surfaces.api.server.worker import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

OF_ONE, AT_ONCE = 16, 64
"""As ADR 0053 says."""


def awaited(name: str = "idp", need: Need = Need.ANSWER) -> IssuerFetch:
    issuer = IdentityIssuer(
        namespace="default", name=name, issuer=f"https://{name}", audience="us", use=IssuerUse.WORKLOADS
    )
    return IssuerFetch(issuer=issuer, kid="k", need=need, asked=Instant(0))


class Hanging:
    """Issuers that answer when they are let go, each asked in whatever thread."""

    def __init__(self) -> None:
        self.issuers = Issuers()
        self.free = threading.Event()
        self.asked: list[threading.Thread] = []

    def work(self) -> None:
        self.asked.append(threading.current_thread())
        assert self.free.wait(20)

    def ask(self, one: IssuerFetch, work: Callable[[], None] | None = None) -> asyncio.Task[None]:
        return asyncio.ensure_future(self.issuers.ask(one, work or self.work))

    async def end(self, *tasks: asyncio.Task[None]) -> None:
        """Let all go: who waits goes on, and each thread ends."""
        self.free.set()
        await asyncio.gather(*tasks)
        for one in self.asked:
            await asyncio.to_thread(one.join, 20)
            assert not one.is_alive()


def played(story: Callable[[Hanging], Awaitable[None]]) -> None:
    async def play() -> None:
        there = Hanging()
        try:
            async with asyncio.timeout(20):
                await story(there)
        finally:
            there.free.set()

    asyncio.run(play())


async def turn() -> None:
    """Whatever was begun stands where it waits."""
    for _ in range(3):
        await asyncio.sleep(0)


def test_one_issuer_has_one_thread_and_so_many_who_wait_and_no_more() -> None:
    async def story(there: Hanging) -> None:
        waiting = [there.ask(awaited()) for _ in range(OF_ONE)]
        await turn()
        with pytest.raises(OverloadedError, match="16 requests wait for this issuer"):
            await there.issuers.ask(awaited(), there.work)
        await there.issuers.ask(awaited("other"), lambda: None)
        assert not any(one.done() for one in waiting)
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        waiting[0] = there.ask(awaited())  # a place is free again, and whoever else waits still does
        await turn()
        assert not any(one.done() for one in waiting)
        await there.end(*waiting)
        assert len(there.asked) == 1
        await there.issuers.ask(awaited(), there.work)  # it is asked anew
        assert len(there.asked) == 2

    played(story)


def test_so_many_issuers_are_asked_at_once_and_no_more() -> None:
    async def story(there: Hanging) -> None:
        waiting = [there.ask(awaited(f"idp-{number}")) for number in range(AT_ONCE)]
        await turn()
        with pytest.raises(OverloadedError, match="64 issuers"):
            await there.issuers.ask(awaited("one-more"), there.work)
        await there.issuers.ask(awaited("one-more", Need.NEWS), there.work)  # what is known counts
        same = there.ask(awaited("idp-0"))
        await turn()
        await there.end(*waiting, same)
        assert len(there.asked) == AT_ONCE
        await there.issuers.ask(awaited("one-more"), there.work)

    played(story)


def test_another_row_of_the_same_name_is_another_issuer() -> None:
    async def story(there: Hanging) -> None:
        first = there.ask(awaited())
        other = replace(awaited(), issuer=replace(awaited().issuer, keys_at="https://keys.example"))
        done: list[bool] = []
        await there.issuers.ask(other, lambda: done.append(True))
        assert done == [True]
        await there.end(first)

    played(story)


def test_who_has_a_key_waits_for_news_so_long_and_no_longer_whoever_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(issuers, "PATIENCE", 0.2)

    async def story(there: Hanging) -> None:
        began = asyncio.get_running_loop().time()
        news = [there.ask(awaited(need=Need.NEWS)) for _ in range(OF_ONE + 4)]
        needs = there.ask(awaited())
        await turn()
        assert [one.done() for one in news] == [False] * OF_ONE + [
            True
        ] * 4  # beyond the bound it goes on at once
        with pytest.raises(OverloadedError):
            await needs
        await asyncio.gather(*news)
        assert asyncio.get_running_loop().time() - began >= 0.2
        later = there.ask(awaited(need=Need.NEWS))
        needs = there.ask(awaited())
        for _ in range(10):  # sooner than that time would pass again
            await turn()
        assert later.done(), "that time is over"
        assert not needs.done()
        await there.end(needs)
        assert len(there.asked) == 1

    played(story)


def test_news_that_come_in_time_are_waited_for() -> None:
    async def story(there: Hanging) -> None:
        one = there.ask(awaited(need=Need.NEWS))
        await turn()
        assert not one.done()
        await there.end(one)

    played(story)


def test_what_breaks_in_its_thread_is_told_to_whoever_waits_and_the_issuer_is_asked_anew() -> None:
    async def story(there: Hanging) -> None:
        def breaks() -> None:
            there.work()
            raise ZeroDivisionError

        waiting = [there.ask(awaited(), breaks) for _ in range(2)]
        await turn()
        there.free.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in found] == [ZeroDivisionError] * 2
        await there.issuers.ask(awaited(), there.work)

    played(story)
