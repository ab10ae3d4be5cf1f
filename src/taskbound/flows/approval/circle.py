"""Who may answer an approval request now, and how requests end.

- Requesters of ancestor or descendant tasks, ended or not, cannot approve; nor can a person whose account ran
  the agent for one of these tasks.
- A transaction reads persons, groups, keys and issuers under lock, so it sees a role lost by a concurrent
  commit (A181). Of two transactions that end or use an approval, one succeeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.action import Action, ActionState, Frame, advance
from taskbound.core.approval import (
    BEFALLS,
    ApprovalState,
    EligibleApprovers,
    Ground,
    Invalidation,
    Question,
    advance_approval,
    missing,
)
from taskbound.core.audit import ActionOutcome, ApprovalChanged
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError
from taskbound.core.identity import require_active
from taskbound.core.identity.issuer import IssuerUse
from taskbound.core.identity.person import human_of
from taskbound.core.identity.person_key import why_not_standing
from taskbound.core.task import ENDED
from taskbound.flows.approval.proof.kept import lasting, proven, signed
from taskbound.ports.action import OutcomeChange
from taskbound.ports.approval import ApprovalChange

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.approval import Answer, Plan
    from taskbound.core.approval.amendment import AmendmentQuestion
    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.core.identity import Group, Person
    from taskbound.core.identity.issuer import Issuer
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.core.task import Task
    from taskbound.flows.policy.engines import Policies
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.identity import Signatures
    from taskbound.ports.store import Snapshot, Transaction
    from taskbound.wire.jose import SignatureCheck


class AnswerVerifiers(Protocol):
    """The part of `flows.means` that verifies answers."""

    @property
    def signatures(self) -> Signatures:
        pass

    @property
    def tokens(self) -> SignatureCheck:
        pass


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """The persons of a namespace with their groups and keys."""

    persons: Mapping[str, Person]
    groups: tuple[Group, ...]
    keys: Mapping[str, PersonKey]
    issuers: tuple[Issuer, ...]
    reads: Snapshot
    """Where they were read, and sign-ins are looked up."""

    def lacking(
        self,
        question: Question | AmendmentQuestion,
        answers: Sequence[Answer],
        circle: EligibleApprovers,
        adapters: AnswerVerifiers,
        now: Instant,
        *,
        plan: Plan | None = None,
    ) -> str:
        """Returns what valid answers still lack to lift the hold, '' if nothing; `plan` has it as a step."""
        keys = {name: one for name, one in self.keys.items() if not why_not_standing(one, self.persons, now)}
        counted = signed(question, answers, keys, adapters.signatures, plan=plan)
        if isinstance(question, Question):  # no issuer vouches for an amendment
            counted += proven(question, answers, self.issuers, check=adapters.tokens, now=now)
            if question.steps:
                counted = lasting(self.reads, question.namespace, counted, now)
        standing = {one.key for one in counted}
        steps = question.steps if isinstance(question, Question) else ()
        return missing(question.needs, counted, circle, standing, steps)

    def signed_out(self, question: Question, answers: Sequence[Answer], now: Instant) -> bool:
        """Whether a sign-in that this question requires has ended for one of these answers."""
        given = tuple(one for one in answers if one.sign_in is not None)
        return bool(question.steps) and lasting(self.reads, question.namespace, given, now) != given

    def circles(
        self, snapshot: Snapshot, namespace: str, held: Collection[tuple[str, str]]
    ) -> tuple[Mapping[str, Task], Mapping[tuple[str, str], EligibleApprovers]]:
        """Returns tasks by id, and the eligible approvers by task and tool."""
        tasks: dict[str, Task] = {}
        circles: dict[tuple[str, str], EligibleApprovers] = {}
        for name, tool in sorted(held):
            task = tasks.get(name) or snapshot.tasks.task(namespace, name)
            if task is not None:
                tasks[name], circles[name, tool] = task, self.circle(snapshot, task, tool)
        return tasks, circles

    def circle(self, snapshot: Snapshot, task: Task, tool: str) -> EligibleApprovers:
        tree = snapshot.tasks.tree(task.namespace, task.root)
        line = _line(tree, task.id)
        accounts = snapshot.tasks.accounts(task.namespace, {task.id, *(one.id for one in line)})
        agent = snapshot.identities.agent(task.namespace, task.agent)
        return EligibleApprovers(
            persons=self.persons,
            groups=self.groups,
            approvers=agent.approvers if agent is not None else (),
            requester=task.requester,
            tool=snapshot.tools.approvers(task.namespace).get(tool),
            kin=frozenset(one.requester for one in line),
            controllers=frozenset(name for name, one in self.persons.items() if one.uid in accounts),
            issuers=frozenset(one.name for one in self.issuers),
            human=lambda name: human_of(name, self.persons),
            signs_in=lambda name: _signs_in(snapshot, task.namespace, name),
        )


def _signs_in(snapshot: Snapshot, namespace: str, person: str) -> bool:
    issuers = {
        one.name for one in snapshot.workloads.identity_issuers(namespace) if one.use is IssuerUse.PEOPLE
    }
    return any(
        one.person == person and one.issuer in issuers for one in snapshot.accounts.accounts(namespace)
    )


def see_people(snapshot: Snapshot, namespace: str, now: Instant) -> People:
    """Reads the namespace's persons without lock, to show who may answer."""
    reads = snapshot.identities
    keys = {one.id: one for one in reads.person_keys(namespace)}
    return People(
        persons=reads.persons(namespace),
        groups=tuple(one.at(now) for one in reads.groups(namespace)),
        keys=keys,
        issuers=reads.issuers(namespace),
        reads=snapshot,
    )


