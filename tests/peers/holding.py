"""A world whose payments wait for people of finance, and people with devices that answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.action import Action, Frame, canonical
from taskbound.core.approval import AnswerKind, Statement, render_statement
from taskbound.core.clock import Instant
from taskbound.flows.identity import register_person
from taskbound.flows.identity.group import Groups
from tests.peers.openssh import Device
from tests.peers.people import actor_of, enrolled
from tests.world import ANN, World, WorldChance, WorldClock

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.core.task import Task
    from taskbound.flows.approval.answers import Answered
    from taskbound.flows.decision.narrowing import NarrowedTo
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Store


def hold_policy(lifter: str) -> str:
    return (
        f'{base_bundle()}@id("asked") @hold("{lifter}")'
        ' forbid (principal, action == Taskbound::Action::"bank__pay", resource);'
    )


ASKED = hold_policy("approval:finance")
TWICE = hold_policy("approval:finance:2")


class Answerers:
    """Ann with a device that signs; what is asked, and what she or others would sign."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.task: Task
        device = Device()
        self.devices: dict[str, tuple[PersonKey, Device]] = {"ann": (enrolled(world, "ann", device), device)}

    def approval(self, action: str) -> StoredApproval:
        with self.world.store.read() as snapshot:
            found = snapshot.approvals.approval_of("default", action)
        assert found is not None
        return found

    def state(self, action: str) -> tuple[str, str]:
        """Where the action and its approval stand."""
        with self.world.store.read() as snapshot:
            kept = snapshot.actions.action("default", action)
        assert kept is not None
        return kept.state.value, self.approval(action).state.value

    def statement(
        self, action: str, who: str, kind: AnswerKind = AnswerKind.APPROVE, **changes: Any
    ) -> bytes:
        question = self.approval(action).question
        said = Statement(
            kind=kind,
            namespace="default",
            question=question.id,
            digest=question.digest,
            person=who,
            key=self.devices[who][0].id,
            at=Instant(self.world.clock.at),
        )
        return render_statement(replace(said, **changes))

    def less(self, action: str, arguments: bytes) -> str:
        """The digest of the held action's tool with other arguments."""
        with self.world.store.read() as snapshot:
            kept = snapshot.actions.action("default", action)
        assert kept is not None
        frame = Frame(
            namespace="default",
            task=kept.task,
            agent=kept.agent,
            tool=kept.tool,
            server=kept.server,
            definition=kept.definition,
        )
        return Action(frame=frame, arguments=arguments).digest

    def narrowing(
        self, action: str, who: str, arguments: JsonValue | bytes, **changes: Any
    ) -> tuple[bytes, bytes, bytes]:
        """What somebody signs to narrow a held action, the signature, and the arguments."""
        given = arguments if isinstance(arguments, bytes) else canonical(arguments)
        plain = {"narrowed": self.less(action, given)} | changes
        raw = self.statement(action, who, AnswerKind.NARROW, **plain)
        return raw, self.devices[who][1].sign(raw), given


class Holding(Answerers):
    """Ann asks; bob, carl and dora are of finance; each has a key that counts."""

    def __init__(
        self,
        store: Store,
        policy: str = ASKED,
        *,
        clock: WorldClock | None = None,
        chance: WorldChance | None = None,
    ) -> None:
        clock, chance = clock or WorldClock(), chance or WorldChance()
        world = World(store=store, policy=policy, clock=clock, chance=chance)
        world.settle_in()
        super().__init__(world)
        groups = Groups(self.world.adapters)
        groups.add("default", "finance", ANN, owns=True)
        for uid, name in enumerate(("bob", "carl", "dora"), start=1001):
            register_person(self.world.adapters, "default", name, uid=uid, actor=ANN)
            groups.set_member("default", "finance", name, member=True, actor=ANN, owns=True)
        for name in ("bob", "carl", "dora"):
            device = Device()
            self.devices[name] = (enrolled(self.world, name, device, voucher=self.devices["ann"]), device)
        self.world.clock.advance(25 * 3600)
        self.task = self.world.start()
        self.groups = groups

    def beside_on(self, store: Store) -> Holding:
        """The same, seen from another daemon over its own handle of the same database."""
        other = object.__new__(Holding)
        other.__dict__ |= self.__dict__
        old = self.world
        other.world = World(store=store, policy=old.policy, clock=old.clock, chance=old.chance)
        other.groups = Groups(other.world.adapters)
        return other

    def rule(self, policy: str) -> None:
        """Other policies hold from now on."""
        old = self.world
        self.world = World(store=old.store, policy=policy, clock=old.clock, chance=old.chance)

    def say(self, action: str, who: str, kind: AnswerKind = AnswerKind.APPROVE, **changes: Any) -> Answered:
        raw = self.statement(action, who, kind, **changes)
        return self.world.approvals.answer("default", raw, self.devices[who][1].sign(raw))

    def narrow(self, action: str, who: str, arguments: JsonValue | bytes, **changes: Any) -> NarrowedTo:
        return self.world.narrow(*self.narrowing(action, who, arguments, **changes))

    def child(self, requester: str) -> Task:
        """A task beneath ours that somebody else asked for."""
        made = self.world.child(self.task)
        other = replace(made, requester=requester, version=2)
        self.world.store.write(lambda tx: tx.tasks.put_task(other, expect=1))
        self.world.views.forget()
        return other

    def leave(self, who: str) -> None:
        """Somebody is of finance no more."""
        self.groups.set_member("default", "finance", who, member=False, actor=actor_of("ann"), owns=True)
