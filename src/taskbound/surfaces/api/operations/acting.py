"""Operations on actions for agents over a network, with a task's token: ask, report, follow.

1. A call is decided like every other call (`action.have_decided`). It carries no reads of a gateway, and its
   name is unique to the request.
2. A request that cannot be parsed leaves one record, and so does one of a task with too many open permits.
3. Only a permit is answered as a permit. A repeated request is not permitted again, because the effect of the
   first answer is unknown.
4. A transaction token is issued after the permit is durable, if the rules let the agent ask for one. A
   failure to issue one is logged and leaves the permit as it is; the agent does not learn where the signer
   is.
5. An agent sees the actions of its own task, without the rules that decided them.
6. Credentials are not requested here: a secret is handed out on the connection that holds the permit.
"""

from __future__ import annotations

import re
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.action import ActionState as State
from taskbound.core.audit import ActionUndecided
from taskbound.core.clock import seconds
from taskbound.core.decision import Hold, Narrowed, Permit, Refuse, Repeated, Settled, Waiting
from taskbound.core.decision.hold import TooManyOpenError, due_of
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.core.identity import UnprovenError
from taskbound.core.identity.proof import parse_request_key
from taskbound.core.policy.operation import Allowed, Barred, OperationForbiddenError
from taskbound.core.policy.operations import OPERATIONS
from taskbound.core.token import agent_name
from taskbound.core.tool import NotAToolError, credential_kind, parse_tool_name
from taskbound.flows.action import Release, Report
from taskbound.flows.action.explain import UnknownActionError
from taskbound.flows.action.outcome import OutcomeSyntaxError
from taskbound.flows.approval.hold.holds import MOST_WAIT
from taskbound.flows.decision.usable import NotDecided
from taskbound.flows.means import Actor
from taskbound.flows.token import TransactionTokenOrder
from taskbound.flows.token.issuing import parse_content_digest
from taskbound.surfaces.api.auth.authority import apart
from taskbound.surfaces.api.background.looking import MOST_ROUNDS
from taskbound.surfaces.api.operations.action import decided, malformed, reasons_of, record_unread, waiting
from taskbound.surfaces.api.operations.show import changed_values, reasons
from taskbound.surfaces.api.server.operation import from_snapshot, operation
from taskbound.surfaces.api.server.reply import family_of, fault_of
from taskbound.surfaces.api.server.tracing import watching
from taskbound.surfaces.api.server.worker import OverloadedError, WaitingCall
from taskbound.wire import action as wire
from taskbound.wire.connection import Fault

if TYPE_CHECKING:
    from taskbound.flows.approval.look import NeedsProbe
    from taskbound.flows.decision import Answer as Decided
    from taskbound.ports.action import StoredAction
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.surfaces.api.server.operation import Reading
    from taskbound.wire.envelope import Answer


_SHOWN: Final = 200
"""Characters that are recorded of what is no name of a tool."""
_NOTE: Final = 1000
"""Characters of a note."""
_DIGEST: Final = re.compile(r"(?:[0-9a-f]{64})?", re.ASCII)
_RESULTS: Final = frozenset({"unknown", "not-sent"})
"""Outcomes that have no result, and are recorded by that."""
_NOT_NOW: Final = "no token can be signed now"
"""The error that an agent gets while the signer is unavailable (rule 4)."""


@operation(wire.AskAction)
async def _ask_action(daemon: Daemon, seat: Connection, ask: wire.AskAction) -> Answer:
    require_token(seat)
    try:
        parse_tool_name(ask.tool)
        if credential_kind(ask.tool) is not None:
            raise NotAToolError("a credential is asked for where its secret can be taken")  # 6
        if seat.key:
            parse_request_key(seat.key)
        parse_content_digest(ask.content_digest)
    except MalformedError as error:
        raw = bytes(ask.arguments)
        unread = wire.Malformed(
            code=error.code,
            message=error.message,
            size=len(raw),
            sha256=sha256(raw).hexdigest(),
            tool=ask.tool[:_SHOWN],
        )
        await malformed(daemon, seat, unread)  # 2
        raise
    try:
        daemon.network.afar.require_room(seat.namespace, seat.seat)
    except TooManyOpenError as error:
        await daemon.first(partial(_record_crowded, daemon, seat, ask, error))  # 2
        raise
    decide = wire.Decide(
        tool=ask.tool,
        arguments=ask.arguments,
        request="0",
        key=seat.key,
        resume=ask.resume,
        wait=MOST_WAIT,
        read=(),
    )
    found = await decided(daemon, WaitingCall(connection=seat, ask=decide, watch=watching()))
    if isinstance(found, Settled) and isinstance(found.decision, Permit):
        return await _permitted(daemon, seat, ask, found, found.decision)
    return not_permitted(daemon, seat, found)


