"""One step of a credential in its target.

Of `steps`:

1. The order names a row. What is done is made of the row and of what it speaks of, read anew.
2. Nothing begins in a target without a grip on the lease that lasts for it (`grip`); that is asked for right
   before each call. A worker that lost its grip does and says nothing more: whoever has the row then looks
   anew (I-55).
3. A mint is remembered before the target is called (`memory`). Its secret is held until the daemon has it, or
   does not take it, and by nobody afterwards: what was minted then ends with the row's lease (K9).
4. A canary is used by the broker itself, and handed to nobody. Where its kind can be renewed, that is tried
   too: what a target can't do is known before anybody asks for it.
5. What failed is told with its code, in our words, and whether that lasts; of a mint also whether nothing was
   sent of it. What can't be told is told by the lease's end.
6. What has no name of ours in its target is kept with the row, and ended by that (`keeping`).
7. What was minted in another target than the one that has its name now is not looked for in that: it would be
   found gone (I-07).
8. What was begun before the store was found restored is handed out to nobody, and counts as not renewed: the
   row that it was made of may be another one now (`memory`).

Of `authority`:

1. A connection is made for each namespace that has targets, and again when it broke: over it the daemon says
   what is due.
2. Whatever the daemon does not answer, and answers with a fault, is a no.
3. Threads ask; the connections live in the loop of one thread.
4. What concerns the whole store is told in the namespace `default`, in which it is recorded.

Of `grip`:

1. A lease counts from before it was asked for: it never lasts longer here than at the daemon.
2. What has passed is the longer of two measures: a clock that is never set, and the wall clock. A process
   that was stopped, or a machine that slept or was moved, has lost its lease in doubt.
3. A call begins only where its patience ends before the lease's last `MARGIN`, and is asked for right before.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from taskbound.core.clock import Instant
from taskbound.core.credential import (
    MARGIN,
    CredentialState,
    LeaseLostError,
    end_in_target,
    is_canary,
    latest_end,
    name_of,
)
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError, UnavailableError
from taskbound.flows.credential.minting import require_mintable, require_renewable
from taskbound.ports.target import Gone, Keeps, Shown, TargetUnreachedError
from taskbound.sdk.client import DaemonLostError
from taskbound.surfaces.broker.memory import OtherTargetError
from taskbound.surfaces.broker.targets import called
from taskbound.wire.connection import Done
from taskbound.wire.target import (
    DiscoverPush,
    DuePush,
    LeaseCredentials,
    Orders,
    Swept,
    TellFailed,
    TellGone,
    TellLeft,
    TellMinted,
    TellRenewed,
    TellSeen,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine

    from taskbound.core.credential import Credential
    from taskbound.flows.approval.circle import Proves
    from taskbound.flows.credential.minting import Mintable
    from taskbound.ports.clock import Clock
    from taskbound.ports.store import Readable, Snapshot
    from taskbound.ports.target import Minted, StoredTarget, Target
    from taskbound.sdk.client import AsyncClient
    from taskbound.surfaces.broker.memory import Memory
    from taskbound.surfaces.broker.targets import Keeping, Targets
    from taskbound.wire.envelope import Ask, Push
    from taskbound.wire.target import TellDiscovered, TellEpoch, TellReconciled, TellSwept

    Connect = Callable[[str, Callable[[Push], None], Callable[[], None]], Awaitable[AsyncClient]]
    """Makes a connection in a namespace; says what is pushed, and once that it is lost."""
    Wanted = Callable[[str, str, str], None]
    """A person wants to know what stands in a target: namespace, target, and the question's name."""
    Told = TellMinted | TellRenewed | TellFailed | TellGone | TellLeft | TellSeen


_log = logging.getLogger(__name__)
PATIENCE: Final = 4.5
"""Seconds that one call of a target may take: what hung there, and what is done once it is back, are within
the five that may pass from its return (`core.credential.due`, rule 3)."""
_WORDS: Final = 300
"""Characters of what is told of a failure."""
_NOTES: Final = 50
_NOTHING: Final = Shown(exists=False, open=0)


class Hand(Protocol):
    """Seals what was minted to who asked."""

    def __call__(self, minted: Minted, *, public: str, namespace: str, target: str, credential: str) -> str:
        """As only the holder of this key can read it. MUST raise `TaskboundError` where that can't be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What every worker works with."""

    store: Readable
    watch: Watch
    authority: Authority
    targets: Targets
    memory: Memory
    proves: Proves
    hand: Hand
    keeping: Keeping


