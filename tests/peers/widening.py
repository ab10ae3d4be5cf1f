"""A world in which a task may be widened: ann asks, and bob and carl approve for her agents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.approval import AnswerKind, Statement, Subject, render_statement
from taskbound.core.clock import Instant
from taskbound.flows.identity.leaving import People
from taskbound.flows.task import AmendmentOrder
from tests.peers.holding import Holding
from tests.world import ANN, scope_of

if TYPE_CHECKING:
    from taskbound.core.task import Task
    from taskbound.flows.means import Actor
    from taskbound.flows.task import AmendmentUpdate
    from taskbound.ports.store import Store
    from taskbound.ports.task import StoredAmendment
    from tests.world import World


def pay(uses: int = 0, **more: Any) -> dict[str, Any]:
    return {"tool": "bank__pay", "others": "any", **({"uses": uses} if uses else {}), **more}


def grants(*some: dict[str, Any]) -> dict[str, Any]:
    return {"grants": list(some)}


class Wide(Holding):
    """Ann asks for tasks; bob and carl approve for her agents `coder` and `helper`, and dora does not."""

    def __init__(self, store: Store, scope: dict[str, Any] | None = None) -> None:
        super().__init__(store, policy=base_bundle())
        self.world.add_agent("helper")
        for name in ("coder", "helper"):
            self.approvers(name, "bob", "carl")
        self.task = self.world.start(scope=scope or grants(pay(5)))

    def beside_on(self, store: Store) -> Wide:
        other = object.__new__(Wide)
        other.__dict__ |= super().beside_on(store).__dict__
        return other

    def approvers(self, agent: str, *names: str, owner: str = "ann") -> None:
        people = People(self.world.adapters, self.world.views)
        people.set_answering("default", agent, owner=owner, approvers=names, actor=ANN, owns=False)

    def wish(
        self, *some: dict[str, Any], task: Task | None = None, by: Actor = ANN, **more: Any
    ) -> StoredAmendment:
        """Ask for a scope of these grants."""
        order = AmendmentOrder(
            namespace="default",
            task=(task or self.task).id,
            scope=scope_of(more.pop("scope", None) or grants(*some)),
            reason="there are more bills",
        )
        return self.world.widenings.ask(replace(order, **more), by)

    def amendment(self, one: StoredAmendment) -> StoredAmendment:
        """The amendment as it is now."""
        with self.world.store.read() as snapshot:
            found = snapshot.amendments.amendment("default", one.question.id)
        assert found is not None
        return found

    def word(
        self, one: StoredAmendment, who: str, kind: AnswerKind = AnswerKind.APPROVE, **changes: Any
    ) -> tuple[bytes, bytes]:
        """A statement about the amendment, and its signature."""
        said = Statement(
            kind=kind,
            namespace="default",
            question=one.question.id,
            digest=one.question.digest,
            person=who,
            key=self.devices[who][0].id,
            at=Instant(self.world.clock.at),
            subject=Subject.AMENDMENT,
        )
        raw = render_statement(replace(said, **changes))
        return raw, self.devices[who][1].sign(raw)

    def tell(
        self, one: StoredAmendment, who: str, kind: AnswerKind = AnswerKind.APPROVE, **changes: Any
    ) -> AmendmentUpdate:
        return self.world.widenings.answer("default", *self.word(one, who, kind, **changes))

    def widened(self, *some: dict[str, Any], task: Task | None = None, who: str = "bob") -> AmendmentUpdate:
        """Ask for it, and have it approved."""
        return self.tell(self.wish(*some, task=task), who)

    def now(self) -> Task:
        return self.world.task(self.task)


def only(world: World, kind: str) -> dict[str, Any]:
    """The one event of this kind."""
    (event,) = world.events(kind)
    return event
