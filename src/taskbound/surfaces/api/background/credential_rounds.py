"""The daemon's periodic work on credentials, and the requests that wait for a renewal.

Of `credential_rounds`:
1. Ends are written twice a second; credentials without a basis are looked for every two seconds. Waiting
   callers and brokers learn of each.
2. Overdue credentials are reported by one daemon of a database, the leader.
3. Only namespaces with a target have credentials.
4. An action whose holder was lost stays unknown only until its credential's row is settled.
5. Credentials of an egress that went away with its daemon are looked for every five seconds (a gateway's
   grace), and ended when seen twice, because a daemon's presence can lapse for a moment.
6. Searching reads beside the worker; each finding is a worker turn of its own, so that a decision waits for
   one at most.
Of `credential_renewals`:
1. The waiting caller is the connection that holds the renewal's permit. It waits for the row; a renewal that
   is never reported is answered by the credential's end.
2. The outcome of the action follows from the row, and is recorded as its holder would report it, with retries
   (`credential_desk`, rule 4).
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError, UnavailableError
from taskbound.flows.action import Withhold
from taskbound.flows.credential.ending import end_one_stranded, find_stranded
from taskbound.flows.credential.errors import StillRenewingError
from taskbound.flows.credential.handing import ended_by, renewal_report_of, require_renewer
from taskbound.flows.credential.naming import LEFT
from taskbound.flows.credential.revoking import (
    Overdue,
    end_one_due,
    end_own,
    find_due,
    find_lost_seats,
    find_unknown,
    settle_one,
)
from taskbound.surfaces.api.server.worker import OverloadedError
from taskbound.wire.target import Renewed

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.credential import Credential
    from taskbound.flows.action import Release, Report
    from taskbound.ports.credential import HeldCredential
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon


_SEATS: Final = 10
"""Every so many rounds is also one for what an egress had that is gone."""
_STRANDED: Final = 4
"""Every so many rounds is also one for what rests on nothing any more, and for what is overdue."""


class CredentialRounds:
    """The periodic work; used in the loop, one round at a time."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._overdue = Overdue(daemon.adapters)
        self._turn = 0
        self._lost: dict[str, frozenset[HeldCredential]] = {}
        """By namespace: what was seen without a holder the last time (rule 5)."""

    async def go(self) -> None:
        """Does one round; called twice a second."""
        daemon, desk = self._daemon, self._daemon.credentials
        targets = await daemon.read(self._targets)
        for space, names in targets.items():
            for name in await daemon.read(partial(find_due, daemon.adapters, space)):  # 6
                row = await daemon.first(partial(end_one_due, daemon.adapters, space, name))
                if row is not None:
                    desk.wake(space, [row.target])
                    desk.tell((row,))
            if self._turn % _STRANDED == 0:
                await self._see_to_rest(space, names)
            if self._turn % _SEATS == 0:
                await self.see_to_seats(space)
        await desk.look()
        if self._turn % _STRANDED == 0 and daemon.adapters.store.leads():  # 2
            for space in targets:
                await daemon.read(partial(self._overdue.tell, space))
        self._turn += 1

    async def _see_to_rest(self, space: str, targets: list[str]) -> None:
        daemon = self._daemon
        for task in await daemon.read(partial(find_stranded, daemon.adapters, space)):
            if await daemon.first(partial(end_one_stranded, daemon.adapters, space, task)):
                daemon.credentials.wake(space, targets)
        for known in await daemon.read(partial(find_unknown, daemon.adapters, space)):
            await daemon.first(partial(settle_one, daemon.adapters, known))

    async def see_to_seats(self, space: str) -> None:
        """Ends the credentials of an egress that went away with its daemon (rule 5)."""
        daemon, adapters = self._daemon, self._daemon.adapters
        own = daemon.connections.names()
        lost = await daemon.read(partial(find_lost_seats, adapters, space, own))
        known, self._lost[space] = self._lost.get(space, frozenset()), lost
        for one in sorted(lost & known):
            row = await daemon.first(partial(end_own, adapters, space, one.credential, one.task, LEFT))
            daemon.credentials.wake(space, [row.target])
            daemon.credentials.tell((row,))

    def _targets(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        with self._daemon.adapters.store.read() as snapshot:
            for one in snapshot.targets.all_targets():
                found.setdefault(one.namespace, []).append(one.name)
        return found


_log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace and id."""


class AskerGoneError(UnavailableError):
    """The connection that waits for a credential is gone, or waits for it already."""

    code = "asker-gone"
    remedy = "ask for the credential anew, on one connection"


@dataclass(frozen=True, slots=True)
class _Open:
    connection: str
    action: str


class RenewalDesk:
    """The waiting renewals of one daemon; used in the loop."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._open: dict[Key, _Open] = {}
        self._waiting: dict[Key, tuple[str, asyncio.Future[Renewed]]] = {}

    def keys(self) -> set[Key]:
        """Returns the credentials with a renewal that is waited for or has no outcome."""
        return {*self._open, *self._waiting}

    def expect(self, connection: Connection, credential: str, action: str) -> None:
        """Notes that a renewal was permitted to this connection, without an outcome."""
        self._open[connection.namespace, credential] = _Open(connection.name, action)

    async def wait(self, connection: Connection, credential: str, *, patience: float) -> Renewed:
        """Waits until the target was updated (rule 1).

        Raises NotAskerError, RenewalFailedError, CredentialEndedError, StillRenewingError (the broker works
        on it), or AskerGoneError (the connection is lost, or waits already).
        """
        key = (connection.namespace, credential)
        row = await self._daemon.read(partial(self._of_asker, connection, credential))
        if self._daemon.connections.of_name(connection.name) is not connection or key in self._waiting:
            raise AskerGoneError("the connection is lost, or waits for this credential already")
        if row.renewal is not None:
            self._open.setdefault(key, _Open(connection.name, row.renewal.action))
        self.tell(row)
        ends = ended_by(row)
        if ends is not None:
            return Renewed(credential=row.id, ends=ends)
        future: asyncio.Future[Renewed] = self._daemon.loop.create_future()
        self._waiting[key] = (connection.name, future)
        try:
            async with asyncio.timeout(patience):
                return await future
        except TimeoutError:
            raise StillRenewingError(f"`{row.id}` is still being renewed") from None
        finally:
            self._waiting.pop(key, None)

    def _of_asker(self, connection: Connection, credential: str) -> Credential:
        with self._daemon.adapters.store.read() as snapshot:
            return require_renewer(snapshot, connection.namespace, credential, connection.name)

    def tell(self, row: Credential) -> None:
        """Takes the new state of a credential and answers its renewal (rule 2)."""
        key = (row.namespace, row.id)
        _, future = self._waiting.get(key, ("", None))
        if future is not None and not future.done():
            try:
                ends = ended_by(row)
            except TaskboundError as error:
                future.set_exception(error)
            else:
                if ends is not None:
                    future.set_result(Renewed(credential=row.id, ends=ends))
        held = self._open.get(key)
        report = None if held is None else renewal_report_of(row, held.action, held.connection)
        if held is not None and report is not None:
            del self._open[key]
            hand(self._daemon, report, lambda: self._again(key, held))

    def _again(self, key: Key, held: _Open) -> None:
        if self._daemon.connections.of_name(held.connection) is not None:
            self._open.setdefault(key, held)

    def lose(self, connection: Connection) -> None:
        """Drops what waited on a lost connection."""
        for holder, future in self._waiting.values():
            if holder == connection.name and not future.done():
                future.set_exception(AskerGoneError("the connection that waited for the renewal is gone"))


def hand(daemon: Daemon, report: Report, again: Callable[[], None]) -> None:
    """Has the outcome of a credential's action recorded; calls `again` if that failed."""

    def look(answer: Release | Withhold) -> None:
        if isinstance(answer, Withhold) and not answer.recorded:
            fail(UnavailableError(answer.reason))

    def fail(error: Exception) -> None:
        _log.warning("what came of %s is not recorded yet: %s", report.action, error)
        again()

    try:
        daemon.reports.hand(report, look, fail)
    except OverloadedError as error:
        fail(error)
