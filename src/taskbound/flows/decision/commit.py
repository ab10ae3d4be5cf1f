"""Commits a group of calls: evaluates each and settles them together, within refusal allowances.

Rules of `commit`:
1. The group is one transaction and one sync; answers are durable before they leave. After an ambiguous or
   failed commit the actions are looked up: present ones were decided, others are decided again.
2. A stale proposal is evaluated again and settled in a later transaction; if it stays stale it is refused
   (`contended`) and nothing is taken. An unseen call is not decided and not recorded.
3. A call that cannot be read or written is answered alone, without effect on the others.

Rules of `refusals`:
1. An agent without refusal tokens (`core.decision.quota`) is refused without a record; the refusal is
   counted.
2. A permit takes no token; every other recorded answer does.
3. All unknown agent names share one bucket across namespaces. Persons (`person:NAME`) and proven services
   have their own.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from taskbound.core.audit import ActionRefusedMalformed, ActionUndecided, RefusalsDropped
from taskbound.core.decision import (
    Narrowed,
    Permit,
    Quota,
    Refuse,
    Repeated,
    Settled,
    Stale,
    TooManyRefusalsError,
    Waiting,
    refusal,
)
from taskbound.core.errors import MalformedError, TaskboundError, UnavailableError
from taskbound.flows.approval import pause_asking
from taskbound.flows.approval.look import NeedsProbe
from taskbound.flows.audit.sequencing import LogUnconfirmedError
from taskbound.flows.decision.evaluate import Call, Evaluator
from taskbound.flows.decision.settlement import Pending, recalled, settle_group
from taskbound.flows.decision.usable import ContendedError, NotDecided, UndecidedError
from taskbound.ports.store import AmbiguousCommitError, ConflictError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from taskbound.core.audit import Event
    from taskbound.core.decision import Allowance, Dropped
    from taskbound.flows.decision.context import Views
    from taskbound.flows.decision.facts import AuthorizedContext
    from taskbound.flows.means import Adapters, TaskChange
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Transaction


_UNWATCHED: Final = nullcontext()


class Watched(Protocol):
    """Observes the stages of a call; called from any deciding thread."""

    def stage(self, name: str, *, group: int = 0) -> AbstractContextManager[object]:
        """Returns a context around a stage; `group` is the number of calls that share it, 0 if none."""


def watched(name: str, calls: Sequence[Call], *, shared: bool) -> AbstractContextManager[object]:
    watching = [one.watch for one in calls if one.watch is not None]
    if not watching:
        return _UNWATCHED
    around = ExitStack()
    for one in watching:
        around.enter_context(one.stage(name, group=len(calls) if shared else 0))
    return around


_log = logging.getLogger(__name__)

_ROUNDS: Final = 8
_UNDECIDED: Final = refusal(UndecidedError("this could not be decided"))


Answer: TypeAlias = Settled | Repeated | Waiting | Narrowed | NotDecided
"""What a call gets.

