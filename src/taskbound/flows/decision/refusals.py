"""Deciding for an agent only as long as what it is refused can be recorded one by one.

1. An agent whose refusals have used up its allowance (`core.decision.quota`) is decided for no more until
   there is a token again: it is refused, without a record of its own, and counted.
2. A permit takes no token; whatever else is recorded does: refusals, holds, duplicates, bytes that can't be
   read, what can't be decided.
3. All names that no agent has share one bucket, in whatever namespace: a new name is no new allowance. A
   person has a bucket of their own, under `person:NAME`, and so has a service that has proved itself.
4. Counts are recorded when their window ends; what could not be recorded stays counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.audit import RefusalsDropped
from taskbound.core.decision import Narrowed, Permit, Quota, Settled, TooManyRefusalsError, Waiting, refusal
from taskbound.flows.approval.look.looking import Unseen
from taskbound.flows.decision.undecided import NotDecided

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.decision import Allowance, Dropped
    from taskbound.flows.decision.commit import Answer, Decisions
    from taskbound.flows.decision.evaluate import Call
    from taskbound.flows.decision.views import Views
    from taskbound.flows.means import Means


PERSON: Final = "person:"
"""What stands before a person's name where agents' names stand; no agent's name can begin so."""
SERVICE: Final = "service:"
"""What stands before the name of a service, of which there are few: whoever is called so was proven."""
_NOBODY: Final = ("default", "")


class Refusals:
    """Decides calls of agents that have an allowance left; used from one thread at a time."""

    def __init__(self, means: Means, views: Views, decisions: Decisions, allowance: Allowance) -> None:
        """Decide with these."""
        self._means = means
        self._views = views
        self._decisions = decisions
        self._quota = Quota(allowance)

    def decide(self, calls: Sequence[Call]) -> tuple[Answer | Unseen, ...]:
        """An answer for each call, in order, or what has to be looked at before there is one."""
        answers: dict[int, Answer | Unseen] = {}
        admitted: list[int] = []
        now = self._means.clock.now()
        for place, call in enumerate(calls):
            try:
                self._quota.require(*self._holder(call.namespace, call.agent), now)
            except TooManyRefusalsError as error:
                answers[place] = NotDecided(refusal=refusal(error))  # 1
            else:
                admitted.append(place)
        decided = self._decisions.decide([calls[place] for place in admitted])
        for place, answer in zip(admitted, decided, strict=True):
            answers[place] = answer
            if _is_recorded_refusal(answer):
                self.take(calls[place].namespace, calls[place].agent)  # 2
        return tuple(answers[place] for place in range(len(calls)))

    def require(self, namespace: str, agent: str, *, code: str = "", times: int = 1) -> None:
        """Go on only when a refusal of this agent would be recorded; else count it, or so many.

        Raises:
            TooManyRefusalsError: It would not.
        """
        self._quota.require(*self._holder(namespace, agent), self._means.clock.now(), code=code, times=times)

    def take(self, namespace: str, agent: str) -> None:
        """A refusal of this agent was recorded."""
        self._quota.take(*self._holder(namespace, agent), self._means.clock.now())

    def tell(self, *, final: bool = False) -> None:
        """Record what was counted in windows that have ended (rule 4)."""
        dropped = self._quota.dropped(self._means.clock.now(), final=final)
        if not dropped:
            return
        for one in dropped:
            self._record(one)
            self._quota.told((one,))

    def _record(self, one: Dropped) -> None:
        event = RefusalsDropped(agent=one.agent, since=one.since, count=one.count, codes=one.codes)
        means = self._means
        means.store.write(lambda tx: tx.audit.append(one.namespace, means.writer, [event], means.clock.now()))

    def _holder(self, namespace: str, agent: str) -> tuple[str, str]:
        if agent.startswith(SERVICE):
            known = True
        elif agent.startswith(PERSON):
            known = agent.removeprefix(PERSON) in self._views.persons(namespace)
        else:
            known = self._views.agent(namespace, agent) is not None
        return (namespace, agent) if known else _NOBODY  # 3


def _is_recorded_refusal(answer: Answer | Unseen) -> bool:
    match answer:
        case Settled(decision=Permit()) | Waiting() | Narrowed() | Unseen():
            return False
        case NotDecided(recorded=recorded):
            return recorded
        case _:
            return True
