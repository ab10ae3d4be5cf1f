"""AuthZEN evaluations for agents and services over a network: each is decided as an action.

1. Each evaluation takes the path of a call (`action.decided`) under its own name; law 2 knows no decision
   about several acts. Evaluations that are all wanted wait together and commit in one group. If one answer
   can end the list, they are asked in sequence, so that later ones consume nothing.
2. Evaluating needs the right to ask for an action, or it would bypass a rule that forbids asking.
3. An evaluation that cannot be parsed leaves one record and does not change the answers of its neighbors.
4. A key belongs to one action, so a request of several evaluations has no key.
5. No outcome is ever reported: only a tool declared so can be evaluated (`flows.decision.usable`).
6. A service that asks in its own name presents, per evaluation, a token that the task's agent showed to it
   and whose audience is the service. So it asks only for tasks whose agents called it. The call is the
   agent's, in its task, on a seat of its own; the commit checks the service again
   (`flows.decision.enforcing`). It is no heartbeat of the agent. A token named several times is verified
   once.
"""

from __future__ import annotations

import asyncio
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import ActionUndecided
from taskbound.core.decision import Permit, Settled
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.core.identity.proof import BadRequestKeyError, TokenProof, parse_request_key
from taskbound.core.policy.operation import Allowed, Barred, OperationForbiddenError
from taskbound.core.policy.operations import OPERATIONS
from taskbound.core.token import UnknownTokenError
from taskbound.core.tool import NotAToolError, credential_kind, parse_tool_name
from taskbound.core.tool.errors import BadServerNameError, BadToolNameError, ForeignCharacterError
from taskbound.flows.approval.hold.holds import MOST_WAIT
from taskbound.flows.decision.tokens import AskingService
from taskbound.flows.token.standing import require_token_goes_on
from taskbound.surfaces.api.auth.network import seat_of_task
from taskbound.surfaces.api.operations.acting import not_permitted, permitted, require_token
from taskbound.surfaces.api.operations.action import decided, malformed, record_unread
from taskbound.surfaces.api.operations.service import is_service_seat, require_service_seat
from taskbound.surfaces.api.server.operation import operation
from taskbound.surfaces.api.server.reply import family_of
from taskbound.surfaces.api.server.tracing import watching
from taskbound.surfaces.api.server.worker import WaitingCall
from taskbound.wire import action as wire
from taskbound.wire.frame import FrameError

if TYPE_CHECKING:
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.wire.envelope import Answer


_SHOWN: Final = 200
"""Characters that are recorded of what is no name of a tool."""
_NAMED: Final = {one.code: one for one in (BadServerNameError, BadToolNameError, ForeignCharacterError)}
"""What is wrong with a name, by the code that the process which listens says: each has its own advice."""


class NoTaskTokenError(MalformedError):
    """A service asks in its own name and names no task's token."""

    code = "task-token-missing"
    remedy = "send the task token that the agent showed this service, as `task_token` in the context"


class TwoTaskTokensError(MalformedError):
    """A caller that shows a task's token names another one in the request."""

    code = "task-token-twice"
    remedy = "show a token of the service's own, or leave `task_token` out of the context"


@operation(wire.EvaluateActions)
async def _evaluate_actions(daemon: Daemon, seat: Connection, ask: wire.EvaluateActions) -> Answer:
    if not is_service_seat(seat):
        require_token(seat)
        _require_asker(daemon, seat)
    if not 1 <= len(ask.evaluations) <= wire.MOST_EVALUATIONS:
        raise FrameError(f"a request has 1 to {wire.MOST_EVALUATIONS} evaluations")
    if seat.key:
        parse_request_key(seat.key)
        if len(ask.evaluations) > 1:
            raise BadRequestKeyError("a key is one action's, and this request is about several")  # 4
    seats = _Seats(daemon, seat)
    if not ask.until:
        found = [_evaluate(seats, number, one) for number, one in enumerate(ask.evaluations)]
        return wire.ActionsEvaluated(answers=tuple(await asyncio.gather(*found)))
    last = wire.ActionPermitted if ask.until == "permit" else wire.NotPermitted
    answers: list[wire.ActionPermitted | wire.NotPermitted] = []
    for number, one in enumerate(ask.evaluations):
        answers.append(await _evaluate(seats, number, one))
        if isinstance(answers[-1], last):
            break
    return wire.ActionsEvaluated(answers=tuple(answers))


