"""A data directory with a server that wants tokens: daemon, egress, an issuer and who takes its tokens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from taskbound.adapters.keys.assertion import assertion
from taskbound.adapters.upstream.mcp.http.issuer import authorize
from taskbound.adapters.upstream.mcp.http.probe import probe_url
from taskbound.core.scope import parse_scope
from taskbound.core.tool import parse_slot
from taskbound.wire.connection import Done
from taskbound.wire.identity import SetCeiling
from taskbound.wire.tool import AddUpstream, OAuthSpec
from tests.peers.commands import echo
from tests.peers.provider import GUARD, ProviderPeer, provider
from tests.surfaces.egress.keeping import put
from tests.surfaces.gateway.real import Place, real

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

GUARDED = Path(__file__).parents[2] / "peers" / "guarded.py"
SECRET = "hunter2+of/our:client"
CLIENT = {"client_id": "us", "client_secret": SECRET, "token_endpoint_auth_method": "client_secret_basic"}


@dataclass(slots=True)
class Guarded:
    """The resource server."""

    url: str
    process: subprocess.Popen[str]
    shown: list[tuple[str, bool]] = field(default_factory=list)
    """Each token that it was shown, and whether it took it."""

    @property
    def tokens(self) -> list[str]:
        """Each token that it took, once, in order."""
        return list(dict.fromkeys(token for token, taken in self.shown if taken))


@contextlib.contextmanager
def guarded() -> Iterator[Guarded]:
    """A resource server that waits to hear who issues its tokens."""
    process = subprocess.Popen(
        [sys.executable, str(GUARDED)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    out = process.stdout
    assert out is not None
    there = Guarded(json.loads(out.readline()), process)

    def listen() -> None:
        for line in out:
            one = json.loads(line)
            there.shown.append((one["token"], one["taken"]))

    listening = threading.Thread(target=listen)
    listening.start()
    try:
        yield there
    finally:
        process.terminate()
        process.wait()
        listening.join()
        process.stdin.close()
        out.close()


@contextlib.contextmanager
def issued(
    *, client: dict[str, Any] | None = None, scope: str = "read", seconds: int = 600
) -> Iterator[tuple[ProviderPeer, Guarded]]:
    """An authorization server, and a server that takes its tokens, if they are for this scope."""
    with (
        guarded() as there,
        provider(client=client or CLIENT, resources=[there.url], seconds=seconds) as issuer,
    ):
        told = {"issuer": issuer.issuer, "client": GUARD[0], "secret": GUARD[1], "scope": scope}
        assert there.process.stdin is not None
        there.process.stdin.write(json.dumps(told) + "\n")
        there.process.stdin.flush()
        yield issuer, there


def sign(key: str, client: str, audience: str) -> str:
    return assertion(key, client=client, audience=audience)


async def pin_authorized(place: Place, name: str, url: str, client: OAuthSpec, secret: str) -> None:
    """Pin a server and seal what its client proves itself with, as the command line does."""
    spec, _ = await asyncio.to_thread(authorize, url, client)
    text = "oauth:private-key" if spec.method == "private_key_jwt" else "oauth:client-secret"
    slots = {parse_slot(text): secret}
    pinned, found = await asyncio.to_thread(
        lambda: probe_url(name=name, url=url, headers={}, secrets=slots, oauth=spec, sign=sign)
    )
    raws = tuple(map(msgspec.Raw, found.definitions))
    place.client.ask(AddUpstream(spec=pinned, definitions=raws, methods=found.methods), Done)
    place.tools += [f"{name}__{json.loads(raw)['name']}" for raw in found.definitions]
    await put(place, name, text, secret)


@contextlib.asynccontextmanager
async def authorized(
    tmp_path: Path, url: str, client: OAuthSpec, secret: str = SECRET, *, name: str = "far"
) -> AsyncIterator[Place]:
    """A place whose task may call all of the server, which is reached as this client."""
    async with real(tmp_path, echo()) as place:
        await pin_authorized(place, name, url, client, secret)
        place.end_task()
        ceiling = msgspec.Raw(parse_scope(place.anything()).canonical)
        place.client.ask(SetCeiling(name="coder", ceiling=ceiling), Done)
        place.start_task()
        yield place
