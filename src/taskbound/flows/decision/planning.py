"""Asking people about a plan: several calls that were not made yet, evaluated and held like any call.

1. Each step is evaluated from its bytes on the one path, and held as the calls of agents are (`planned`). A
   step that policy permits without anybody's word, or that is refused, makes the plan refused, and is named.
2. Of a plan that is refused one record stays.
3. Who proposes it is in charge of the task, or stands beneath the run of it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical
from taskbound.core.approval import NotEntitledError, Plan, PlanRefusedError, require_length, step_words
from taskbound.core.audit.events import PlanRefused
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Planned
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.task import NoTaskError
from taskbound.flows.approval.look.looking import Unseen
from taskbound.flows.decision.evaluate import Call, Evaluator
from taskbound.flows.decision.planned import Proposer, write_plan
from taskbound.flows.decision.undecided import ContendedError
from taskbound.flows.decision.writing import Pending
from taskbound.ports.store import ConflictError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.action import JsonValue
    from taskbound.core.approval import Look
    from taskbound.core.audit import Event
    from taskbound.core.task import Task
    from taskbound.flows.approval.look.looking import Sight
    from taskbound.flows.decision.views import Views
    from taskbound.flows.means import Means
    from taskbound.ports.store import Transaction


_ROUNDS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of a plan, as it will have to be made."""

    tool: str
    arguments: bytes
    """Canonical."""


class Planning:
    """Asks about plans; used from one thread at a time."""

    def __init__(self, means: Means, views: Views) -> None:
        """Keep what to decide with."""
        self._means = means
        self._views = views
        self._evaluator = Evaluator(views, means.policy, means.operands, means.tokens)

    def ask(
        self, namespace: str, task: str, steps: Sequence[Step], by: Proposer, sight: Sight | None = None
    ) -> Plan | Unseen:
        """Ask people about these calls of a task, in this order; the plan, or what has to be looked at first.

        Raises:
            BadPlanError: It has too few steps, or too many.
            NoTaskError: There is no such task.
            NotEntitledError: Whoever proposes it is not in charge of the task.
            PlanOpenError: The task has open questions.
            PlanRefusedError: A step is refused, or all of it can't be paid or answered.
            TooLongToShowError: It is too long to be shown whole.
            ContendedError: What it depends on kept changing.
        """
        found = self._task(namespace, task, by)
        try:
            require_length(len(steps))
            for _ in range(_ROUNDS):
                pending = self._evaluate(found, steps, by, sight)
                if isinstance(pending, Unseen):
                    return pending
                try:
                    return self._means.store.write(partial(self._write, found, pending, by))
                except (ContendedError, ConflictError):  # another plan was asked, or what it read has changed
                    for one in pending:
                        self._views.read_again(one.proposal)
            raise ContendedError("what this depends on kept changing")
        except (DeniedError, MalformedError) as error:
            self._refuse(found, steps, by, error)  # 2
            raise

    def _task(self, namespace: str, name: str, by: Proposer) -> Task:
        with self._means.store.read() as snapshot:
            task = snapshot.tasks.task(namespace, name)
            agent = None if task is None else snapshot.identities.agent(namespace, task.agent)
        if task is None:
            raise NoTaskError(f"no task is named `{name}`", remedy="list them with `taskbound task list`")
        if not by.beneath and by.actor.name not in {task.requester, "" if agent is None else agent.owner}:
            raise NotEntitledError(  # 3
                f"`{by.actor.name}` neither asked for the task nor owns the agent",
                remedy="have one of them propose it, or the agent beneath `taskbound run`",
            )
        return task

    def _evaluate(
        self, task: Task, steps: Sequence[Step], by: Proposer, sight: Sight | None
    ) -> list[Pending] | Unseen:
        """Every step as the call that it is (rule 1), or all that has to be looked at for any of them."""
        plan = self._means.chance.name("pln")
        now = self._means.clock.now()
        pending: list[Pending] = []
        unseen: dict[Look, None] = {}
        for number, step in enumerate(steps, 1):
            where = step_words(number, step.tool)
            call = Call(
                namespace=task.namespace,
                agent=task.agent,
                task=task.id,
                unbound=None,
                connection=by.connection,
                request=f"{plan} step {number}",
                key="",
                tool=step.tool,
                arguments=step.arguments,
                proof=by.actor.proof,
                sight=sight,
                read=(),
                recipient=None,
            )
            try:
                proposal = self._evaluator.evaluate(call, self._means.chance.name("act"), now)
            except (DeniedError, MalformedError) as error:
                why = f"it is refused ({error.code}): {error.message}"
                raise PlanRefusedError(why, remedy=error.advice, where=where) from error
            if isinstance(proposal, Unseen):
                unseen |= dict.fromkeys(proposal.looks)
                continue
            planned = replace(proposal, planned=Planned(plan=plan, step=number))
            pending.append(Pending(call=call, place=number - 1, proposal=planned))
        return Unseen(looks=tuple(unseen)) if unseen else pending

    def _write(self, task: Task, pending: Sequence[Pending], by: Proposer, tx: Transaction) -> Plan:
        return write_plan(tx, self._means, self._views, task, pending, by)

    def _refuse(
        self, task: Task, steps: Sequence[Step], by: Proposer, error: DeniedError | MalformedError
    ) -> None:
        """Keep the one record of a plan about which nobody is asked."""
        named: list[JsonValue] = [[one.tool, sha256(one.arguments).hexdigest()] for one in steps]
        event: Event = PlanRefused(
            task=task.id,
            agent=task.agent,
            code=error.code,
            step=error.where,
            steps=len(steps),
            digest=sha256(canonical(named)).hexdigest(),
            connection=by.connection,
            by=by.actor.name,
            proof=by.actor.proof,
        )
        means = self._means
        means.store.write(
            lambda tx: tx.audit.append(task.namespace, means.writer, [event], means.clock.now())
        )
