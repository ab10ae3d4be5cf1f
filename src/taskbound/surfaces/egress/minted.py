"""Credentials and tokens of servers, and the task that owns them.

Credentials (`Minted`):

1. They belong to one live task of the gateway's process; permits of other tasks are refused.
2. Each source is requested before the start, with a key made for this request. The secret is opened only
   here, and acknowledged before the server gets it. One credential fills all slots that differ only in its
   fields.
3. Approvals are awaited as long as a gateway waits; then the question stays open for the next start
   (`asking`).
4. What a credential kind declares secret must never be output (`core.tool.leak`).
5. Every `FRESH` seconds the daemon must confirm the task, the pin and the credentials. After a no, silence
   for as long again, or a lost connection, the server ends, also while it starts.
6. An expiring credential is renewed by a decision of its own if its kind allows that. Otherwise the server
   ends when no call is open, at the latest at expiry; the next call starts it with a new credential.
7. After the server's end the credentials are given back and the connection is closed, which revokes the rest
   (`credential_desk`, rule 5).

Tokens (`Owned`):

1. They belong to the gateway's one task, or to the first task whose permit is used. A permit of another task
   ends the server; the next call starts it with new tokens.
2. Every `FRESH` seconds the daemon must confirm the task, the pin and the client's secret; otherwise the
   server ends and the token is given back. A process that was itself delayed asks once more (`in_time`).
3. A token is obtained before a permit is requested, because a permit lasts only seconds.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from dataclasses import field
from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.core.credential.errors import CredentialHeldError
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.tool import MIN_SECRET, BadSecretError
from taskbound.core.tool.name import shown
from taskbound.surfaces.egress.asking import Seat
from taskbound.surfaces.egress.errors import NoSingleTaskError, NotGivenError, SecretChangedError
from taskbound.surfaces.egress.tokens import ServerTokens
from taskbound.wire.egress import TellToken
from taskbound.wire.tool import identity_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from taskbound.core.tool import ServerIdentity, Slot, Source
    from taskbound.core.tool.oauth.client import OAuthClient
    from taskbound.ports.upstream import Upstream
    from taskbound.sdk.wish import Opened
    from taskbound.surfaces.egress.asking import HandedCredential
    from taskbound.surfaces.egress.tokens import StartDependencies, TokenState
    from taskbound.wire.egress import Holder, Permit, SealedServer, StartServer


_log = logging.getLogger(__name__)
A = TypeVar("A")
FRESH: Final = 2.0
"""Seconds between two questions whether a task is live that has tokens, and that an answer may take."""
_HELD_UP: Final = 1.0
"""Seconds by which this process comes too late to see that its time is over: it was held up itself."""
_TASKS: Final = 64
"""Tasks that one record names; of more, it names the first."""
_OWNER_GONE: Final = "its task is not live any more, or the server or its client's secret is another"


async def in_time(ask: Callable[[], Awaitable[A]]) -> A:
    """Returns the daemon's answer within `FRESH` seconds; raises TimeoutError.

    A process that was itself delayed, by a flood of output or a stop, asks once more; otherwise one server's
    output could end all others.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + FRESH
    try:
        async with asyncio.timeout_at(end):
            return await ask()
    except TimeoutError:
        if clock() - end < _HELD_UP:
            raise
    async with asyncio.timeout(FRESH):
        return await ask()


class _Owning(ABC):
    """Tokens or credentials of one server of one connection; they end with its task."""

    def __init__(self, desk: StartDependencies, holder: Holder, ask: StartServer) -> None:
        self._desk = desk
        self._holder = holder
        self._ask = ask
        self._upstream: Upstream | None = None
        self._over = ""

    def serve(self, upstream: Upstream) -> None:
        """Registers the server, which ends at once if what it was given has ended."""
        self._upstream = upstream
        if self._over:
            upstream.kill(self._over)

    @abstractmethod
    async def _seen(self) -> bool:
        """Asks the daemon whether its task is live; returns the answer, or raises TaskboundError."""

    async def _is_live(self) -> bool:
        try:
            return await in_time(self._seen)
        except (TaskboundError, TimeoutError):
            return False
        except Exception:  # noqa: BLE001 -- without an answer the task does not count as live
            _log.exception("whether a task is live can't be seen")
            return False


