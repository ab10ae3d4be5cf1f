"""Plans of payments: proposed by ann, answered by people of finance, and made call by call."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from taskbound.core.action import canonical
from taskbound.core.approval import AnswerKind, Statement, Subject, render_statement
from taskbound.core.clock import Instant
from taskbound.flows.approval.look import NeedsProbe, probe_remote
from taskbound.flows.decision import Proposer, Step
from taskbound.flows.tool.applying import set_approvers
from tests.peers.holding import Holding, hold_policy
from tests.world import ANN

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue
    from taskbound.core.approval import Plan
    from taskbound.core.task import Task
    from taskbound.flows.approval.answers import PlanUpdate
    from taskbound.flows.approval.plan import PlanWithApprovals
    from taskbound.flows.decision import Answer
    from taskbound.flows.means import Actor
    from taskbound.ports.store import Store


def pay(amount: float, to: str = "bob") -> dict[str, JsonValue]:
    return {"amount": amount, "to": to}


BY_TOOL = hold_policy("approval:agent") + (
    '@id("looked") @hold("approval:agent")'
    ' forbid (principal, action == Taskbound::Action::"bank__look", resource);'
)
"""Payments and looks wait for those who approve for their tool."""
FIRST, SECOND, LAST = pay(10), pay(20, "eve"), pay(30)


def step(arguments: JsonValue | bytes, tool: str = "bank__pay") -> Step:
    return Step(tool=tool, arguments=arguments if isinstance(arguments, bytes) else canonical(arguments))


class Planner(Holding):
    """Whoever proposes plans, and signs them."""

    def beside_on(self, store: Store) -> Planner:
        other = object.__new__(Planner)
        other.__dict__ |= super().beside_on(store).__dict__
        return other

    def name_approvers(self, **tools: tuple[str, ...]) -> None:
        """Say who approves for each of the bank's tools."""
        for tool, names in tools.items():
            set_approvers(self.world.adapters, "default", f"bank__{tool}", names, actor=ANN, owns=True)

    def propose(
        self, *steps: JsonValue | Step, by: Actor = ANN, beneath: bool = False, task: Task | None = None
    ) -> Plan:
        whole = [one if isinstance(one, Step) else step(one) for one in steps or (FIRST, SECOND, LAST)]
        proposer = Proposer(actor=by, connection="con_p", beneath=beneath)
        name, sight = (task or self.task).id, None
        while isinstance(
            done := self.world.planning.ask("default", name, whole, proposer, sight), NeedsProbe
        ):
            sight = probe_remote(self.world.adapters, done.looks)
        return done

    def plan_of(self, action: str) -> Plan | None:
        """The plan of which this action is a step."""
        name = self.approval(action).question.plan
        with self.world.store.read() as snapshot:
            stored = snapshot.approvals.plan("default", name) if name else None
        return None if stored is None else stored.plan

    def whole(self, plan: Plan) -> PlanWithApprovals:
        from taskbound.flows.approval.plan import see_whole  # noqa: PLC0415  # of this look alone

        with self.world.store.read() as snapshot:
            stored = snapshot.approvals.plan("default", plan.id)
            assert stored is not None
            return see_whole(snapshot, stored)

    def stands(self, plan: Plan) -> tuple[str, int, list[str]]:
        """The plan's state, how many steps were used, and the state of each."""
        whole = self.whole(plan)
        states = [one.state.value for one in whole.steps]
        return whole.stored.state.value, whole.stored.used, states

    def statement_of(
        self, plan: Plan, who: str, kind: AnswerKind = AnswerKind.APPROVE, **changes: Any
    ) -> bytes:
        said = Statement(
            subject=Subject.PLAN,
            kind=kind,
            namespace="default",
            question=plan.id,
            digest=plan.digest,
            person=who,
            key=self.devices[who][0].id,
            at=Instant(self.world.clock.at),
        )
        return render_statement(replace(said, **changes))

    def sign(
        self, plan: Plan, who: str = "bob", kind: AnswerKind = AnswerKind.APPROVE, **changes: Any
    ) -> PlanUpdate:
        raw = self.statement_of(plan, who, kind, **changes)
        return self.world.plans.answer("default", raw, self.devices[who][1].sign(raw))

    def call(self, arguments: JsonValue, **more: Any) -> Answer:
        return self.world.ask(self.task, "bank__pay", arguments, **more)
