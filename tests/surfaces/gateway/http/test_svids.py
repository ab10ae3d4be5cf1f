"""The front with TLS asks for SVIDs by the bundles of now: their tokens are bound to them (RFC 8705)."""

from __future__ import annotations

import asyncio
import ssl
import threading
from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.token.exchange import GRANT, TASK_REFERENCE
from taskbound.flows.token import resource_of
from taskbound.surfaces.api.server.place import DEFAULT_ISSUER
from taskbound.wire.authorization import AskToken, TokenGiven
from taskbound.wire.connection import Done
from taskbound.wire.jose.compact import encode_base64url
from taskbound.wire.network import Shown
from taskbound.wire.workload import AddSelector, AddTrust
from taskbound.wiring.home import find_socket
from tests.holders import ask_as_api
from tests.peers.commands import echo
from tests.peers.domain import Domain, Issued
from tests.surfaces.gateway.http.fronting import Answer, Fronted, front
from tests.surfaces.gateway.http.test_tls import ORIGIN, secured, sent
from tests.surfaces.gateway.real import Place, ended, real
from tests.surfaces.network.certificates import Authority, client_context
from tests.token_world import claims_in

pytestmark = pytest.mark.anyio

CORP = "corp.example"
METADATA = "/.well-known/oauth-protected-resource/mcp/coder"


class Workloads:
    """A trust domain from a file, one of whose workloads is the agent, and a client that has its SVIDs."""

    def __init__(self, place: Place, servers: Authority, folder: Path) -> None:
        self.place, self.servers, self.folder = place, servers, folder
        self.domain = Domain(CORP, now=datetime.now(UTC))

    def publish(self, *roots: Issued) -> Path:
        """The bundle's file, which is asked every second."""
        file, new = self.folder / "bundle.json", self.folder / "bundle.new"
        new.write_bytes(self.domain.bundle(*roots, spiffe_refresh_hint=1))
        new.replace(file)
        self.domain.sequence += 1
        return file

    def believe(self) -> None:
        order = AddTrust(domain=CORP, source="file", place=str(self.publish()), bound=60)
        self.place.client.ask(order, Done)
        named = (f"spiffe://{CORP}/agents/planner",)
        select = AddSelector(agent="coder", kind="x509-svid", issuer=CORP, subjects=named, claims=())
        self.place.client.ask(select, Done)

    def token(self, svid: Issued) -> str:
        """A token of the task for whoever has this SVID, which proves the agent and binds it."""
        form = {
            "grant_type": GRANT,
            "subject_token": self.place.task,
            "subject_token_type": TASK_REFERENCE,
            "resource": resource_of(ORIGIN, "coder"),
        }
        chain = tuple(b64encode(one).decode() for one in svid.chain)
        shown = Shown(method="POST", uri=f"{DEFAULT_ISSUER}/oauth/token", chain=chain)
        given = ask_as_api(find_socket(self.place.home), AskToken(form=tuple(form.items())), shown)
        assert isinstance(given, TokenGiven), given
        return given.access_token

    def context(self, svid: Issued | None) -> ssl.SSLContext:
        context = client_context(self.servers)
        if svid is not None:
            file = self.folder / "svid.pem"
            file.touch(0o600)
            file.write_bytes(svid.pem())
            context.load_cert_chain(file)
        return context

    async def called(self, there: Fronted, token: str, svid: Issued | None) -> Answer | None:
        """The answer to a call over a connection with this SVID; none where TLS ended it."""
        try:
            return await sent(there, self.context(svid), there.calling(token, "echo__echo", {"text": "a"}))
        except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
            return None


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    pause = threading.Event()
    async with asyncio.timeout(40):
        while not await true():
            await asyncio.to_thread(pause.wait, 0.1)


async def metadata(there: Fronted, workloads: Workloads) -> Any:
    raw = there.raw("", b"", verb="GET", path=METADATA, without=("Authorization",))
    return (await sent(there, workloads.context(None), raw)).json


@pytest.mark.timeout(120)
async def test_svids_are_asked_for_by_the_bundles_of_now_and_each_takes_its_own_token_alone(
    tmp_path: Path,
) -> None:
    servers = Authority("servers")
    async with real(tmp_path, echo()) as place:
        await secured(place, tmp_path, servers, roots=False)
        there_are = Workloads(place, servers, tmp_path)
        async with front(place) as there:
            bound = "tls_client_certificate_bound_access_tokens"
            assert bound not in await metadata(there, there_are)
            there_are.believe()

            async def asks() -> bool:
                return bool((await metadata(there, there_are)).get(bound))

            await until(asks)
            domain = there_are.domain
            old, later = domain.svid(), domain.root()
            token = there_are.token(old)
            digest = encode_base64url(sha256(old.der).digest())
            assert claims_in(token)["cnf"] == {"x5t#S256": digest}
            called = await there_are.called(there, token, old)
            assert called is not None
            assert called.text == "a"
            for another in (domain.svid(), None):  # the same workload's next one, and nothing
                refused = await there_are.called(there, token, another)
                assert refused is not None
                assert (refused.status, refused.code) == (401, "token-unbound")
            assert await there_are.called(there, token, Domain(CORP, now=domain.now).svid()) is None

            # Authorities rotate while it runs, also past a daemon that is another one.
            pid = place.status().pid
            place.kill_daemon()
            await ended(pid)
            there_are.publish(later)
            assert place.status().pid != pid
            new = domain.svid(by=later)

            async def signs() -> bool:
                return place.status().signer == "reachable"

            async def taken(svid: Issued, status: int) -> bool:
                answer = await there_are.called(there, token, svid)
                return (answer.status if answer is not None else 0) == status

            await until(lambda: taken(new, 401))
            await until(lambda: taken(old, 0))
            await until(signs)
            called = await there_are.called(there, there_are.token(new), new)
            assert called is not None
            assert called.text == "a"
        assert [one.state for one in place.actions()] == ["succeeded", "succeeded"]
