"""What a person answers to what a client asks for: wherever they are asked, by one path.

1. Whoever consents opens a task by the rules of every task's start, or chooses one that runs and that they
   are in charge of (`core.task.child`). The task's agent is the one whose resource the client asked for.
2. A request may want to know how lately and how well the person signed in. Whoever types a code has not.
3. A task that was started for a request that somebody else answered meanwhile ends; so does one whose answer
   never came (`flows.task.unclaimed`).
4. Whoever lets a client act as them says so of themselves, for as long as the sign-in lasts by which they
   do. It is said of no agent and no task, and is one answer, which no other one stands for.
5. Each answer is one record. That nobody can sign in as it is wanted is an answer too, and no person's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.audit.events import ClientConsented, ClientDenied
from taskbound.core.errors import TaskboundError
from taskbound.core.task import NoTaskError, TaskEvent, require_in_charge
from taskbound.core.token.authorization.asked import answered, answered_as_person, require_demands
from taskbound.core.token.authorization.errors import NotAskedError
from taskbound.flows.task import claim

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.token.authorization.asked import Asked, Signed
    from taskbound.core.token.authorization.errors import RedirectedError
    from taskbound.flows.means import Actor, Means
    from taskbound.flows.task import TaskOrder, Tasks
    from taskbound.ports.store import Transaction


def let_in(  # noqa: PLR0913 - what an answer is made of, each by its name
    means: Means,
    tasks: Tasks,
    found: Asked,
    actor: Actor,
    *,
    task: str,
    order: TaskOrder | None,
    acr: str,
    authenticated: Instant,
) -> Asked:
    """Let the client have tokens of a task that runs, or of one that is started.

    Args:
        means: The adapters.
        tasks: Starts tasks.
        found: What it asks for.
        actor: The person.
        task: One that runs; empty where `order` says what to start.
        order: What to start.
        acr: How well the person signed in; empty where nobody knows.
        authenticated: When; 1970 where nobody knows.

    Raises:
        SignInDemandedError: Rule 2.
        NotAskedError: Nothing waits any more, or it asks to act as the person.
        AnsweredError: It was answered.
        DeniedError: The task is none of theirs, or can't start.
    """
    require_demands(found, acr, authenticated)  # 2
    if found.is_persons:
        raise NotAskedError("the client asks to act as you, and for no task of an agent")  # 4
    if order is None:
        return means.store.write(lambda tx: _let_in(tx, means, found, task, actor))
    if order.agent != found.agent:
        raise NoTaskError(f"the client asks for agent `{found.agent}`, and for no other")
    started = tasks.start(replace(order, unclaimed=True), actor)
    try:
        return means.store.write(lambda tx: _let_in(tx, means, found, started.id, actor))
    except TaskboundError:
        why = "nobody was let in to it"
        tasks.end(found.namespace, started.id, TaskEvent.CANCEL, actor, reason=why)  # 3
        raise


def let_act(means: Means, found: Asked, actor: Actor, signed: Signed) -> Asked:
    """Let the client act as the person who says so (rule 4).

    Args:
        means: The adapters.
        found: What it asks for.
        actor: The person.
        signed: How they had signed in.

    Raises:
        SignInDemandedError: Rule 2.
        NotAskedError: Nothing waits any more, or it asks for an agent's task.
        AnsweredError: It was answered.
    """
    require_demands(found, signed.acr, signed.authenticated)  # 2

    def work(tx: Transaction) -> Asked:
        now = means.clock.now()
        asked = answered_as_person(
            tx.authorizations.asked(found.namespace, found.id), actor.name, signed, now
        )
        tx.authorizations.put_asked(asked, expect=asked.version - 1)
        tx.audit.append(found.namespace, means.writer, [_consented(asked, actor)], now)
        return asked

    return means.store.write(work)


def let_have_nothing(means: Means, found: Asked, actor: Actor, *, unmet: bool = False) -> Asked:
    """Let the client have nothing; `unmet` where nobody can sign in as it wants (rule 5).

    Raises:
        NotAskedError: Nothing waits any more.
        AnsweredError: It was answered.
    """

    def work(tx: Transaction) -> Asked:
        now = means.clock.now()
        person = "" if unmet else actor.name
        denied = answered(tx.authorizations.asked(found.namespace, found.id), person, "", now)
        tx.authorizations.put_asked(denied, expect=denied.version - 1)
        event = ClientDenied(
            request=denied.id,
            client=denied.request.client,
            agent=denied.agent,
            by=actor.name,
            proof=actor.proof,
        )
        tx.audit.append(found.namespace, means.writer, [event], now)
        return denied

    return means.store.write(work)


def refusal_of(found: Asked) -> RedirectedError:
    """What a client is told whom somebody denied, or for whom nobody could sign in (rule 5)."""
    if found.person:
        return found.request.refusal("access_denied", "the person let the client have nothing")
    return found.request.refusal("unmet_authentication_requirements", "nobody signed in as it was asked for")


def _let_in(tx: Transaction, means: Means, found: Asked, task: str, actor: Actor) -> Asked:
    now = means.clock.now()
    space = found.namespace
    asked = answered(tx.authorizations.asked(space, found.id), actor.name, task, now)
    chosen = tx.tasks.task(space, task)
    agent = tx.identities.agent(space, asked.agent)
    if chosen is None or agent is None or chosen.agent != asked.agent:
        raise NoTaskError(f"`{task}` is no task of agent `{asked.agent}`")
    require_in_charge(chosen, agent.owner, actor.name)  # 1
    claim(tx, space, task, now)
    tx.authorizations.put_asked(asked, expect=asked.version - 1)
    tx.audit.append(space, means.writer, [_consented(asked, actor)], now)
    return asked


def _consented(asked: Asked, actor: Actor) -> ClientConsented:
    return ClientConsented(
        request=asked.id,
        client=asked.request.client,
        host=asked.host,
        redirect=asked.request.redirect.host,
        agent=asked.agent,
        task=asked.task,
        resource=asked.request.resource,
        by=actor.name,
        proof=actor.proof,
    )
