"""Pinning servers with the definitions that their probes listed, and taking them away.

1. A person pins a server; all its tools are pinned with it, or nothing is. So is each method that it says
   it has beside them (`core.tool.method`): one that it has only later is pinned with the server anew.
2. The first version of a pin is the instant at which it was made, and not 1: a daemon that has seen a tool
   which was taken away would take what is pinned under its name for that one. A pin changes less often than
   once in a microsecond, so that no later pin of the name has a version that an earlier one had.
3. Whoever pins a server owns its tools, until they are given to somebody else (`owning`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.audit import ToolPinned, UpstreamAdded, UpstreamRemoved
from taskbound.core.tool import (
    join_tool_name,
    method_definition,
    parse_definitions,
    parse_server_name,
    require_distinct,
)
from taskbound.core.tool.argument import require_arguments
from taskbound.flows.tool.errors import UnknownServerError, UpstreamExistsError
from taskbound.ports.tool import PinnedServer, PinnedTool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.core.tool import ServerIdentity, ToolDefinition
    from taskbound.flows.decision import Views
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction


class Pins:
    """Pins servers; used from one thread at a time."""

    def __init__(self, means: Means, views: Views) -> None:
        """Keep what to work with."""
        self._means = means
        self._views = views

    def add(  # noqa: PLR0913 -- what a server is pinned with: its name, itself, its start and all that it has
        self,
        name: str,
        identity: ServerIdentity,
        spec: bytes,
        raws: Sequence[bytes],
        *,
        agents: tuple[str, ...],
        actor: Actor,
        methods: Sequence[str] = (),
    ) -> PinnedServer:
        """Pin a server and its tools.

        Args:
            name: The part of its tools' names before `__`.
            identity: Of the server as it was probed.
            spec: All that is needed to start it again, as JSON.
            raws: Each tool object as the probe received it.
            agents: Agents whose gateways offer it; none means every one.
            actor: Who pins it.
            methods: What the server says that it can be asked for beside its tools.

        Raises:
            MalformedError: A name or a definition can't be, or a slot is an argument that no tool has.
            UpstreamExistsError: The name is taken.
        """
        namespace = identity.namespace
        parse_server_name(name)
        definitions = (*parse_definitions(raws, server=name), *map(method_definition, sorted(set(methods))))
        require_distinct(one.name for one in definitions)
        require_arguments(identity.slots, definitions)
        server = PinnedServer(
            namespace=namespace,
            name=name,
            spec=spec,
            identity=identity.digest,
            agents=tuple(sorted(set(agents))),
        )

        def work(tx: Transaction) -> None:
            if (there := tx.tools.server(namespace, name)) is not None:
                raise UpstreamExistsError(
                    f"a {'target' if there.is_target else 'server'} named `{name}` is pinned already"
                )
            tx.tools.put_server(server, expect=0)
            events: list[Event] = [_added(server, identity, actor)]
            now = self._means.clock.now()
            for definition in definitions:
                tool = _pin(server, definition, now, actor)
                tx.tools.put_tool(tool, expect=0)
                events.append(_pinned(tool, definition, actor))
            self._record(tx, namespace, events)

        self._means.store.write(work)
        self._views.forget()
        return server

    def remove(self, namespace: str, name: str, actor: Actor) -> None:
        """Take a server and its pins away.

        Raises:
            UnknownServerError: It is not pinned, or is a target.
        """

        def work(tx: Transaction) -> None:
            server = tx.tools.server(namespace, name)
            if server is not None and server.is_target:
                raise UnknownServerError(
                    f"`{name}` is a target and no server",
                    remedy=f"take it away with `taskbound target remove {name}`",
                )
            server = require_server(server, name)
            tx.tools.drop_server(namespace, name)
            event = UpstreamRemoved(upstream=name, server=server.identity, by=actor.name, proof=actor.proof)
            self._record(tx, namespace, [event])

        self._means.store.write(work)
        self._views.forget()

    def _record(self, tx: Transaction, namespace: str, events: list[Event]) -> None:
        tx.audit.append(namespace, self._means.writer, events, self._means.clock.now())


def require_server(server: PinnedServer | None, name: str) -> PinnedServer:
    """Go on only with a server; a target is none (`flows.target`).

    Raises:
        UnknownServerError: There is none.
    """
    if server is None or server.is_target:
        raise UnknownServerError(f"no server is named `{name}`")
    return server


def _pin(server: PinnedServer, definition: ToolDefinition, now: Instant, actor: Actor) -> PinnedTool:
    return PinnedTool(
        namespace=server.namespace,
        name=join_tool_name(server.name, definition.name),
        server=server.name,
        identity=server.identity,
        definition=definition.canonical,
        digest=definition.digest,
        state="pinned",
        version=now,  # 2
        owner=actor.name,  # 3
    )


def _added(server: PinnedServer, identity: ServerIdentity, actor: Actor) -> UpstreamAdded:
    return UpstreamAdded(
        upstream=server.name,
        server=server.identity,
        command=identity.command if identity.remote is None else identity.remote.url,
        by=actor.name,
        proof=actor.proof,
    )


def _pinned(tool: PinnedTool, definition: ToolDefinition, actor: Actor) -> ToolPinned:
    return ToolPinned(
        tool=tool.name,
        server=tool.identity,
        definition=tool.digest,
        effect=definition.effect.value,
        by=actor.name,
        proof=actor.proof,
        owner=tool.owner,
    )
