"""Settles a group of evaluated calls in one transaction: locks, judges, writes rows and records.

Lock order (design 4.8): enforcing services with keys and owners, kill switch, bundle, agents, tools, tasks,
remainders, presentations, acts, issuers (if policy read evidence), shown tokens with keys and admissions,
plans, questions, people, credentials, target.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, assert_never

from taskbound.core.action import ActionState
from taskbound.core.approval.probe import read_for
from taskbound.core.audit import ActionDecided
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import (
    Evaluated,
    Hold,
    Holding,
    Locked,
    Permit,
    Reason,
    Refuse,
    Repeated,
    Settled,
    Waiting,
    presentation_names,
    settle,
)
from taskbound.core.scope import Charge
from taskbound.flows.approval import as_held, look_at_holds
from taskbound.flows.credential.journaling import (
    granted,
    journal_credentials,
    lock_renewable,
    prolong_credentials,
    see_renewable,
)
from taskbound.flows.decision.tokens import lock_enforcing, refuse_ended_tokens
from taskbound.ports.action import StoredAction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.audit import Event
    from taskbound.core.decision import Decision, Proposal, Settlement
    from taskbound.flows.approval import HoldBatch
    from taskbound.flows.credential.journaling import Granted
    from taskbound.flows.decision.context import Views
    from taskbound.flows.decision.evaluate import Call
    from taskbound.flows.decision.retries import LostHolders
    from taskbound.flows.means import Adapters
    from taskbound.flows.policy.engines import Policies
    from taskbound.ports.store import Transaction


def stored_action(call: Call, settled: Settled, now: Instant) -> StoredAction:
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
    """Returns the decision held by a row, after an ambiguous commit that took effect."""
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


@dataclass(slots=True, kw_only=True)
class Pending:
    """A call on its way through the rounds of a commit."""

    call: Call
    place: int
    proposal: Proposal
    action: str = ""
    """The action that it was settled as: the held one, when a hold is lifted."""
    permitted: str = ""
    """The connection that was given a permit."""
    covered: bool = False
    """Whether it is a held retry that was answered before: it is decided again, by what it is held as."""


def write_settlement(
    tx: Transaction,
    adapters: Adapters,
    group: Sequence[Pending],
    settlement: Settlement,
    holds: HoldBatch | None,
    now: Instant,
) -> list[Granted]:
    """Writes the settlement of one namespace; returns the credentials to journal afterwards."""
    namespace = group[0].call.namespace
    rows: list[StoredAction] = []
    minted: list[Granted] = []
    events: list[Event] = [] if holds is None else list(holds.events)
    for one, answer in zip(group, settlement.answers, strict=True):
        match answer:
            case Settled():
                row = stored_action(one.call, answer, now)
                if holds is not None:
                    row = holds.take(tx, adapters, answer, row, one.call.wait)
                    one.covered = holds.covers(row.id)
                if answer.lifted is None:
                    rows.append(row)
                one.action = row.id
                one.permitted = row.connection if isinstance(answer.decision, Permit) else ""
                minted += granted(answer, row.id, one.call.recipient)
                events.append(decided_event(row, one.call, one.proposal))
            case Repeated():
                events.append(repeated_event(answer, one.call, one.proposal))
            case Waiting() if holds is not None:
                holds.wait(tx, answer, one.call.wait)
            case _:
                continue
    if settlement.left:
        tx.tasks.set_remainders(namespace, settlement.left)
    if settlement.acts:
        tx.actions.put_acts(namespace, settlement.acts)
    if rows:
        tx.actions.insert_actions(rows)
    if holds is not None:
        events += holds.write(tx, namespace, settlement.differed)
    if events:
        tx.audit.append(namespace, adapters.writer, events, now)
    return minted


PERMIT_LIFE: Final = 30_000_000
"""µs that a permit may wait to be used (law 2: for seconds)."""


def settle_group(
    tx: Transaction, adapters: Adapters, views: Views, namespace: str, group: Sequence[Pending]
) -> Settlement:
    enforcing = lock_enforcing(tx, namespace, group)
    locked = lock_group(tx, namespace, [one.proposal for one in group], adapters.policy, views.doubts)
    adapters.freshness.require()  # after the locks, however long they were waited for
    now = adapters.clock.now()
    proposals = as_held(tx, namespace, refuse_ended_tokens(tx, namespace, group, enforcing, now))
    holds = look_at_holds(tx, adapters, proposals, locked.bundle, views.doubts.lost(), now)
    if holds is not None:
        locked = replace(locked, places=holds.places)
    if locked.credentials:
        locked = replace(locked, credentials=lock_renewable(tx, namespace, _renewed(proposals)))
    settlement = settle(proposals, locked, now=now, until=Instant(now + PERMIT_LIFE))
    minted = write_settlement(tx, adapters, group, settlement, holds, now)
    fresh = [one for one in minted if not one.life.renews]
    if fresh:
        journal_credentials(tx, adapters, fresh, locked.tasks, now)
    if len(fresh) < len(minted):
        renewed = [one for one in minted if one.life.renews]
        prolong_credentials(tx, adapters, renewed, locked.tasks, now)
    views.doubts.granted((namespace, one.permitted) for one in group if one.permitted)
    return settlement


def lock_group(
    tx: Transaction,
    namespace: str,
    proposals: Sequence[Proposal],
    policies: Policies,
    doubts: LostHolders,
) -> Locked:
    """Reads under lock, in one fixed order, everything that these proposals need."""
    tasks = {one.action.task for one in proposals if one.action.task}
    names = {name for one in proposals for name in presentation_names(one)}
    acts = {(one.root, one.action.act_key) for one in proposals}
    agents = {
        name for one in proposals for name in (one.action.agent, *(name for name, _ in one.basis.agents))
    }
    paying = tasks | {task for one in proposals for task in _above(one)}
    vouched = any(one.basis.issuers is not None for one in proposals)
    return Locked(
        switch=tx.revocation.lock_kill_switch(namespace),
        bundle=policies.digest_of(tx.policy.lock_in_force(namespace)),
        agents=tx.identities.lock_agents(namespace, agents),
        tools=tx.tools.lock_tools(namespace, {one.action.tool for one in proposals}),
        tasks=tx.tasks.lock_heads(namespace, tasks),
        left=tx.tasks.lock_remainders(namespace, paying),
        priors=tx.actions.lock_priors(namespace, names),
        acts=tx.actions.lock_acts(namespace, acts),
        doubted=doubts.acts(tx, namespace),
        issuers=tx.identities.lock_issuers(namespace) if vouched else (),
        credentials=see_renewable(tx, namespace, _renewed(proposals)),
    )


def _renewed(proposals: Sequence[Proposal]) -> set[str]:
    return {one.life.renews for one in proposals if one.life is not None and one.life.renews}


def _above(proposal: Proposal) -> set[str]:
    match proposal.verdict:
        case Evaluated(covered=covered) | Holding(covered=covered):
            return {task for payer in covered.payers for task, _ in payer.above}
        case _:
            return set()