class Owned(_Owning):
    """The tokens of one server of one connection."""

    def __init__(
        self,
        desk: StartDependencies,
        holder: Holder,
        ask: StartServer,
        told: SealedServer,
        *,
        keep: Callable[[Iterable[str]], None],
    ) -> None:
        super().__init__(desk, holder, ask)
        self._told = told
        self._keep = keep
        self._server = f"{ask.namespace} {ask.identity}"
        self._owner = told.tasks[0] if len(told.tasks) == 1 else ""
        self.tokens: ServerTokens | None = None

    async def begin(self, client: OAuthClient, secret: str) -> None:
        desk, who = self._desk.tokens, f"{self._server} {_numbers(self._told)}"
        self.tokens = ServerTokens(
            desk,
            desk.issuer(client, secret),
            client=who,
            server=self._server,
            place=f"{who} {self._told.tasks}",
            tell=self._tell,
        )
        desk.known.hear(self._server, self._keep)
        await self.tokens.current()

    async def ready(self) -> None:
        if self.tokens is not None:
            await self.tokens.current()

    def require_owner(self, permit: Permit) -> None:
        """Raises SecretChangedError for a permit of another task (rule 1)."""
        self._owner = self._owner or permit.task
        if permit.task != self._owner:
            raise SecretChangedError(f"the tokens of server `{self._ask.server}` are another task's")

    async def watch(self) -> None:
        live = True
        while live and not self._over:
            await asyncio.sleep(FRESH)
            live = await self._is_live()
        self.end()
        if self._upstream is not None:
            self._upstream.kill(_OWNER_GONE)

    def end(self) -> None:
        self._over = _OWNER_GONE
        if self.tokens is not None:
            self.tokens.end()
        self._desk.tokens.known.leave(self._server, self._keep)

    async def _seen(self) -> bool:
        ask = self._ask
        told = await self._desk.authority.server(ask.namespace, ask.server, self._holder)
        same = identity_of(told.spec, namespace=ask.namespace).digest == ask.identity
        same = same and _numbers(told) == _numbers(self._told)
        return same and (not self._owner or self._owner in told.tasks)

    async def _tell(self, name: str, state: TokenState, seconds: int, why: str) -> None:
        told = TellToken(
            server=self._ask.server,
            identity=self._ask.identity,
            token=name,
            state=state,
            tasks=(self._owner,) if self._owner else self._told.tasks[:_TASKS],
            seconds=seconds,
            why=why,
            holder=self._holder if state == "asked" and not self._told.tasks else None,
        )
        await self._desk.authority.tell(self._ask.namespace, told)


def _numbers(told: SealedServer) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((one.slot, one.number) for one in told.secrets))


_SECOND: Final = 1_000_000
_EARLY: Final = 1 / 3
"""Of its life: so much before its end a credential is not used for another call, or is renewed."""
_EARLIEST, _LATEST = 60.0, 1.0
"""Seconds: at most, and at least."""
_LAST: Final = 1.0
"""Seconds before its end at which a server is ended also while a call is open."""
_MINT_OVER: Final = "its task is not live any more, or what it was started with is over"
_ENDING: Final = "its credential is about to end"


@dataclass(slots=True, eq=False)
class _One:
    had: HandedCredential
    counted: int = 0
    """The end that `over` was last counted from, as the daemon said it: another one is a renewal."""
    over: float = 0.0
    """When it ends, by the loop's clock in seconds."""
    early: float = 0.0
    """Seconds before that in which it is used for no other call."""
    renewing: asyncio.Task[None] | None = field(default=None, repr=False)
    lasting: bool = False
    """Whether it is not to be renewed: its kind is not, or that was refused."""