def _require_asker(daemon: Daemon, seat: Connection) -> None:
    match daemon.authority.standing(seat, OPERATIONS["action:ask"]):
        case Allowed():
            return
        case Barred(code=code):
            raise OperationForbiddenError(f"the rules let this agent ask for no action ({code})")


class _Seats:
    """The connections on which the calls of one request are made (rule 6)."""

    def __init__(self, daemon: Daemon, asker: Connection) -> None:
        self.daemon, self.asker = daemon, asker
        self._came: dict[str, asyncio.Future[Connection]] = {}

    async def of(self, token: str) -> Connection:
        """Returns an agent's own seat, or for a service a seat in the task of this token's agent."""
        if not is_service_seat(self.asker):
            return self.asker
        if token not in self._came:
            look = self.daemon.read(partial(_shown_to, self.daemon, self.asker, token))
            self._came[token] = asyncio.ensure_future(look)
        found = await self._came[token]
        _require_asker(self.daemon, found)
        return found


async def _evaluate(
    seats: _Seats, number: int, one: wire.Evaluation
) -> wire.ActionPermitted | wire.NotPermitted:
    """Returns the answer to one evaluation; its errors are its own (rule 3)."""
    daemon, seat = seats.daemon, seats.asker
    try:
        _require_named(one)
        _require_one_token(seat, one)
    except MalformedError as error:
        code, message = one.code or error.code, one.message or error.message
        await _record(daemon, seat, one, code, message)
        return _why_not(error, code=code, message=message)
    try:
        mine = await seats.of(one.token)
    except TaskboundError as error:
        await daemon.first(partial(_record_undecided, daemon, seat, one, error))
        return _why_not(error, code=error.code, message=error.message)
    asked = WaitingCall(
        connection=mine,
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
        return not_permitted(daemon, mine, found)
    except TaskboundError as error:
        return _why_not(error, code=error.code, message=error.message)


def _shown_to(daemon: Daemon, seat: Connection, token: str) -> Connection:
    principal = require_service_seat(seat)
    proof = principal.proof
    with daemon.adapters.store.read() as snapshot:
        own = snapshot.tokens.token(seat.namespace, proof.token if isinstance(proof, TokenProof) else "")
        service = snapshot.services.service(seat.namespace, principal.name)
    if own is None or service is None:
        raise UnknownTokenError("the service's token is worth nothing any more")
    agent = daemon.token.verification.verify_relayed(
        token, audience=service.audience, namespace=seat.namespace, stands=require_token_goes_on
    )
    found = seat_of_task(daemon, agent.principal, agent.token.task)
    found.enforcing = AskingService(service=service.name, key=own.proven_by, token=own.id)
    return found


def _require_one_token(seat: Connection, one: wire.Evaluation) -> None:
    if is_service_seat(seat):
        if not one.token:
            raise NoTaskTokenError("a service asks for the task of an agent that showed it a token")
    elif one.token:
        raise TwoTaskTokensError("a token of a task is shown, and another one is named")


def _require_named(one: wire.Evaluation) -> None:
    if one.code:
        raise _NAMED.get(one.code, NotAToolError)(one.message)
    parse_tool_name(one.tool)
    if credential_kind(one.tool) is not None:
        raise NotAToolError("a credential is asked for where its secret can be taken")


async def _record(daemon: Daemon, seat: Connection, one: wire.Evaluation, code: str, message: str) -> None:
    raw = bytes(one.arguments)
    unread = wire.Malformed(
        code=code,
        message=message,
        size=len(raw),
        sha256=sha256(raw).hexdigest(),
        tool=one.tool[:_SHOWN],
    )
    await malformed(daemon, seat, unread)


def _record_undecided(daemon: Daemon, seat: Connection, one: wire.Evaluation, error: TaskboundError) -> None:
    """Runs in the worker's thread."""
    raw = bytes(one.arguments)
    event = ActionUndecided(
        code=error.code,
        connection=seat.name,
        agent="",
        tool=one.tool,
        task="",
        size=len(raw),
        digest=sha256(raw).hexdigest(),
        proof=seat.proof,
    )
    record_unread(daemon, seat, event)


def _why_not(error: TaskboundError, *, code: str, message: str) -> wire.NotPermitted:
    return wire.NotPermitted(code=code, family=family_of(error.code), message=message, advice=error.advice)
