"""Evaluations by AuthZEN, for agents that are afar: each one is an action, decided as any other.

1. Each is asked on the one path (`action.decided`), under a name of its own: law 2 knows no decision about
   several acts. Those of a request that are all asked about wait together, and are committed in one group
   where there is room; where one answer can be the last they are asked one after the other, so that what
   comes behind it takes nothing.
2. Whoever may not ask for an action may not evaluate one: a rule that forbids the one is no good if the
   other is another name for it.
3. What can't be read of one leaves one record, and its neighbors' answers are what they would have been.
4. A key is one action's. So a request of several has none.
5. Nobody tells what came of it: only a tool that was declared so can be asked about
   (`flows.decision.usable`).
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING

from taskbound.core.decision import Permit, Settled
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.core.identity.answered import BadRequestKeyError, parse_request_key
from taskbound.core.policy.operation import Allowed, Barred, OperationForbiddenError
from taskbound.core.policy.operations import OPERATIONS
from taskbound.core.tool import NotAToolError, credential_kind, parse_tool_name
from taskbound.flows.approval.hold.holds import MOST_WAIT
from taskbound.surfaces.api.acting import not_permitted, permitted, require_token
from taskbound.surfaces.api.action import decided, malformed
from taskbound.surfaces.api.daemon import Asked
from taskbound.surfaces.api.errors import family_of
from taskbound.surfaces.api.tracing import watching
from taskbound.wire import action as wire
from taskbound.wire.frame import FrameError

if TYPE_CHECKING:
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer

__all__ = ["evaluate_actions"]

_SHOWN = 200
"""Characters that are recorded of what is no name of a tool."""


async def evaluate_actions(daemon: Daemon, seat: Connection, ask: wire.EvaluateActions) -> Answer:
    """The answers to these evaluations (rules 1 and 2)."""
    require_token(seat)
    match daemon.authority.standing(seat, OPERATIONS["action:ask"]):
        case Allowed():
            pass
        case Barred(code=code):
            raise OperationForbiddenError(f"the rules let this agent ask for no action ({code})")  # 2
    if not 1 <= len(ask.evaluations) <= wire.MOST_EVALUATIONS:
        raise FrameError(f"a request has 1 to {wire.MOST_EVALUATIONS} evaluations")
    if seat.key:
        parse_request_key(seat.key)
        if len(ask.evaluations) > 1:
            raise BadRequestKeyError("a key is one action's, and this request is about several")  # 4
    if not ask.until:
        found = [_evaluate(daemon, seat, number, one) for number, one in enumerate(ask.evaluations)]
        return wire.ActionsEvaluated(answers=tuple(await asyncio.gather(*found)))
    last = wire.ActionPermitted if ask.until == "permit" else wire.NotPermitted
    answers: list[wire.ActionPermitted | wire.NotPermitted] = []
    for number, one in enumerate(ask.evaluations):
        answers.append(await _evaluate(daemon, seat, number, one))
        if isinstance(answers[-1], last):
            break
    return wire.ActionsEvaluated(answers=tuple(answers))


async def _evaluate(
    daemon: Daemon, seat: Connection, number: int, one: wire.Evaluation
) -> wire.ActionPermitted | wire.NotPermitted:
    """The answer to one of them; whatever is wrong with it is its own (rule 3)."""
    try:
        _require_named(one)
    except MalformedError as error:
        code, message = one.code or error.code, one.message or error.message
        await _record(daemon, seat, one, code, message)
        return _why_not(error, code=code, message=message)
    asked = Asked(
        connection=seat,
        ask=wire.Decide(
            tool=one.tool,
            arguments=one.arguments,
            request=str(number),
            key=seat.key,
            wait=MOST_WAIT,
            read=(),
        ),
        watch=watching(),
        unwatched=True,
        subject=one.subject,
    )
    try:
        found = await decided(daemon, asked)
        if isinstance(found, Settled) and isinstance(found.decision, Permit):
            return permitted(found, found.decision)
        return not_permitted(daemon, seat, found)
    except TaskboundError as error:
        return _why_not(error, code=error.code, message=error.message)


def _require_named(one: wire.Evaluation) -> None:
    """Go on only with the name of a tool that can be asked about.

    Raises:
        MalformedError: It is none, or the process that listens says why there is none.
    """
    if one.code:
        raise NotAToolError(one.message)
    parse_tool_name(one.tool)
    if credential_kind(one.tool) is not None:
        raise NotAToolError("a credential is asked for where its secret can be taken")


async def _record(daemon: Daemon, seat: Connection, one: wire.Evaluation, code: str, message: str) -> None:
    """One record of what can't be read (rule 3)."""
    raw = bytes(one.arguments)
    unread = wire.Malformed(
        code=code,
        message=message,
        size=len(raw),
        sha256=sha256(raw).hexdigest(),
        tool=one.tool[:_SHOWN],
    )
    await malformed(daemon, seat, unread)


def _why_not(error: TaskboundError, *, code: str, message: str) -> wire.NotPermitted:
    return wire.NotPermitted(code=code, family=family_of(error.code), message=message, advice=error.advice)
