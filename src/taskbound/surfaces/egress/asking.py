"""Requests the credentials of one server from the daemon.

1. One connection serves one server of one task (`surfaces.api.injecting`). Closing it makes the daemon revoke
   what was permitted on it.
2. Each request has a key of its own. A credential that can't be opened is given back and never acknowledged.
3. Approvals are awaited for `HOLD` seconds. The daemon pushes the answer, which can be lost, so it is also
   polled. The daemon alone decides: the same request is repeated with the held action's id.
4. A narrowed approval is accepted only if it shortens the lifetime; parameters are pinned with the server.
5. Secrets minted for one server are hidden in the output of all servers (`leaks`).
6. A pending question without a waiting caller is kept with its connection while its gateway belongs to the
   task, at most `KEPT` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import field, replace
from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.core.action.parse import parse_object
from taskbound.core.credential.errors import CredentialHeldError
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError
from taskbound.core.target import RENEWS, SECONDS
from taskbound.core.tool.slot import Leaks
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire.action import Narrowed, Permitted, Refused
from taskbound.wire.approval import HoldPush
from taskbound.wire.connection import Done, Fault, TaskPush
from taskbound.wire.egress import InjectCredential
from taskbound.wire.target import (
    AcknowledgeCredential,
    AwaitRenewal,
    CredentialRow,
    EndCredential,
    Handed,
    Renewed,
    TakeCredential,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskbound.core.tool import Source
    from taskbound.sdk.wish import Asker, Opened
    from taskbound.surfaces.egress.authority import Authority, Line
    from taskbound.wire.egress import Holder, StartServer
    from taskbound.wire.envelope import Answer, Push

    Key = tuple[Holder, str, str, str, str]
    """Gateway, namespace, server, identity and task of what is asked for."""


A = TypeVar("A")
HOLD: Final = 40.0
"""Seconds that people are waited for: less than a gateway waits for a server to start."""
KEPT: Final = 900.0
_LOOK: Final = 5.0
_MINTED: Final = 20.0
"""Seconds until what was permitted has to be there; the daemon says sooner when it will not be."""
_TAKEN: Final = 15.0
_LEAVING: Final = 3.0
_AGAIN: Final = {"still-minting", "still-renewing"}
_OVER: Final = frozenset({"denied", "expired", "withdrawn"})
_LOST: Final = "the connection that its credentials were had on is lost"


class CredentialRefusedError(DeniedError):
    """The task was refused a credential that the server needs."""

    code = "credential-refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedCredential:
    """A credential that was handed out here."""

    id: str
    source: Source
    ends: int
    """Instant of the daemon's, µs since the epoch."""
    opened: Opened = field(repr=False)


