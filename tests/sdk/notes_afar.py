"""The same world behind a real API, for clients that are over the network."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from taskbound.sdk.guard.client import AsyncClient, Client, Told
from taskbound.sdk.guard.proof import Proof
from tests import token_world
from tests.sdk.notes import Here, notes_world, ran
from tests.surfaces.api.test_operations import Station, station
from tests.surfaces.network import acting, holding
from tests.surfaces.network.acting import Acting
from tests.surfaces.network.holding import Holding
from tests.surfaces.network.serving import api
from tests.token_world import TokenWorld
from tests.world import World


class Distant:
    """An agent afar, whose key a signer keeps."""

    def __init__(self, one: Acting, origin: str) -> None:
        self.one, self.origin = one, origin
        self.place: Station = one.one.place
        self.world: World = one.world
        (self.task,) = {each["task"] for each in self.world.events("task-started")}
        self.skew = 0.0

    def now(self) -> float:
        return self.world.clock.now() / 1_000_000 + self.skew

    def told(self, *, wait: float = 0.0) -> Told:
        proof = Proof(kind="assertion", read=lambda: self.one.keys.assertion("default", "coder"))
        return Told(origin=self.origin, task=self.task, proof=proof, wait=wait)

    def client(self, *, wait: float = 0.0) -> Client:
        return Client(self.told(wait=wait), Here(socket=Path("/nowhere"), clock=self.now))

    def async_client(self, *, wait: float = 0.0) -> AsyncClient:
        return AsyncClient(self.told(wait=wait), Here(socket=Path("/nowhere"), clock=self.now))


def distant(
    folder: Path,
    work: Callable[[Distant], None],
    monkeypatch: pytest.MonkeyPatch,
    *,
    world: World | None = None,
) -> None:
    """Work with an agent that is afar, in a thread of its own."""
    ran.clear()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    origin = f"http://127.0.0.1:{port}"
    for module in (token_world, acting, holding):
        monkeypatch.setattr(module, "ISSUER", origin)

    async def story() -> None:
        async with station(folder, issuer=origin, beside=world or notes_world()) as place:
            tokens = TokenWorld(place.world.means.store, folder, world=place.world)
            tokens.keys.tend()

            def there() -> None:
                with api(place.path, "--origin", origin, "--address", f"127.0.0.1:{port}") as one:
                    work(Distant(Acting(Holding(one, place, tokens), folder), origin))

            try:
                await asyncio.to_thread(there)
            finally:
                tokens.close()

    asyncio.run(story())
