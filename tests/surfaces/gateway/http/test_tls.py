"""The front with TLS: tokens that are bound to a client's certificate (RFC 8705)."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.holders import Holder
from tests.peers.commands import echo
from tests.surfaces.gateway.http.fronting import Fronted, Wire, front
from tests.surfaces.gateway.real import Place, ended, real
from tests.surfaces.network.certificates import Authority, client_context
from tests.waiting import others

if TYPE_CHECKING:
    from tests.surfaces.gateway.http.fronting import Answer

pytestmark = pytest.mark.anyio

ORIGIN = "https://localhost:8701"


async def secured(place: Place, folder: Path, authority: Authority, *, roots: bool = True) -> None:
    """Have the front and the daemon know that it has TLS, and clients certificates."""
    own = authority.issue(folder, "front", name="localhost")
    settings = place.home / "taskbound.toml"
    told = {
        "gateway_origin": ORIGIN,
        "gateway_tls_certificate": str(own.chain),
        "gateway_tls_key": str(own.key),
        "gateway_client_roots": str(authority.write(folder / "roots.pem")) if roots else "",
    }
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in told.items())
    settings.write_text(settings.read_text(encoding="utf-8") + lines, encoding="utf-8")
    pid = place.status().pid
    place.kill_daemon()
    await ended(pid)
    async with asyncio.timeout(30):
        while place.status().signer != "reachable":
            await others()


async def sent(there: Fronted, context: ssl.SSLContext, raw: bytes) -> Answer:
    opened = await asyncio.open_connection("localhost", there.port, ssl=context)
    async with Wire(*opened) as wire:
        wire.send(raw)
        return await wire.answer()


@pytest.mark.timeout(120)
async def test_a_token_that_is_bound_to_a_certificate_is_taken_with_it_and_with_no_other(
    tmp_path: Path,
) -> None:
    authority = Authority("clients")
    async with real(tmp_path, echo()) as place:
        await secured(place, tmp_path, authority)
        mine, other = (authority.issue(tmp_path, name, name=name) for name in ("mine", "other"))
        holder = Holder(place.home, origin=ORIGIN)
        token = holder.token(place.task, certificate=mine.der)
        keyed = holder.token(place.task)
        async with front(place) as there:
            call = there.calling(token, "echo__echo", {"text": "a"})
            assert (await sent(there, client_context(authority, mine), call)).text == "a"
            for context, code in (
                (client_context(authority, other), "token-unbound"),
                (client_context(authority), "token-unbound"),
            ):
                refused = await sent(there, context, call)
                assert (refused.status, refused.code) == (401, code)
            headers: dict[str, Any] = dict(holder.shown(keyed, "POST"))
            proven = there.calling("", "echo__echo", {"text": "b"}, **headers)
            assert (await sent(there, client_context(authority), proven)).text == "b"
            path = "/.well-known/oauth-protected-resource/mcp/coder"
            raw = there.raw("", b"", verb="GET", path=path, without=("Authorization",))
            document = (await sent(there, client_context(authority), raw)).json
            assert document["resource"] == f"{ORIGIN}/mcp/coder"
            assert document["tls_client_certificate_bound_access_tokens"] is True
        assert [one.state for one in place.actions()] == ["succeeded", "succeeded"]
