"""Operations of the broker, and its reports, batched at lower priority than decisions.

Of `broker`:
1. Only the account that owns the data directory, or the configured broker account, may take the role
   `broker`, and no process beneath a gateway or a run.
2. The broker is trusted for what it saw in a target, under the fence of its lease (`flows.credential`), and
   for nothing else. A secret arrives sealed, and goes to the connection that holds the permit
   (`credential_desk`).
3. Views stay in memory when a canary changes state. The last canary gives a target tools that it never had,
   and no view caches the absence of a tool.
Of `tellings`:
1. Reports have a lane behind calls: they describe what was seen and stop nothing. At most `TOGETHER` are
   taken in a turn, so that a decision waits only milliseconds for them. Ending all credentials of a target is
   taken here too, at the latest after one group (I-61).
2. `BURST` groups may follow each other at once; after that one is taken every `EVERY` seconds, so that the
   commits of ten thousand ends leave nine tenths of the time to decisions.
3. A group is one transaction that depends on the authorization of each member. If one is refused, each is
   written alone with a new authorization, so that one broker's report does not block another's.
"""

from __future__ import annotations

from collections import deque
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeVar, cast

from taskbound.core.clock import Instant
from taskbound.core.credential import Step
from taskbound.core.dataclass import dataclass
from taskbound.core.identity import UnprovenError
from taskbound.flows.credential.errors import WrongTellingError
from taskbound.flows.credential.leasing import BrokerReport, Reconciled, Sweep, lease, take_sweep
from taskbound.flows.credential.leasing import take_reconciled as record_reconciled
from taskbound.flows.policy.operations import hold
from taskbound.surfaces.api.auth.authority import based
from taskbound.surfaces.api.server.operation import operation
from taskbound.surfaces.api.server.worker import WAITING, Lane, OverloadedError, answer_to, fail_with
from taskbound.wire import target as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from taskbound.core.credential import Credential
    from taskbound.flows.credential.leasing import Leased
    from taskbound.flows.means import Adapters
    from taskbound.flows.policy.operations import AuthorizationBasis
    from taskbound.ports.store import Transaction
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.surfaces.api.server.worker import Worker
    from taskbound.wire.envelope import Answer

    Tell = Callable[[Transaction | None], object]
    """Does it in this transaction, or by one of its own."""


_STEPS: Final[dict[Step, Literal["mint", "renew", "revoke"]]] = {
    Step.MINT: "mint",
    Step.RENEW: "renew",
    Step.REVOKE: "revoke",
}
_SEALED: Final = 65_536
"""Characters of a sealed secret."""
_LATEST: Final = 2**53 - 1
_WORDS: Final = 300
"""Characters of why a store is not believed."""


def require_broker(daemon: Daemon, connection: Connection) -> None:
    """Raises UnprovenError or NotOutsideError unless the connection may be the broker's (rule 1)."""
    if connection.role != "broker" or connection.peer.proof.uid != daemon.broker_uid:
        raise UnprovenError(
            "only the broker sees to credentials in targets",
            remedy="run it under the account that owns the data directory, or say `--broker` to the daemon",
        )
    daemon.require_outside(connection)


@operation(wire.LeaseCredentials)
async def _give_orders(daemon: Daemon, connection: Connection, ask: wire.LeaseCredentials) -> Answer:
    space = connection.namespace
    waited = daemon.credentials.waited_for(space)
    asked = partial(lease, daemon.adapters, space, ask.credentials, waited)
    given = await daemon.tellings.take(lambda tx: asked(tx=tx))
    return wire.Orders(orders=tuple(map(_order, given)), now=daemon.adapters.clock.now())


def _order(leased: Leased) -> wire.Order:
    held = leased.credential.lease
    if leased.step is Step.LOOK:
        return wire.Order(credential=leased.credential.id, step="look")
    return wire.Order(
        credential=leased.credential.id,
        step=_STEPS[leased.step],
        fence=held.fence,
        until=held.until,
    )


