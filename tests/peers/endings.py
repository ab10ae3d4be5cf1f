"""What can happen beside the use of an approval: made ready so that one call does it, and undone after it."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from taskbound.core.approval import AnswerKind
from taskbound.core.task import TaskEvent
from taskbound.core.tool import ServerIdentity, parse_definition
from taskbound.flows.identity import register_person
from taskbound.flows.identity.leaving import People
from taskbound.flows.identity.person import withdraw
from taskbound.flows.policy import examine, examine_kept
from taskbound.flows.revocation import stop
from taskbound.ports.policy import StoredBundle
from tests.peers.openssh import Device
from tests.peers.people import OWNER, actor_of, enrolled
from tests.world import ANN, LOOK, PAY, SCOPE, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from taskbound.core.action import JsonValue
    from tests.peers.planning import Planner


HOUR: Final = 3600
LEAST: Final[dict[str, JsonValue]] = {"to": "bob", "amount": 1}
_COOLING: Final = 25 * HOUR


class Ending:
    """What one round has happen; and what it leaves behind, so that the next can have it again."""

    def __init__(self, there: Planner, what: str) -> None:
        """Be ready for rounds of this kind; what happens is done by this daemon."""
        self._there = there
        self.what = what
        self._bundles = self._propose() if what == "policy" else ()
        if what == "deny the last step":
            there.name_approvers(pay=("bob",), look=("bob", "carl"))
        self.turns = 0
        self.approver = "bob"
        """Who says yes in this round."""

    def begin(self) -> None:
        """Have whoever says yes in this round: one whose key or place goes is another each time."""
        self.turns += 1
        there, world = self._there, self._there.world
        match self.what:
            case "withdraw the key":
                device = Device()
                key = enrolled(world, "bob", device, voucher=there.devices["ann"])
                there.devices["bob"] = (key, device)
                world.clock.advance(_COOLING)
            case "leave for good":
                self.approver = f"p{self.turns}"
                register_person(world.adapters, "default", self.approver, uid=2000 + self.turns, actor=ANN)
                groups = there.groups
                groups.set_member("default", "finance", self.approver, member=True, actor=ANN, owns=True)
                device = Device()
                key = enrolled(world, self.approver, device, voucher=there.devices["ann"])
                there.devices[self.approver] = (key, device)
                world.clock.advance(_COOLING)
            case _:
                return

    def of(self, action: str) -> Callable[[], object]:
        """What has to be done meanwhile, in this round."""
        there, world = self._there, self._there.world
        task, who = there.task.id, self.approver
        people = People(world.adapters, world.views)
        acts: dict[str, Callable[[], Callable[[], object]]] = {
            "nothing": lambda: lambda: None,
            "deny": lambda: self._deny(action),
            "deny the last step": lambda: self._deny(action),  # carl's word counts for that alone
            "expire": lambda: partial(world.clock.advance, HOUR),
            "withdraw": lambda: self._withdraw(action),
            "leave": lambda: partial(world.approvals.leave, "default", "con_a", reason=""),
            "end": lambda: partial(world.tasks.end, "default", task, TaskEvent.CANCEL, ANN, reason=""),
            "leave the group": lambda: partial(there.leave, who),
            "withdraw the key": lambda: partial(
                withdraw,
                world.adapters,
                "default",
                there.devices[who][0].id,
                actor_of(who),
                owns=False,
                reason="",
            ),
            "leave for good": lambda: partial(people.leave, "default", who, OWNER, owns=True, reason=""),
            "policy": self._activate,
            "tool": lambda: partial(self._accept, {**PAY, "title": f"Pay {self.turns}"}),
            "re-pin": lambda: self._pin,
            "amend": lambda: partial(
                world.changes.amend, "default", task, scope_of({"grants": SCOPE["grants"][:1]}), ANN
            ),
            "narrow": lambda: partial(
                world.narrowings.narrow, "default", *there.narrowing(action, "carl", LEAST)
            ),
            "pause": lambda: partial(world.tasks.pause, "default", task, ANN, reason=""),
            "stop": lambda: self._throw(stopped=True),
        }
        return acts[self.what]()

    def over(self) -> None:
        """What can go on goes on: the task is resumed, what was stopped is let go."""
        match self.what:
            case "pause":
                self._there.world.tasks.resume("default", self._there.task.id, ANN)
            case "stop":
                self._throw(stopped=False)()
            case _:
                return

    def undo(self) -> None:
        """Bob is of finance again, where he left it."""
        if self.what == "leave the group":
            self._there.groups.set_member("default", "finance", "bob", member=True, actor=ANN, owns=True)

    def _throw(self, *, stopped: bool) -> Callable[[], object]:
        return partial(
            stop, self._there.world.adapters, "default", stopped=stopped, reason="enough", actor=ANN
        )

    def _deny(self, action: str) -> Callable[[], object]:
        there = self._there
        plan = there.plan_of(action)
        if plan is None:
            raw = there.statement(action, "carl", AnswerKind.DENY)
            answer: Callable[..., object] = there.world.approvals.answer
        else:
            raw, answer = there.statement_of(plan, "carl", AnswerKind.DENY), there.world.plans.answer
        return partial(answer, "default", raw, there.devices["carl"][1].sign(raw))

    def _withdraw(self, action: str) -> Callable[[], object]:
        name = self._there.approval(action).question.id
        return partial(self._there.world.approvals.withdraw, "default", name, ANN, reason="")

    def _activate(self) -> Callable[[], object]:
        world = self._there.world
        seen = examine_kept(world.adapters, "default", self._bundles[self.turns % 2])
        return partial(world.bundles.activate, "default", seen, actor_of("bob"))

    def _propose(self) -> Sequence[str]:
        return tuple(self._digests())

    def _digests(self) -> Iterator[str]:
        world = self._there.world
        for name in ("first", "second"):
            text = f'@id("{name}") permit (principal, action, resource);'
            kept = world.bundles.propose(
                "default", examine(world.adapters, "default", {"own.cedar": text}, {}), "", ANN
            )
            assert isinstance(kept, StoredBundle)
            yield kept.digest

    def _pin(self) -> None:
        """A person takes the server away, and pins one of another binary under its name."""
        pins = self._there.world.pins
        pins.remove("default", "bank", ANN)
        plain: dict[str, Any] = {"command": "/usr/bin/bank", "resolved": "/usr/bin/bank"}
        identity = ServerIdentity(namespace="default", sha256=f"{self.turns:064x}", **plain)
        raws = [json.dumps(one).encode() for one in (PAY, LOOK)]
        pins.add("bank", identity, b"{}", raws, agents=(), actor=ANN)

    def _accept(self, definition: dict[str, Any]) -> None:
        """A server lists another definition, and a person accepts it."""
        world = self._there.world
        with world.store.read() as snapshot:
            server = snapshot.tools.server("default", "bank")
        assert server is not None
        raws = [json.dumps(one).encode() for one in (definition, LOOK)]
        world.sights.see("default", "bank", server.identity, raws, agent="coder")
        world.sights.accept("default", "bank__pay", parse_definition(raws[0]).digest, ANN)