def mint(desk: Desk, namespace: str, credential: str, grip: Grip) -> None:
    """Mint it, and hand it over (rules 1 to 4)."""
    try:
        found, target, epoch = _mintable(desk, namespace, credential, grip)
        patience = grip.patience(PATIENCE)
    except LeaseLostError as error:
        _log.info("%s is not minted: %s", credential, error.message)
        return  # 2
    except TaskboundError as error:
        _fail(desk, namespace, credential, grip, error, unsent=True)
        return
    try:
        made = called(lambda: target.mint(found.order, found.kind.grants, patience=patience))
    except TaskboundError as error:
        unsent = isinstance(error, TargetUnreachedError)
        _fail(desk, namespace, credential, grip, error, unsent=unsent)
        return
    try:
        kept = desk.keeping.keep(found.row, target, made)  # 6
        sealed = _handed(desk, found, target, made, grip)
        desk.memory.require_epoch(epoch)  # 8
    except LeaseLostError as error:
        _log.info("%s is not handed out: %s", credential, error.message)
        return  # 2
    except TaskboundError as error:
        _fail(desk, namespace, credential, grip, error)
        return
    if _tell(desk, namespace, TellMinted(credential=credential, fence=grip.fence, sealed=sealed, kept=kept)):
        desk.keeping.told(found.row)


def _mintable(desk: Desk, namespace: str, credential: str, grip: Grip) -> tuple[Mintable, Target[Any], int]:
    """What is to be minted, remembered (rule 3), where, and in which epoch; nothing was sent so far."""
    with desk.store.read() as snapshot:
        now = desk.watch.clock.now()
        found = require_mintable(snapshot, desk.proves, namespace, credential, fence=grip.fence, now=now)
    target = desk.targets.open(found.target)
    return found, target, desk.memory.note(found.row.record)


def _handed(desk: Desk, found: Mintable, target: Target[Any], made: Minted, grip: Grip) -> str:
    row = found.row
    if is_canary(row):
        patience = grip.patience(PATIENCE)
        called(lambda: target.use(made, patience=patience))  # 4
        if found.kind.renewable:
            left = grip.patience(PATIENCE)
            called(lambda: target.renew(found.order.name, found.order.ends, patience=left))
        return ""
    return desk.hand(
        made, public=row.recipient, namespace=row.namespace, target=row.target, credential=row.id
    )


def renew(desk: Desk, namespace: str, credential: str, grip: Grip) -> None:
    """Let it live longer in its target, and say so."""
    try:
        with desk.store.read() as snapshot:
            now = desk.watch.clock.now()
            found = require_renewable(snapshot, desk.proves, namespace, credential, fence=grip.fence, now=now)
        target = desk.targets.open(found.target)
        epoch = desk.memory.note(found.record)  # 3
        patience = grip.patience(PATIENCE)
        called(lambda: target.renew(found.name, found.ends, patience=patience))
        desk.memory.require_epoch(epoch)  # 8
    except LeaseLostError as error:
        _log.info("%s is not renewed: %s", credential, error.message)
        return  # 2
    except TaskboundError as error:
        _fail(desk, namespace, credential, grip, error)  # 5
        return
    _tell(desk, namespace, TellRenewed(credential=credential, fence=grip.fence))


def revoke(desk: Desk, namespace: str, credential: str, grip: Grip) -> None:
    """Revoke it, and say what the target showed afterwards."""
    try:
        with desk.store.read() as snapshot:
            row = snapshot.credentials.credential(namespace, credential)
            mark = snapshot.targets.mark()
            stored = _target_of(snapshot, row)
        if row is None or row.state is not CredentialState.REVOKING or row.lease.fence != grip.fence:
            return
        target = _opened(desk, row, stored)
        patience, name = grip.patience(PATIENCE), name_of(mark, row.id)
        ends = end_in_target(latest_end(row))
        if isinstance(target, Keeps):
            now = desk.watch.clock.now()
            found = desk.keeping.end(row, target, ends=ends, now=now, patience=patience)  # 6
        else:
            found = called(lambda: target.revoke(name, ends=ends, patience=patience))
    except LeaseLostError as error:
        _log.info("%s is not revoked by this worker: %s", credential, error.message)
        return
    except TaskboundError as error:
        _fail(desk, namespace, credential, grip, error)
        return
    if isinstance(found, Gone):
        notes = tuple(one[:_WORDS] for one in found.notes[:_NOTES])
        told: Told = TellGone(credential=row.id, fence=grip.fence, cut=found.cut, notes=notes)
    else:
        told = TellLeft(credential=row.id, fence=grip.fence, until=found.until)
    if _tell(desk, namespace, told):
        desk.keeping.told(row)


