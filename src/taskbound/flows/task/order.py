"""What a person declares a task with, and what of it can't be.

1. A scope names only tools that a server has, and is within the agent's ceiling and within what the one who
   asks for the task may grant. Every action is judged against the ceiling again (law 3).
2. A paused task is resumed only while its agent is active and its requester might ask for it now.
3. A task to learn from is asked for by the agent's owner, and lives at most 14 days.
4. How long it lives, and how soon who is in it has to be heard of, is the order's own, else its template's.
   What an agent asks for in somebody's name has its template's at most: nobody makes their own authority last
   longer, or the watch over themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError
from taskbound.core.identity import NotOwnerError, require_active
from taskbound.core.identity.grantable import reach_of, require_grantable, uncovered_words
from taskbound.core.scope import tools_of
from taskbound.core.scope.algebra import NotCovers, covers
from taskbound.core.task import (
    Holds,
    TaskSyntaxError,
    parse_lifetime,
    parse_purpose,
    require_learning_lifetime,
)
from taskbound.core.task.heartbeat import parse_heartbeat

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.identity import Agent
    from taskbound.core.identity.grantable import Reach
    from taskbound.core.scope import Scope
    from taskbound.core.task import Task
    from taskbound.ports.store import Snapshot, Transaction


class OutsideCeilingError(DeniedError):
    """The scope permits something that the agent can never be granted."""

    code = "outside-ceiling"
    remedy = "leave it out, or have the agent's owner widen the ceiling with `taskbound agent ceiling`"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOrder:
    """What a person declares a task with; exactly one of template and scope."""

    namespace: str
    agent: str
    purpose: str
    seconds: int
    template: str = ""
    scope: Scope | None = None
    evidence: tuple[str, ...] = ()
    """Tickets and digests of words, as a person writes them."""
    tokens: tuple[str, ...] = ()
    """Signed tokens of issuers whose word counts."""
    learning: bool = False
    heartbeat: int = 0
    """Seconds within which a connection must be bound to it; 0, then as the grace, for its template's."""
    grace: int = 0
    unclaimed: bool = False
    """Whether it starts for somebody who is let in to it in a later step (`flows.task.unclaimed`)."""
    bounded: bool = False
    """Whether its template's times are the longest that it may have: an agent asks for it, in somebody's name
    (rule 4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How long a task may live, and how it is kept while nobody is there."""

    longest: int
    """Seconds that it lives at most (rule 4); 0 where its order alone says that."""
    heartbeat: int
    """Seconds; 0 for none, and then no grace either."""
    grace: int
    holds: Holds


def parse_order(order: TaskOrder) -> TaskOrder:
    """The order, when all that a person wrote into it can be.

    Raises:
        TaskSyntaxError: The purpose or the lifetime can't.
    """
    parse_purpose(order.purpose)
    parse_lifetime(order.seconds)
    parse_heartbeat(order.heartbeat, order.grace)
    if order.learning:
        require_learning_lifetime(order.seconds)  # 3
    return order


def scope_of(snapshot: Snapshot, order: TaskOrder) -> Scope:
    """The scope that the order gives, or its template's.

    Raises:
        TaskSyntaxError: It gives both or none, or there is no such template.
    """
    if (order.scope is None) is (not order.template):
        raise TaskSyntaxError("give exactly one of a template and a scope", where="template")
    if order.scope is not None:
        return order.scope
    template = snapshot.tasks.template(order.namespace, order.template)
    if template is None:
        raise TaskSyntaxError(
            f"no template is named `{order.template}`",
            where="template",
            remedy="list them with `taskbound template list`",
        )
    return template.scope


def manner_of(snapshot: Snapshot, order: TaskOrder) -> Manner:
    """Its times (rule 4). What becomes of holds its template says."""
    template = snapshot.tasks.template(order.namespace, order.template) if order.template else None
    if template is None:
        return Manner(longest=0, heartbeat=order.heartbeat, grace=order.grace, holds=Holds.END_WITH_CALL)
    asked = order if order.heartbeat else template
    heartbeat, grace = asked.heartbeat, asked.grace
    if order.bounded and template.heartbeat:  # 4
        heartbeat, grace = min(heartbeat, template.heartbeat), min(grace, template.grace)
    longest = template.seconds if order.bounded else 0
    return Manner(longest=longest, heartbeat=heartbeat, grace=grace, holds=template.holds)


def require_learner(agent: Agent, order: TaskOrder, person: str) -> None:
    """Go on only when this person may ask for the task as one to learn from, if it is (rule 2).

    Raises:
        NotOwnerError: They are not the agent's owner.
    """
    if order.learning and person != agent.owner:
        raise NotOwnerError(
            f"only the owner of agent `{agent.name}` starts a task to learn from, and that is `{agent.owner}`"
        )


def require_within(snapshot: Snapshot, scope: Scope, agent: Agent, person: str, now: Instant) -> Reach:
    """Go on only with a scope of tools that there are, within both bounds (rule 1); what they may grant.

    Raises:
        OutsideCeilingError: It is not within the ceiling.
        OutsideGrantableError: It is not within what the person may grant.
        TaskSyntaxError: No server has a tool.
    """
    ceiling = tools_of(agent.ceiling)
    for tool in sorted(tools_of(scope)):
        if tool not in ceiling:
            raise OutsideCeilingError(
                f"the ceiling of agent `{agent.name}` does not name `{tool}`", where=tool
            )
        if snapshot.tools.tool(agent.namespace, tool) is None:
            raise TaskSyntaxError(
                f"no server has the tool `{tool}`",
                where=tool,
                remedy="list them with `taskbound tool list`, or add one with `taskbound upstream add`",
            )
    answer = covers(agent.ceiling, scope)
    if isinstance(answer, NotCovers):
        words = uncovered_words(answer, {}, "of the ceiling")
        where = answer.uncovered[0].tool
        raise OutsideCeilingError(
            f"the ceiling of agent `{agent.name}` does not cover it: {words}", where=where
        )
    identities = snapshot.identities
    groups = [one.at(now) for one in identities.groups(agent.namespace)]
    reach = reach_of(person, identities.persons(agent.namespace), groups)
    require_grantable(scope, reach)
    return reach


def require_resumable(tx: Transaction, task: Task, now: Instant) -> None:
    """Go on only with a task whose agent is active and whose requester might ask for it now (rule 2).

    Raises:
        DeniedError: One of them is not so.
    """
    persons, groups = tx.identities.lock_grantors(task.namespace)
    agent = tx.identities.agent(task.namespace, task.agent)
    if agent is not None:
        require_active(agent, persons)
    require_grantable(task.scope, reach_of(task.requester, persons, [one.at(now) for one in groups]))
