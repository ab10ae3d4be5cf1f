"""What a daemon does about credentials without being asked: it ends what is over, and tells what is overdue.

1. Ends are written twice a second, and what rests on nothing any more is looked for every two seconds; who
   waits for one of them is told, and the brokers are woken.
2. What is overdue is told by one daemon of a database, the one that leads.
3. Only namespaces with a target have credentials.
4. An action whose holder was lost is unknown for no longer than its credential's row does not know.
5. What an egress had that is gone together with its daemon is looked for every five seconds, a gateway's
   grace, and ended when it was seen twice: the presence of a daemon can be lost for a moment.
6. What is looked for is read beside the worker, and each of what is found is a turn of its own in it: no
   decision waits for more than one of them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.flows.credential.due import Overdue, end_one_due, find_due
from taskbound.flows.credential.reasons import LEFT
from taskbound.flows.credential.revoking import end_own
from taskbound.flows.credential.seated import find_lost_seats
from taskbound.flows.credential.settling import find_unknown, settle_one
from taskbound.flows.credential.stranded import end_one_stranded, find_stranded

if TYPE_CHECKING:
    from taskbound.ports.credential import HeldCredential
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
