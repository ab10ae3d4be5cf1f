"""Operations on upstream servers and tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from taskbound.core.errors import DeniedError
from taskbound.core.identity import UnprovenError
from taskbound.core.revocation import require_not_stopped
from taskbound.core.scope import tools_of
from taskbound.core.task import require_live
from taskbound.core.tool import Effect, join_tool_name, parse_definition, parse_slot
from taskbound.core.tool.name import credential_kind
from taskbound.core.tool.slot import offered
from taskbound.flows.tool import Declaration
from taskbound.flows.tool.applying import (
    Saying,
    ToolSaying,
    apply_file,
    compare_file,
    set_approvers,
    set_owner,
)
from taskbound.flows.tool.secret import slots_of
from taskbound.surfaces.api.filters import require_server
from taskbound.surfaces.api.show import tool_row, upstream_row
from taskbound.wire import tool as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.flows.tool.applying import Applied
    from taskbound.ports.tool import PinnedServer
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer


_SERVED = frozenset({"pinned", "text-changed"})


async def add_upstream(daemon: Daemon, connection: Connection, ask: wire.AddUpstream) -> Answer:
    """Pins a server and its tools."""
    identity = wire.identity_of(ask.spec, namespace=connection.namespace)
    await daemon.first(
        lambda: daemon.pins.add(
            ask.spec.name,
            identity,
            msgspec.json.encode(ask.spec),
            [bytes(one) for one in ask.definitions],
            agents=ask.agents,
            actor=daemon.require_person(connection),
            methods=ask.methods,
        )
    )
    return Done(detail=identity.digest)


async def remove_upstream(daemon: Daemon, connection: Connection, ask: wire.RemoveUpstream) -> Answer:
    """Removes a server and its pins."""
    await daemon.first(
        lambda: daemon.pins.remove(connection.namespace, ask.name, daemon.require_person(connection))
    )
    return Done()


async def set_secret(daemon: Daemon, connection: Connection, ask: wire.SetSecret) -> Answer:
    """Stores or removes a sealed secret of a server."""
    await daemon.first(
        lambda: daemon.secrets.put(
            connection.namespace,
            ask.server,
            ask.slot,
            number=ask.number,
            sealed=ask.sealed,
            actor=daemon.require_person(connection),
        )
    )
    return Done()


async def list_upstreams(daemon: Daemon, connection: Connection, _ask: wire.ListUpstreams) -> Answer:
    """Returns all pinned servers; to a gateway those of its agent."""

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            rows = [
                upstream_row(
                    server,
                    snapshot.tools.tools(connection.namespace, server=server.name),
                    snapshot.tools.secrets(connection.namespace, server.name)
                    if connection.role != "gateway"
                    else None,
                )
                for server in snapshot.tools.servers(connection.namespace)
                if connection.role != "gateway" or not server.agents or connection.agent in server.agents
            ]
        if any(row.spec.slots for row in rows):
            daemon.egress_wanted.set()
        return wire.UpstreamRows(rows=tuple(rows))

    return await daemon.read(read)


async def reach_tools(daemon: Daemon, connection: Connection, ask: wire.ReachTools) -> Answer:
    """Returns the pinned tools in the scope of the connection's task, or the kinds of one target."""

    def work() -> Answer:
        daemon.require_gateway(connection)
        try:
            task = daemon.bind(connection)
            rows = _reachable(daemon, connection, task, ask.target)
        except DeniedError as error:
            return wire.ToolRows(rows=(), task=connection.task, refusal=error.message)
        return wire.ToolRows(rows=rows, task=task)

    return await daemon.first(work)


def _reachable(daemon: Daemon, connection: Connection, task: str, target: str) -> tuple[wire.ToolRow, ...]:
    namespace = connection.namespace
    with daemon.means.store.read() as snapshot:
        require_not_stopped(snapshot.revocation.kill_switch(namespace))
        require_live(task, snapshot.tasks.heads(namespace, {task}), daemon.means.clock.now())
        found = snapshot.tasks.task(namespace, task)
        agent = snapshot.identities.agent(namespace, connection.agent)
        if found is None or agent is None:
            return ()
        servers = {one.name: one for one in snapshot.tools.servers(namespace)}
        names = tools_of(found.scope) & tools_of(agent.ceiling)
        tools = [tool for name in sorted(names) if (tool := snapshot.tools.tool(namespace, name)) is not None]
    if target:
        return tuple(tool_row(one) for one in tools if (credential_kind(one.name) or ("",))[0] == target)
    hidden = {name: _hidden(one) for name, one in servers.items()}
    return tuple(
        replace(tool_row(one), raw=msgspec.Raw(offered(one.definition, hidden[one.server].get(one.name, ()))))
        for one in tools
        if one.state in _SERVED
        and not one.unwatched  # its caller would report an outcome, and is refused
        and one.server in servers  # not in a target: what is asked for there is no call
        and (not servers[one.server].agents or connection.agent in servers[one.server].agents)
    )


def _hidden(server: PinnedServer) -> dict[str, set[str]]:
    """Returns, by tool, the arguments that are not offered to agents (`core.tool.argument`)."""
    found: dict[str, set[str]] = {}
    for slot in map(parse_slot, slots_of(server)):
        if slot.tool:
            found.setdefault(join_tool_name(server.name, slot.tool), set()).add(slot.name)
    return found