@operation(wire.TellMinted)
async def _take_minted(daemon: Daemon, connection: Connection, ask: wire.TellMinted) -> Answer:
    if len(ask.sealed) > _SEALED:
        raise WrongTellingError("a sealed secret is smaller")
    told = _telling(daemon, connection, ask.credential, ask.fence)
    holders: list[str] = []

    def tell(tx: Transaction | None) -> Credential:
        row = replace(told, tx=tx).minted(sealed=bool(ask.sealed), kept=ask.kept)
        if row.action:
            with daemon.adapters.store.read() if tx is None else nullcontext(tx) as seen:
                action = seen.actions.action(row.namespace, row.action)
            holders[:] = [] if action is None else [action.connection]
        return row

    row = await daemon.tellings.take(tell)
    holder = holders[0] if holders else ""
    if holder:
        daemon.credentials.minted(row, holder, ask.sealed)
    else:
        daemon.credentials.wake(row.namespace, [row.target])
    return Done()


@operation(wire.TellRenewed)
async def _take_renewed(daemon: Daemon, connection: Connection, ask: wire.TellRenewed) -> Answer:
    told = _telling(daemon, connection, ask.credential, ask.fence)
    row = await daemon.tellings.take(lambda tx: replace(told, tx=tx).renewed())
    daemon.credentials.tell((row,))
    return Done()


@operation(wire.TellFailed)
async def _take_failed(daemon: Daemon, connection: Connection, ask: wire.TellFailed) -> Answer:
    told = _telling(daemon, connection, ask.credential, ask.fence)
    row = await daemon.tellings.take(
        lambda tx: replace(told, tx=tx).failed(ask.code, ask.trouble, unsent=ask.unsent, lasting=ask.lasting)
    )
    daemon.credentials.tell((row,))
    return Done()


@operation(wire.TellGone)
async def _take_gone(daemon: Daemon, connection: Connection, ask: wire.TellGone) -> Answer:
    told = _telling(daemon, connection, ask.credential, ask.fence)
    await daemon.tellings.take(lambda tx: replace(told, tx=tx).gone(ask.cut, ask.notes))
    return Done()


@operation(wire.TellLeft)
async def _take_left(daemon: Daemon, connection: Connection, ask: wire.TellLeft) -> Answer:
    if not 0 < ask.until <= _LATEST:
        raise WrongTellingError("what is left ends at an instant that is known")
    told = _telling(daemon, connection, ask.credential, ask.fence)
    await daemon.tellings.take(lambda tx: replace(told, tx=tx).left(Instant(ask.until)))
    return Done()


@operation(wire.TellSeen)
async def _take_seen(daemon: Daemon, connection: Connection, ask: wire.TellSeen) -> Answer:
    told = _telling(daemon, connection, ask.credential, 0)
    row = await daemon.tellings.take(lambda tx: replace(told, tx=tx).seen(exists=ask.exists))
    if ask.exists:
        daemon.credentials.wake(row.namespace, [row.target])
    return Done()


@operation(wire.TellSwept)
async def _take_swept(daemon: Daemon, connection: Connection, ask: wire.TellSwept) -> Answer:
    """Takes the list of logins in a target that carry our name prefix; unexpected ones get revoked."""
    sweep = Sweep(
        namespace=connection.namespace,
        target=ask.target,
        identity=ask.identity,
        names=ask.names,
        begun=Instant(ask.begun),
    )
    revoked = await daemon.first(partial(take_sweep, daemon.adapters, sweep))
    daemon.credentials.note_swept(sweep.namespace, sweep.target, daemon.adapters.clock.now())
    if revoked:
        daemon.credentials.wake(sweep.namespace, [sweep.target])
    return wire.Swept(revoked=revoked)


