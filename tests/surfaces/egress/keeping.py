"""A data directory with a server that has secrets, as a person sets it up: real daemon, real egress."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from taskbound.adapters.keys.sealing import seal
from taskbound.adapters.upstream.egress import ask_key
from taskbound.adapters.upstream.mcp.http.probe import pin_url
from taskbound.adapters.upstream.mcp.http.probe import probe as probe_url
from taskbound.adapters.upstream.mcp.probe import pin_server, probe
from taskbound.adapters.upstream.mcp.server import fill
from taskbound.core.scope import parse_scope
from taskbound.core.tool import Binding, parse_slot
from taskbound.wire.connection import Done
from taskbound.wire.identity import SetCeiling
from taskbound.wire.tool import AddUpstream, ListUpstreams, SetSecret, UpstreamRow, UpstreamRows
from taskbound.wiring.home import find_socket
from tests.peers.commands import echo
from tests.surfaces.gateway.real import Place, real

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

KEEPER = Path(__file__).parents[2] / "peers" / "keeper.py"
SECRET = 'hunter2/"K€y+2hunter'
SLOT = "environment:TOKEN"
SIGNED = "sign-with-hunter3"
SLOTS = {"argument:sign/api_key": SIGNED, SLOT: SECRET}


def keeper(log: Path) -> list[str]:
    return [sys.executable, str(KEEPER), "--log", str(log)]


def row_of(place: Place, name: str) -> UpstreamRow:
    rows = place.client.ask(ListUpstreams(), UpstreamRows).rows
    return next(row for row in rows if row.spec.name == name)


def egress_socket(place: Place) -> Path:
    return find_socket(place.home).with_name("egress.sock")


async def pin(
    place: Place,
    name: str,
    command: Sequence[str],
    values: Mapping[str, str],
    *,
    era: str = "",
    asks: Sequence[str] = (),
) -> None:
    """Pin a server with these slots, looked at with what goes into them; nothing is set yet."""
    slots = {parse_slot(text): value for text, value in values.items()}
    if command[0].startswith("http"):
        spec = pin_url(name, command[0], headers={}, slots=slots)
        found = await probe_url(spec, filling=fill(slots))
    else:
        spec = pin_server(name, command, environment={}, directory=str(place.directory), slots=slots)
        found = await probe(spec, filling=fill(slots))
    raws = tuple(map(msgspec.Raw, found.definitions))
    methods = (*found.methods, *asks)
    ask = AddUpstream(spec=structs.replace(spec, era=era or found.era), definitions=raws, methods=methods)
    place.client.ask(ask, Done)
    place.tools += [f"{name}__{json.loads(raw)['name']}" for raw in found.definitions]
    place.tools += [f"{name}__{method}" for method in methods]


async def put(place: Place, name: str, slot: str, value: str) -> None:
    """Fill a slot, as the command line does."""
    row = row_of(place, name)
    number = next(one.number for one in row.secrets if one.slot == slot) + 1
    if not value:
        place.client.ask(SetSecret(server=name, slot=slot, number=number), Done)
        return
    public = await asyncio.to_thread(ask_key, egress_socket(place))
    binding = Binding(namespace="default", server=name, identity=row.identity, slot=slot, number=number)
    sealed = seal(value, binding, public=public)
    place.client.ask(SetSecret(server=name, slot=slot, number=number, sealed=sealed), Done)


@contextlib.asynccontextmanager
async def kept(
    tmp_path: Path,
    command: Sequence[str] = (),
    *,
    name: str = "keeper",
    values: Mapping[str, str] = SLOTS,
    era: str = "",
    asks: Sequence[str] = (),
) -> AsyncIterator[Place]:
    """A place whose task may call all of the server, whose slots are filled."""
    async with real(tmp_path, echo()) as place:
        await pin(place, name, command or keeper(tmp_path / "heard"), values, era=era, asks=asks)
        for slot, value in values.items():
            await put(place, name, slot, value)
        place.end_task()
        ceiling = msgspec.Raw(parse_scope(place.anything()).canonical)
        place.client.ask(SetCeiling(name="coder", ceiling=ceiling), Done)
        place.start_task()
        yield place