def _record_crowded(daemon: Daemon, seat: Connection, ask: wire.AskAction, error: TooManyOpenError) -> None:
    raw = bytes(ask.arguments)
    event = ActionUndecided(
        code=error.code,
        connection=seat.name,
        agent=seat.agent,
        tool=ask.tool,
        task=seat.seat,
        size=len(raw),
        digest=sha256(raw).hexdigest(),
        proof=seat.proof,
    )
    record_unread(daemon, seat, event)


def not_permitted(daemon: Daemon, seat: Connection, found: Decided | NeedsProbe) -> wire.NotPermitted:
    """Returns the answer for every decision but a permit (rule 3)."""
    match found:
        case Settled(decision=Hold() as hold):
            return _held(daemon, seat, found.proposal.id, hold)
        case Waiting():
            return _held(daemon, seat, found.hold.action, found.decision)
        case Settled(decision=Refuse() as refuse):
            return _refused(found.proposal.id, seat, refuse)
        case NotDecided(refusal=refuse):
            return _refused("", seat, refuse)
        case Narrowed():
            return _narrowed(daemon, seat, found)
        case Repeated():
            return _repeated(daemon, seat, found)
        case _:
            raise OverloadedError(f"what it names was looked at {MOST_ROUNDS} times, and was old each time")


@operation(wire.ReportAction)
async def _report_action(daemon: Daemon, seat: Connection, ask: wire.ReportAction) -> Answer:
    require_token(seat)
    if len(ask.note) > _NOTE or _DIGEST.fullmatch(ask.answer_sha256) is None:
        raise OutcomeSyntaxError(
            f"a note has at most {_NOTE} characters, and a SHA-256 64 hexadecimal digits"
        )
    report = Report(
        namespace=seat.namespace,
        connection="",
        action=ask.action,
        outcome=ask.outcome,
        answer=bytes(ask.answer) if isinstance(ask.answer, msgspec.Raw) else None,
        answer_digest=ask.answer_sha256,
        note=ask.note,
        task=seat.seat,
        token=seat.token,
    )
    found = await daemon.reports.put(report)
    if isinstance(found, Release):
        return wire.OutcomeTaken(action=found.action, result="may-leave")
    if found.recorded and found.code in _RESULTS:
        return wire.OutcomeTaken(action=found.action, result="none")
    known = "the outcome is recorded, and its result must not be used"
    owed = known if found.recorded else "nothing was recorded: tell it again, as long as there is time"
    advice = found.advice or owed
    return Fault(code=found.code, message=found.reason, advice=advice, family=family_of(found.code))


@from_snapshot(wire.FollowAction)
def _follow_action(reading: Reading, ask: wire.FollowAction) -> Answer:
    seat = reading.connection
    require_token(seat)
    found = reading.snapshot.actions.action(seat.namespace, ask.action)
    asked = reading.snapshot.approvals.approval_of(seat.namespace, ask.action)
    if found is None or (found.task, found.agent) != (seat.seat, seat.agent):
        raise UnknownActionError(f"no action of that task is named `{ask.action}`")
    return wire.ActionState(
        action=found.id,
        task=found.task,
        tool=found.tool,
        digest=found.digest,
        state=found.state.value,
        decision=found.decision,
        code=found.code,
        until=found.until,
        due=due_of(found.until) if found.until and found.state is not State.UNWATCHED else 0,
        approval=asked.question.id if asked is not None else "",
        approval_state=asked.state.value if asked is not None else "",
    )


def require_token(seat: Connection) -> None:
    """Raises UnprovenError unless the connection showed a token of a task."""
    if not seat.token:
        raise UnprovenError("this is asked over a network, with a token of a task")


def permitted(found: Settled, permit: Permit) -> wire.ActionPermitted:
    """Returns the answer for a permit, without a transaction token."""
    proposal = found.proposal
    return wire.ActionPermitted(
        action=proposal.id,
        task=proposal.action.task,
        tool=proposal.action.tool,
        digest=proposal.action.digest,
        arguments=msgspec.Raw(proposal.action.arguments),
        until=permit.until,
        due=0 if proposal.unwatched else due_of(permit.until),
        server=proposal.action.server,
        definition=proposal.action.definition,
    )


