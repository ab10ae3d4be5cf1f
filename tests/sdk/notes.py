"""A world with a program of one's own: guarded functions, pinned as they are, and a task for them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from taskbound.adapters.keys.es256 import Es256Key, read_pem
from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.action import canonical
from taskbound.core.approval import AnswerKind
from taskbound.core.task import Holds, Template
from taskbound.core.tool import ServerIdentity
from taskbound.flows.identity import register_person
from taskbound.flows.identity.group import Groups
from taskbound.flows.task import TaskOrder, save_template
from taskbound.sdk.guard.async_client import AsyncClient
from taskbound.sdk.guard.client import Client
from taskbound.sdk.guard.guarded import Guarded
from taskbound.sdk.guard.link import Place
from taskbound.sdk.guard.speaker import ClientSettings
from tests.peers.holding import Answerers
from tests.peers.openssh import Device
from tests.peers.people import enrolled
from tests.sdk.noted import FUNCTIONS, fail, note, note_later, ran, spend
from tests.sqlite import sqlite_store
from tests.surfaces.api.test_operations import Station, station
from tests.world import ANN, World, scope_of

__all__ = ["FUNCTIONS", "fail", "note", "note_later", "ran", "spend"]

T = TypeVar("T")
SCOPE: dict[str, Any] = {
    "grants": [
        {
            "tool": "notes__note",
            "arguments": {"text": {"one_of": ["hello", "less", "more"]}, "tags": {"any": True}},
            "uses": 50,
        },
        *({"tool": f"notes__{one}", "arguments": {"text": {"any": True}}} for one in ("note_later", "fail")),
        {
            "tool": "notes__spend",
            "arguments": {"amount": {"any": True}},
            "total": {"amount": {"limit": 1000, "exponent": 0}},
        },
    ]
}
CEILING: dict[str, Any] = {"grants": [{"tool": one.tool, "others": "any"} for one in FUNCTIONS]}
HELD = "".join(
    f'@id("asked:{one}") @hold("approval:finance")'
    f' forbid (principal, action == Taskbound::Action::"notes__{one}", resource);'
    for one in ("note", "note_later", "spend")
)
"""Rules by which people of finance are asked about each note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """The machine around a client, as a test has it."""

    socket: Path
    clock: Callable[[], float] = lambda: 0.0
    named: str = ""
    agent: str = "coder"
    template: str = ""

    def place(self, told: ClientSettings) -> Place:
        return Place(
            socket=self.socket,
            namespace="default",
            agent=told.agent or self.agent,
            task=told.task or self.named,
            template=self.template,
        )

    def task(self) -> str:
        return self.named

    def key(self, file: Path | None) -> Es256Key:
        return Es256Key.generate() if file is None else read_pem(file.read_bytes())

    def now(self) -> float:
        return self.clock()


def notes_world(*, policy: str = "", functions: tuple[Guarded[..., Any], ...] = FUNCTIONS) -> World:
    """Ann, her agent, the functions as they are pinned, and a running task for them."""
    world = World(store=sqlite_store(), policy=policy or base_bundle())
    register_person(world.adapters, "default", "ann", uid=1000, actor=ANN)
    world.add_agent("coder", ceiling=CEILING)
    pin(world, functions)
    world.start(scope=SCOPE)
    return world


class People(Answerers):
    """Bob is of finance, and has a key that counts."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        groups = Groups(world.adapters)
        groups.add("default", "finance", ANN, owns=True)
        register_person(world.adapters, "default", "bob", uid=os.geteuid() + 1001, actor=ANN)
        groups.set_member("default", "finance", "bob", member=True, actor=ANN, owns=True)
        device = Device()
        self.devices["bob"] = (enrolled(world, "bob", device, voucher=self.devices["ann"]), device)
        world.clock.advance(25 * 3600)

    def held(self) -> str:
        """The action that people are asked about."""
        with self.world.store.read() as snapshot:
            (found,) = [one for one in snapshot.actions.actions("default") if one.state.value == "held"]
        return found.id

    def say(self, place: Station, kind: AnswerKind = AnswerKind.APPROVE) -> None:
        """Bob answers what is held; in the daemon's loop or beside it."""
        raw = self.statement(self.held(), "bob", kind)
        told, _ = self.world.approvals.answer("default", raw, self.devices["bob"][1].sign(raw))
        place.daemon.tell_held_soon([told])

    def narrow(self, place: Station, action: str, arguments: dict[str, Any]) -> None:
        """Bob answers with less."""
        done = self.world.narrow(*self.narrowing(action, "bob", arguments))
        place.daemon.tell_held_soon([done.held])


def held_world(rules: str = HELD, holds: Holds = Holds.END_WITH_CALL) -> tuple[World, People]:
    """Such a world, where bob is asked about notes."""
    world = World(store=sqlite_store(), policy=base_bundle() + rules)
    register_person(world.adapters, "default", "ann", uid=1000, actor=ANN)
    world.add_agent("coder", ceiling=CEILING)
    pin(world, FUNCTIONS)
    people = People(world)
    template = Template(
        namespace="default", name="notes", purpose="notes", scope=scope_of(SCOPE), seconds=3600, holds=holds
    )
    save_template(world.adapters, template, ANN)
    order = TaskOrder(namespace="default", agent="coder", purpose="notes", seconds=3600, template="notes")
    people.task = world.tasks.start(order, ANN)
    return world, people


def pin(world: World, functions: tuple[Guarded[..., Any], ...], name: str = "notes") -> None:
    """Pin these functions as a server's tools."""
    identity = ServerIdentity(
        namespace="default", command="/usr/bin/notes", resolved="/usr/bin/notes", sha256="0" * 64
    )
    raws = [canonical(dict(one.definition)) for one in functions]
    world.pins.add(name, identity, b"{}", raws, agents=(), actor=ANN)


@asynccontextmanager
async def noting(folder: Path, *, world: World | None = None, policy: str = "") -> AsyncIterator[Station]:
    """A daemon on a real socket, over such a world."""
    ran.clear()
    async with station(folder, beside=world or notes_world(policy=policy)) as place:
        yield place


def client_at(place: Station, *, wait: float = 0.0, task: str = "") -> Client:
    """A client of this daemon; for a thread of its own."""
    return Client(ClientSettings(wait=wait, task=task), Here(socket=place.path))


def async_client_at(place: Station, *, wait: float = 0.0, task: str = "") -> AsyncClient:
    """The same for the test's own loop."""
    return AsyncClient(ClientSettings(wait=wait, task=task), Here(socket=place.path))


async def within(work: Callable[[], T]) -> T:
    """What this does in a thread, which blocks."""
    return await asyncio.to_thread(work)


def outcomes(world: World) -> list[str]:
    """What was told of actions, in order."""
    return [str(one["after"]) for one in world.events("action-outcome")]
