"""What is told with a token that was exchanged (RFC 9396 §7), and until when it is good.

1. Rules are told of the time that is granted at most, which is the template's (`flows.task.order`, rule 4),
   and neither of what an agent would like nor of nothing where it says none: no rule about `seconds` is
   passed by silence, or met by a month that nobody gets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from taskbound.core.clock import Instant, seconds
from taskbound.core.identity.proof import WorkloadProof
from taskbound.core.task import NoTaskError
from taskbound.core.token import NEVER, TaskGround
from taskbound.core.token.claims import details_of
from taskbound.flows.task import ChildOrder, TaskOrder

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue
    from taskbound.core.identity.proof import Principal
    from taskbound.core.token import Token
    from taskbound.flows.means import Means
    from taskbound.flows.token.orders import Issued


T = TypeVar("T", TaskOrder, ChildOrder)


def within_template(means: Means, order: T) -> T:
    """The order with the time that its template gives at most (rule 1); as it is where there is no such."""
    with means.store.read() as snapshot:
        template = snapshot.tasks.template(order.namespace, order.template)
    if template is None:
        return order
    return replace(order, seconds=min(order.seconds or template.seconds, template.seconds))


def granted(means: Means, token: Token) -> dict[str, JsonValue]:
    """What a task token says of its task, and within which seconds its agent is to be heard of.

    Raises:
        NoTaskError: There is no such task.
    """
    with means.store.read() as snapshot:
        task = snapshot.tasks.task(token.namespace, token.task)
    if task is None:
        raise NoTaskError(f"no task is named `{token.task}`")
    ground = TaskGround(scope=task.scope.digest, deadline=task.deadline)
    return {**details_of(token, ground), "heartbeat": task.heartbeat, "grace": task.grace}


def until_of(principal: Principal, subject: Token | None) -> Instant:
    """When that ends what a token rests on: the one that it is exchanged for, and what proved the agent."""
    ends = [] if subject is None else [subject.expires]
    if isinstance(principal.proof, WorkloadProof):
        ends.append(principal.proof.until)
    return min(ends, default=NEVER)


def life_in_seconds(issued: Issued) -> int:
    """`expires_in`."""
    return (issued.token.expires - issued.token.issued) // seconds(1)
