"""Operations on what proves agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.identity.selector import parse_selector, selector_id
from taskbound.flows.identity.selectors import add_selector, drop_selector
from taskbound.wire import workload as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.core.identity.selector import Selector
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer

__all__ = ["list_selectors", "put_selector", "remove_selector"]


async def put_selector(daemon: Daemon, connection: Connection, ask: wire.AddSelector) -> Answer:
    """Have a credential that says this prove the agent."""
    selector = parse_selector(
        connection.namespace,
        ask.agent,
        kind=ask.kind,
        issuer=ask.issuer,
        subjects=ask.subjects,
        claims=[(one.pointer, one.text) for one in ask.claims],
    )

    def work() -> str:
        actor, owns = daemon.require_giver(connection)
        return add_selector(daemon.means, selector, actor=actor, owns=owns)

    return Done(detail=await daemon.first(work))


async def remove_selector(daemon: Daemon, connection: Connection, ask: wire.RemoveSelector) -> Answer:
    """Have such a credential prove the agent no more."""

    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        drop_selector(daemon.means, connection.namespace, ask.agent, ask.selector, actor=actor, owns=owns)

    await daemon.first(work)
    return Done()


async def list_selectors(daemon: Daemon, connection: Connection, ask: wire.ListSelectors) -> Answer:
    """The selectors of one agent, or of all."""

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            found = snapshot.workloads.selectors(connection.namespace)
        return wire.SelectorRows(rows=tuple(_row(one) for one in found if ask.agent in {"", one.agent}))

    return await daemon.read(read)


def _row(selector: Selector) -> wire.SelectorRow:
    return wire.SelectorRow(
        id=selector_id(selector),
        agent=selector.agent,
        kind=selector.kind.value,
        issuer=selector.issuer,
        subjects=selector.subjects,
        claims=tuple(
            wire.ClaimText(pointer=pointer, text=text) for pointer, texts in selector.claims for text in texts
        ),
    )
