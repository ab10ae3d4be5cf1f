"""Operations on credentials: take, acknowledge, await a renewal, end, revoke, sweep, list, show.

1. Taking and acknowledging is for the connection that holds the permit (`flows.credential.handing`), ending
   for the task that has the credential; revoking and sweeping are a person's.
2. What is shown of one is its row, and what its target calls it. No row holds a secret.
3. One credential, or a task's, is revoked before anything else that waits (I-61). All of a target may be
   ten thousand, a few by each question: they are taken with what brokers tell of them, in the same
   transactions, once a turn has decided what waited (`tellings`).
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant
from taskbound.core.credential import OVERDUE, CredentialState, is_overdue
from taskbound.core.errors import UnavailableError
from taskbound.core.tool.name import shown
from taskbound.flows.credential.errors import UnknownCredentialError
from taskbound.flows.credential.handing import acknowledge_credential
from taskbound.flows.credential.revoking import end_own, revoke_credentials
from taskbound.surfaces.api.filters import BadFilterError, require_agent, require_target, require_task
from taskbound.surfaces.api.show import credential_row
from taskbound.wire import credential as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.core.credential import Credential
    from taskbound.flows.credential.revoking import Revoked
    from taskbound.ports.store import Snapshot, Transaction
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer


_PAGE: Final = 500
_OVER: Final = frozenset({CredentialState.REVOKED, CredentialState.UNSUPPORTED})
"""Where there is nothing to end any more."""


class NoBrokerError(UnavailableError):
    """No broker is connected to this daemon."""

    code = "no-broker"
    remedy = "start the broker: see deploy/README.md"


async def take_one(daemon: Daemon, connection: Connection, ask: wire.TakeCredential) -> Answer:
    """The sealed secret of a credential, once it is minted."""
    return await daemon.credentials.take(connection, ask.credential)


async def acknowledge_one(daemon: Daemon, connection: Connection, ask: wire.AcknowledgeCredential) -> Answer:
    """Whoever asked says to have the secret: the action has succeeded."""
    space = connection.namespace
    row = await daemon.first(
        partial(acknowledge_credential, daemon.means, space, ask.credential, connection.name)
    )
    daemon.credentials.acknowledged(connection, row, bound=ask.with_connection)
    return Done()


async def await_renewal(daemon: Daemon, connection: Connection, ask: wire.AwaitRenewal) -> Answer:
    """When a credential ends now, once its target was told."""
    desk = daemon.credentials
    return await desk.renewals.wait(connection, ask.credential, patience=desk.wait)


async def end_one(daemon: Daemon, connection: Connection, ask: wire.EndCredential) -> Answer:
    """The task needs it no more; how it stands, for who waits until it is gone."""

    def work() -> tuple[Credential, Answer]:
        row = end_own(daemon.means, connection.namespace, ask.credential, daemon.bind(connection))
        with daemon.means.store.read() as snapshot:
            return row, credential_row(row, snapshot.targets.mark(), daemon.means.clock.now())

    row, said = await daemon.first(work)
    if row.state not in _OVER:
        daemon.credentials.tell((row,))
        daemon.credentials.wake(row.namespace, [row.target])
    return said


async def revoke_some(daemon: Daemon, connection: Connection, ask: wire.RevokeCredentials) -> Answer:
    """A person has them revoked.

    Raises:
        NoTaskError: No task has this id: who ends what a task has is not told that it has nothing.
        UnknownTargetError: No target has this name, nor had; as well.
    """

    def work(tx: Transaction | None = None) -> Revoked:
        with daemon.means.store.read() if tx is None else nullcontext(tx) as snapshot:
            require_task(snapshot, connection.namespace, ask.task)
            require_target(snapshot, connection.namespace, ask.target)
        return revoke_credentials(
            daemon.means,
            connection.namespace,
            credential=ask.credential,
            task=ask.task,
            target=ask.target,
            why=ask.why,
            actor=daemon.require_person(connection),
            tx=tx,
        )

    done = await (daemon.tellings.take(work) if ask.target else daemon.first(work))  # 3
    daemon.credentials.tell(done.credentials)
    daemon.credentials.wake(connection.namespace, [one.target for one in done.credentials])
    return wire.RevokingCredentials(credentials=tuple(one.id for one in done.credentials), more=done.more)


async def sweep_targets(daemon: Daemon, connection: Connection, ask: wire.SweepTargets) -> Answer:
    """A person has the broker look through a target, or all of them.

    Raises:
        BadFilterError: There is no such target.
        NoBrokerError: No broker is there to do it.
    """

    def work() -> list[str]:
        daemon.require_person(connection)
        with daemon.means.store.read() as snapshot:
            names = [one.name for one in snapshot.targets.targets(connection.namespace)]
        if ask.target and ask.target not in names:
            raise BadFilterError(f"no target is named `{shown(ask.target)}`", where="target")
        return [ask.target] if ask.target else names

    targets = await daemon.first(work)
    if not daemon.credentials.wake(connection.namespace, targets, sweep=True):
        raise NoBrokerError("no broker is connected to this daemon, and nobody else sweeps")
    return Done()


async def list_credentials(daemon: Daemon, connection: Connection, ask: wire.ListCredentials) -> Answer:
    """A page of credentials, newest first, or those that are overdue, the oldest first.

    Raises:
        BadFilterError: A word names nothing.
        UnknownTargetError: No target has this name, nor had.
    """
    limit = max(1, min(ask.limit, _PAGE))
    states = _states(ask.states)

    def read() -> Answer:
        space = connection.namespace
        with daemon.means.store.read() as snapshot:
            now = daemon.means.clock.now()
            require_target(snapshot, space, ask.target)
            if ask.overdue:
                found = _overdue(snapshot, space, ask.target, now)
            else:
                require_task(snapshot, space, ask.task)
                require_agent(snapshot, space, ask.agent)
                if ask.before:
                    _require(snapshot, space, ask.before)
                found = snapshot.credentials.credentials(
                    space,
                    task=ask.task,
                    target=ask.target,
                    agent=ask.agent,
                    states=states,
                    limit=limit + 1,
                    before=ask.before,
                )
            mark = snapshot.targets.mark()
        rows = tuple(credential_row(one, mark, now) for one in found[:limit])
        return wire.CredentialRows(rows=rows, more=not ask.overdue and len(found) > limit)

    return await daemon.read(read)


def _states(words: tuple[str, ...]) -> frozenset[CredentialState]:
    """The states that these words name."""
    known = {one.value: one for one in CredentialState}
    for word in words:
        if word not in known:
            raise BadFilterError(
                f"`{shown(word)}` is not a credential's state",
                where="states",
                remedy=f"use some of {', '.join(known)}",
            )
    return frozenset(known[word] for word in words)


def _overdue(snapshot: Snapshot, namespace: str, target: str, now: Instant) -> tuple[Credential, ...]:
    found = snapshot.credentials.overdue(namespace, Instant(now - OVERDUE + 1), limit=_PAGE)
    return tuple(one for one in found if is_overdue(one, now) and target in {"", one.target})


async def show_credential(daemon: Daemon, connection: Connection, ask: wire.ShowCredential) -> Answer:
    """One credential as it stands.

    Raises:
        UnknownCredentialError: There is none of this id.
    """

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            found = _require(snapshot, connection.namespace, ask.credential)
            return credential_row(found, snapshot.targets.mark(), daemon.means.clock.now())

    return await daemon.read(read)


def _require(snapshot: Snapshot, namespace: str, name: str) -> Credential:
    found = snapshot.credentials.credential(namespace, name)
    if found is None:
        raise UnknownCredentialError(f"no credential is named `{shown(name)}`")
    return found