class Seat:
    """The connection that holds one server's credentials (rule 1)."""

    def __init__(
        self,
        authority: Authority,
        asker: Callable[[], Asker],
        ask: StartServer,
        holder: Holder,
        task: str,
    ) -> None:
        self._authority = authority
        self._asker = asker
        self._ask = ask
        self._holder = holder
        self._task = task
        self._client: Line | None = None
        self._asked = 0
        self._held: dict[str, str] = {}
        """By source and what is renewed: the held action."""
        self._over: dict[str, HoldPush] = {}
        self._news = asyncio.Event()
        self.lost = ""
        """Why nothing can be asked any more; empty while it can be."""
        self.heard: Callable[[str], None] | None = None
        """Hears why, once."""

    async def join(self) -> None:
        self._client = await self._authority.seat(self._ask.namespace, self._pushed, self._is_lost)

    async def is_wanted(self) -> bool:
        """Whether the daemon says that the gateway still belongs to the task."""
        ask = self._ask
        try:
            async with asyncio.timeout(_LOOK):
                told = await self._authority.server(ask.namespace, ask.server, self._holder)
        except (TaskboundError, TimeoutError):
            return False
        return self._task in told.tasks

    async def rest(self) -> None:
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK):
                await self._news.wait()

    @property
    def is_asking(self) -> bool:
        return bool(self._held) and not self.lost

    async def have(self, source: Source) -> HandedCredential:
        """Returns a credential, opened and acknowledged."""
        key = self._asker()  # 2
        permitted = await self._permitted(source, recipient=key.public)
        name = permitted.credential
        handed = await self._patient(TakeCredential(credential=name), Handed)
        try:
            opened = key.open(
                handed.sealed, namespace=self._ask.namespace, target=source.target, credential=name
            )
        except TaskboundError:
            await self.give_back([name])
            raise
        acknowledged = AcknowledgeCredential(credential=name, with_connection=True)
        await self._connected().ask(acknowledged, Done)
        return HandedCredential(id=name, source=source, ends=handed.ends, opened=opened)

    async def renewed(self, had: HandedCredential) -> HandedCredential:
        while True:
            with contextlib.suppress(CredentialHeldError):  # asked for as long as it lives
                await self._permitted(had.source, renews=had.id)
                break
        found = await self._patient(AwaitRenewal(credential=had.id), Renewed)
        return replace(had, ends=found.ends)

    async def _permitted(self, source: Source, *, recipient: str = "", renews: str = "") -> Permitted:
        self._asked += 1
        key, seconds = _key(source, renews), 0
        end = _now() + HOLD
        while True:
            answer = await self._decided(source, recipient, renews, seconds)
            if isinstance(answer, Permitted):
                self._held.pop(key, None)
                return answer
            if isinstance(answer, Narrowed):
                self._held[key], seconds = answer.action, _seconds_of(answer, source)
                continue
            refused = _require_held(answer, source)
            self._held[key] = refused.action
            left = end - _now()
            if left <= 0:
                raise CredentialHeldError(
                    f"server `{self._ask.server}` does not have `{source.tool}` yet: {refused.waits}"
                    f" ({refused.action})"
                )
            await self._wait(source, key, min(left, _LOOK))

    async def _decided(self, source: Source, recipient: str, renews: str, seconds: int) -> Answer:
        ask = InjectCredential(
            server=self._ask.server,
            identity=self._ask.identity,
            source=source.credential,
            task=self._task,
            holder=self._holder,
            request=f'"inject-{self._asked}"',
            recipient=recipient,
            resume=self._held.get(_key(source, renews), ""),
            wait=int(HOLD),
            renews=renews,
            seconds=seconds,
        )
        return await self._connected().ask_any(ask)

    async def _wait(self, source: Source, key: str, seconds: float) -> None:
        self._news.clear()
        if self._held[key] not in self._over:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()
        over = self._over.pop(self._held[key], None)
        if over is None:
            return
        if over.state == "superseded":
            # it was narrowed: asked for as it was, the narrower one is the answer
            del self._held[key]
        elif over.state in _OVER:
            del self._held[key]
            why = over.reason or f"the question is {over.state}"
            raise CredentialRefusedError(f"`{source.tool}` is refused: {why}")

    async def _patient(self, ask: TakeCredential | AwaitRenewal, kind: type[A]) -> A:
        end = _now() + _MINTED
        while True:
            try:
                return await self._connected().ask(ask, kind, patience=_TAKEN)
            except RefusedByDaemonError as error:
                if error.fault.code not in _AGAIN or _now() >= end:
                    raise

    async def give_back(self, credentials: Iterable[str]) -> None:
        client = self._client
        with contextlib.suppress(TaskboundError, TimeoutError):
            async with asyncio.timeout(_LEAVING):
                for one in credentials if client is not None else ():
                    await self._connected().ask(EndCredential(credential=one), CredentialRow)

    def close(self) -> None:
        self.heard = None
        self.lost = self.lost or _LOST
        if self._client is not None:
            self._client.close()

    def _connected(self) -> Line:
        if self._client is None or self.lost:
            raise CredentialRefusedError(f"`{self._ask.server}` is not started: {self.lost or _LOST}")
        return self._client

    def _pushed(self, push: Push) -> None:
        if isinstance(push, HoldPush):
            self._over[push.action] = push
            self._news.set()
        elif isinstance(push, TaskPush) and push.task == self._task and push.state != "running":
            self._tell(f"the task is {push.state}")

    def _is_lost(self) -> None:
        self._tell(_LOST)

    def _tell(self, why: str) -> None:
        heard, self.heard = self.heard, None
        self.lost = self.lost or why
        self._news.set()
        if heard is not None:
            heard(why)