@operation(wire.TellEpoch)
async def _take_epoch(daemon: Daemon, connection: Connection, ask: wire.TellEpoch) -> Answer:
    counts = (ask.epoch - 1, ask.since, ask.left)
    if not all(0 <= one < _LATEST for one in counts) or len(ask.why) > _WORDS:
        raise WrongTellingError("the report of the store's epoch is not valid")
    daemon.credentials.note_epoch(connection, ask)
    return Done()


@operation(wire.TellReconciled)
async def _take_reconciled(daemon: Daemon, connection: Connection, ask: wire.TellReconciled) -> Answer:
    told = Reconciled(epoch=ask.epoch, since=ask.since, why=ask.why, ended=ask.ended, targets=ask.targets)
    await daemon.first(partial(record_reconciled, daemon.adapters, connection.namespace, told))
    return Done()


def _telling(daemon: Daemon, connection: Connection, credential: str, fence: int) -> BrokerReport:
    return BrokerReport(
        adapters=daemon.adapters, namespace=connection.namespace, credential=credential, fence=fence
    )


TOGETHER: Final = 8
BURST: Final = 10
EVERY: Final = 0.02
"""Seconds (rule 2)."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refused:
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class _WaitingReport:
    bases: Callable[[], tuple[AuthorizationBasis, ...]]
    tell: Tell


class ReportBatcher:
    """The batcher of broker reports; used in the loop."""

    def __init__(self, adapters: Adapters, worker: Worker) -> None:
        self._adapters = adapters
        self._loop = worker.loop
        self._lane: Final[Lane[_WaitingReport, object]] = Lane(worker, self._take, most=TOGETHER)
        self._waiting: deque[tuple[_WaitingReport, asyncio.Future[object]]] = deque()
        self._groups: float = BURST
        """That may be taken at once, as things stood at `_counted` (rule 2)."""
        self._counted = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, tell: Callable[[Transaction | None], T]) -> T:
        """Returns or raises the result of `tell` once it is durable."""
        if len(self._waiting) >= WAITING:
            raise OverloadedError(f"{WAITING} requests wait already")
        future: asyncio.Future[object] = self._loop.create_future()
        self._waiting.append((_WaitingReport(bases=based(), tell=tell), future))
        self._go_on()
        taken = await future
        if isinstance(taken, _Refused):
            raise taken.error
        return cast("T", taken)

    def _go_on(self) -> None:
        while self._waiting and self._timer is None:
            room = -len(self._lane) % TOGETHER
            if not room:
                wait = self._wait()
                if wait > 0:
                    self._timer = self._loop.call_later(wait, self._on_time)
                    return
                self._groups -= 1
                room = TOGETHER
            for _ in range(min(room, len(self._waiting))):
                telling, future = self._waiting.popleft()
                self._lane.hand(telling, partial(answer_to, future), partial(fail_with, future))

    def _wait(self) -> float:
        """Returns the seconds until another group may be taken (rule 2)."""
        now = self._loop.time()
        self._groups = min(BURST, self._groups + (now - self._counted) / EVERY)
        self._counted = now
        return max(0.0, (1 - self._groups) * EVERY)

    def _on_time(self) -> None:
        self._timer = None
        self._go_on()

    def _take(self, tellings: Sequence[_WaitingReport]) -> Sequence[object]:
        if len(tellings) > 1:
            try:
                with hold(*(basis for one in tellings for basis in one.bases())):
                    return self._adapters.store.write(partial(_all, tellings))
            except Exception:  # noqa: BLE001, S110 - taking each alone finds the failed one (rule 3)
                pass
        return [_alone(one) for one in tellings]


def _all(tellings: Sequence[_WaitingReport], tx: Transaction) -> list[object]:
    return [one.tell(tx) for one in tellings]


def _alone(one: _WaitingReport) -> object:
    try:
        with hold(*one.bases()):
            return one.tell(None)
    except Exception as error:  # noqa: BLE001 - passed on to the awaiting caller
        return _Refused(error=error)
