"""Operations on credentials, and the requests that wait for one in this daemon.

Of `credential`:
1. Taking and acknowledging need the connection that holds the permit (`flows.credential.handing`), ending
   needs the task of the credential; revoking and sweeping need a person.
2. A credential is shown by its row and its name in the target. No row holds a secret.
3. Revoking one credential, or those of a task, goes before all other waiting work (I-61). Revoking all of a
   target may touch ten thousand rows: it shares the transactions of broker reports, behind decisions
   (`tellings`).
Of `credential_desk`:
1. The desk is memory of this daemon: sealed secrets are in no store and end with the daemon. A credential
   that was not acknowledged is revoked then (K10).
2. The waiting caller is the connection that holds the permit. A sealed secret is given once, and kept for at
   most `HANDED_OUT_WITHIN`, for that connection, while it is open.
3. A waiting caller learns the end of a credential at once: writers in this daemon call `tell`, and `look`
   reads the rest twice a second.
4. The outcome of the action follows from the row, and is recorded as its holder would report it, with
   retries. For a connection lost for good the permits become unknown elsewhere (law 7), and a later report
   changes nothing.
5. A credential that was acknowledged as bound to its connection is ended, with retries, when that is given
   up. If the daemon ends first, the credential lives until its own end or its task's.
6. Brokers are woken when something becomes due. Correctness does not depend on it: they poll twice a second.
7. A broker's state towards the store is known while the connection that reported it is open.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import nullcontext
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant
from taskbound.core.credential import (
    LIVE,
    OVERDUE,
    CredentialState,
    HandOutOverError,
    credential_of,
    is_overdue,
)
from taskbound.core.credential.values import HANDED_OUT_WITHIN
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError, UnavailableError
from taskbound.core.tool.name import shown
from taskbound.flows.credential.errors import StillMintingError, UnknownCredentialError
from taskbound.flows.credential.handing import acknowledge_credential, over_of, report_of, require_asker
from taskbound.flows.credential.naming import LEFT
from taskbound.flows.credential.revoking import end_one_due, end_own, revoke_credentials
from taskbound.surfaces.api.background.credential_rounds import AskerGoneError, RenewalDesk, hand
from taskbound.surfaces.api.operations.show import (
    BadFilterError,
    credential_row,
    require_agent,
    require_target,
    require_task,
)
from taskbound.surfaces.api.server.operation import from_snapshot, operation
from taskbound.wire import target as wire
from taskbound.wire.connection import Done
from taskbound.wire.target import DuePush, Handed, TellEpoch

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence

    from taskbound.core.credential import Credential
    from taskbound.flows.credential.revoking import Revoked
    from taskbound.flows.means import TaskChange
    from taskbound.ports.store import Snapshot, Transaction
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.surfaces.api.server.operation import Reading
    from taskbound.wire.envelope import Answer


_PAGE: Final = 500
_OVER: Final = frozenset({CredentialState.REVOKED, CredentialState.UNSUPPORTED})
"""Where there is nothing to end any more."""


class NoBrokerError(UnavailableError):
    """No broker is connected to this daemon."""

    code = "no-broker"
    remedy = "start the broker: see deploy/README.md"


@operation(wire.TakeCredential, injects=True)
async def _take_one(daemon: Daemon, connection: Connection, ask: wire.TakeCredential) -> Answer:
    return await daemon.credentials.take(connection, ask.credential)


@operation(wire.AcknowledgeCredential, injects=True)
async def _acknowledge_one(daemon: Daemon, connection: Connection, ask: wire.AcknowledgeCredential) -> Answer:
    space = connection.namespace
    row = await daemon.first(
        partial(acknowledge_credential, daemon.adapters, space, ask.credential, connection.name)
    )
    daemon.credentials.acknowledged(connection, row, bound=ask.with_connection)
    return Done()


@operation(wire.AwaitRenewal, injects=True)
async def _await_renewal(daemon: Daemon, connection: Connection, ask: wire.AwaitRenewal) -> Answer:
    desk = daemon.credentials
    return await desk.renewals.wait(connection, ask.credential, patience=desk.wait)


@operation(wire.EndCredential, injects=True)
async def _end_one(daemon: Daemon, connection: Connection, ask: wire.EndCredential) -> Answer:
    def work() -> tuple[Credential, Answer]:
        row = end_own(daemon.adapters, connection.namespace, ask.credential, daemon.bind(connection))
        with daemon.adapters.store.read() as snapshot:
            return row, credential_row(row, snapshot.targets.mark(), daemon.adapters.clock.now())

    row, said = await daemon.first(work)
    if row.state not in _OVER:
        daemon.credentials.tell((row,))
        daemon.credentials.wake(row.namespace, [row.target])
    return said


@operation(wire.RevokeCredentials)
async def _revoke_some(daemon: Daemon, connection: Connection, ask: wire.RevokeCredentials) -> Answer:
    def work(tx: Transaction | None = None) -> Revoked:
        with daemon.adapters.store.read() if tx is None else nullcontext(tx) as snapshot:
            require_task(snapshot, connection.namespace, ask.task)
            require_target(snapshot, connection.namespace, ask.target)
        return revoke_credentials(
            daemon.adapters,
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


@operation(wire.SweepTargets)
async def _sweep_targets(daemon: Daemon, connection: Connection, ask: wire.SweepTargets) -> Answer:
    def work() -> list[str]:
        daemon.require_person(connection)
        with daemon.adapters.store.read() as snapshot:
            names = [one.name for one in snapshot.targets.targets(connection.namespace)]
        if ask.target and ask.target not in names:
            raise BadFilterError(f"no target is named `{shown(ask.target)}`", where="target")
        return [ask.target] if ask.target else names

    targets = await daemon.first(work)
    if not daemon.credentials.wake(connection.namespace, targets, sweep=True):
        raise NoBrokerError("no broker is connected to this daemon, and only a broker can sweep")
    return Done()


@from_snapshot(wire.ListCredentials)
def _list_credentials(reading: Reading, ask: wire.ListCredentials) -> Answer:
    limit = max(1, min(ask.limit, _PAGE))
    states = _states(ask.states)
    space = reading.namespace
    now = reading.adapters.clock.now()
    require_target(reading.snapshot, space, ask.target)
    if ask.overdue:
        found = _overdue(reading.snapshot, space, ask.target, now)
    else:
        require_task(reading.snapshot, space, ask.task)
        require_agent(reading.snapshot, space, ask.agent)
        if ask.before:
            _require(reading.snapshot, space, ask.before)
        found = reading.snapshot.credentials.credentials(
            space,
            task=ask.task,
            target=ask.target,
            agent=ask.agent,
            states=states,
            limit=limit + 1,
            before=ask.before,
        )
    mark = reading.snapshot.targets.mark()
    rows = tuple(credential_row(one, mark, now) for one in found[:limit])
    return wire.CredentialRows(rows=rows, more=not ask.overdue and len(found) > limit)


def _states(words: tuple[str, ...]) -> frozenset[CredentialState]:
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


@from_snapshot(wire.ShowCredential)
def _show_credential(reading: Reading, ask: wire.ShowCredential) -> Answer:
    found = _require(reading.snapshot, reading.namespace, ask.credential)
    return credential_row(found, reading.snapshot.targets.mark(), reading.adapters.clock.now())


def _require(snapshot: Snapshot, namespace: str, name: str) -> Credential:
    found = snapshot.credentials.credential(namespace, name)
    if found is None:
        raise UnknownCredentialError(f"no credential is named `{shown(name)}`")
    return found


_log = logging.getLogger(__name__)
WAIT: Final = 10.0
"""Seconds that one question for a secret waits at most."""
_KEPT: Final = HANDED_OUT_WITHIN / 1_000_000
_MOST: Final = 500
_SWEEPS: Final = 4_096
_UNTOLD: Final = TellEpoch(epoch=0)

Key = tuple[str, str]
"""Namespace and id."""


@dataclass(slots=True)
class _Open:
    connection: str
    given: bool = False
    """Whether its secret was given."""


@dataclass(slots=True)
class _Sealed:
    handed: Handed = field(repr=False)
    connection: str
    timer: asyncio.TimerHandle


class CredentialDesk:
    """The waiting requests and sealed secrets of one daemon; used in the loop."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.wait = WAIT
        """Seconds that one question for a secret waits."""
        self.renewals = RenewalDesk(daemon)
        self._waiting: dict[Key, asyncio.Future[Handed]] = {}
        self._sealed: dict[Key, _Sealed] = {}
        self._open: dict[Key, _Open] = {}
        self._bound: dict[str, dict[Key, str]] = {}
        """Credentials that end with a connection, by its name, each with its task."""
        self._left: dict[Key, str] = {}
        """Those whose connection was given up, and that are not ended yet."""
        self._swept: dict[Key, Instant] = {}
        self._epochs: dict[str, TellEpoch] = {}
        """The state of brokers towards the store, by the connection that reported it."""
        self._tasks: set[asyncio.Task[None]] = set()

    def waited_for(self, namespace: str) -> frozenset[str]:
        """Returns the ids of credentials with a caller that waits for the secret."""
        return frozenset(name for space, name in self._waiting if space == namespace)

    def holds(self, row: Credential) -> bool:
        """Returns whether a secret of this credential is kept here."""
        return (row.namespace, row.id) in self._sealed

    def swept(self, namespace: str, target: str) -> Instant | None:
        """Returns the time of the last reported sweep of this target."""
        return self._swept.get((namespace, target))

    def note_swept(self, namespace: str, target: str, now: Instant) -> None:
        """Notes a reported sweep of this target."""
        self._swept.pop((namespace, target), None)
        self._swept[namespace, target] = now
        if len(self._swept) > _SWEEPS:
            del self._swept[next(iter(self._swept))]

    @property
    def epoch(self) -> TellEpoch:
        """Returns the broker state towards the store, preferring one in doubt.

        Epoch 0 if none was reported.
        """
        return max(self._epochs.values(), key=lambda one: (one.since > 0, one.epoch), default=_UNTOLD)

    def note_epoch(self, connection: Connection, told: TellEpoch) -> None:
        """Notes a broker's state towards the store (rule 7)."""
        if self._daemon.connections.of_name(connection.name) is not connection:
            return
        before = self._epochs.get(connection.name)
        if told.since and (before is None or before.since != told.since):
            _log.warning("nothing is minted, epoch %d of the store: %s", told.epoch, told.why)
        self._epochs[connection.name] = told

    def expect(self, connection: Connection, credential: str, action: str) -> None:
        """Notes that a credential or its renewal was permitted to this connection, without an outcome."""
        if credential != credential_of(action):
            self.renewals.expect(connection, credential, action)
            self._run(self._rouse(connection.namespace, credential))
            return
        self._open.setdefault((connection.namespace, credential), _Open(connection.name))

    async def take(self, connection: Connection, credential: str) -> Handed:
        """Waits for the secret of a credential and returns it (rule 2).

        Raises NotAskerError, MintFailedError, NobodyMintedError (no broker came), CredentialEndedError,
        HandOutOverError (given before, or too late), StillMintingError, or AskerGoneError (lost, or waiting
        already).
        """
        key = (connection.namespace, credential)
        row = await self._daemon.read(partial(self._of_asker, connection, credential))
        if self._daemon.connections.of_name(connection.name) is not connection or key in self._waiting:
            raise AskerGoneError("the connection is lost, or waits for this credential already")
        held = self._open.setdefault(key, _Open(connection.name))
        self.tell((row,))
        if row.state not in LIVE:
            raise over_of(row)
        if held.given or row.acknowledged:
            raise HandOutOverError(f"the secret of `{row.id}` was given already")
        kept = self._drop(key)
        if kept is None:
            kept = await self._wait(key, row.target)
        held.given = True
        return kept

    async def _wait(self, key: Key, target: str) -> Handed:
        future: asyncio.Future[Handed] = self._daemon.loop.create_future()
        self._waiting[key] = future
        self.wake(key[0], [target])
        try:
            async with asyncio.timeout(self.wait):
                return await future
        except TimeoutError:
            raise await self._no_more(key) from None
        finally:
            self._waiting.pop(key, None)

    async def _no_more(self, key: Key) -> TaskboundError:
        adapters = self._daemon.adapters
        row = await self._daemon.first(partial(end_one_due, adapters, *key))
        if row is None:
            row = (await self._daemon.read(partial(self._rows, [key])))[0]
        self.tell((row,))
        if row.state not in LIVE:
            return over_of(row)
        if row.state is CredentialState.ACTIVE:
            return HandOutOverError(f"the secret of `{row.id}` is not there any more")
        return StillMintingError(f"`{row.id}` is still being minted")

    def _of_asker(self, connection: Connection, credential: str) -> Credential:
        with self._daemon.adapters.store.read() as snapshot:
            return require_asker(snapshot, connection.namespace, credential, connection.name)

    def minted(self, row: Credential, connection: str, sealed: str) -> None:
        """Gives a sealed secret to the connection that holds the permit, or keeps it for that (rule 2)."""
        key = (row.namespace, row.id)
        handed = Handed(credential=row.id, sealed=sealed, ends=row.ends)
        future = self._waiting.get(key)
        if future is not None and not future.done():
            future.set_result(handed)
        elif self._daemon.connections.is_open(connection):
            timer = self._daemon.loop.call_later(_KEPT, self._drop, key)
            self._sealed[key] = _Sealed(handed, connection, timer)

    def acknowledged(self, connection: Connection, row: Credential, *, bound: bool) -> None:
        """Notes that the secret arrived, and whether the credential ends with the connection (rule 5)."""
        if bound:
            self._bound.setdefault(connection.name, {})[row.namespace, row.id] = row.task
        self._open.setdefault((row.namespace, row.id), _Open(connection.name))
        self.tell((row,))

    def tell(self, rows: Iterable[Credential]) -> None:
        """Takes the new state of credentials and answers the callers that wait (rules 3 and 4)."""
        for row in rows:
            key = (row.namespace, row.id)
            future = self._waiting.get(key)
            if row.state not in LIVE and future is not None and not future.done():
                future.set_exception(over_of(row))
            if row.acknowledged or row.state not in LIVE:
                self._drop(key)
            self._settle(key, row)
            self.renewals.tell(row)

    def _settle(self, key: Key, row: Credential) -> None:
        held = self._open.get(key)
        if held is None:
            return
        report = report_of(row, held.connection, self._daemon.adapters.clock.now())
        if report is None:
            return
        del self._open[key]

        def again() -> None:
            if self._daemon.connections.of_name(held.connection) is not None:
                self._open.setdefault(key, held)

        hand(self._daemon, report, again)

    async def _rouse(self, namespace: str, credential: str) -> None:
        for row in await self._daemon.read(partial(self._rows, [(namespace, credential)])):
            self.wake(namespace, [row.target])

    def lose(self, connection: Connection) -> None:
        """Drops what waited on a lost connection (rule 2)."""
        for key in [key for key, one in self._open.items() if one.connection == connection.name]:
            future = self._waiting.get(key)
            if future is not None and not future.done():
                future.set_exception(AskerGoneError("the connection that waited for the credential is gone"))
        for key in [key for key, one in self._sealed.items() if one.connection == connection.name]:
            self._drop(key)
        self.renewals.lose(connection)
        self._epochs.pop(connection.name, None)

    def give_up(self, connection: Connection) -> None:
        """Ends the credentials bound to a connection that did not come back (rule 5)."""
        left = self._bound.pop(connection.name, {})
        if left:
            self._left |= left
            self._run(self._end_left())

    async def _end_left(self) -> None:
        for key, task in tuple(self._left.items()):
            row = await self._daemon.first(partial(end_own, self._daemon.adapters, *key, task, LEFT))
            self._left.pop(key, None)
            self.tell((row,))
            self.wake(row.namespace, [row.target])

    def _drop(self, key: Key) -> Handed | None:
        kept = self._sealed.pop(key, None)
        if kept is None:
            return None
        kept.timer.cancel()
        return kept.handed

    async def look(self) -> None:
        """Reads the rows of all credentials that are waited for or have no outcome (rules 3 and 5)."""
        if self._left:
            await self._end_left()
        keys = list({*self._open, *self._waiting, *self.renewals.keys()})
        if keys:
            self.tell(await self._daemon.read(partial(self._rows, keys)))

    def _rows(self, keys: Sequence[Key]) -> list[Credential]:
        with self._daemon.adapters.store.read() as snapshot:
            found = (snapshot.credentials.credential(*key) for key in keys)
            return [one for one in found if one is not None]

    def moved(self, changes: Sequence[TaskChange]) -> None:
        """Takes the changes of tasks, and with them the changes of their credentials."""
        spaces = {one.namespace for one in changes}
        if (
            self._open
            or self._waiting
            or self.renewals.keys()
            or any(map(self._daemon.connections.brokers, spaces))
        ):
            self._run(self._follow({(one.namespace, one.task) for one in changes}))

    async def _follow(self, tasks: set[Key]) -> None:
        def read() -> set[Key]:
            with self._daemon.adapters.store.read() as snapshot:
                return {
                    (space, row.target)
                    for space, task in tasks
                    for row in snapshot.credentials.credentials(
                        space, task=task, states={CredentialState.REVOKING}, limit=_MOST
                    )
                }

        for space, target in sorted(await self._daemon.read(read)):
            self.wake(space, [target])
        await self.look()

    def greet(self, connection: Connection) -> None:
        """Tells a new broker about every target (rule 6)."""

        async def tell() -> None:
            def read() -> list[str]:
                with self._daemon.adapters.store.read() as snapshot:
                    return [one.name for one in snapshot.targets.targets(connection.namespace)]

            for target in await self._daemon.read(read):
                connection.push(DuePush(target=target))

        self._run(tell())

    def wake(self, namespace: str, targets: Iterable[str], *, sweep: bool = False) -> int:
        """Wakes the brokers of a namespace for these targets; returns how many brokers there are."""
        brokers = self._daemon.connections.brokers(namespace)
        for target in sorted(set(targets)):
            for one in brokers:
                one.push(DuePush(target=target, sweep=sweep))
        return len(brokers)

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = self._daemon.loop.create_task(_watched(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _watched(work: Coroutine[None, None, None]) -> None:
    try:
        await work
    except TaskboundError as error:
        _log.warning("brokers are not woken: %s [%s]", error.message, error.code)
