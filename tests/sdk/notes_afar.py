"""The same world behind a real API, for clients that are over the network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from taskbound.adapters.keys.es256 import Es256Key
from taskbound.core.identity.proof import Binding, BindingKind
from taskbound.core.task import TaskState, Template
from taskbound.flows.task import save_template
from taskbound.sdk.guard.async_client import AsyncClient
from taskbound.sdk.guard.client import Client
from taskbound.sdk.guard.proof import Proof, SubjectToken
from taskbound.sdk.guard.speaker import ClientSettings
from tests import token_world
from tests.peers.ports import free_port
from tests.sdk.noted import ran
from tests.sdk.notes import SCOPE, Here, notes_world
from tests.surfaces.api.test_operations import Station, station
from tests.surfaces.network import acting, holding
from tests.surfaces.network.acting import Acting
from tests.surfaces.network.holding import Holding
from tests.surfaces.network.serving import api
from tests.token_world import TokenWorld
from tests.world import ANN, World, scope_of


class Distant:
    """An agent afar, whose key a signer keeps."""

    def __init__(self, one: Acting, origin: str, folder: Path) -> None:
        self.one, self.origin = one, origin
        self.place: Station = one.one.place
        self.world: World = one.world
        (self.task,) = {each["task"] for each in self.world.events("task-started")}
        self.skew = 0.0
        self.folder = folder

    def now(self) -> float:
        return self.world.clock.now() / 1_000_000 + self.skew

    def proof(self, agent: str = "coder") -> Proof:
        return Proof(kind="assertion", read=lambda: self.one.keys.assertion("default", agent))

    def told(self, *, wait: float = 0.0) -> ClientSettings:
        return ClientSettings(origin=self.origin, task=self.task, proof=self.proof(), wait=wait)

    def client(self, *, wait: float = 0.0) -> Client:
        return Client(self.told(wait=wait), Here(socket=Path("/nowhere"), clock=self.now))

    def async_client(self, *, wait: float = 0.0) -> AsyncClient:
        return AsyncClient(self.told(wait=wait), Here(socket=Path("/nowhere"), clock=self.now))


class Starting:
    """The same agent with a token of Ann's, whose key it has in a file, and a template of what it starts."""

    def __init__(self, one: Distant, *, heartbeat: int = 0, grace: int = 0) -> None:
        self.one, self.world = one, one.world
        self.clients: list[Client] = []
        self.key = Es256Key.generate()
        self.pem = one.folder / "ann.pem"
        self.pem.write_bytes(
            self.key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        kept = Template(
            namespace="default",
            name="notes",
            scope=scope_of(SCOPE),
            seconds=600,
            purpose="keep notes",
            heartbeat=heartbeat,
            grace=grace,
        )
        save_template(self.world.adapters, kept, ANN)

    def person(self) -> str:
        """A token of Ann's, bound to that key."""
        return self.one.one.one.person(binding=Binding(kind=BindingKind.DPOP, thumbprint=self.key.kid))

    def told(self, **more: Any) -> ClientSettings:
        subject = SubjectToken(read=self.person, key=self.pem)
        return ClientSettings(
            **{"origin": self.one.origin, "proof": self.one.proof(), "subject": subject, **more}
        )

    def client(self, **more: Any) -> Client:
        """A client that is closed with the test."""
        self.clients.append(Client(self.told(**more), Here(socket=Path("/nowhere"), clock=self.one.now)))
        return self.clients[-1]

    def async_client(self, **more: Any) -> AsyncClient:
        return AsyncClient(self.told(**more), Here(socket=Path("/nowhere"), clock=self.one.now))

    def begun(self) -> list[dict[str, Any]]:
        """The tasks that were started behind the first one."""
        return self.world.events("task-started")[1:]

    def states(self) -> dict[str, TaskState]:
        """Each of them, as it is now."""
        with self.world.store.read() as snapshot:
            found = {one["task"]: snapshot.tasks.task("default", one["task"]) for one in self.begun()}
        return {name: task.state for name, task in found.items() if task is not None}


def distant(
    folder: Path,
    work: Callable[[Distant], None],
    monkeypatch: pytest.MonkeyPatch,
    *,
    world: World | None = None,
) -> None:
    """Work with an agent that is afar, in a thread of its own."""
    ran.clear()
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    for module in (token_world, acting, holding):
        monkeypatch.setattr(module, "ISSUER", origin)

    async def story() -> None:
        async with station(folder, issuer=origin, beside=world or notes_world()) as place:
            tokens = TokenWorld(place.world.adapters.store, folder, world=place.world)
            tokens.keys.tend()

            def there() -> None:
                with api(place.path, "--origin", origin, "--address", f"127.0.0.1:{port}") as one:
                    work(Distant(Acting(Holding(one, place, tokens), folder), origin, folder))

            try:
                await asyncio.to_thread(there)
            finally:
                tokens.close()

    asyncio.run(story())
