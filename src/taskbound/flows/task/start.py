"""What has to be so for a task to start, asked when it is read and again under lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.audit import TaskStarted
from taskbound.core.identity import UnknownIdentityError, require_active
from taskbound.core.identity.grantable import OutsideGrantableError, reach_of
from taskbound.core.revocation import require_not_stopped
from taskbound.core.task import evidence_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.identity import Agent
    from taskbound.core.identity.grantable import Reach
    from taskbound.core.task import Task
    from taskbound.flows.identity import Deliveries
    from taskbound.flows.means import Actor
    from taskbound.ports.store import Snapshot, Transaction


def require_startable(
    snapshot: Snapshot, deliveries: Deliveries, namespace: str, agent: str, now: Instant
) -> Agent:
    """The agent, when a task may start for it.

    Raises:
        DeniedError: Everything is stopped, the agent is not active, or its monitor takes nothing.
    """
    require_not_stopped(snapshot.revocation.kill_switch(namespace))
    found = snapshot.identities.agent(namespace, agent)
    if found is None:
        raise UnknownIdentityError(f"no agent is named `{agent}`")
    require_active(found, snapshot.identities.persons(namespace))
    deliveries.require_current(found.monitor, now)
    return found


def require_unchanged(
    tx: Transaction, agent: Agent, person: str, reach: Reach, now: Instant, *, above: str = ""
) -> None:
    """Go on only when what was read of the agent and of who may grant is so under lock.

    Args:
        tx: The transaction.
        agent: As it was read.
        person: Who grants.
        reach: What they may grant, as it was read.
        now: When; who was a member until before is none (`core.identity.person`, rule 4).
        above: Another agent that is to be locked with it, whatever it is by now; empty for none.

    Raises:
        DeniedError: Everything is stopped, or one of them changed.
    """
    require_not_stopped(tx.revocation.lock_kill_switch(agent.namespace))
    locked = tx.identities.lock_agents(agent.namespace, {agent.name, above or agent.name})
    if locked.get(agent.name) != agent.version:
        raise UnknownIdentityError(f"agent `{agent.name}` changed meanwhile", remedy="try again")
    persons, groups = tx.identities.lock_grantors(agent.namespace)
    if reach_of(person, persons, [one.at(now) for one in groups]) != reach:
        raise OutsideGrantableError(f"what `{person}` may grant changed meanwhile", remedy="try again")


def started(task: Task, actor: Actor, *, template: str, carved: Mapping[str, int]) -> TaskStarted:
    """The record of a task's start; what it took of its parent's limits is in it."""
    return TaskStarted(
        task=task.id,
        agent=task.agent,
        requester=task.requester,
        purpose=task.purpose,
        scope=task.scope.digest,
        deadline=task.deadline,
        by=actor.name,
        proof=actor.proof,
        template=template,
        parent=task.parent,
        evidence=tuple(map(evidence_text, task.evidence)),
        learning=task.learning,
        carved=words(carved),
        heartbeat=task.heartbeat,
        grace=task.grace,
        holds=task.holds.value,
    )


def words(amounts: Mapping[str, int]) -> tuple[str, ...]:
    """Amounts by limit, as records have them."""
    return tuple(f"{limit}={amount}" for limit, amount in sorted(amounts.items()))