def look_for(desk: Desk, namespace: str, credential: str) -> bool:
    """Look whether what was gone is gone still, and say so; whether the target could be asked.

    It takes no lease, as it does nothing. What is no longer gone, or was swept meanwhile, is no trouble.
    """
    try:
        with desk.store.read() as snapshot:
            row = snapshot.credentials.credential(namespace, credential)
            mark = snapshot.targets.mark()
            stored = _target_of(snapshot, row)
        if row is None or row.state is not CredentialState.REVOKED:
            return True
        target, name = _opened(desk, row, stored), name_of(mark, row.id)
        shown = _NOTHING
        if not isinstance(target, Keeps):  # 6: it is gone by what its one mint answered; none is on its way
            shown = called(lambda: target.look(name, patience=PATIENCE))
    except TaskboundError as error:
        _log.info("%s can't be looked for: %s [%s]", credential, error.message, error.code)
        return False
    _tell(desk, namespace, TellSeen(credential=credential, exists=shown.exists or shown.open > 0))
    return True


def _target_of(snapshot: Snapshot, row: Credential | None) -> StoredTarget | None:
    return None if row is None else snapshot.targets.target(row.namespace, row.target)


def _opened(desk: Desk, row: Credential, stored: StoredTarget | None) -> Target[Any]:
    """The target in which it was minted (rule 7).

    Raises:
        OtherTargetError: It is another one now.
        TaskboundError: It can't be opened.
    """
    if stored is None or stored.identity != row.identity:
        raise OtherTargetError(f"`{row.target}` is another target now than the one it was minted in")
    return desk.targets.open(stored)


def _fail(
    desk: Desk, namespace: str, credential: str, grip: Grip, error: TaskboundError, *, unsent: bool = False
) -> None:
    """Say what was met (rule 5); what lasts until somebody changes something, louder."""
    lasting = not isinstance(error, UnavailableError)
    level = logging.WARNING if lasting else logging.INFO
    _log.log(level, "%s: %s [%s]", credential, error.message, error.code)
    trouble = error.message[:_WORDS]
    told = TellFailed(
        credential=credential,
        fence=grip.fence,
        code=error.code,
        trouble=trouble,
        unsent=unsent,
        lasting=lasting,
    )
    _tell(desk, namespace, told)


def _tell(desk: Desk, namespace: str, told: Told) -> bool:
    """Say what was seen; whether that is known to be written."""
    try:
        desk.authority.tell(namespace, told)
    except TaskboundError as error:  # 5
        _log.info("%s: what was seen is not taken: %s", told.credential, error.message)
        return False
    return True


A = TypeVar("A")
_WHOLE: Final = "default"
"""The namespace of what concerns the whole store (rule 4)."""
_PATIENCE: Final = 12.0
"""Seconds until a thread gives up on the loop itself: to connect and to ask take five each at most."""


class Pushed(Protocol):
    """Hears what is due."""

    def __call__(self, namespace: str, target: str, *, sweep: bool) -> None:
        """Something is due there; MUST NOT block."""


class Authority(Protocol):
    """Whom the broker asks, from any thread. Each MUST raise `TaskboundError` where there is no answer."""

    def attend(self, namespaces: Collection[str]) -> None:
        """Be there for what these namespaces have to say; that one can't be reached is no error."""

    def lease(self, namespace: str, credentials: Collection[str]) -> Orders:
        """What of these the broker may see to now."""

    def tell(self, namespace: str, told: Told) -> None:
        """Have it written what was seen. MUST return only where it is durable."""

    def swept(self, namespace: str, told: TellSwept) -> Swept:
        """Have it written what a sweep found."""

    def discovered(self, namespace: str, told: TellDiscovered) -> None:
        """Have whoever asked know what stands in a target."""

    def stand(self, told: TellEpoch) -> None:
        """Have it known how the broker stands to the store, as long as the daemon hears from it."""

    def reconciled(self, told: TellReconciled) -> None:
        """Have it written that a store is believed again. MUST return only where it is durable."""

    def heard(self, namespace: str) -> Instant:
        """The daemon's instant, as it was heard last."""


