"""Operations of the broker, and its reports, batched at lower priority than decisions.

Of `broker`:

1. The role `broker` is of the account that owns the data directory, or of the one that the daemon was told,
   and of no process beneath a gateway or a run.
2. The broker is believed about what it saw in a target, under the fence of its lease (`flows.credential`),
   and about nothing else. What it brings for somebody is sealed, and is given to the connection that holds
   the permit (`credential_desk`).
3. No view is forgotten when a canary moves: with its last one a target gets tools that it never had, and that
   there is no such tool is kept by none.

Of `tellings`:

1. It has a lane of its own behind that of calls: what is told ends and stops nothing, it says what was seen,
   and what is leased to be revoked was ended with its row. `TOGETHER` are taken in a turn at most,
   so that no decision waits for more than some milliseconds of it. Who ends ten thousand has each row written
   twice more, and a commit for each would be one that decisions wait for. Ending all of a target is
   taken here too: every turn comes to it, however many calls wait, after a group of these at most (I-61).
2. `BURST` groups may follow each other at once; from then on one is taken every `EVERY` seconds, with all
   that was told meanwhile. A mint or an end waits for nobody, and ten thousand ends leave decisions nine
   tenths of the time, however fast brokers are: each group is a commit, which whoever comes then waits for.
3. What is taken together is one transaction, held to what authorizes each. Where any of it is refused, each
   is told alone, authorized anew: one broker's word is not in the way of another's.
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
from taskbound.flows.credential.leasing import Reconciled, Sweep, Telling, lease, take_sweep
from taskbound.flows.credential.leasing import take_reconciled as record_reconciled
from taskbound.flows.policy.operations import hold
from taskbound.surfaces.api.authority import based
from taskbound.surfaces.api.worker import WAITING, Lane, OverloadedError, answer_to, fail_with
from taskbound.wire import target as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from taskbound.core.credential import Credential
    from taskbound.flows.credential.leasing import Leased
    from taskbound.flows.means import Means
    from taskbound.flows.policy.operations import Basis
    from taskbound.ports.store import Transaction
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.surfaces.api.worker import Worker
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
    """Go on only for the broker: its account, and no process beneath a gateway or a run (rule 1).

    Raises:
        UnprovenError: It is another's.
        NotOutsideError: The process runs beneath a gateway or a run.
    """
    if connection.role != "broker" or connection.peer.proof.uid != daemon.broker_uid:
        raise UnprovenError(
            "only the broker sees to credentials in targets",
            remedy="run it under the account that owns the data directory, or say `--broker` to the daemon",
        )
    daemon.require_outside(connection)


async def give_orders(daemon: Daemon, connection: Connection, ask: wire.LeaseCredentials) -> Answer:
    """What the broker gets to do of what it asks for."""
    space = connection.namespace
    waited = daemon.credentials.waited_for(space)
    asked = partial(lease, daemon.means, space, ask.credentials, waited)
    given = await daemon.tellings.take(lambda tx: asked(tx=tx))
    return wire.Orders(orders=tuple(map(_order, given)), now=daemon.means.clock.now())


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


async def take_minted(daemon: Daemon, connection: Connection, ask: wire.TellMinted) -> Answer:
    """The target shows it; its secret is there for who asked.

    Raises:
        WrongTellingError: The secret is too large to be one.
    """
    if len(ask.sealed) > _SEALED:
        raise WrongTellingError("a sealed secret is smaller")
    told = _telling(daemon, connection, ask.credential, ask.fence)
    holders: list[str] = []

    def tell(tx: Transaction | None) -> Credential:
        row = replace(told, tx=tx).minted(sealed=bool(ask.sealed), kept=ask.kept)
        if row.action:
            with daemon.means.store.read() if tx is None else nullcontext(tx) as seen:
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


async def take_renewed(daemon: Daemon, connection: Connection, ask: wire.TellRenewed) -> Answer:
    """The target lets it live longer."""
    told = _telling(daemon, connection, ask.credential, ask.fence)
    row = await daemon.tellings.take(lambda tx: replace(told, tx=tx).renewed())
    daemon.credentials.tell((row,))
    return Done()


async def take_failed(daemon: Daemon, connection: Connection, ask: wire.TellFailed) -> Answer:
    """It could not be minted, not be renewed, or not be revoked this time."""
    told = _telling(daemon, connection, ask.credential, ask.fence)
    row = await daemon.tellings.take(
        lambda tx: replace(told, tx=tx).failed(ask.code, ask.trouble, unsent=ask.unsent, lasting=ask.lasting)
    )
    daemon.credentials.tell((row,))
    return Done()


async def take_gone(daemon: Daemon, connection: Connection, ask: wire.TellGone) -> Answer:
    """The target shows that nothing of it is there."""
    told = _telling(daemon, connection, ask.credential, ask.fence)
    await daemon.tellings.take(lambda tx: replace(told, tx=tx).gone(ask.cut, ask.notes))
    return Done()


async def take_left(daemon: Daemon, connection: Connection, ask: wire.TellLeft) -> Answer:
    """What is open of it may go on until an instant.

    Raises:
        WrongTellingError: That is no instant.
    """
    if not 0 < ask.until <= _LATEST:
        raise WrongTellingError("what is left ends at an instant that is known")
    told = _telling(daemon, connection, ask.credential, ask.fence)
    await daemon.tellings.take(lambda tx: replace(told, tx=tx).left(Instant(ask.until)))
    return Done()


async def take_seen(daemon: Daemon, connection: Connection, ask: wire.TellSeen) -> Answer:
    """What a look found under the name of one that was gone."""
    told = _telling(daemon, connection, ask.credential, 0)
    row = await daemon.tellings.take(lambda tx: replace(told, tx=tx).seen(exists=ask.exists))
    if ask.exists:
        daemon.credentials.wake(row.namespace, [row.target])
    return Done()


async def take_swept(daemon: Daemon, connection: Connection, ask: wire.TellSwept) -> Answer:
    """What a target has whose name begins as ours do: what should not be there is revoked."""
    sweep = Sweep(
        namespace=connection.namespace,
        target=ask.target,
        identity=ask.identity,
        names=ask.names,
        begun=Instant(ask.begun),
    )
    revoked = await daemon.first(partial(take_sweep, daemon.means, sweep))
    daemon.credentials.note_swept(sweep.namespace, sweep.target, daemon.means.clock.now())
    if revoked:
        daemon.credentials.wake(sweep.namespace, [sweep.target])
    return wire.Swept(revoked=revoked)


async def take_epoch(daemon: Daemon, connection: Connection, ask: wire.TellEpoch) -> Answer:
    """How the broker stands to the store: for whoever asks how the daemon is.

    Raises:
        WrongTellingError: There is no such standing.
    """
    counts = (ask.epoch - 1, ask.since, ask.left)
    if not all(0 <= one < _LATEST for one in counts) or len(ask.why) > _WORDS:
        raise WrongTellingError("what is told of the store's epoch can't be so")
    daemon.credentials.note_epoch(connection, ask)
    return Done()


async def take_reconciled(daemon: Daemon, connection: Connection, ask: wire.TellReconciled) -> Answer:
    """A store that was restored or replaced is believed again."""
    told = Reconciled(epoch=ask.epoch, since=ask.since, why=ask.why, ended=ask.ended, targets=ask.targets)
    await daemon.first(partial(record_reconciled, daemon.means, connection.namespace, told))
    return Done()


def _telling(daemon: Daemon, connection: Connection, credential: str, fence: int) -> Telling:
    return Telling(means=daemon.means, namespace=connection.namespace, credential=credential, fence=fence)


TOGETHER: Final = 8
BURST: Final = 10
EVERY: Final = 0.02
"""Seconds (rule 2)."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refused:
    """Why it was not taken."""

    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class _Telling:
    """One thing that was told, or asked for."""

    bases: Callable[[], tuple[Basis, ...]]
    tell: Tell