`Repeated` names the action whose stored answer it gets, `Waiting` what it resumes, `Narrowed` what runs
instead.
"""
Found: TypeAlias = Settled | Stale | Repeated | Waiting | Narrowed


class Decisions:
    """Decides calls in groups; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters, views: Views) -> None:
        self._adapters = adapters
        self._views = views
        self._evaluator = Evaluator(views, adapters.policy, adapters.operands, adapters.tokens)
        self._paused: list[TaskChange] = []

    def decide(self, calls: Sequence[Call]) -> tuple[Answer | NeedsProbe, ...]:
        """Returns answers in order, durable unless unseen; never raises because of a call."""
        answers: dict[int, Answer | NeedsProbe] = {}
        waiting = list(enumerate(calls))
        for _ in range(_ROUNDS):
            pending = self._evaluate(waiting, answers)
            waiting = self._commit(pending, answers)
            if not waiting:
                break
        for place, _call in waiting:
            error = ContendedError("what this depends on kept changing")
            answers[place] = NotDecided(refusal=refusal(error))
        for one in pause_asking(self._adapters, answers.values()):
            self._views.forget_task(one.namespace, one.task)
            self._paused.append(one)
        return tuple(answers[place] for place in range(len(calls)))

    def ground(self, call: Call) -> AuthorizedContext:
        return self._evaluator.ground(call, self._adapters.clock.now())

    def take_paused(self) -> list[TaskChange]:
        """Returns the tasks paused since the last call, for holders of their connections."""
        paused, self._paused = self._paused, []
        return paused

    def _evaluate(
        self, waiting: Sequence[tuple[int, Call]], answers: dict[int, Answer | NeedsProbe]
    ) -> list[Pending]:
        now = self._adapters.clock.now()
        pending: list[Pending] = []
        for place, call in waiting:
            try:
                with watched("evaluate", (call,), shared=False):
                    proposal = self._evaluator.evaluate(call, self._adapters.chance.name("act"), now)
            except MalformedError as error:
                answers[place] = self._malformed(call, error)
            except StoreUnavailableError as error:
                answers[place] = NotDecided(refusal=refusal(error))
            except TaskboundError as error:
                answers[place] = self._refused(call, refusal(error))
            except Exception:  # noqa: BLE001 - rule 3: no other call may depend on an unexpected error in this one
                _log.exception("a call to %r could not be decided", call.tool)
                answers[place] = self._refused(call, _UNDECIDED)
            else:
                if isinstance(proposal, NeedsProbe):
                    answers[place] = proposal
                else:
                    pending.append(Pending(call=call, place=place, proposal=proposal))
        return pending

    def _commit(
        self, pending: list[Pending], answers: dict[int, Answer | NeedsProbe]
    ) -> list[tuple[int, Call]]:
        if not pending:
            return []
        try:
            with watched("commit", [one.call for one in pending], shared=True):
                settled = self._adapters.store.write(lambda tx: self._settle(tx, pending))
        except AmbiguousCommitError:
            return self._look_up(pending, answers)
        except ConflictError:
            return [(one.place, one.call) for one in pending]
        except UnavailableError as error:
            answers.update({one.place: self._unavailable(one.call, error) for one in pending})
            return []
        except Exception:  # noqa: BLE001 - rule 3: see `_alone`
            _log.exception("a group of %d calls could not be committed", len(pending))
            return self._alone(pending, answers)
        return self._sort(pending, settled, answers)

    def _alone(
        self, pending: list[Pending], answers: dict[int, Answer | NeedsProbe]
    ) -> list[tuple[int, Call]]:
        left = {place for place, _ in self._look_up(pending, answers)}
        alone = [one for one in pending if one.place in left]
        if len(pending) > 1:
            return [back for one in alone for back in self._commit([one], answers)]
        for one in alone:
            answers[one.place] = self._refused(one.call, _UNDECIDED)
        return []

    def _sort(
        self,
        pending: list[Pending],
        settled: Sequence[Found],
        answers: dict[int, Answer | NeedsProbe],
    ) -> list[tuple[int, Call]]:
        stale: list[tuple[int, Call]] = []
        for one, answer in zip(pending, settled, strict=True):
            if isinstance(answer, Stale):
                self._views.read_again(one.proposal)
                stale.append((one.place, one.call))
            elif one.covered:
                stale.append((one.place, replace(one.call, resume=one.action)))
                answers[one.place] = answer
            else:
                answers[one.place] = answer
        return stale

    def _look_up(
        self, pending: list[Pending], answers: dict[int, Answer | NeedsProbe]
    ) -> list[tuple[int, Call]]:
        again: list[tuple[int, Call]] = []
        try:
            with self._adapters.store.read() as snapshot:
                for one in pending:
                    kept = snapshot.actions.action(one.call.namespace, one.action or one.proposal.id)
                    if kept is None or not _is_ours(kept, one):
                        again.append((one.place, one.call))
                    else:
                        answers[one.place] = recalled(replace(one.proposal, id=kept.id), kept)
        except UnavailableError as error:  # unknown: a possible permit is not reported as one
            answers.update({one.place: NotDecided(refusal=refusal(error)) for one in pending})
            return []
        return again

    def _settle(self, tx: Transaction, pending: Sequence[Pending]) -> list[Found]:
        by_namespace: dict[str, list[int]] = {}
        for number, one in enumerate(pending):
            by_namespace.setdefault(one.call.namespace, []).append(number)
        answers: dict[int, Found] = {}
        for namespace in sorted(by_namespace):
            numbers = by_namespace[namespace]
            group = [pending[number] for number in numbers]
            settlement = settle_group(tx, self._adapters, self._views, namespace, group)
            answers.update(zip(numbers, settlement.answers, strict=True))
        return [answers[number] for number in range(len(pending))]

    def _malformed(self, call: Call, error: MalformedError) -> NotDecided:
        event = ActionRefusedMalformed(
            code=error.code,
            connection=call.connection,
            agent=call.agent,
            size=len(call.arguments),
            digest=hashlib.sha256(call.arguments).hexdigest(),
            tool=call.tool,
            task=call.task,
        )
        return self._recorded(call, event, refusal(error))

    def _unavailable(self, call: Call, error: UnavailableError) -> NotDecided:
        if isinstance(error, LogUnconfirmedError):
            return self._refused(call, refusal(error))  # the store itself can be written
        return NotDecided(refusal=refusal(error))

    def _refused(self, call: Call, refused: Refuse) -> NotDecided:
        event = ActionUndecided(
            code=refused.code,
            connection=call.connection,
            agent=call.agent,
            tool=call.tool,
            task=call.task,
            size=len(call.arguments),
            digest=hashlib.sha256(call.arguments).hexdigest(),
            proof=call.proof,
        )
        return self._recorded(call, event, refused)

    def _recorded(self, call: Call, event: Event, refused: Refuse) -> NotDecided:
        adapters = self._adapters
        try:
            adapters.store.write(
                lambda tx: tx.audit.append(call.namespace, adapters.writer, [event], adapters.clock.now())
            )
        except UnavailableError as unavailable:
            return NotDecided(refusal=refusal(unavailable))
        except Exception:  # noqa: BLE001 - rules 3 and 4: the refusal stands, and so do its neighbors' answers
            _log.exception("a refusal of a call to %r could not be recorded", call.tool)
            return NotDecided(refusal=refused)
        return NotDecided(refusal=refused, recorded=True)