class DaemonAuthority:
    """The daemon's answers."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connect: Connect, pushed: Pushed, wanted: Wanted
    ) -> None:
        """Ask in this loop by connections that this makes, and pass on what is pushed."""
        self._loop = loop
        self._connect = connect
        self._pushed = pushed
        self._wanted = wanted
        self._open: dict[str, tuple[AsyncClient, asyncio.Event]] = {}
        """By namespace: the connection, and what is set once it is lost."""
        self._turns: dict[str, asyncio.Lock] = {}
        self._heard: dict[str, Instant] = {}
        self._stood: tuple[AsyncClient, TellEpoch] | None = None
        """How the broker stands to the store, as it was told, and over which connection."""

    def attend(self, namespaces: Collection[str]) -> None:
        """Be connected in these namespaces (rule 1)."""
        for one in sorted(set(namespaces) - self._open.keys()):
            try:
                self._wait(self._client(one))
            except TaskboundError as error:
                _log.debug("namespace %s can't be attended: %s", one, error.message)

    def lease(self, namespace: str, credentials: Collection[str]) -> Orders:
        """What of these the broker may see to now."""
        found = self._wait(
            self._ask(namespace, LeaseCredentials(credentials=tuple(sorted(credentials))), Orders)
        )
        self._heard[namespace] = Instant(found.now)
        return found

    def tell(self, namespace: str, told: Told) -> None:
        """Have it written what was seen."""
        self._wait(self._ask(namespace, told, Done))

    def swept(self, namespace: str, told: TellSwept) -> Swept:
        """Have it written what a sweep found."""
        return self._wait(self._ask(namespace, told, Swept))

    def discovered(self, namespace: str, told: TellDiscovered) -> None:
        """Have whoever asked know what stands in a target."""
        self._wait(self._ask(namespace, told, Done))

    def stand(self, told: TellEpoch) -> None:
        """Have it known how the broker stands to the store; told once over each connection."""
        self._wait(self._stand(told))

    def reconciled(self, told: TellReconciled) -> None:
        """Have it written that a store is believed again."""
        self._wait(self._ask(_WHOLE, told, Done))

    def heard(self, namespace: str) -> Instant:
        """The daemon's instant, as it was heard last; it is asked where it never was."""
        if namespace not in self._heard:
            self.lease(namespace, ())
        return self._heard[namespace]

    def close(self) -> None:
        """End every connection; called in the loop."""
        for one, _ in tuple(self._open.values()):
            one.close()

    def _wait(self, asking: Coroutine[object, object, A]) -> A:
        """What comes of it (rule 3).

        Raises:
            DaemonLostError: The loop did not come to it.
        """
        future = asyncio.run_coroutine_threadsafe(asking, self._loop)
        try:
            return future.result(_PATIENCE)
        except FutureTimeoutError:
            future.cancel()
            raise DaemonLostError("the daemon was not asked in time") from None

    async def _ask(self, namespace: str, ask: Ask, kind: type[A]) -> A:
        client = await self._client(namespace)
        return await client.ask(ask, kind)

    async def _stand(self, told: TellEpoch) -> None:
        client = await self._client(_WHOLE)
        if self._stood is None or self._stood[0] is not client or self._stood[1] != told:
            await client.ask(told, Done)
            self._stood = client, told

    async def _client(self, namespace: str) -> AsyncClient:
        known = self._open.get(namespace)
        if known is not None:
            return known[0]
        async with self._turns.setdefault(namespace, asyncio.Lock()):
            known = self._open.get(namespace)
            if known is not None:
                return known[0]
            broken = asyncio.Event()
            fresh = await self._connect(
                namespace, partial(self._hear, namespace), partial(self._lost, namespace, broken)
            )
            if not broken.is_set():
                self._open[namespace] = (fresh, broken)
            return fresh

    def _hear(self, namespace: str, push: Push) -> None:
        if isinstance(push, DuePush):
            self._pushed(namespace, push.target, sweep=push.sweep)
        elif isinstance(push, DiscoverPush):
            self._wanted(namespace, push.target, push.look)

    def _lost(self, namespace: str, broken: asyncio.Event) -> None:
        """The connection of this namespace is gone: the next look makes another."""
        broken.set()
        if self._open.get(namespace, (None, None))[1] is broken:
            del self._open[namespace]


LEAST: Final = 0.5
"""Seconds: a call that has less is not begun."""
_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One instant, by both measures."""

    elapsed: float
    """Seconds on the clock that is never set."""
    wall: int
    """Microseconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Measures what has passed (rule 2)."""

    clock: Clock
    elapsed: Callable[[], float]
    """Seconds on a clock that is never set; that of the machine's sleep too, where the system has one."""

    def now(self) -> Moment:
        """The moment."""
        return Moment(elapsed=self.elapsed(), wall=self.clock.now())

    def since(self, moment: Moment) -> float:
        """Seconds that have passed since then."""
        now = self.now()
        return max(now.elapsed - moment.elapsed, (now.wall - moment.wall) / _SECOND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grip:
    """One lease as this process may rely on it."""

    watch: Watch
    asked: Moment
    """When it was about to be asked for (rule 1)."""
    lasts: float
    """Seconds from then on."""
    fence: int

    def patience(self, most: float) -> float:
        """Seconds that a call may take which begins now; `most` at most (rule 3).

        Raises:
            LeaseLostError: Nothing may begin any more.
        """
        left = self.lasts - MARGIN / _SECOND - self.watch.since(self.asked)
        if left < LEAST:
            raise LeaseLostError("the lease is over, or about to be")
        return min(most, left)
