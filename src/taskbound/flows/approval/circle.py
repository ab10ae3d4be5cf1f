"""Who may answer a question, and what it stands on, as it is written in the store now.

1. Who asked for an ancestor or a descendant of the task, ended or not, is kin: it approves nothing of it.
2. In a transaction persons, groups and keys are read under lock, so that who loses a role while it commits
   waits, or is seen to have lost it (A181).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskbound.core.action import Action, Frame
from taskbound.core.approval import Circle, Ground
from taskbound.core.errors import DeniedError
from taskbound.core.identity import require_active
from taskbound.core.identity.person import human_of
from taskbound.core.identity.person_key import why_not_standing
from taskbound.core.task import ENDED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.approval import Question
    from taskbound.core.clock import Instant
    from taskbound.core.identity import Group, Person
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.core.task import Task
    from taskbound.flows.policy.engines import Policies
    from taskbound.ports.store import Snapshot, Transaction

__all__ = ["People", "ground_of", "lock_people", "see_people"]


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """The persons of a namespace with their groups and keys."""

    persons: Mapping[str, Person]
    groups: tuple[Group, ...]
    keys: Mapping[str, PersonKey]

    def standing(self, now: Instant) -> frozenset[str]:
        """Ids of the keys whose word counts now."""
        return frozenset(
            name for name, one in self.keys.items() if not why_not_standing(one, self.persons, now)
        )

    def circle(self, snapshot: Snapshot, task: Task) -> Circle:
        """Whoever's word may count for a question of this task."""
        agent = snapshot.identities.agent(task.namespace, task.agent)
        return Circle(
            persons=self.persons,
            groups=self.groups,
            approvers=agent.approvers if agent is not None else (),
            requester=task.requester,
            kin=_kin(snapshot.tasks.tree(task.namespace, task.root), task.id),  # 1
            human=lambda name: human_of(name, self.persons),
        )


def see_people(snapshot: Snapshot, namespace: str) -> People:
    """The persons of the namespace, to show who may answer."""
    reads = snapshot.identities
    keys = {one.id: one for one in reads.person_keys(namespace)}
    return People(persons=reads.persons(namespace), groups=reads.groups(namespace), keys=keys)


def lock_people(tx: Transaction, namespace: str) -> People:
    """The persons of the namespace, under lock (rule 2)."""
    persons, groups = tx.identities.lock_grantors(namespace)
    keys = {one.id: one for one in tx.identities.lock_person_keys(namespace)}
    return People(persons=persons, groups=groups, keys=keys)


def _kin(tree: Sequence[Task], task: str) -> frozenset[str]:
    parents = {one.id: one.parent for one in tree}

    def line(one: str) -> set[str]:
        found: set[str] = set()
        while one and one not in found:
            found.add(one)
            one = parents.get(one, "")
        return found

    own = line(task)
    return frozenset(
        one.requester for one in tree if one.id != task and (one.id in own or task in line(one.id))
    )


def ground_of(snapshot: Snapshot, question: Question, policies: Policies) -> Ground:
    """What the question stands on, by the store's rows of now."""
    space = question.namespace
    lineage = snapshot.tasks.lineage(space, question.task)
    ended = next((one.state.value for one in lineage if one.state in ENDED), "" if lineage else "unknown")
    agent = snapshot.identities.agent(space, question.agent)
    active = agent is not None
    if agent is not None:
        try:
            require_active(agent, snapshot.identities.persons(space))
        except DeniedError:
            active = False
    return Ground(
        ended=ended,
        active=active,
        bundle=policies.digest_of(snapshot.policy.in_force(space)),
        scope=lineage[0].scope.digest if lineage else "",
        act=_act(snapshot, question),
    )


def _act(snapshot: Snapshot, question: Question) -> str:
    """The digest that the held call would have now; empty when there is no such tool any more."""
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
