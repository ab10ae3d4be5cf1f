"""One step of a credential in its target, the connection to the daemon, and leases.

1. An order names a row; row and related rows are read anew.
2. Each call to a target requires a lease that lasts for it (`LeaseClock`), checked right before. A worker
   that lost its lease does and reports nothing more (I-55).
3. A mint is remembered before the target is called (`memory`). Its secret is kept only until the daemon has
   taken or refused it; an undelivered one ends with the row's lease (K9).
4. A canary is used by the broker only; renewal is tried too if its kind supports it.
5. A failure is reported with code, broker's words, permanence, and for a mint whether nothing was sent. The
   lease's end reports what can't be sent.
6. What has no name of ours in its target is ended by data kept with the row (`targets`).
7. A credential of another target that had this name is not looked for here: it would appear to be gone
   (I-07).
8. A result begun before a restore was detected is not handed out and counts as not renewed (`memory`).

Daemon connection (`DaemonAuthority`): one for each namespace with targets, remade when it breaks. A missing
answer or fault means refusal. Threads ask; connections live in one loop. Reports about the whole store go to
the namespace `default`.

Leases (`LeaseClock`): 1. A lease counts from before it was requested. 2. Elapsed time is the longer of the
monotonic and the wall clock, because a process or machine may be suspended. 3. A call begins only if its time
limit ends before the lease's last `MARGIN`.
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
from taskbound.ports.target import Gone, Shown, StoresRevocation, TargetUnreachedError
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
    from taskbound.flows.approval.circle import AnswerVerifiers
    from taskbound.flows.credential.minting import Mintable
    from taskbound.ports.clock import Clock
    from taskbound.ports.store import Readable, Snapshot
    from taskbound.ports.target import Minted, StoredTarget, Target
    from taskbound.sdk.client import AsyncClient
    from taskbound.surfaces.broker.memory import Memory
    from taskbound.surfaces.broker.targets import HandleVault, Targets
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


class SecretSealer(Protocol):
    """Seals a minted credential to its requester."""

    def __call__(self, minted: Minted, *, public: str, namespace: str, target: str, credential: str) -> str:
        """Returns it sealed to the public key. MUST raise `TaskboundError` if that fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerDependencies:
    """Dependencies of every worker."""

    store: Readable
    watch: Watch
    authority: Authority
    targets: Targets
    memory: Memory
    proves: AnswerVerifiers
    hand: SecretSealer
    keeping: HandleVault


def mint(desk: WorkerDependencies, namespace: str, credential: str, grip: LeaseClock) -> None:
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


def _mintable(
    desk: WorkerDependencies, namespace: str, credential: str, grip: LeaseClock
) -> tuple[Mintable, Target[Any], int]:
    with desk.store.read() as snapshot:
        now = desk.watch.clock.now()
        found = require_mintable(snapshot, desk.proves, namespace, credential, fence=grip.fence, now=now)
    target = desk.targets.open(found.target)
    return found, target, desk.memory.note(found.row.record)


def _handed(
    desk: WorkerDependencies, found: Mintable, target: Target[Any], made: Minted, grip: LeaseClock
) -> str:
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


def renew(desk: WorkerDependencies, namespace: str, credential: str, grip: LeaseClock) -> None:
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


def revoke(desk: WorkerDependencies, namespace: str, credential: str, grip: LeaseClock) -> None:
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
        if isinstance(target, StoresRevocation):
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


def look_for(desk: WorkerDependencies, namespace: str, credential: str) -> bool:
    """Checks without a lease that an ended credential is gone; returns whether the target could be asked."""
    try:
        with desk.store.read() as snapshot:
            row = snapshot.credentials.credential(namespace, credential)
            mark = snapshot.targets.mark()
            stored = _target_of(snapshot, row)
        if row is None or row.state is not CredentialState.REVOKED:
            return True
        target, name = _opened(desk, row, stored), name_of(mark, row.id)
        shown = _NOTHING
        if not isinstance(
            target, StoresRevocation
        ):  # 6: it is gone by what its one mint answered; none is on its way
            shown = called(lambda: target.look(name, patience=PATIENCE))
    except TaskboundError as error:
        _log.info("%s can't be looked for: %s [%s]", credential, error.message, error.code)
        return False
    _tell(desk, namespace, TellSeen(credential=credential, exists=shown.exists or shown.open > 0))
    return True


def _target_of(snapshot: Snapshot, row: Credential | None) -> StoredTarget | None:
    return None if row is None else snapshot.targets.target(row.namespace, row.target)