class Tellings:
    """Takes them; used in the loop."""

    def __init__(self, means: Means, worker: Worker) -> None:
        """Take them in turns of this worker, behind the lanes that it has (rule 1)."""
        self._means = means
        self._loop = worker.loop
        self._lane: Final[Lane[_Telling, object]] = Lane(worker, self._take, most=TOGETHER)
        self._waiting: deque[tuple[_Telling, asyncio.Future[object]]] = deque()
        self._groups: float = BURST
        """That may be taken at once, as things stood at `_counted` (rule 2)."""
        self._counted = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, tell: Callable[[Transaction | None], T]) -> T:
        """What this answers, once it is written; raises what that raises."""
        if len(self._waiting) >= WAITING:
            raise OverloadedError(f"{WAITING} requests wait already")
        future: asyncio.Future[object] = self._loop.create_future()
        self._waiting.append((_Telling(bases=based(), tell=tell), future))
        self._go_on()
        taken = await future
        if isinstance(taken, _Refused):
            raise taken.error
        return cast("T", taken)

    def _go_on(self) -> None:
        """Have what waits taken, in a group that nobody has begun or in one of its own when it is time."""
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
        """Seconds until another group may be taken (rule 2)."""
        now = self._loop.time()
        self._groups = min(BURST, self._groups + (now - self._counted) / EVERY)
        self._counted = now
        return max(0.0, (1 - self._groups) * EVERY)

    def _on_time(self) -> None:
        self._timer = None
        self._go_on()

    def _take(self, tellings: Sequence[_Telling]) -> Sequence[object]:
        if len(tellings) > 1:
            try:
                with hold(*(basis for one in tellings for basis in one.bases())):
                    return self._means.store.write(partial(_all, tellings))
            except Exception:  # noqa: BLE001, S110 - whose it was is told by taking each alone (rule 3)
                pass
        return [_alone(one) for one in tellings]


def _all(tellings: Sequence[_Telling], tx: Transaction) -> list[object]:
    return [one.tell(tx) for one in tellings]


def _alone(one: _Telling) -> object:
    try:
        with hold(*one.bases()):
            return one.tell(None)
    except Exception as error:  # noqa: BLE001 - carried over to whoever awaits
        return _Refused(error=error)