async def _permitted(
    daemon: Daemon, seat: Connection, ask: wire.AskAction, found: Settled, permit: Permit
) -> wire.ActionPermitted:
    proposal = found.proposal
    answer = permitted(found, permit)
    if not ask.token:
        return answer
    try:
        text = await apart(partial(_issue, daemon, seat, ask, proposal.id))
    except TaskboundError as error:
        told = fault_of(error, operation="the token of an action")  # 4
        words = _NOT_NOW if told.family == "unavailable" else told.message
        return msgspec.structs.replace(answer, token_refused=f"{told.code}: {words}")
    return msgspec.structs.replace(answer, token=text)


def _issue(daemon: Daemon, seat: Connection, ask: wire.AskAction, action: str) -> str:
    """Runs outside the loop and the worker, because it waits for the signer."""
    order = TransactionTokenOrder(
        namespace=seat.namespace,
        task=seat.seat,
        agent=seat.agent,
        action=action,
        content=ask.content_digest,
        parent=seat.token,
        binding=seat.bound,
    )
    actor = Actor(name=agent_name(seat.namespace, seat.agent), proof=seat.proof)
    match daemon.authority.standing(seat, OPERATIONS["token:exchange"]):
        case Allowed():
            return daemon.token.issuing.issue_transaction_token(order, actor).text
        case Barred(code=code):
            raise OperationForbiddenError(f"the rules let this agent ask for no token ({code})")


def _held(daemon: Daemon, seat: Connection, action: str, hold: Hold) -> wire.NotPermitted:
    asked, waits = waiting(daemon, seat.namespace, action)
    now = daemon.adapters.clock.now()
    return wire.NotPermitted(
        code="held",
        family="denied",
        message=waits,
        advice="ask again with exactly the same arguments: the question stays open while you come back",
        action=action,
        task=seat.seat,
        reasons=reasons_of(hold.reasons),
        approval=asked.id if asked is not None else "",
        state="held",
        lifters=hold.lifters,
        until=min(now + seconds(MOST_WAIT), asked.deadline) if asked is not None else now,
    )


def _refused(action: str, seat: Connection, refuse: Refuse) -> wire.NotPermitted:
    texts = [one.text for one in refuse.reasons] or ["it was refused"]
    return wire.NotPermitted(
        code=refuse.code,
        family=family_of(refuse.code),
        message="; ".join(texts),
        advice=refuse.instead,
        action=action,
        task=seat.seat,
        reasons=reasons_of(refuse.reasons),
        state="refused" if action else "",
    )


def _narrowed(daemon: Daemon, seat: Connection, found: Narrowed) -> wire.NotPermitted:
    kept = _require(daemon, seat, found.action)
    return wire.NotPermitted(
        code="narrowed",
        family="denied",
        message="a person has answered with a narrower action, which may run instead of this one",
        advice="ask for it, with the arguments that stand here",
        action=kept.id,
        task=kept.task,
        state=kept.state.value,
        arguments=msgspec.Raw(kept.arguments),
        changed=changed_values(found.proposal.action.arguments, kept.arguments),
    )


def _repeated(daemon: Daemon, seat: Connection, found: Repeated) -> wire.NotPermitted:
    kept = _require(daemon, seat, found.prior.id)
    return wire.NotPermitted(
        code="action-repeated",
        family="denied",
        message=f"it was permitted under this key before, and is {kept.state.value} now",
        advice="do nothing on this answer. Where nothing was done on the first one, report `not-sent` (or"
        " `unknown` where a transaction token was issued for it) and ask under another key; otherwise report"
        " what came of it",
        action=kept.id,
        task=kept.task,
        reasons=reasons(kept),
        state=kept.state.value,
        answer=msgspec.Raw(kept.answer) if kept.released and kept.answer is not None else msgspec.UNSET,
    )


def _require(daemon: Daemon, seat: Connection, action: str) -> StoredAction:
    with daemon.adapters.store.read() as snapshot:
        kept = snapshot.actions.action(seat.namespace, action)
    if kept is None:
        raise UnknownActionError(f"no action is named `{action}`")
    return kept
