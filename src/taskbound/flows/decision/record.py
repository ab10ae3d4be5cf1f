"""How a settled decision is kept: as a row that can be explained, and as an event that can't be edited."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from taskbound.core.action import ActionState
from taskbound.core.approval.answer import read_for
from taskbound.core.audit import ActionDecided
from taskbound.core.clock import Instant
from taskbound.core.decision import Hold, Permit, Reason, Refuse, Settled
from taskbound.core.scope import Charge
from taskbound.ports.action import StoredAction

if TYPE_CHECKING:
    from taskbound.core.decision import Decision, Proposal, Repeated
    from taskbound.flows.decision.evaluate import Call


def stored_action(call: Call, settled: Settled, now: Instant) -> StoredAction:
    """The row of this decision.

    Args:
        call: What was asked.
        settled: What was answered.
        now: The instant of the commit.
    """
    proposal = settled.proposal
    action = proposal.action
    decision = settled.decision
    state, word, code = _kinds(decision, proposal)
    return StoredAction(
        namespace=call.namespace,
        id=proposal.id,
        task=action.task,
        root=proposal.root,
        agent=action.agent,
        tool=action.tool,
        server=action.server,
        definition=action.definition,
        digest=action.digest,
        act_key=action.act_key,
        arguments=action.arguments,
        state=state,
        decision=word,
        code=code,
        reasons=tuple([(one.code, one.text, one.detail) for one in decision.reasons]),
        grant=decision.grant if isinstance(decision, Permit) else "",
        charges=tuple([(one.limit, one.amount) for one in settled.charges]),
        policies=decision.policies,
        bundle=proposal.basis.bundle,
        scope=proposal.scope,
        flags=proposal.flags,
        facts=proposal.facts,
        attempt=settled.attempt,
        connection=call.connection,
        request=call.request,
        key=call.key,
        at=now,
        until=decision.until if isinstance(decision, Permit) else Instant(0),
        instead=decision.instead if isinstance(decision, Refuse) else "",
    )


def decided_event(row: StoredAction, call: Call, proposal: Proposal) -> ActionDecided:
    """The record of this decision."""
    return ActionDecided(
        action=row.id,
        task=row.task,
        agent=row.agent,
        tool=row.tool,
        server=row.server,
        definition=row.definition,
        digest=row.digest,
        act_key=row.act_key,
        decision=row.decision,
        reasons=tuple(dict.fromkeys([row.code, *(code for code, _, _ in row.reasons)])) if row.code else (),
        grant=row.grant,
        policies=row.policies,
        bundle=row.bundle,
        scope=row.scope,
        attempt=row.attempt,
        charges=tuple([f"{limit}={amount}" for limit, amount in row.charges]),
        flags=row.flags,
        last_outcome=proposal.basis.last_outcome,
        proof=call.proof,
        epoch=proposal.basis.switch,
        connection=row.connection,
        for_call=read_for(row.request),
        outcome=row.state.value if row.state is ActionState.UNWATCHED else "",
        subject=call.subject,
        service=_service_of(call),
    )


def repeated_event(repeated: Repeated, call: Call, proposal: Proposal) -> ActionDecided:
    """The record that a presentation came again and was given the stored answer of `action`."""
    action = proposal.action
    return ActionDecided(
        action=repeated.prior.id,
        task=action.task,
        agent=action.agent,
        tool=action.tool,
        server=action.server,
        definition=action.definition,
        digest=action.digest,
        act_key=action.act_key,
        decision="duplicate",
        reasons=("duplicate",),
        grant="",
        policies=(),
        bundle=proposal.basis.bundle,
        scope="",
        attempt=0,
        proof=call.proof,
        epoch=proposal.basis.switch,
        connection=call.connection,
        service=_service_of(call),
    )


def recalled(proposal: Proposal, kept: StoredAction) -> Settled:
    """The decision that a row holds: an ambiguous commit turned out to have happened."""
    reasons = tuple(Reason(code=code, text=text, detail=detail) for code, text, detail in kept.reasons)
    decision: Decision
    match kept.decision:
        case "permit":
            decision = Permit(reasons=reasons, grant=kept.grant, policies=kept.policies, until=kept.until)
        case "hold":
            decision = Hold(reasons=reasons, policies=kept.policies, lifters=())
        case _:
            decision = Refuse(code=kept.code, reasons=reasons, instead=kept.instead, policies=kept.policies)
    charges = tuple(Charge(limit=limit, amount=amount) for limit, amount in kept.charges)
    return Settled(proposal=proposal, decision=decision, attempt=kept.attempt, charges=charges)


def _service_of(call: Call) -> str:
    return "" if call.enforcing is None else call.enforcing.service


def _kinds(decision: Decision, proposal: Proposal) -> tuple[ActionState, str, str]:
    match decision:
        case Permit():
            return proposal.permitted, "permit", ""
        case Hold():
            return ActionState.HELD, "hold", "held"
        case Refuse() as refused:
            return ActionState.REFUSED, "refuse", refused.code
        case _ as never:
            assert_never(never)
