"""A daemon that answers an egress which asks for credentials: in this process, by what a test wants."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec import structs

from taskbound.adapters.keys.sealing import hand
from taskbound.ports.target import Minted
from taskbound.sdk.client import DaemonLostError, RefusedByDaemonError
from taskbound.wire import action
from taskbound.wire import target as credential
from taskbound.wire.connection import Done, Fault
from taskbound.wire.egress import InjectCredential
from tests.peers.book import Book

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.wire.egress import Holder, SealedServer
    from taskbound.wire.envelope import Answer, Ask, Push


TASK = "tsk_1"
OPEN = {"PGUSER": "tb_x"}
SECRET = {"PGPASSWORD": "tbs_hunter2-hunter2"}
_SECOND = 1_000_000


@dataclass(eq=False)
class Place:
    """One connection for credentials (`surfaces.egress.authority.Line`)."""

    daemon: Minting
    pushed: Callable[[Push], None]
    lost: Callable[[], None]
    asks: list[Ask] = field(default_factory=list)
    closed: bool = False

    async def ask_any(self, ask: Ask) -> Answer:
        if self.closed:
            raise DaemonLostError("the connection is closed")
        self.asks.append(ask)
        return self.daemon.said(ask)

    async def ask(self, ask: Ask, kind: type[Any], *, patience: float = 0.0) -> Any:
        del patience
        answer = await self.ask_any(ask)
        if isinstance(answer, Fault):
            raise RefusedByDaemonError(answer)
        assert isinstance(answer, kind)
        return answer

    def close(self) -> None:
        self.closed = True


class Minting(Book):
    """It permits what is asked, unless a test has other answers ready."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[Place] = []
        self.answers: list[Answer] = []
        """What is said to the next requests for a credential."""
        self.seconds = 600
        self.renewable = False
        self.over: tuple[str, ...] = ()
        self.tasks: tuple[str, ...] = (TASK,)
        self.minted = Minted(open=OPEN, secret=SECRET)
        self.asked: list[InjectCredential] = []
        self.takes: Callable[[], Answer | None] = lambda: None
        """What is said first to whoever takes what was minted."""
        self.then: Callable[[], None] = lambda: None
        """What happens right after something was acknowledged."""
        self.silent = False
        self.fault: Exception | None = None
        """What comes of asking how a server is pinned."""
        self.was_asked = asyncio.Event()

    @property
    def ended(self) -> list[str]:
        """Credentials that were given back."""
        every = (ask for place in self.places for ask in place.asks)
        return [ask.credential for ask in every if isinstance(ask, credential.EndCredential)]

    async def server(
        self, namespace: str, name: str, holder: Holder, credentials: tuple[str, ...] = ()
    ) -> SealedServer:
        if self.fault is not None:
            raise self.fault
        if self.silent:
            await asyncio.Event().wait()
        found = await super().server(namespace, name, holder)
        ended = tuple(one for one in credentials if one in self.over)
        return structs.replace(found, tasks=self.tasks, ended=ended, now=self.now)

    async def seat(self, namespace: str, pushed: Callable[[Push], None], lost: Callable[[], None]) -> Place:
        assert namespace == "default"
        self.places.append(Place(self, pushed, lost))
        return self.places[-1]

    def said(self, ask: Ask) -> Answer:
        """What is said to this."""
        match ask:
            case InjectCredential():
                return self._decided(ask)
            case credential.TakeCredential(credential=name):
                if (first := self.takes()) is not None:
                    return first
                recipient = self.asked[-1].recipient
                sealed = hand(
                    self.minted, public=recipient, namespace="default", target="orders-db", credential=name
                )
                return credential.Handed(
                    credential=name, sealed=sealed, ends=self.now + self.seconds * _SECOND
                )
            case credential.AwaitRenewal(credential=name):
                return credential.Renewed(credential=name, ends=self.now + self.seconds * _SECOND)
            case credential.AcknowledgeCredential():
                self.then()
                return Done()
        return Fault(code="gone", message="it is ended")

    def _decided(self, ask: InjectCredential) -> Answer:
        self.asked.append(ask)
        self.was_asked.set()
        if self.answers:
            return self.answers.pop(0)
        if ask.renews and not self.renewable:
            return Fault(code="not-renewable", message="it is not renewed")
        number = len(self.asked)
        return action.Permitted(
            action=f"act_{number}",
            task=ask.task,
            digest="0" * 64,
            until=self.now,
            server="1" * 64,
            definition="2" * 64,
            credential=ask.renews or f"crd_{number}",
        )