def _is_ours(kept: StoredAction, one: Pending) -> bool:
    lifted = one.action not in {"", one.proposal.id}
    presented = (kept.connection, kept.request) == (one.call.connection, one.call.request)
    return not lifted or (kept.decision == "permit" and presented)


PERSON: Final = "person:"
"""What stands before a person's name where agents' names stand; no agent's name can begin so."""
SERVICE: Final = "service:"
"""Prefix of a service's name; only an authenticated caller has one, and there are few."""
_UNKNOWN_AGENT: Final = ("default", "")


class Refusals:
    """Decides calls within refusal allowances; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters, views: Views, decisions: Decisions, allowance: Allowance) -> None:
        self._adapters = adapters
        self._views = views
        self._decisions = decisions
        self._quota = Quota(allowance)

    def decide(self, calls: Sequence[Call]) -> tuple[Answer | NeedsProbe, ...]:
        """Returns an answer for each call, in order, or what must be looked at first."""
        answers: dict[int, Answer | NeedsProbe] = {}
        admitted: list[int] = []
        now = self._adapters.clock.now()
        for place, call in enumerate(calls):
            try:
                self._quota.require(*self._holder(call.namespace, call.agent), now)
            except TooManyRefusalsError as error:
                answers[place] = NotDecided(refusal=refusal(error))
            else:
                admitted.append(place)
        decided = self._decisions.decide([calls[place] for place in admitted])
        for place, answer in zip(admitted, decided, strict=True):
            answers[place] = answer
            if _is_recorded_refusal(answer):
                self.take(calls[place].namespace, calls[place].agent)
        return tuple(answers[place] for place in range(len(calls)))

    def require(self, namespace: str, agent: str, *, code: str = "", times: int = 1) -> None:
        """Raises TooManyRefusalsError and counts the refusals if no refusal of this agent may be recorded."""
        self._quota.require(
            *self._holder(namespace, agent), self._adapters.clock.now(), code=code, times=times
        )

    def take(self, namespace: str, agent: str) -> None:
        self._quota.take(*self._holder(namespace, agent), self._adapters.clock.now())

    def tell(self, *, final: bool = False) -> None:
        dropped = self._quota.dropped(self._adapters.clock.now(), final=final)
        if not dropped:
            return
        for one in dropped:
            self._record(one)
            self._quota.told((one,))

    def _record(self, one: Dropped) -> None:
        event = RefusalsDropped(agent=one.agent, since=one.since, count=one.count, codes=one.codes)
        adapters = self._adapters
        adapters.store.write(
            lambda tx: tx.audit.append(one.namespace, adapters.writer, [event], adapters.clock.now())
        )

    def _holder(self, namespace: str, agent: str) -> tuple[str, str]:
        if agent.startswith(SERVICE):
            known = True
        elif agent.startswith(PERSON):
            known = agent.removeprefix(PERSON) in self._views.persons(namespace)
        else:
            known = self._views.agent(namespace, agent) is not None
        return (namespace, agent) if known else _UNKNOWN_AGENT


def _is_recorded_refusal(answer: Answer | NeedsProbe) -> bool:
    match answer:
        case Settled(decision=Permit()) | Waiting() | Narrowed() | NeedsProbe():
            return False
        case NotDecided(recorded=recorded):
            return recorded
        case _:
            return True
