"""Operations on scopes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.action import parse_object
from taskbound.core.scope import describe
from taskbound.core.scope.algebra import Covers, NotCovers
from taskbound.core.scope.suggest import MadeCall
from taskbound.flows.scope import SuggestOrder, suggest_scope
from taskbound.surfaces.api.show import scope_raw
from taskbound.wire import scope as wire

if TYPE_CHECKING:
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer


async def suggest(daemon: Daemon, connection: Connection, ask: wire.SuggestScope) -> Answer:
    """The narrowest scope for what was done or is meant."""
    order = SuggestOrder(
        namespace=connection.namespace,
        agent=ask.agent,
        tasks=ask.tasks,
        since=ask.since,
        calls=tuple(
            MadeCall(tool=one.tool, arguments=parse_object(bytes(one.arguments))) for one in ask.calls
        ),
    )

    def read() -> Answer:
        found = suggest_scope(daemon.means, order)
        made = found.suggestion
        within = made.within
        return wire.Suggested(
            scope=scope_raw(made.scope),
            words=describe(made.scope),
            widenings=tuple(
                wire.WideningRow(grant=one.grant, path=one.path, what=one.what, why=one.why, broad=one.broad)
                for one in made.widenings
            ),
            calls=made.calls,
            agent=found.agent,
            within=isinstance(within, Covers),
            outside=within.sentences if isinstance(within, NotCovers) else (),
            unread=found.unread,
        )

    return await daemon.read(read)
