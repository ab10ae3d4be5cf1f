"""Operations of the broker: lease, minted, renewed, failed, gone, left, seen, swept, epoch, reconciled.

1. The role `broker` is of the account that owns the data directory, or of the one that the daemon was told,
   and of no process beneath a gateway or a run.
2. The broker is believed about what it saw in a target, under the fence of its lease (`flows.credential`),
   and about nothing else. What it brings for somebody is sealed, and is given to the connection that holds
   the permit (`credential_desk`).
3. No view is forgotten when a canary moves: with its last one a target gets tools that it never had, and that
   there is no such tool is kept by none.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from taskbound.core.clock import Instant
from taskbound.core.credential import Step
from taskbound.core.identity import UnprovenError
from taskbound.flows.credential.errors import WrongTellingError
from taskbound.flows.credential.leasing import lease
from taskbound.flows.credential.reconciled import Reconciled
from taskbound.flows.credential.reconciled import take_reconciled as record_reconciled
from taskbound.flows.credential.sweeping import Sweep, take_sweep
from taskbound.flows.credential.telling import Telling
from taskbound.wire import broker as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.core.credential import Credential
    from taskbound.flows.credential.leasing import Leased
    from taskbound.ports.store import Transaction
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer


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
