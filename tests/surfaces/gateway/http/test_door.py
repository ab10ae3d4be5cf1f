from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from errno import EMFILE
from pathlib import Path
from typing import NoReturn

import pytest

from taskbound import __version__
from taskbound.sdk.client import AsyncClient, DaemonLostError
from taskbound.surfaces.api.server.place import DEFAULT_GATEWAY
from taskbound.surfaces.gateway.http.door import DaemonLookup
from taskbound.surfaces.http.head import EVERY, Authorities
from taskbound.wire.connection import Fault, Open, Opened, ShowProof
from taskbound.wire.envelope import Push
from taskbound.wire.network import ClientAuthorities, ShowClientAuthorities, Shown
from tests.peers.daemon import ScriptedDaemon
from tests.surfaces.gateway.http.fronting import TOKEN, Clock, Near, near

pytestmark = pytest.mark.anyio


async def test_whose_certificates_count_is_asked_of_a_daemon_that_is_there_and_starts_none(
    tmp_path: Path,
) -> None:
    daemon = ScriptedDaemon(tmp_path / "d.sock")
    tried: list[str] = []

    async def starting(
        *, resume: str, pushed: Callable[[Push], None], lost: Callable[[], None]
    ) -> tuple[AsyncClient, Opened]:
        del resume, pushed, lost
        tried.append("starting")
        raise DaemonLostError("it would have been started")

    async def there(
        *, resume: str, pushed: Callable[[Push], None], lost: Callable[[], None]
    ) -> tuple[AsyncClient, Opened]:
        tried.append("there")
        opening = Open(role="front", version=__version__, origin=DEFAULT_GATEWAY, resume=resume)
        return await AsyncClient.connect(daemon.path, opening, pushed=pushed, lost=lost)

    door = DaemonLookup(
        DEFAULT_GATEWAY, starting, lambda _agent, _token: there, there=there, certified=lambda: True
    )
    believed: list[list[bytes]] = []

    async def believe(found: object) -> None:
        believed.append(list(found) if isinstance(found, list) else [])

    authorities = Authorities(door.authorities, believe)
    await authorities.once()  # there is no daemon
    assert (tried, believed) == (["there"], [])
    async with daemon:
        daemon.on[ShowClientAuthorities] = lambda ask: ClientAuthorities(
            mark="one", certificates=None if ask.known == "one" else ("YQ==", "Yg==")
        )
        await authorities.once()
        await authorities.once()  # they are those that are known
        assert believed == [[b"a", b"b"]]
        asked = [one.known for one in daemon.asks if isinstance(one, ShowClientAuthorities)]
        assert asked == ["", "one"]
        daemon.drop()
        daemon.on[ShowClientAuthorities] = lambda _: ClientAuthorities(mark="two", certificates=())
        async with asyncio.timeout(20):
            while len(believed) < 2:  # the connection is found gone, and made anew
                await authorities.once()
        assert believed == [[b"a", b"b"], []]
    assert "starting" not in tried
    door.close()


async def test_one_connection_is_made_at_a_time_and_who_waited_has_what_another_one_made(
    tmp_path: Path,
) -> None:
    daemon = ScriptedDaemon(tmp_path / "d.sock")

    async def there(
        *, resume: str, pushed: Callable[[Push], None], lost: Callable[[], None]
    ) -> tuple[AsyncClient, Opened]:
        opening = Open(role="front", version=__version__, origin=DEFAULT_GATEWAY, resume=resume)
        return await AsyncClient.connect(daemon.path, opening, pushed=pushed, lost=lost)

    door = DaemonLookup(
        DEFAULT_GATEWAY, there, lambda _agent, _token: there, there=there, certified=lambda: True
    )
    async with daemon:
        daemon.on[ShowClientAuthorities] = lambda _: ClientAuthorities(mark="one", certificates=())
        with daemon.holding(Open) as held:
            first = asyncio.create_task(door.reached())
            await held.next()
            asked = asyncio.create_task(door.authorities(ShowClientAuthorities(known="")))
            second = asyncio.create_task(door.reached())
            for _ in range(50):
                await asyncio.to_thread(os.sched_yield)  # another one would have come by now
            assert (asked.done(), daemon.count(Open)) == (False, 1)
        daemon.drop()
        with pytest.raises(DaemonLostError):
            await first
        assert isinstance(await asked, ClientAuthorities)
        assert await second is await door.reached()
        assert daemon.count(Open) == 2
        door.close()


async def test_the_end_of_a_connection_of_before_is_not_taken_for_that_of_another(tmp_path: Path) -> None:
    daemon = ScriptedDaemon(tmp_path / "d.sock")
    ends: list[Callable[[], None]] = []

    async def there(
        *, resume: str, pushed: Callable[[Push], None], lost: Callable[[], None]
    ) -> tuple[AsyncClient, Opened]:
        ends.append(lost)
        opening = Open(role="front", version=__version__, origin=DEFAULT_GATEWAY, resume=resume)
        return await AsyncClient.connect(daemon.path, opening, pushed=pushed, lost=lost)

    door = DaemonLookup(
        DEFAULT_GATEWAY, there, lambda _agent, _token: there, there=there, certified=lambda: True
    )
    async with daemon:
        first = await door.reached()
        with daemon.holding(ShowProof) as held:
            asked = asyncio.create_task(door.show("coder", Shown(method="POST", uri="")))
            await held.next()
        ends[0]()
        second = await door.reached()
        assert second is not first
        first.close()  # as late as one that could not be written to its end
        with pytest.raises(DaemonLostError):
            await asked
        ends[0]()
        assert await door.reached() is second
        door.close()


async def test_a_connection_that_cannot_even_be_tried_is_none() -> None:
    async def full(**_: object) -> NoReturn:
        raise OSError(EMFILE, "too many open files")

    door = DaemonLookup(
        DEFAULT_GATEWAY, full, lambda _agent, _token: full, there=full, certified=lambda: True
    )
    with pytest.raises(DaemonLostError):
        await door.reached()


async def test_authorities_are_asked_for_again_and_again_also_after_a_refusal(tmp_path: Path) -> None:
    clock = Clock()
    async with near(tmp_path) as there:
        believed: list[object] = []

        async def believe(found: object) -> None:
            believed.append(found)

        authorities = Authorities(there.front._door.authorities, believe)  # noqa: SLF001 -- as the process has it
        there.daemon.on[ShowClientAuthorities] = lambda _: Fault(code="busy", message="later")
        keeping = asyncio.create_task(authorities.keep())
        for times in (1, 2):
            await asyncio.to_thread(os.sched_yield)
            clock.pass_by(EVERY)
            await there.until(lambda: there.daemon.count(ShowClientAuthorities) == times)  # noqa: B023 -- of now
        assert believed == []
        there.daemon.on[ShowClientAuthorities] = lambda _: ClientAuthorities(mark="one", certificates=())
        clock.pass_by(EVERY)
        await there.until(lambda: believed == [[]])
        keeping.cancel()


async def test_a_front_whose_daemon_was_started_anew_asks_it_over_another_connection(there: Near) -> None:
    assert (await there.send(there.modern(TOKEN, {"method": "tools/list"}))).status == 200
    there.daemon.drop()
    assert (await there.send(there.modern(TOKEN, {"method": "tools/list"}))).status == 200