def _opened(desk: WorkerDependencies, row: Credential, stored: StoredTarget | None) -> Target[Any]:
    if stored is None or stored.identity != row.identity:
        raise OtherTargetError(f"`{row.target}` is another target now than the one it was minted in")
    return desk.targets.open(stored)


def _fail(
    desk: WorkerDependencies,
    namespace: str,
    credential: str,
    grip: LeaseClock,
    error: TaskboundError,
    *,
    unsent: bool = False,
) -> None:
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


def _tell(desk: WorkerDependencies, namespace: str, told: Told) -> bool:
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


class DueListener(Protocol):
    """Receives notifications of due work."""

    def __call__(self, namespace: str, target: str, *, sweep: bool) -> None:
        """Handles due work in a target; MUST NOT block."""


class Authority(Protocol):
    """The daemon, from any thread; every method MUST raise `TaskboundError` without an answer."""

    def attend(self, namespaces: Collection[str]) -> None:
        """Listens to these namespaces; an unreachable one is no error."""

    def lease(self, namespace: str, credentials: Collection[str]) -> Orders:
        """Returns leases of those credentials that the broker may work on."""

    def tell(self, namespace: str, told: Told) -> None:
        """Reports what was seen. MUST return only once it is durable."""

    def swept(self, namespace: str, told: TellSwept) -> Swept:
        pass

    def discovered(self, namespace: str, told: TellDiscovered) -> None:
        pass

    def stand(self, told: TellEpoch) -> None:
        pass

    def reconciled(self, told: TellReconciled) -> None:
        """Reports that the store is accepted again. MUST return only once it is durable."""

    def heard(self, namespace: str) -> Instant:
        pass


class DaemonAuthority:
    """Implements `Authority` with the daemon."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connect: Connect, pushed: DueListener, wanted: Wanted
    ) -> None:
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
        for one in sorted(set(namespaces) - self._open.keys()):
            try:
                self._wait(self._client(one))
            except TaskboundError as error:
                _log.debug("namespace %s can't be attended: %s", one, error.message)

    def lease(self, namespace: str, credentials: Collection[str]) -> Orders:
        found = self._wait(
            self._ask(namespace, LeaseCredentials(credentials=tuple(sorted(credentials))), Orders)
        )
        self._heard[namespace] = Instant(found.now)
        return found

    def tell(self, namespace: str, told: Told) -> None:
        self._wait(self._ask(namespace, told, Done))

    def swept(self, namespace: str, told: TellSwept) -> Swept:
        return self._wait(self._ask(namespace, told, Swept))

    def discovered(self, namespace: str, told: TellDiscovered) -> None:
        self._wait(self._ask(namespace, told, Done))

    def stand(self, told: TellEpoch) -> None:
        """Reports the view of the store, once over each connection."""
        self._wait(self._stand(told))

    def reconciled(self, told: TellReconciled) -> None:
        self._wait(self._ask(_WHOLE, told, Done))

    def heard(self, namespace: str) -> Instant:
        """Returns the daemon's last known instant, after asking if there is no such instant yet."""
        if namespace not in self._heard:
            self.lease(namespace, ())
        return self._heard[namespace]

    def close(self) -> None:
        for one, _ in tuple(self._open.values()):
            one.close()

    def _wait(self, asking: Coroutine[object, object, A]) -> A:
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
        broken.set()
        if self._open.get(namespace, (None, None))[1] is broken:
            del self._open[namespace]


LEAST: Final = 0.5
"""Seconds: a call that has less is not begun."""
_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockPair:
    """An instant on the monotonic and the wall clock."""

    elapsed: float
    """Seconds on the clock that is never set."""
    wall: int
    """Microseconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Measures elapsed time by both clocks."""

    clock: Clock
    elapsed: Callable[[], float]
    """Seconds on a clock that is never set; that of the machine's sleep too, where the system has one."""

    def now(self) -> ClockPair:
        return ClockPair(elapsed=self.elapsed(), wall=self.clock.now())

    def since(self, moment: ClockPair) -> float:
        """Returns the elapsed seconds: the larger of both measures."""
        now = self.now()
        return max(now.elapsed - moment.elapsed, (now.wall - moment.wall) / _SECOND)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseClock:
    """A lease as far as this process may rely on it."""

    watch: Watch
    asked: ClockPair
    """When it was about to be asked for (rule 1)."""
    lasts: float
    """Seconds from then on."""
    fence: int

    def patience(self, most: float) -> float:
        """Returns the seconds that a call beginning now may take, at most `most`; raises LeaseLostError."""
        left = self.lasts - MARGIN / _SECOND - self.watch.since(self.asked)
        if left < LEAST:
            raise LeaseLostError("the lease is over, or about to be")
        return min(most, left)
