"""What a widening is judged by, whoever asks, answers or meets it: read under lock.

1. Tasks are locked first, from the parent down, so that the record of a widening stands behind those of all
   that was charged before it; then what decisions lock before them, shared, then people, and what is left.
2. The scope is within the ceilings of the agents of the task and of all above it, and within what the
   requester and the asker may grant now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.approval import ApprovalOverError, UnknownApprovalError
from taskbound.core.approval.amendment import AMENDMENT_TRANSITIONS, AmendmentState, amendment_fate
from taskbound.core.dataclass import dataclass
from taskbound.core.identity.grantable import reach_of, require_grantable, uncovered_words
from taskbound.core.scope.algebra import NotCovers, covers
from taskbound.core.task import NoTaskError
from taskbound.flows.approval.amendment.ground import amendment_ground
from taskbound.flows.approval.amendment.records import end_amendments
from taskbound.flows.task.cascade import lock_beneath_parent
from taskbound.flows.task.order import OutsideCeilingError, require_within

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.approval.amendment import AmendmentFate, AmendmentQuestion
    from taskbound.core.clock import Instant
    from taskbound.core.revocation import KillSwitch
    from taskbound.core.scope import Scope
    from taskbound.core.task import Task, TaskHead
    from taskbound.flows.approval.circle import People
    from taskbound.flows.means import Means, Moved
    from taskbound.ports.store import Snapshot, Transaction
    from taskbound.ports.task import StoredAmendment


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendmentOrder:
    """What a person asks a wider scope for."""

    namespace: str
    task: str
    scope: Scope
    reason: str
    seconds: int = 3600
    """How long it may be answered, at most to the task's deadline."""
    seen: str = ""
    """The digest of the scope that they looked at; empty for whichever it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendmentSaid:
    """What became of an amendment when it was answered, withdrawn or met."""

    amendment: str
    task: str
    state: AmendmentState
    missing: str = ""
    """What is missing until it is applied, in words."""
    reason: str = ""
    ended: tuple[Moved, ...] = ()
    """What ended beneath the task since the new scope does not cover it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """The task under lock, with all that stands above and beneath it."""

    line: Sequence[Task]
    above: Task | None
    tree: Sequence[Task]
    heads: Mapping[str, TaskHead]
    switch: KillSwitch


def lock_line(tx: Transaction, namespace: str, task: str) -> Locked:
    """The task under lock, with what decisions about it lock (rule 1).

    Raises:
        NoTaskError: It is not known.
    """
    line = tx.tasks.lineage(namespace, task)
    if not line:
        raise NoTaskError(f"no task is named `{task}`", remedy="list them with `taskbound task list`")
    above, tree = lock_beneath_parent(tx, namespace, task)
    switch = tx.revocation.lock_kill_switch(namespace)
    tx.identities.lock_agents(namespace, {one.agent for one in line})
    return Locked(
        line=line, above=above, tree=tree, heads=tx.tasks.lock_heads(namespace, {task}), switch=switch
    )


def require_open(tx: Transaction, namespace: str, amendment: str) -> StoredAmendment:
    """The open amendment of this id, locked.

    Raises:
        UnknownApprovalError: There is none of this id.
        ApprovalOverError: It is not open any more.
    """
    one = tx.amendments.lock_amendment(namespace, amendment)
    if one is None:
        raise UnknownApprovalError(f"no amendment is named `{amendment}`")
    if one.state is not AmendmentState.PENDING:
        raise ApprovalOverError(f"the amendment is over: it is {one.state.value}")
    return one


def require_widenable(
    tx: Transaction, people: People, line: Sequence[Task], scope: Scope, asker: str, now: Instant
) -> None:
    """Go on only with a scope that its requester and the asker may grant now, within every ceiling (rule 2).

    Raises:
        DeniedError: It is not.
        TaskSyntaxError: No server has one of its tools.
    """
    space, requester = line[0].namespace, line[0].requester
    for number, one in enumerate(line):
        agent = tx.identities.agent(space, one.agent)
        if agent is None:
            raise OutsideCeilingError(f"agent `{one.agent}` is not there")
        if number == 0:
            require_within(tx, scope, agent, requester, now)
            continue
        answer = covers(agent.ceiling, scope)
        if isinstance(answer, NotCovers):
            words = uncovered_words(answer, {}, "of the ceiling")
            raise OutsideCeilingError(
                f"the ceiling of agent `{one.agent}`, whose task is above, does not cover it: {words}"
            )
    require_grantable(scope, reach_of(asker, people.persons, people.groups))


def fate_of(
    snapshot: Snapshot, means: Means, question: AmendmentQuestion, now: Instant
) -> AmendmentFate | None:
    """What has befallen an amendment by now; None while it is the one that was asked for."""
    return amendment_fate(question, amendment_ground(snapshot, question, means.policy), now)


def end_amendment(
    tx: Transaction, means: Means, one: StoredAmendment, fate: AmendmentFate, by: tuple[str, str]
) -> AmendmentSaid:
    """End an open amendment, and record it."""
    now = means.clock.now()
    events = end_amendments(tx, [(one, fate)], by=by, now=now)
    tx.audit.append(one.question.namespace, means.writer, events, now)
    return said(one, AMENDMENT_TRANSITIONS.advance(one.state, fate.event), reason=fate.reason)


def said(
    one: StoredAmendment,
    state: AmendmentState,
    *,
    missing: str = "",
    reason: str = "",
    ended: tuple[Moved, ...] = (),
) -> AmendmentSaid:
    """What is told of this amendment."""
    return AmendmentSaid(
        amendment=one.question.id,
        task=one.question.task,
        state=state,
        missing=missing,
        reason=reason,
        ended=ended,
    )