def lock_people(tx: Transaction, namespace: str, now: Instant) -> People:
    """Reads the namespace's persons under lock."""
    persons, groups = tx.identities.lock_grantors(namespace)
    keys = {one.id: one for one in tx.identities.lock_person_keys(namespace)}
    known = tuple(one.at(now) for one in groups)
    issuers = tx.identities.lock_issuers(namespace)
    return People(persons=persons, groups=known, keys=keys, issuers=issuers, reads=tx)


def _line(tree: Sequence[Task], task: str) -> tuple[Task, ...]:
    parents = {one.id: one.parent for one in tree}

    def above(one: str) -> set[str]:
        found: set[str] = set()
        while one and one not in found:
            found.add(one)
            one = parents.get(one, "")
        return found

    own = above(task)
    return tuple(one for one in tree if one.id != task and (one.id in own or task in above(one.id)))


def standing_of(
    snapshot: Snapshot, namespace: str, task: str, agent: str
) -> tuple[tuple[Task, ...], str, bool]:
    """Returns the task with ancestors, how one of them ended (or ''), and whether the agent is active."""
    lineage = snapshot.tasks.lineage(namespace, task)
    ended = next((one.state.value for one in lineage if one.state in ENDED), "" if lineage else "unknown")
    found = snapshot.identities.agent(namespace, agent)
    active = found is not None
    if found is not None:
        try:
            require_active(found, snapshot.identities.persons(namespace))
        except DeniedError:
            active = False
    return lineage, ended, active


def ground_of(snapshot: Snapshot, question: Question, policies: Policies) -> Ground:
    space = question.namespace
    lineage, ended, active = standing_of(snapshot, space, question.task, question.agent)
    return Ground(
        ended=ended,
        active=active,
        bundle=policies.digest_of(snapshot.policy.in_force(space)),
        scope=lineage[0].scope.digest if lineage else "",
        edition=lineage[0].scope_version if lineage else 0,
        act=_act(snapshot, question),
    )


def _act(snapshot: Snapshot, question: Question) -> str:
    kept = snapshot.actions.action(question.namespace, question.action)
    tool = snapshot.tools.tool(question.namespace, question.tool)
    server = snapshot.tools.server(question.namespace, tool.server) if tool is not None else None
    if kept is None or tool is None or server is None:
        return ""
    frame = Frame(
        namespace=kept.namespace,
        task=kept.task,
        agent=kept.agent,
        tool=kept.tool,
        server=server.identity,
        definition=tool.digest,
    )
    return Action(frame=frame, arguments=kept.arguments).digest


DAEMON = ("daemon", "own process")
"""By whom, and how proven, what follows from the passing of time or from other changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionUpdate:
    """The new state of a question, for the waiting connection."""

    namespace: str
    action: str
    approval: str
    state: ApprovalState
    reason: str
    connection: str


def end_approvals(
    tx: Transaction,
    ending: Sequence[tuple[StoredApproval, Invalidation]],
    *,
    by: tuple[str, str],
    now: Instant,
) -> tuple[list[Event], list[QuestionUpdate]]:
    steps: list[ApprovalChange] = []
    outcomes: list[OutcomeChange] = []
    events: list[Event] = []
    told: list[QuestionUpdate] = []
    for one, fate in ending:
        question = one.question
        after = advance_approval(one.state, fate.event)
        state = advance(ActionState.HELD, BEFALLS[fate.event])
        steps.append(
            ApprovalChange(id=question.id, before=one.state, after=after, finished=now, reason=fate.reason)
        )
        outcomes.append(
            OutcomeChange(
                id=question.action,
                before=ActionState.HELD,
                after=state,
                finished=now,
                answer=None,
                answer_digest="",
                released=False,
                note=fate.reason,
            )
        )
        events.append(changed_event(one, after, fate.reason, by))
        events.append(
            ActionOutcome(
                action=question.action,
                task=question.task,
                before=ActionState.HELD.value,
                after=state.value,
                released=False,
                reason=fate.reason,
            )
        )
        told.append(tell(one, after, fate.reason))
    if ending:
        namespace = ending[0][0].question.namespace
        tx.approvals.move_approvals(namespace, steps)
        tx.actions.set_outcomes(namespace, outcomes)
    return events, told


def changed_event(
    one: StoredApproval, after: ApprovalState, reason: str, by: tuple[str, str]
) -> ApprovalChanged:
    return ApprovalChanged(
        approval=one.question.id,
        action=one.question.action,
        task=one.question.task,
        before=one.state.value,
        after=after.value,
        reason=reason,
        by=by[0],
        proof=by[1],
    )


def tell(one: StoredApproval, after: ApprovalState, reason: str) -> QuestionUpdate:
    return QuestionUpdate(
        namespace=one.question.namespace,
        action=one.question.action,
        approval=one.question.id,
        state=after,
        reason=reason,
        connection=one.waiter.connection,
    )