async def list_tools(daemon: Daemon, connection: Connection, ask: wire.ListTools) -> Answer:
    """Returns all pinned tools."""

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            require_server(snapshot, connection.namespace, ask.server)
            tools = snapshot.tools.tools(connection.namespace, server=ask.server)
            named = snapshot.tools.approvers(connection.namespace)
        return wire.ToolRows(rows=tuple(tool_row(one, named.get(one.name), one.owner) for one in tools))

    return await daemon.read(read)


async def see_tools(daemon: Daemon, connection: Connection, ask: wire.SeeTools) -> Answer:
    """Compares the list of a started server with its pins."""
    raws = [bytes(one) for one in ask.definitions]

    def work() -> Answer:
        gateway = connection.role == "gateway"
        if not gateway:
            daemon.require_person(connection)
        found = daemon.sights.see(
            connection.namespace,
            ask.server,
            ask.identity,
            raws,
            agent=connection.agent if gateway else None,
            methods=ask.methods,
        )
        return wire.Seen(differences=tuple((one.tool, one.state, "; ".join(one.words)) for one in found))

    return await daemon.first(work)


async def diff_tool(daemon: Daemon, connection: Connection, ask: wire.DiffTool) -> Answer:
    """Returns the difference between a tool's last seen definition and its pin."""

    def read() -> Answer:
        pin, difference = daemon.sights.difference(connection.namespace, ask.name)
        return wire.ToolDiff(
            name=pin.name,
            state=pin.state,
            pinned=pin.definition.decode(),
            seen=pin.seen.decode(),
            differences=difference.words,
            definition=parse_definition(pin.seen).digest if pin.seen else "",
        )

    return await daemon.read(read)


async def accept_tool(daemon: Daemon, connection: Connection, ask: wire.AcceptTool) -> Answer:
    """Pins the definition that was last seen."""
    if connection.role != "cli":
        raise UnprovenError("only a person accepts a changed tool")
    await daemon.first(
        lambda: daemon.sights.accept(
            connection.namespace, ask.name, ask.definition, daemon.require_person(connection)
        )
    )
    return Done()


async def declare_tool(daemon: Daemon, connection: Connection, ask: wire.DeclareTool) -> Answer:
    """Stores a person's declaration of a tool."""
    if connection.role != "cli":
        raise UnprovenError("only a person declares what a tool does")
    await daemon.first(
        lambda: daemon.sights.declare(
            connection.namespace,
            ask.name,
            ask.definition,
            daemon.require_person(connection),
            _declaration(ask),
        )
    )
    return Done()


async def apply_tools(daemon: Daemon, connection: Connection, ask: wire.ApplyTools) -> Answer:
    """Returns what a tool file would change, or applies it if its changes were confirmed."""
    if connection.role != "cli":
        raise UnprovenError("only a person declares what a tool does")
    said = Saying(
        server=ask.server,
        tools=tuple(
            ToolSaying(name=one.name, said=_declaration(one), approvers=one.approvers, owner=one.owner)
            for one in ask.tools
        ),
        shareable=ask.shareable,
    )

    def work() -> Answer:
        actor = daemon.require_person(connection)
        space, owns = connection.namespace, connection.peer.proof.uid == daemon.owner_uid
        if not ask.agreed:
            return _changes(compare_file(daemon.means, space, said), applied=False)
        found = apply_file(
            daemon.means,
            space,
            said,
            agreed=ask.agreed,
            relax=ask.relax,
            actor=actor,
            owns=owns,
        )
        daemon.views.forget()
        return _changes(found, applied=True)

    return await daemon.first(work)


def _declaration(said: wire.DeclareTool | wire.ToolSaid) -> Declaration:
    return Declaration(
        idempotent=said.idempotent,
        unwatched=None if said.outcome is None else said.outcome == "unwatched",
        probes=said.probes,
        checks=said.checks,
        effect=None if said.effect is None else Effect(said.effect),
        roles=said.roles,
    )


def _changes(found: Applied, *, applied: bool) -> wire.ToolChanges:
    return wire.ToolChanges(
        rows=tuple(
            wire.ToolChange(
                tool=one.tool, what=one.what, before=one.before, after=one.after, relaxes=one.relaxes
            )
            for one in found.changes
        ),
        digest=found.digest,
        applied=applied,
    )


async def answer_for_tool(daemon: Daemon, connection: Connection, ask: wire.AnswerForTool) -> Answer:
    """Sets the approvers of a tool."""

    def work() -> Answer:
        actor, owns = daemon.require_giver(connection)
        space = connection.namespace
        set_approvers(daemon.means, space, ask.name, ask.approvers, actor=actor, owns=owns)
        daemon.views.forget()
        return Done()

    return await daemon.first(work)


async def own_tool(daemon: Daemon, connection: Connection, ask: wire.OwnTool) -> Answer:
    """Sets the owner of a tool."""

    def work() -> Answer:
        actor, owns = daemon.require_giver(connection)
        set_owner(daemon.means, connection.namespace, ask.name, ask.owner, actor=actor, owns=owns)
        daemon.views.forget()
        return Done()

    return await daemon.first(work)
