"""The egress in this process, over a real socket, with a book of pins and permits in the daemon's place."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskbound.adapters.keys.sealing import AskerKey, SealingKey, seal
from taskbound.adapters.upstream.mcp.http.oauth import TokenEndpoint
from taskbound.adapters.upstream.mcp.server import fill
from taskbound.core.tool import Binding
from taskbound.surfaces.egress.asking import PendingRequests
from taskbound.surfaces.egress.authority import Permits
from taskbound.surfaces.egress.errors import OtherActError
from taskbound.surfaces.egress.serving import EgressSocket, EgressState
from taskbound.surfaces.egress.tokens import (
    Endings,
    LiveTokens,
    StartDependencies,
    TokenBackoff,
    TokenRegistry,
)
from taskbound.wire.egress import AnswerOf, Holder, Permit, SealedServer, SealedSlot, TellToken
from taskbound.wire.tool import identity_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from taskbound.adapters.upstream.mcp.http.server import HttpStarter
    from taskbound.adapters.upstream.mcp.server import StdioStarter
    from taskbound.core.tool import ServerIdentity, Slot
    from taskbound.ports.upstream import Logged, QuestionRound, Told, Upstream, UpstreamAnswer, UpstreamEvents
    from taskbound.surfaces.egress.authority import Line
    from taskbound.surfaces.egress.tokens import ServerTokens
    from taskbound.wire.envelope import Push
    from taskbound.wire.tool import ServerSpec


LONG = 1_000


class Book:
    """Pins and permits (`surfaces.egress.authority.Authority`); its clock stands."""

    def __init__(self) -> None:
        self.key = SealingKey.generate()
        self.pins: dict[str, SealedServer] = {}
        self.permits: dict[str, Permit] = {}
        self.now = 1
        self.told: list[TellToken] = []
        self._numbers = itertools.count(1)

    def pin(self, spec: ServerSpec, values: Mapping[str, str]) -> None:
        """Pin a server, with these values in its slots."""
        identity = identity_of(spec, namespace="default").digest
        secrets = []
        for slot, value in values.items():
            binding = Binding(namespace="default", server=spec.name, identity=identity, slot=slot, number=1)
            sealed = seal(value, binding, public=self.key.public)
            secrets.append(SealedSlot(slot=slot, number=1, sealed=sealed))
        self.pins[spec.name] = SealedServer(spec=spec, secrets=tuple(secrets), now=self.now)

    def grant(self, server: str, tool: str, arguments: bytes, key: str = "") -> str:
        """Permit exactly this; the action."""
        action = f"act_{next(self._numbers)}"
        pinned = self.pins[server]
        self.permits[action] = Permit(
            action=action,
            tool=f"{server}__{tool}",
            server=identity_of(pinned.spec, namespace="default").digest,
            sha256=sha256(arguments).hexdigest(),
            at=self.now,
            until=self.now + LONG,
            now=self.now,
            secrets=tuple(sorted((one.slot, one.number) for one in pinned.secrets)),
            key=key,
        )
        return action

    async def server(
        self, namespace: str, name: str, holder: Holder, credentials: tuple[str, ...] = ()
    ) -> SealedServer:
        """What is pinned; no credential is known here."""
        assert not credentials
        self._require(namespace, holder)
        return self.pins[name]

    async def permit(self, namespace: str, action: str, holder: Holder) -> Permit:
        """What is permitted."""
        self._require(namespace, holder)
        found = self.permits.get(action)
        if found is None:
            raise OtherActError("no such permit")
        return found

    async def answer(self, namespace: str, action: str, holder: Holder) -> AnswerOf:
        """Nothing was decided of what a server asks."""
        self._require(namespace, holder)
        raise OtherActError(f"no such answer: {action}")

    async def tell(self, namespace: str, told: TellToken) -> None:
        """Keep it."""
        assert namespace == "default"
        self.told.append(told)

    async def seat(self, namespace: str, pushed: Callable[[Push], None], lost: Callable[[], None]) -> Line:
        """Nothing is minted here."""
        raise OtherActError(f"no credential is asked for in {namespace} ({pushed}, {lost})")

    def _require(self, namespace: str, holder: Holder) -> None:
        assert (namespace, holder.uid, holder.pid) == ("default", os.getuid(), os.getpid())


class Granting:
    """A server each of whose calls is permitted first, as a daemon would."""

    def __init__(self, upstream: Upstream, book: Book, name: str) -> None:
        self._upstream = upstream
        self._book = book
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._upstream, name)

    def call(  # noqa: PLR0913 -- the shape of the port
        self,
        tool: str,
        arguments: bytes,
        answer: Callable[[UpstreamAnswer], None],
        *,
        key: str = "",
        progress: Told | None = None,
        logged: Logged | None = None,
        turn: QuestionRound | None = None,
    ) -> int:
        action = self._book.grant(self._name, tool, arguments, key)
        return self._upstream.call(
            tool, arguments, answer, key=key, progress=progress, logged=logged, action=action, turn=turn
        )


@contextlib.asynccontextmanager
async def egress(book: Book, start: StdioStarter | HttpStarter) -> AsyncIterator[Path]:
    """The egress' socket, in a folder that is short enough for one; `start` starts or reaches servers."""

    async def filled(
        identity: ServerIdentity,
        *,
        era: str,
        events: UpstreamEvents,
        values: Mapping[Slot, str],
        offers: bytes,
        tokens: ServerTokens | None,
    ) -> Upstream:
        return await start(identity, era=era, events=events, filling=fill(values, tokens), offers=offers)

    house = EgressState(
        desk=StartDependencies(
            authority=book,
            key=book.key,
            start=filled,
            permits=Permits(),
            tokens=TokenRegistry(
                issuer=lambda client, secret: TokenEndpoint(client, secret, lambda *_: ""),
                kept=lambda _: None,
                refusals=TokenBackoff(),
                known=LiveTokens(),
                endings=Endings(),
            ),
            kept=lambda _, __: None,
            asking=PendingRequests(AskerKey.generate),
        ),
        look=lambda _: Holder(uid=os.getuid(), pid=os.getpid(), started=1),
        accounts=frozenset({os.getuid()}),
        idle=lambda: None,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "egress.sock"
        server = await asyncio.get_running_loop().create_unix_server(lambda: EgressSocket(house), str(path))
        try:
            yield path
        finally:
            server.close()
            await house.close()
            await house.desk.tokens.endings.close()
