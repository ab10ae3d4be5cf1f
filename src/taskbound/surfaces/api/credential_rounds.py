"""What a daemon does about credentials without being asked, and who waits for a renewal.

Of `credential_rounds`:

1. Ends are written twice a second, and what rests on nothing any more is looked for every two seconds; who
   waits for one of them is told, and the brokers are woken.
2. What is overdue is told by one daemon of a database, the one that leads.
3. Only namespaces with a target have credentials.
4. An action whose holder was lost is unknown for no longer than its credential's row does not know.
5. What an egress had that is gone together with its daemon is looked for every five seconds, a gateway's
   grace, and ended when it was seen twice: the presence of a daemon can be lost for a moment.
6. What is looked for is read beside the worker, and each of what is found is a turn of its own in it: no
   decision waits for more than one of them.

Of `credential_renewals`:

1. Whoever waits is on the connection that holds the renewal's permit. They wait for what the row says: a
   renewal of which nobody tells is told of by the credential's end.
2. What came of the action follows from the row, and is recorded as its holder would tell it, as often as it
   takes (`credential_desk`, rule 4).
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
from taskbound.surfaces.api.worker import OverloadedError
from taskbound.wire.target import Renewed

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.credential import Credential
    from taskbound.flows.action import Release, Report
    from taskbound.ports.credential import HeldCredential
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon


_SEATS: Final = 10
"""Every so many rounds is also one for what an egress had that is gone."""
_STRANDED: Final = 4
"""Every so many rounds is also one for what rests on nothing any more, and for what is overdue."""


class CredentialRounds:
    """The rounds; used in the loop, one at a time."""

    def __init__(self, daemon: Daemon) -> None:
        """Begin with none."""
        self._daemon = daemon
        self._overdue = Overdue(daemon.means)
        self._turn = 0
        self._lost: dict[str, frozenset[HeldCredential]] = {}
        """By namespace: what was seen without a holder the last time (rule 5)."""

    async def go(self) -> None:
        """One round; asked for twice a second."""
        daemon, desk = self._daemon, self._daemon.credentials
        targets = await daemon.read(self._targets)
        for space, names in targets.items():
            for name in await daemon.read(partial(find_due, daemon.means, space)):  # 6
                row = await daemon.first(partial(end_one_due, daemon.means, space, name))
                if row is not None:
                    desk.wake(space, [row.target])
                    desk.tell((row,))
            if self._turn % _STRANDED == 0:
                await self._see_to_rest(space, names)
            if self._turn % _SEATS == 0:
                await self.see_to_seats(space)
        await desk.look()
        if self._turn % _STRANDED == 0 and daemon.means.store.leads():  # 2
            for space in targets:
                await daemon.read(partial(self._overdue.tell, space))
        self._turn += 1

    async def _see_to_rest(self, space: str, targets: list[str]) -> None:
        """End what rests on nothing any more, and say what came of what nobody told (rules 4 and 6)."""
        daemon = self._daemon
        for task in await daemon.read(partial(find_stranded, daemon.means, space)):
            if await daemon.first(partial(end_one_stranded, daemon.means, space, task)):
                daemon.credentials.wake(space, targets)
        for known in await daemon.read(partial(find_unknown, daemon.means, space)):
            await daemon.first(partial(settle_one, daemon.means, known))

    async def see_to_seats(self, space: str) -> None:
        """End what an egress had that is gone together with its daemon (rule 5)."""
        daemon, means = self._daemon, self._daemon.means
        own = daemon.connections.names()
        lost = await daemon.read(partial(find_lost_seats, means, space, own))
        known, self._lost[space] = self._lost.get(space, frozenset()), lost
        for one in sorted(lost & known):
            row = await daemon.first(partial(end_own, means, space, one.credential, one.task, LEFT))
            daemon.credentials.wake(space, [row.target])
            daemon.credentials.tell((row,))

    def _targets(self) -> dict[str, list[str]]:
        """Names of targets by their namespace (rule 3)."""
        found: dict[str, list[str]] = {}
        with self._daemon.means.store.read() as snapshot:
            for one in snapshot.targets.all_targets():
                found.setdefault(one.namespace, []).append(one.name)
        return found


_log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace and id."""


class AskerGoneError(UnavailableError):
    """Whoever waits for a credential is gone, or waits for it already."""

    code = "asker-gone"
    remedy = "ask for the credential anew, on one connection"


@dataclass(frozen=True, slots=True)
class _Open:
    """A renewal whose action has no outcome yet."""

    connection: str
    action: str


class RenewalDesk:
    """What a daemon keeps of renewals; used in the loop."""

    def __init__(self, daemon: Daemon) -> None:
        """Begin with none."""
        self._daemon = daemon
        self._open: dict[Key, _Open] = {}
        self._waiting: dict[Key, tuple[str, asyncio.Future[Renewed]]] = {}

    def keys(self) -> set[Key]:
        """Credentials of which somebody wants to know."""
        return {*self._open, *self._waiting}

    def expect(self, connection: Connection, credential: str, action: str) -> None:
        """A renewal was permitted to this connection, and its action has no outcome yet."""
        self._open[connection.namespace, credential] = _Open(connection.name, action)

    async def wait(self, connection: Connection, credential: str, *, patience: float) -> Renewed:
        """Wait until its target was told (rule 1).

        Raises:
            NotAskerError: No renewal of it was permitted on this connection.
            RenewalFailedError: The target does not let it live longer.
            CredentialEndedError: It is over.
            StillRenewingError: The broker is still at it.
            AskerGoneError: The connection is lost, or waits for it already.
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
        with self._daemon.means.store.read() as snapshot:
            return require_renewer(snapshot, connection.namespace, credential, connection.name)

    def tell(self, row: Credential) -> None:
        """It stands so now: who waits hears what came of the renewal, and so does its action (rule 2)."""
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
        """A connection is lost, and what waited on it."""
        for holder, future in self._waiting.values():
            if holder == connection.name and not future.done():
                future.set_exception(AskerGoneError("whoever waited for the renewal is gone"))


def hand(daemon: Daemon, report: Report, again: Callable[[], None]) -> None:
    """Have what came of a credential's action recorded; `again` is called where it could not be."""

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
