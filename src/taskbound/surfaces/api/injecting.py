"""Credentials that fill slots of servers: asked for by the egress, as actions of a gateway's task.

1. The egress names the process that it read from its own socket, and a task. The daemon answers for that:
   the process is a gateway of the task, which is live, of an agent that may use the server.
2. What is asked for is what the server was pinned with: target, kind and parameters are read from its
   identity. Nothing that a gateway says is part of it.
3. It is decided where every call is (`action.have_decided`), for the agent and its task, and permitted to
   the egress' own connection: to that alone the secret is handed out, and with that it ends.
4. Such a connection belongs to one task of one agent from its first question on, and to none after that.
5. A longer life is asked for only where the kind's pinned definition has one: who can't be renewed leaves
   no refusal behind each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from taskbound.core.action import canonical
from taskbound.core.credential import NotRenewableError
from taskbound.core.errors import DeniedError
from taskbound.core.identity import UnprovenError
from taskbound.core.target import RENEWS, SECONDS
from taskbound.core.tool import parse_definition, parse_slot
from taskbound.core.tool.name import shown
from taskbound.flows.tool import UnknownServerError
from taskbound.flows.tool.secret import slots_of
from taskbound.surfaces.api.action import answer_of, decided
from taskbound.surfaces.api.asked import Asked
from taskbound.surfaces.api.egress import gateways_of, require_any_live
from taskbound.wire.action import Decide

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue
    from taskbound.core.tool import Source
    from taskbound.ports.store import Snapshot
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.egress import InjectCredential
    from taskbound.wire.envelope import Answer


class NotInjectedError(DeniedError):
    """The server is not pinned with a slot that such a credential fills."""

    code = "not-injected"
    remedy = "see how the server is pinned with `taskbound upstream list`"


class OtherSeatError(DeniedError):
    """The connection of the egress belongs to another task."""

    code = "other-seat"
    remedy = "ask on a connection of its own: one for each server that is started"


async def inject(daemon: Daemon, connection: Connection, ask: InjectCredential) -> Answer:
    """Leave to have a credential for a server of a task, or why not.

    Raises:
        UnprovenError: The process is no gateway of the task.
        DeniedError: The task is not live, or the server has no such slot.
    """
    space = connection.namespace
    agents = {one.agent for one in gateways_of(daemon, space, ask.holder) if one.task == ask.task}
    if not ask.task or len(agents) != 1:
        raise UnprovenError("the process that asks is no gateway of this task")  # 1
    (agent,) = agents

    def read() -> Source:
        with daemon.means.store.read() as snapshot:
            require_any_live(daemon, snapshot, space, [ask.task])
            source = _source(snapshot, space, agent, ask)
            if ask.renews:
                _require_renewable(snapshot, space, source)
        return source

    source = await daemon.read(read)
    _seat(connection, agent, ask.task)
    arguments: dict[str, JsonValue] = dict(source.given)
    if seconds := ask.seconds or source.seconds:
        arguments[SECONDS] = seconds
    if ask.renews:
        arguments[RENEWS] = ask.renews
    decide = Decide(
        tool=source.tool,
        arguments=msgspec.Raw(canonical(arguments)),
        request=ask.request,
        resume=ask.resume,
        wait=ask.wait,
        recipient=ask.recipient,
    )
    return answer_of(daemon, connection, await decided(daemon, Asked(connection=connection, ask=decide)))  # 3


def _source(snapshot: Snapshot, namespace: str, agent: str, ask: InjectCredential) -> Source:
    """What fills the slot, as the server is pinned now (rule 2).

    Raises:
        UnknownServerError: It is not pinned for this agent.
        NotInjectedError: It is another one by now, or has no such slot.
    """
    server = snapshot.tools.server(namespace, ask.server)
    if server is None or server.is_target or (server.agents and agent not in server.agents):
        raise UnknownServerError(f"no server `{shown(ask.server)}` is pinned for the agent")
    if server.identity == ask.identity:
        for slot in map(parse_slot, slots_of(server)):
            if slot.source is not None and slot.source.credential == ask.source:
                return slot.source
    raise NotInjectedError(f"server `{server.name}` has no slot that `{shown(ask.source)}` fills")


def _require_renewable(snapshot: Snapshot, namespace: str, source: Source) -> None:
    """Go on only where its kind's definition knows renewals (rule 5).

    Raises:
        NotRenewableError: It does not.
    """
    tool = snapshot.tools.tool(namespace, source.tool)
    properties = (
        parse_definition(tool.definition).input_schema.get("properties") if tool is not None else None
    )
    if not isinstance(properties, dict) or RENEWS not in properties:
        raise NotRenewableError(f"credentials of `{source.tool}` are not renewed")


def _seat(connection: Connection, agent: str, task: str) -> None:
    """Have the connection belong to this task (rule 4); in the loop.

    Raises:
        OtherSeatError: It belongs to another, or its own is over.
    """
    if not connection.agent:
        connection.agent, connection.named, connection.task = agent, task, task
    if (connection.agent, connection.named) != (agent, task):
        raise OtherSeatError("this connection asked for the credentials of another task")
