"""Real servers listed and called through the gateway's real process, by clients of both eras.

1. What the gateway lists of a server is what the server lists, but for the name's first part.
2. What the gateway answers is what the server answers, byte for byte. A server of the older revisions says no
   `resultType`, which a client of the newer one needs: that is put in front, and nothing else is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import pytest

from taskbound.adapters.upstream.mcp.probe import probe_command
from taskbound.wire.connection import Done
from taskbound.wire.tool import AddUpstream
from taskbound.wiring.home import make_home
from tests.peers.rawclient import LEGACY, MODERN, RawClient
from tests.servers.catalog import clean, peers
from tests.surfaces.gateway.real import DEADLINE, Place, gone
from tests.waiting import others

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping
    from pathlib import Path

    from tests.peers.rawclient import Era
    from tests.servers.catalog import Ground, Peer

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

T = TypeVar("T")
ERAS: Final[tuple[Era, ...]] = ("legacy", "modern")
TYPED: Final = b'{"resultType":"complete",'
WAITED_FOR: Final = {"execution": {"taskSupport": "optional"}}
"""What a client of 2025-11-25 is told of every tool: it can come back for a call (ADR 0041)."""


class _Answer(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw(b"")
    error: msgspec.Raw = msgspec.Raw(b"")


Said = tuple[list[dict[str, Any]], _Answer]


async def ask(client: RawClient, prefix: str, peer: Peer) -> _Answer:
    """What is answered to the peer's call, as bytes."""
    number = client.next_id()
    await client.send_line(client.call_bytes(f"{prefix}{peer.tool}", peer.raw, request=number))
    await client.answer_to(number)
    return msgspec.json.decode(client.lines[-1], type=_Answer)


async def directly(peer: Peer, era: str, folder: Path) -> Said:
    """What the server lists and answers without a gateway, in the era in which it is pinned."""
    spoken: Era = "modern" if era == MODERN else "legacy"
    async with RawClient(peer.command, era=spoken, env=clean(peer), cwd=folder, deadline=DEADLINE) as client:
        await client.handshake()
        return await client.tools(), await ask(client, "", peer)


def named(tools: list[dict[str, Any]], prefix: str) -> dict[str, dict[str, Any]]:
    """The tools by the name that a client sees, without what is not of the definition."""
    return {
        f"{prefix}{one['name']}": {key: value for key, value in one.items() if key not in {"name", "_meta"}}
        for one in tools
    }


@contextlib.asynccontextmanager
async def daemon(folder: Path) -> AsyncIterator[Place]:
    """A daemon of its own, which ends with the test."""
    home = folder / "home"
    make_home(home)
    place = Place(home, folder)
    pid = place.status().pid
    try:
        yield place
    finally:
        place.close()
        os.kill(pid, signal.SIGTERM)
        async with asyncio.timeout(DEADLINE):
            while not gone(pid):
                await others()


async def pin(place: Place, peer: Peer, folder: Path) -> str:
    """Pin the server; the era in which it is spoken to."""
    spec, found = await asyncio.to_thread(
        probe_command,
        name=peer.name,
        command=peer.command,
        environment=peer.environment,
        directory=str(folder),
    )
    raws = tuple(map(msgspec.Raw, found.definitions))
    place.client.ask(AddUpstream(spec=spec, definitions=raws, methods=found.methods), Done)
    place.tools += [f"{peer.name}__{json.loads(raw)['name']}" for raw in found.definitions]
    return spec.era


async def together(every: Mapping[str, Awaitable[T]]) -> dict[str, T]:
    """What each comes to; three at a time, since most of it is waiting for processes to start and end."""
    turns = asyncio.Semaphore(3)

    async def one(work: Awaitable[T]) -> T:
        async with turns:
            return await work

    return dict(zip(every, await asyncio.gather(*map(one, every.values())), strict=True))


async def test_thirteen_real_servers_are_listed_and_answer_through_the_gateway_as_they_do_without(
    tmp_path: Path, ground: Ground
) -> None:
    every = peers(ground)
    assert len({peer.package for peer in every}) == len(every) == 13
    async with daemon(tmp_path) as place:
        eras = await together({peer.name: pin(place, peer, ground.folder) for peer in every})
        direct = await together({peer.name: directly(peer, eras[peer.name], ground.folder) for peer in every})
        assert set(eras.values()) >= {LEGACY, MODERN}, "servers of both eras are among them"
        place.settle_in()
        place.start_task()
        for era in ERAS:
            async with place.gateway(era) as client:
                listed = {one["name"]: one for one in await client.tools()}
                for peer in every:
                    tools, said = direct[peer.name]
                    prefix = f"{peer.name}__"
                    of_it = [one for name, one in listed.items() if name.startswith(prefix)]
                    told = named(tools, prefix)
                    if era == "legacy":
                        told = {name: one | WAITED_FOR for name, one in told.items()}
                    assert named(of_it, "") == told, (peer.name, era)
                    found = await ask(client, prefix, peer)
                    assert peer.says.encode() in bytes(said.result) + bytes(said.error), peer.name
                    bridged = era == "modern" and eras[peer.name] != MODERN and bytes(said.result)
                    expected = TYPED + bytes(said.result)[1:] if bridged else bytes(said.result)
                    assert bytes(found.result) == expected, (peer.name, era)
                    assert bytes(found.error) == bytes(said.error), (peer.name, era)
        calls = [one for one in place.actions() if one.state in {"succeeded", "failed"}]
        assert len(calls) == 2 * len(every), "each call was decided, and its outcome recorded"
