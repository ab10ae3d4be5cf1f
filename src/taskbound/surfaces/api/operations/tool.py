"""Operations on upstream servers and tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity import UnprovenError
from taskbound.core.revocation import require_not_stopped
from taskbound.core.scope import tools_of
from taskbound.core.task import require_live
from taskbound.core.tool import Effect, join_tool_name, parse_definition, parse_slot
from taskbound.core.tool.name import credential_kind
from taskbound.core.tool.slot import offered
from taskbound.flows.decision import Call
from taskbound.flows.decision.coverage import covered_of
from taskbound.flows.tool import Declaration
from taskbound.flows.tool.applying import (
    FileDeclaration,
    ToolDeclaration,
    apply_file,
    compare_file,
    set_approvers,
    set_owner,
)
from taskbound.flows.tool.secret import slots_of
from taskbound.surfaces.api.operations.show import require_server, tool_row, upstream_row
from taskbound.surfaces.api.server.operation import as_giver, as_person, from_snapshot, operation
from taskbound.wire import tool as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.flows.tool.applying import Applied
    from taskbound.ports.tool import PinnedServer
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.surfaces.api.server.operation import GiverAct, PersonAct, Reading
    from taskbound.wire.envelope import Answer


_SERVED = frozenset({"pinned", "text-changed"})


@operation(wire.AddUpstream)
async def _add_upstream(daemon: Daemon, connection: Connection, ask: wire.AddUpstream) -> Answer:
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


@as_person(wire.RemoveUpstream)
def _remove_upstream(act: PersonAct, ask: wire.RemoveUpstream) -> None:
    act.daemon.pins.remove(act.namespace, ask.name, act.actor)


@as_person(wire.SetSecret)
def _set_secret(act: PersonAct, ask: wire.SetSecret) -> None:
    act.daemon.secrets.put(
        act.namespace, ask.server, ask.slot, number=ask.number, sealed=ask.sealed, actor=act.actor
    )


@from_snapshot(wire.ListUpstreams)
def _list_upstreams(reading: Reading, _ask: wire.ListUpstreams) -> Answer:
    connection = reading.connection
    rows = [
        upstream_row(
            server,
            reading.snapshot.tools.tools(reading.namespace, server=server.name),
            reading.snapshot.tools.secrets(reading.namespace, server.name)
            if connection.role != "gateway"
            else None,
        )
        for server in reading.snapshot.tools.servers(reading.namespace)
        if connection.role != "gateway" or not server.agents or connection.agent in server.agents
    ]
    if any(row.spec.slots for row in rows):
        reading.daemon.egress_wanted.set()
    return wire.UpstreamRows(rows=tuple(rows))


@operation(wire.ReachTools)
async def _reach_tools(daemon: Daemon, connection: Connection, ask: wire.ReachTools) -> Answer:
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
    with daemon.adapters.store.read() as snapshot:
        require_not_stopped(snapshot.revocation.kill_switch(namespace))
        require_live(task, snapshot.tasks.heads(namespace, {task}), daemon.adapters.clock.now())
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


@from_snapshot(wire.ListTools)
def _list_tools(reading: Reading, ask: wire.ListTools) -> Answer:
    require_server(reading.snapshot, reading.namespace, ask.server)
    tools = reading.snapshot.tools.tools(reading.namespace, server=ask.server)
    named = reading.snapshot.tools.approvers(reading.namespace)
    return wire.ToolRows(rows=tuple(tool_row(one, named.get(one.name), one.owner) for one in tools))


@operation(wire.SeeTools)
async def _see_tools(daemon: Daemon, connection: Connection, ask: wire.SeeTools) -> Answer:
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


@operation(wire.DiffTool)
async def _diff_tool(daemon: Daemon, connection: Connection, ask: wire.DiffTool) -> Answer:
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


@operation(wire.AcceptTool)
async def _accept_tool(daemon: Daemon, connection: Connection, ask: wire.AcceptTool) -> Answer:
    if connection.role != "cli":
        raise UnprovenError("only a person accepts a changed tool")
    await daemon.first(
        lambda: daemon.sights.accept(
            connection.namespace, ask.name, ask.definition, daemon.require_person(connection)
        )
    )
    return Done()


@operation(wire.DeclareTool)
async def _declare_tool(daemon: Daemon, connection: Connection, ask: wire.DeclareTool) -> Answer:
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


@operation(wire.ApplyTools)
async def _apply_tools(daemon: Daemon, connection: Connection, ask: wire.ApplyTools) -> Answer:
    if connection.role != "cli":
        raise UnprovenError("only a person declares what a tool does")
    said = FileDeclaration(
        server=ask.server,
        tools=tuple(
            ToolDeclaration(name=one.name, said=_declaration(one), approvers=one.approvers, owner=one.owner)
            for one in ask.tools
        ),
        shareable=ask.shareable,
    )

    def work() -> Answer:
        actor = daemon.require_person(connection)
        space, owns = connection.namespace, connection.peer.proof.uid == daemon.owner_uid
        if not ask.agreed:
            return _changes(compare_file(daemon.adapters, space, said), applied=False)
        found = apply_file(
            daemon.adapters,
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


@as_giver(wire.AnswerForTool)
def _answer_for_tool(act: GiverAct, ask: wire.AnswerForTool) -> None:
    space = act.namespace
    set_approvers(act.adapters, space, ask.name, ask.approvers, actor=act.actor, owns=act.owns)
    act.daemon.views.forget()


@as_giver(wire.OwnTool)
def _own_tool(act: GiverAct, ask: wire.OwnTool) -> None:
    set_owner(act.adapters, act.namespace, ask.name, ask.owner, actor=act.actor, owns=act.owns)
    act.daemon.views.forget()


_MOST: Final = 100
"""Calls of one question: between two questions other work has its turn."""


class TooManyCallsError(MalformedError):
    """A question names more calls than the daemon looks at."""

    code = "too-many-to-cover"
    remedy = "ask about at most 100 calls at a time"


class OtherTaskError(DeniedError):
    """The gateway asks about a task to which its connection no longer belongs."""

    code = "other-task"
    remedy = "make the call anew, if it is still needed: in the task that runs now"


@operation(wire.CoverCalls)
async def _cover_calls(daemon: Daemon, connection: Connection, ask: wire.CoverCalls) -> Answer:
    calls = [bytes(one) for one in ask.calls]
    if len(calls) > _MOST:
        raise TooManyCallsError(f"{len(calls)} calls are more than {_MOST}")

    def work() -> Answer:
        daemon.require_gateway(connection)
        try:
            task = daemon.bind(connection)
            if ask.task not in {"", task}:
                raise OtherTaskError("what is asked about was called in another task")
            daemon.views.read_anew(connection.namespace, task=task, tool=ask.tool)
            ground = daemon.decisions.ground(_call(connection, task, ask.tool))
        except DeniedError as error:
            return wire.Coverings(covered=(), refusal=error.message, code=error.code)
        return wire.Coverings(covered=covered_of(ground, calls, ask.how))

    return await daemon.first(work)


def _call(connection: Connection, task: str, tool: str) -> Call:
    """Makes a call that is never decided, to ask for its scope."""
    return Call(
        namespace=connection.namespace,
        agent=connection.agent,
        task=task,
        unbound=None,
        connection=connection.name,
        request="",
        key="",
        tool=tool,
        arguments=b"{}",
        proof="",
    )
