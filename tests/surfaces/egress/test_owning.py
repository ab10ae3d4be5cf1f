"""Whose tokens are, while a server starts, is called and ends, with a clock that moves when told."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from taskbound.adapters.upstream.egress import EgressStarter
from taskbound.adapters.upstream.mcp.http.probe import pin_url
from taskbound.adapters.upstream.mcp.http.server import HttpStarter
from taskbound.adapters.upstream.mcp.server import StepTimeouts
from taskbound.core.tool.slot import SECRET_SLOT
from taskbound.ports.upstream import NoAnswer
from taskbound.wire.tool import OAuthSpec, identity_of
from tests.adapters.upstream.reaching import Events
from tests.peers.book import Book, Granting, egress
from tests.peers.issuing import SECRET, Issuing
from tests.peers.rawhttp import MODERN, Asked, RawHttp, Say, result_of
from tests.surfaces.egress.test_tokens import Moved

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from taskbound.wire.egress import Holder, Permit, SealedServer
    from taskbound.wire.tool import ServerSpec

pytestmark = pytest.mark.anyio
SLOW = StepTimeouts(start=100.0, discover=100.0, listing=100.0, stop=1.0)
NEXT = 2.1
"""Seconds after which the egress asks again, or waits no more."""


class Daemon(Book):
    """A daemon that answers, or does not."""

    def __init__(self, issuer: Issuing) -> None:
        super().__init__()
        self.issuer = issuer
        self.fault: Exception | None = None
        self.frozen = False
        self.given: list[int] = []
        """How many tokens had been given when each permit was asked for."""

    async def server(
        self, namespace: str, name: str, holder: Holder, credentials: tuple[str, ...] = ()
    ) -> SealedServer:
        if self.fault is not None:
            raise self.fault
        if self.frozen:
            await asyncio.Event().wait()
        return await super().server(namespace, name, holder, credentials)

    async def permit(self, namespace: str, action: str, holder: Holder) -> Permit:
        self.given.append(self.issuer.given)
        return await super().permit(namespace, action, holder)


def pinned(there: RawHttp, issuer: Issuing, **more: Any) -> ServerSpec:
    client = OAuthSpec(
        client="us",
        token=f"{issuer.issuer}/token",
        revocation=f"{issuer.issuer}/revoke",
        method="client_secret_basic",
        resource=there.url,
        scopes=("read",),
    )
    spec = pin_url("far", there.url, headers={}, slots=[SECRET_SLOT], oauth=client)
    return structs.replace(spec, era=MODERN, **more)


async def started(socket: Path, spec: ServerSpec) -> Any:
    identity = identity_of(spec, namespace="default")
    return await EgressStarter(socket)(identity, era=MODERN, events=Events(), name=spec.name)


@contextlib.asynccontextmanager
async def place(there: RawHttp, issuer: Issuing) -> AsyncIterator[tuple[Daemon, Path, ServerSpec]]:
    """The egress, and a server pinned at its daemon."""
    book, spec = Daemon(issuer), pinned(there, issuer)
    book.pin(spec, {SECRET_SLOT.text: SECRET})
    async with egress(book, HttpStarter(patience=SLOW)) as socket:
        yield book, socket, spec


async def ends(issuer: Issuing, loop: Moved, *, after: float = NEXT) -> bool:
    """Whether the first token is given back once so much time is gone."""
    loop.ahead += after
    await issuer.until(lambda: bool(issuer.posted("/revoke")))
    return issuer.posted("/revoke")[0]["token"] == issuer.token(1)


async def test_a_token_ends_with_its_task_also_while_its_server_takes_its_time_to_start(loop: Moved) -> None:
    async def hangs(_: Asked, say: Say) -> bool:
        await say.gone()
        return True

    async with (
        Issuing() as issuer,
        RawHttp(era="modern", does=hangs) as there,
        place(there, issuer) as (book, socket, spec),
    ):
        starting = loop.create_task(started(socket, spec))
        await there.until(lambda: there.asked != [])
        book.fault = PermissionError("the task has ended")
        assert await ends(issuer, loop)
        starting.cancel()
        await asyncio.wait([starting])


@pytest.mark.parametrize("frozen", [True, False])
async def test_a_token_ends_when_the_daemon_says_nothing_or_what_nobody_thought_of(
    loop: Moved, *, frozen: bool
) -> None:
    async with (
        Issuing() as issuer,
        RawHttp(era="modern") as there,
        place(there, issuer) as (book, socket, spec),
    ):
        await started(socket, spec)
        book.frozen, book.fault = frozen, None if frozen else ValueError("what is this?")
        if frozen:
            loop.ahead += NEXT  # it is asked, and says nothing
        assert await ends(issuer, loop)


async def test_a_token_ends_when_its_server_is_pinned_to_something_else(loop: Moved) -> None:
    async with (
        Issuing() as issuer,
        RawHttp(era="modern") as there,
        place(there, issuer) as (book, socket, spec),
    ):
        await started(socket, spec)
        other = structs.replace(spec, headers=(("x-other", "yes"),))
        book.pin(other, {SECRET_SLOT.text: SECRET})
        assert await ends(issuer, loop)


async def test_no_second_of_a_permit_is_spent_waiting_for_an_issuer(loop: Moved) -> None:
    async with (
        Issuing() as issuer,
        RawHttp(era="modern") as there,
        place(there, issuer) as (book, socket, spec),
    ):
        upstream = Granting(await started(socket, spec), book, "far")
        loop.ahead += 545  # the token is renewed now
        found: asyncio.Future[Any] = loop.create_future()
        upstream.call("work", b"{}", found.set_result)
        assert b"done" in (await found).raw
        assert book.given == [2]
        assert there.heard("tools/call")[-1].header("authorization") == f"Bearer {issuer.token(2)}"


async def test_a_server_tells_nobody_the_token_of_another_task(loop: Moved) -> None:
    async def tells(asked: Asked, say: Say) -> bool:
        if asked.method != "tools/call":
            return False
        await say.answer(body=result_of(asked.message, str(there.asked[0].header("authorization"))))
        return True

    async with (
        Issuing() as issuer,
        RawHttp(era="modern", does=tells) as there,
        place(there, issuer) as (book, socket, spec),
    ):
        await started(socket, spec)
        second = Granting(await started(socket, spec), book, "far")
        assert there.asked[0].header("authorization") == f"Bearer {issuer.token(1)}"
        found: asyncio.Future[Any] = loop.create_future()
        second.call("work", b"{}", found.set_result)
        said = await found
        assert isinstance(said, NoAnswer)
        assert said.code == "secret-in-answer"
