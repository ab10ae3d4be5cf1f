"""The operation with which a gateway asks which listed items its task may call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.errors import DeniedError, MalformedError
from taskbound.flows.decision import Call
from taskbound.flows.decision.coverage import covered_of
from taskbound.surfaces.api.server.operation import operation
from taskbound.wire import tool as wire

if TYPE_CHECKING:
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.wire.envelope import Answer


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
