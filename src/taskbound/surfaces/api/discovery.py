"""What stands in targets beside what is minted here: asked by a person, looked at by the broker, told once.

1. The broker alone has admin access, so it looks. What it is asked names a target, and nothing is changed.
2. A person asks, from outside any gateway or run: what stands in a target, and how far it reaches, is a map
   for whoever would break in.
3. A question waits for `WAIT` at most. Its answer is believed of a broker that the question was put to, and
   goes to whoever asked; a second one changes nothing.
4. Whom to ask about what was found: the owner and the approvers of the target, as they are now.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import UnavailableError
from taskbound.core.target import parse_target_file
from taskbound.core.tool.name import shown
from taskbound.flows.target import UnknownTargetError
from taskbound.flows.target.people import answering
from taskbound.surfaces.api.credential import NoBrokerError
from taskbound.wire.broker import DiscoverPush, TellDiscovered
from taskbound.wire.connection import Done
from taskbound.wire.credential import Discovered

if TYPE_CHECKING:
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.credential import DiscoverTarget
    from taskbound.wire.envelope import Answer


WAIT: Final = 9.0
"""Seconds that a question waits: longer than a broker looks."""


class NothingSeenError(UnavailableError):
    """What stands in a target could not be seen."""

    code = "nothing-seen"
    remedy = "look at the target, and at the broker's log; nothing was changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    namespace: str
    answer: asyncio.Future[TellDiscovered]


class Discoveries:
    """Questions that wait for a broker; used in the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin with none."""
        self._loop = loop
        self._waiting: dict[str, _Waiting] = {}

    async def ask(
        self, brokers: tuple[Connection, ...], namespace: str, target: str, look: str
    ) -> TellDiscovered:
        """What one of these brokers sees in a target (rule 3).

        Raises:
            NothingSeenError: None of them answered in time.
        """
        waiting = _Waiting(namespace=namespace, answer=self._loop.create_future())
        self._waiting[look] = waiting
        try:
            for one in brokers:
                one.push(DiscoverPush(look=look, target=target))
            async with asyncio.timeout(WAIT):
                return await waiting.answer
        except TimeoutError:
            raise NothingSeenError("the broker did not answer in time") from None
        finally:
            del self._waiting[look]

    def take(self, namespace: str, told: TellDiscovered) -> None:
        """A broker answers; what nobody waits for is forgotten."""
        waiting = self._waiting.get(told.look)
        if waiting is not None and waiting.namespace == namespace and not waiting.answer.done():
            waiting.answer.set_result(told)


async def discover_target(daemon: Daemon, connection: Connection, ask: DiscoverTarget) -> Answer:
    """A person has the broker look what stands in a target.

    Raises:
        UnknownTargetError: There is no such target.
        NoBrokerError: No broker is there to do it.
        NothingSeenError: It could not be seen.
    """
    space = connection.namespace

    def work() -> tuple[str, str, tuple[str, ...]]:
        daemon.require_person(connection)  # 2
        with daemon.means.store.read() as snapshot:
            stored = snapshot.targets.target(space, ask.target)
            if stored is None:
                raise UnknownTargetError(f"no target is named `{shown(ask.target)}`")
            owners, approvers = answering(snapshot, stored)  # 4
        return parse_target_file(stored.file).kind, ", ".join(owners), approvers

    kind, owner, approvers = await daemon.first(work)
    brokers = daemon.connections.brokers(space)
    if not brokers:
        raise NoBrokerError("no broker is connected to this daemon, and nobody else can look")
    told = await daemon.discoveries.ask(brokers, space, ask.target, daemon.means.chance.name("dsc"))
    if told.code:
        raise NothingSeenError(
            told.trouble or "the broker could not look", remedy=told.advice or NothingSeenError.remedy
        )
    return Discovered(
        target=ask.target,
        kind=kind,
        owner=owner,
        approvers=approvers,
        rows=told.rows,
        count=told.count,
        notes=told.notes,
        whole=told.whole,
    )


async def take_discovered(daemon: Daemon, connection: Connection, ask: TellDiscovered) -> Answer:
    """What a broker saw in a target, for who asked (rule 3)."""
    daemon.discoveries.take(connection.namespace, ask)
    return Done()