class Minted(_Owning):
    """The credentials of one server of one connection."""

    def __init__(
        self,
        desk: StartDependencies,
        holder: Holder,
        ask: StartServer,
        told: SealedServer,
        *,
        busy: Callable[[], bool],
    ) -> None:
        super().__init__(desk, holder, ask)
        self._busy = busy
        self._ended = asyncio.Event()
        """Set once they are given back."""
        self._all: dict[str, _One] = {}
        """By source, without the name."""
        self.secrets: frozenset[str] = frozenset()
        """All that no answer and no line of the log may say (rule 4)."""
        self.task = ask.task or (told.tasks[0] if len(told.tasks) == 1 else "")
        if self.task not in told.tasks:
            raise NoSingleTaskError(
                f"server `{ask.server}` is filled for one task, and it is not said for which"
            )
        self._seat: Seat | None = None

    async def begin(self, identity: ServerIdentity) -> dict[Slot, str]:
        """Obtains every credential; returns the slot values (rule 2). After an error all are given back.

        Raises CredentialHeldError while approvals are pending (rule 3).
        """
        key = (self._holder, self._ask.namespace, self._ask.server, identity.digest, self.task)
        self._seat = seat = self._desk.asking.taken(key) or await self._joined()
        seat.heard = self._stop
        values: dict[Slot, str] = {}
        try:
            for slot in identity.slots:
                if slot.source is not None:
                    values[slot] = await self._value(seat, slot, slot.source)
            await self._see()
        except CredentialHeldError:
            await seat.give_back([one.had.id for one in self._all.values()])
            self._desk.asking.keep(key, seat)
            self._seat = None
            self.end()
            raise
        except BaseException:
            self.end()
            raise
        return values

    async def _joined(self) -> Seat:
        seat = Seat(self._desk.authority, self._desk.asking.asker, self._ask, self._holder, self.task)
        await seat.join()
        return seat

    async def _value(self, seat: Seat, slot: Slot, source: Source) -> str:
        one = self._all.get(source.credential)
        if one is None:
            had = await seat.have(source)
            one = self._all[source.credential] = _One(had)
            self._keep(had.opened)
        opened = one.had.opened
        found = opened.secret.get(source.name, opened.open.get(source.name))
        if found is None:
            names = ", ".join(sorted((*opened.open, *opened.secret)))
            raise NotGivenError(
                f"`{source.tool}` gives `{shown(names)}`, and no `{source.name}` for `{slot.place}`"
            )
        if "\0" in found or (slot.kind == "header" and not (found.isascii() and found.isprintable())):
            raise NotGivenError(
                f"`{shown(source.name)}` of `{source.tool}` can't stand in `{shown(slot.place)}`"
            )
        return source.value(found)

    def _keep(self, opened: Opened) -> None:
        self.secrets |= frozenset(opened.secret.values())
        if any(len(one.encode()) < MIN_SECRET for one in opened.secret.values()):
            raise BadSecretError("what was minted is too short to be told from other text")
        self._desk.kept(self, self.secrets)
        self._desk.asking.minted(self, self.secrets)

    async def during(self, start: Coroutine[None, None, Upstream]) -> Upstream:
        """Runs the start while the credentials last; the starting server already has them.

        Raises SecretChangedError if they ended before it was ready; the server is ended.
        """
        starting, ended = asyncio.ensure_future(start), asyncio.ensure_future(self._ended.wait())
        taken = False
        try:
            await asyncio.wait({starting, ended}, return_when=asyncio.FIRST_COMPLETED)
            taken = starting.done()
            if taken:
                return starting.result()
        finally:
            ended.cancel()
            if not taken:
                starting.add_done_callback(_let_go)
                starting.cancel()
                await asyncio.wait([starting])
        raise SecretChangedError(f"server `{self._ask.server}` is not started: {self._over}")

    def require_owner(self, permit: Permit) -> None:
        """Raises SecretChangedError for another task's permit, or near a credential's end (rules 1 and 6)."""
        if permit.task != self.task:
            raise SecretChangedError(f"the credentials of server `{self._ask.server}` are another task's")
        if self._over or any(_now() >= one.over - _LAST for one in self._all.values()):
            raise SecretChangedError(f"a credential of server `{self._ask.server}` is over, or about to end")

    async def watch(self) -> None:
        live = True
        while live and not self.is_over:
            await asyncio.sleep(min(FRESH, self._pause()))
            live = await self._is_live()
            for one in tuple(self._all.values()):
                self._see_to(one)
        self._stop(_MINT_OVER)

    def _see_to(self, one: _One) -> None:
        now = _now()
        if now < one.over - one.early:
            return
        if not one.lasting:
            self._renew(one)
        elif now >= one.over - _LAST or not self._busy():
            self._stop(_ENDING)

    @property
    def is_over(self) -> bool:
        return bool(self._over)

    def _pause(self) -> float:
        due = [
            one.over - (_LAST if one.lasting and self._busy() else one.early) for one in self._all.values()
        ]
        return max(0.05, min(due, default=FRESH + _now()) - _now())

    def _renew(self, one: _One) -> None:
        if one.renewing is None or one.renewing.done():
            one.renewing = asyncio.get_running_loop().create_task(self._renewed(one))

    async def _renewed(self, one: _One) -> None:
        seat = self._seat
        try:
            if seat is not None:
                async with asyncio.timeout(max(one.over - _now() - _LAST, 0.0)):
                    one.had = await seat.renewed(one.had)
                    await self._see()
        except (TaskboundError, TimeoutError) as error:
            _log.info("a credential of server %s is not renewed: %s", self._ask.server, error)
            one.lasting = True

    async def _seen(self) -> bool:
        await self._see()
        return True

    async def _see(self) -> None:
        ask, before = self._ask, _now()
        ids = tuple(one.had.id for one in self._all.values())
        told = await self._desk.authority.server(ask.namespace, ask.server, self._holder, ids)
        same = identity_of(told.spec, namespace=ask.namespace).digest == ask.identity
        if not same or told.ended or self.task not in told.tasks:
            raise SecretChangedError(_MINT_OVER)
        for one in self._all.values():
            left = (one.had.ends - told.now) / _SECOND
            if one.counted == one.had.ends:  # what is said of the time prolongs nothing
                one.over = min(one.over, before + left)
                continue
            one.counted, one.over = one.had.ends, before + left
            one.early = min(_EARLIEST, max(_LATEST, left * _EARLY))
            one.lasting = False

    def _stop(self, why: str) -> None:
        self._over = self._over or why
        self.end()
        if self._upstream is not None:
            self._upstream.kill(why)

    def end(self) -> None:
        self._over = self._over or "the server has ended"
        self._ended.set()
        self._desk.kept(self, frozenset())
        self._desk.asking.minted(self, frozenset())
        for one in self._all.values():
            if one.renewing is not None:
                one.renewing.cancel()
        seat, self._seat = self._seat, None
        if seat is not None:
            seat.heard = None
            self._desk.asking.leave(seat, [one.had.id for one in self._all.values()])


def _let_go(starting: asyncio.Future[Upstream]) -> None:
    if not starting.cancelled() and starting.exception() is None:
        starting.result().kill("nobody waits for it any more")


def _now() -> float:
    return asyncio.get_running_loop().time()
