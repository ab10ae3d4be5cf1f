"""Asking for the credentials of one server: a connection of its own, decisions, holds and hand-outs.

1. One connection is one server of one task (`surfaces.api.injecting`). It is closed when its credentials
   are needed no more, and the daemon ends with it what was permitted on it.
2. Each request has a key of its own. What can't be opened is given back and never acknowledged.
3. People who have to be asked are waited for, `HOLD` seconds at a time. The daemon says when they have
   answered; since that can be lost, it is asked every few seconds too. What they answered is decided by the
   daemon alone: the same is asked again, by the held action's id.
4. What people made less is taken where only the time is: parameters are pinned with the server.
5. What was minted for any server that runs is known to all of them as what may not be said (`leaks`).
6. A question that is open when nobody waits any more is kept, with its connection, while the gateway that
   it is for is one of its task, and for `KEPT` seconds at most.
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
    """The task does not get a credential that the server is started with."""

    code = "credential-refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Had:
    """One credential that was handed out here."""

    id: str
    source: Source
    ends: int
    """Instant of the daemon's, µs since the epoch."""
    opened: Opened = field(repr=False)


class Seat:
    """A connection that has the credentials of one server (rule 1)."""

    def __init__(
        self,
        authority: Authority,
        asker: Callable[[], Asker],
        ask: StartServer,
        holder: Holder,
        task: str,
    ) -> None:
        """Prepare; `join` makes the connection.

        Args:
            authority: Makes it.
            asker: Makes the key of a request (rule 2).
            ask: The server that is to be started.
            holder: The gateway, by the kernel's word.
            task: Whose credentials they are.
        """
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
        """Make the connection.

        Raises:
            TaskboundError: There is none.
        """
        self._client = await self._authority.seat(self._ask.namespace, self._pushed, self._is_lost)

    async def is_wanted(self) -> bool:
        """Whether the gateway that it is for is one of its task still, by the daemon's word."""
        ask = self._ask
        try:
            async with asyncio.timeout(_LOOK):
                told = await self._authority.server(ask.namespace, ask.server, self._holder)
        except (TaskboundError, TimeoutError):
            return False
        return self._task in told.tasks

    async def rest(self) -> None:
        """Wait for a while, or until something is said on it."""
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK):
                await self._news.wait()

    @property
    def is_asking(self) -> bool:
        """Whether a question is open on it."""
        return bool(self._held) and not self.lost

    async def have(self, source: Source) -> Had:
        """A credential from this source, opened and acknowledged.

        Raises:
            CredentialHeldError: People are being asked (rule 3).
            CredentialRefusedError: The task does not get it.
            TaskboundError: It could not be had.
        """
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
        return Had(id=name, source=source, ends=handed.ends, opened=opened)

    async def renewed(self, had: Had) -> Had:
        """The same, once its target lets it live longer.

        Raises:
            TaskboundError: It does not, or nobody says so.
        """
        while True:
            with contextlib.suppress(CredentialHeldError):  # asked for as long as it lives
                await self._permitted(had.source, renews=had.id)
                break
        found = await self._patient(AwaitRenewal(credential=had.id), Renewed)
        return replace(had, ends=found.ends)

    async def _permitted(self, source: Source, *, recipient: str = "", renews: str = "") -> Permitted:
        """The permit, once there is one (rule 3)."""
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
        """Wait for people's answer, at most so long; raises where it is no."""
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
        """The answer, once it is there; the daemon lets one question wait for some seconds."""
        end = _now() + _MINTED
        while True:
            try:
                return await self._connected().ask(ask, kind, patience=_TAKEN)
            except RefusedByDaemonError as error:
                if error.fault.code not in _AGAIN or _now() >= end:
                    raise

    async def give_back(self, credentials: Iterable[str]) -> None:
        """Have these revoked; what the daemon can't be told of ends with the connection."""
        client = self._client
        with contextlib.suppress(TaskboundError, TimeoutError):
            async with asyncio.timeout(_LEAVING):
                for one in credentials if client is not None else ():
                    await self._connected().ask(EndCredential(credential=one), CredentialRow)

    def close(self) -> None:
        """End the connection, and with it all that was permitted on it."""
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


class Asking:
    """What all seats of one process share: questions that are open, and seats that are on their way out."""

    def __init__(self, asker: Callable[[], Asker]) -> None:
        """Have none; `asker` makes the key of a request."""
        self.asker = asker
        self._kept: dict[Key, tuple[Seat, asyncio.Task[None]]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._minted: dict[object, frozenset[str]] = {}
        self.leaks = Leaks(())
        """Looks for all that was minted for servers that run (rule 5)."""

    def minted(self, whose: object, secrets: frozenset[str]) -> None:
        """This server has these; none once it is over."""
        self._minted.pop(whose, None)
        if secrets:
            self._minted[whose] = secrets
        self.leaks = Leaks({one for some in self._minted.values() for one in some})

    def taken(self, key: Key) -> Seat | None:
        """The seat whose question is open for this, which is the caller's from now on."""
        seat, watch = self._kept.pop(key, (None, None))
        if watch is not None:
            watch.cancel()
        if seat is None or seat.is_asking:
            return seat
        seat.close()  # nobody watches it any more
        return None

    def keep(self, key: Key, seat: Seat) -> None:
        """Nobody waits for its question now (rule 6)."""
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
        """Give these back, and close the seat."""

        async def leave() -> None:
            try:
                await seat.give_back(credentials)
            finally:
                seat.close()

        task = asyncio.get_running_loop().create_task(leave())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """End all of it; what the daemon is not told of by then ends with its connection."""
        for seat, watch in tuple(self._kept.values()):
            watch.cancel()
            seat.close()
        self._kept.clear()
        if self._leaving:
            await asyncio.wait(tuple(self._leaving), timeout=_LEAVING)


def _require_held(answer: Answer, source: Source) -> Refused:
    """Go on only where people have to be asked."""
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
    """For how long people let it live (rule 4).

    Raises:
        CredentialRefusedError: They made something else of it than its slot is pinned with.
    """
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
