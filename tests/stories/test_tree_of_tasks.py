"""Any course of handing on, stepping, narrowing, widening, deciding and ending, held against plain sums."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from taskbound.core.approval import AnswerKind
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.task import ENDED, TaskEvent
from taskbound.flows.audit.rows import compare_rows
from tests.contracts.store.rows import task
from tests.peers.widening import Wide
from tests.sqlite import sqlite_store
from tests.world import ANN, code_of, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.task import Task
    from taskbound.ports.store import Store

NAMES = ("ann", "bob", "eve")
USES = 9
some_names = st.sets(st.sampled_from(NAMES), min_size=1).map(sorted)
some_uses = st.integers(1, USES)
nth = st.integers(0, 30)


def grant(names: list[str], uses: int) -> dict[str, Any]:
    to: dict[str, Any] = {"one_of": names} if len(names) > 1 else {"equals": names[0]}
    return {"tool": "bank__pay", "arguments": {"to": to, "amount": {"any": True}}, "uses": uses}


def plain(names: list[str], uses: int) -> dict[str, Any]:
    return {"grants": [grant(names, uses)]}


def stepped(names: list[str], uses: int) -> dict[str, Any]:
    look = {"tool": "bank__look", "others": "any"}
    return {
        "steps": [
            {"name": "pay", "grants": [grant(names, uses)]},
            {"name": "less", "keep": True, "grants": [look]},
            {"name": "look", "grants": [look]},
        ]
    }


def permitted(task: Task) -> set[str]:
    """Whom a task may pay in its step, read from the scope as it is written."""
    form = json.loads(task.scope.canonical)
    in_force: list[dict[str, Any]] = form.get("grants", [])
    for number, one in enumerate(form.get("steps", ())[: task.step + 1]):
        in_force = [*(in_force if one.get("keep") and number else []), *one["grants"]]
    names: set[str] = set()
    for one in in_force:
        if one["tool"] == "bank__pay":
            to = one["arguments"]["to"]
            names |= {to["equals"]} if "equals" in to else set(to["one_of"])
    return names


def payees(form: dict[str, Any]) -> set[str]:
    """Whom a scope lets pay in any step."""
    every = [one for part in form.get("steps", [form]) for one in part["grants"]]
    return {
        name
        for one in every
        if one["tool"] == "bank__pay"
        for to in [one["arguments"]["to"]]
        for name in ([to["equals"]] if "equals" in to else to["one_of"])
    }


class Tree(RuleBasedStateMachine):
    make: Callable[[ExitStack], Store]

    def __init__(self) -> None:
        super().__init__()
        self.open = ExitStack()
        self.there = Wide(self.make(self.open))
        self.world = self.there.world
        self.root = self.world.start(scope=stepped(list(NAMES), USES))
        self.bound = USES
        self.permits = 0
        self.under: list[set[str]] = []
        """Of each permit: whom the root's grant let pay at that time."""
        self.before = 0
        """Of the permits: those under a grant that shares no call with the root's grant of now."""

    def teardown(self) -> None:
        self.open.close()

    def living(self) -> list[Task]:
        with self.world.store.read() as snapshot:
            tree = snapshot.tasks.tree("default", self.root.id)
        return [one for one in tree if one.state not in ENDED]

    def pick(self, number: int) -> Task:
        tasks = self.living()
        return tasks[number % len(tasks)] if tasks else self.root

    @rule(number=nth, names=some_names, uses=some_uses, steps=st.booleans())
    def delegate(self, number: int, names: list[str], uses: int, steps: bool) -> None:  # noqa: FBT001 - drawn by its name
        scope = stepped(names, uses) if steps else plain(names, uses)
        try:
            self.world.delegate(self.pick(number), scope=scope_of(scope))
        except DeniedError:
            return

    @rule(number=nth, name=st.sampled_from(NAMES), outcome=st.sampled_from(["", "not-sent", "unknown"]))
    def decide(self, number: int, name: str, outcome: str) -> None:
        task = self.pick(number)
        with self.world.store.read() as snapshot:
            line = snapshot.tasks.lineage("default", task.id)
        answer = self.world.ask(task, arguments={"to": name, "amount": 1}, agent=task.agent)
        if code_of(answer) != "permit":
            return
        for one in line:
            assert name in permitted(one), f"{one.id} does not permit what was done beneath it"
            assert one.state.value == "running"
        if outcome:
            self.world.tell(answer.proposal.id, outcome, None)  # type: ignore[union-attr]  # it is a permit
        if outcome != "not-sent":
            self.permits += 1
            self.under.append(payees(json.loads(line[-1].scope.canonical)))

    @rule(number=nth)
    def step(self, number: int) -> None:
        try:
            self.world.changes.step("default", self.pick(number).id, "", ANN)
        except DeniedError:
            return

    @rule(number=nth, names=some_names, uses=some_uses, steps=st.booleans())
    def amend(self, number: int, names: list[str], uses: int, steps: bool) -> None:  # noqa: FBT001 - drawn by its name
        task = self.pick(number)
        scope = scope_of(stepped(names, uses) if steps else plain(names, uses))
        try:
            self.world.changes.amend("default", task.id, scope, ANN)
        except (DeniedError, MalformedError):
            return
        if task.id == self.root.id:
            self.follow(names)
            self.bound = max(self.permits, min(self.bound, self.before + uses))

    def follow(self, names: list[str]) -> None:
        """What was permitted under a grant counts against every later one that shares a call with it."""
        self.before = sum(not paid & set(names) for paid in self.under)

    @rule(number=nth, names=some_names, uses=some_uses, steps=st.booleans(), denied=st.booleans())
    def widen(self, number: int, names: list[str], uses: int, steps: bool, denied: bool) -> None:  # noqa: FBT001 - drawn by its name
        task = self.pick(number)
        kind = AnswerKind.DENY if denied else AnswerKind.APPROVE
        try:
            asked = self.there.wish(scope=stepped(names, uses) if steps else plain(names, uses), task=task)
        except (DeniedError, MalformedError):
            return
        said = self.there.tell(asked, "bob", kind)
        assert said.state.value == ("denied" if denied else "applied"), "what is asked for can be done"
        if task.id == self.root.id and not denied:
            self.follow(names)
            self.bound = max(self.permits, self.before + uses)

    @rule(number=nth)
    @precondition(lambda self: len(self.living()) > 1)
    def end(self, number: int) -> None:
        task = self.pick(number)
        if task.id != self.root.id:
            self.world.tasks.end("default", task.id, TaskEvent.COMPLETE, ANN, reason="")

    @invariant()
    def no_more_is_spent_than_the_root_was_given(self) -> None:
        assert self.permits <= self.bound

    @invariant()
    def what_is_left_anywhere_is_within_what_the_root_was_given(self) -> None:
        left = sum(
            amount for one in self.living() for key, amount in self.world.left(one).items() if "uses" in key
        )
        assert self.permits + left <= self.bound

    @invariant()
    def nothing_runs_beneath_what_has_ended(self) -> None:
        names = {one.id for one in self.living()}
        assert all(not one.parent or one.parent in names for one in self.living())

    @invariant()
    def the_log_and_the_rows_say_the_same(self) -> None:
        with self.world.store.read() as snapshot:
            assert compare_rows(snapshot, lambda _done, _total: None).differences == ()


def on_sqlite(stack: ExitStack) -> Store:
    return stack.enter_context(closing(sqlite_store()))


def run(make: Callable[[ExitStack], Store], examples: int) -> None:
    class Here(Tree):
        pass

    Here.make = staticmethod(make)
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_law_3_no_course_of_a_tree_spends_more_or_does_other_than_it_was_given() -> None:
    run(on_sqlite, 60)


def test_law_3_few_courses_of_a_tree_spend_no_more_than_it_was_given() -> None:
    run(on_sqlite, 8)


def test_law_3_so_it_is_on_postgresql(server: Any) -> None:
    run(lambda stack: stack.enter_context(server.store()), 6)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_the_reader_of_scopes_reads_them_as_they_are_meant(step: int) -> None:
    seen = permitted(replace(task(), scope=scope_of(stepped(["bob"], 1)), step=step))
    assert seen == ({"bob"} if step < 2 else set())