class PendingRequests:
    """Pending questions and closing seats, shared by all seats of the process."""

    def __init__(self, asker: Callable[[], Asker]) -> None:
        self.asker = asker
        self._kept: dict[Key, tuple[Seat, asyncio.Task[None]]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._minted: dict[object, frozenset[str]] = {}
        self.leaks = Leaks(())
        """Looks for all that was minted for servers that run (rule 5)."""

    def minted(self, whose: object, secrets: frozenset[str]) -> None:
        """Records the secrets of a server; an empty set when it has ended."""
        self._minted.pop(whose, None)
        if secrets:
            self._minted[whose] = secrets
        self.leaks = Leaks({one for some in self._minted.values() for one in some})

    def taken(self, key: Key) -> Seat | None:
        seat, watch = self._kept.pop(key, (None, None))
        if watch is not None:
            watch.cancel()
        if seat is None or seat.is_asking:
            return seat
        seat.close()  # nobody watches it any more
        return None

    def keep(self, key: Key, seat: Seat) -> None:
        """Keeps a seat whose question has no waiting caller (rule 6)."""
        before = self.taken(key)
        if before is not None:
            before.close()
        seat.heard = None
        self._kept[key] = (seat, asyncio.get_running_loop().create_task(self._watch(key, seat)))

    async def _watch(self, key: Key, seat: Seat) -> None:
        end = _now() + KEPT
        try:
            while _now() < end and seat.is_asking and await seat.is_wanted():
                await seat.rest()
        finally:
            if self._kept.get(key, (None,))[0] is seat:
                del self._kept[key]
                seat.close()

    def leave(self, seat: Seat, credentials: list[str]) -> None:
        async def leave() -> None:
            try:
                await seat.give_back(credentials)
            finally:
                seat.close()

        task = asyncio.get_running_loop().create_task(leave())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Closes all seats; the daemon revokes whatever it wasn't notified of."""
        for seat, watch in tuple(self._kept.values()):
            watch.cancel()
            seat.close()
        self._kept.clear()
        if self._leaving:
            await asyncio.wait(tuple(self._leaving), timeout=_LEAVING)


def _require_held(answer: Answer, source: Source) -> Refused:
    if isinstance(answer, Fault):
        raise RefusedByDaemonError(answer)
    if not isinstance(answer, Refused):
        raise MalformedError(f"the daemon answered `{type(answer).__name__}` to who asked for a credential")
    if answer.code != "held" or not answer.action:
        reasons = "; ".join(one.text for one in answer.reasons)
        said = f": {reasons}" if reasons else ""
        raise CredentialRefusedError(
            f"the server is started with `{source.tool}`, which is refused{said} [{answer.code}]",
            remedy=f"it takes a grant for `{source.tool}` in the task's scope and the agent's ceiling, and a"
            " target that is ready (`taskbound target list`)",
        )
    return answer


def _key(source: Source, renews: str) -> str:
    return f"{source.credential} {renews}"


def _seconds_of(answer: Narrowed, source: Source) -> int:
    value = dict(parse_object(bytes(answer.arguments)))
    seconds = value.pop(SECONDS, 0)
    value.pop(RENEWS, None)
    if value != source.given or isinstance(seconds, bool) or not isinstance(seconds, int):
        raise CredentialRefusedError(
            f"people made of `{source.tool}` what its slot is not pinned with",
            remedy="pin the server with the parameters that they allow",
        )
    return seconds


def _now() -> float:
    return asyncio.get_running_loop().time()
