"""What a call for a credential has to have beside what every call has, before policy is asked.

1. Its arguments fit the pinned definition of its kind, which is ours (`core.target`). Of other tools nobody
   but their servers can say that; of these nobody else would look before a target is called.
2. It can live: for a number of seconds that its kind allows, and for a second at least before the first
   deadline of its task and that one's ancestors. The commit judges that again by its own instant, and says
   when it ends.
3. What is renewed is judged by the commit alone, by its row. Here nothing is read of it but since when it
   lives, where a policy reads that of what is covered: whoever has no grant for a renewal is told nothing of
   a credential. What is not the task's own is taken to be as old as the task, which no credential of it is
   older than: so nobody is told of another's.
4. What does not fit is refused like what is outside of a scope: with an action and a record of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.credential import end_of
from taskbound.core.target import life_of, require_parameters

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.target import Life
    from taskbound.flows.decision.case import Ground
    from taskbound.flows.decision.views import Views


_SECOND: Final = 1_000_000


def life_asked_for(ground: Ground, arguments: dict[str, JsonValue], now: Instant) -> Life:
    """For how long a credential is asked for (rules 1 and 2).

    Raises:
        BadParameterError: Its kind has no such parameters.
        BadCredentialLifeError: It can't live so long, or its task is about to end.
        BadKindError: The pinned definition is no kind's.
    """
    definition = ground.tool.definition
    require_parameters(definition, arguments)
    life = life_of(definition, arguments)
    end_of(life.asked, life.most, now, ground.until)
    return life


def life_since_made(views: Views, ground: Ground, life: Life, now: Instant) -> int:
    """For how many seconds a credential lives by what is asked for, begun ones too (rule 3).

    Args:
        views: What of the store is read by.
        ground: What the call stands on.
        life: What is asked for.
        now: When.
    """
    ends, began = end_of(life.asked, life.most, now, ground.until), now
    if life.renews:
        task = ground.lineage.task
        row = views.credential(task.namespace, life.renews)
        is_own = row is not None and (row.task, row.agent) == (task.id, ground.agent.name)
        began = row.made if row is not None and is_own else task.started
    return -((began - ends) // _SECOND)
