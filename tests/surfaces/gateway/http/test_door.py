from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from taskbound import __version__
from taskbound.sdk.client import AsyncClient, DaemonLostError
from taskbound.surfaces.api.place import DEFAULT_GATEWAY
from taskbound.surfaces.gateway.http.door import Door
from taskbound.surfaces.http.authorities import Authorities
from taskbound.wire.connection import Open, Opened
from taskbound.wire.envelope import Push
from taskbound.wire.network import ClientAuthorities, ShowClientAuthorities
from tests.peers.daemon import ScriptedDaemon


def test_whose_certificates_count_is_asked_of_a_daemon_that_is_there_and_starts_none(tmp_path: Path) -> None:
    async def story() -> None:
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

        door = Door(
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

    asyncio.run(story())
