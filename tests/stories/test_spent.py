"""What was spent of a task counts in whatever scope it is given later.

For each payee, at every instant: what was paid to them, and what is left for them in all grants of all tasks
of the tree, is within the most that the limits of one scope of the root ever came to for them.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from taskbound.core.clock import seconds
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.task import ENDED, TaskEvent, WideningError
from taskbound.core.task.spent import MOST, read_spent, spent_text
from tests.peers.widening import Wide, grants, pay
from tests.sqlite import sqlite_store
from tests.stories.test_change import LOOK
from tests.stories.test_widening import differences, paid
from tests.world import ANN, code_of, id_of, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskbound.core.scope import Grant, Scope
    from taskbound.core.task import Task
    from taskbound.ports.store import Store

NAMES: Final = ("ann", "bob", "eve")
MOST_USES: Final = 9
ENDLESS: Final = float("inf")
LIMIT = {"limit": 10, "exponent": 0}


def to(*names: str, uses: int = 0, **more: Any) -> dict[str, Any]:
    """A grant to pay these."""
    payee = {"one_of": sorted(names)} if len(names) > 1 else {"equals": names[0]}
    return pay(uses, arguments={"to": payee, "amount": {"any": True}}, others="default-only", **more)


@pytest.fixture
def there(store: Store) -> Wide:
    return Wide(store)


def give(there: Wide, *some: dict[str, Any]) -> None:
    """Give the task a scope of these grants, at once or by approval."""
    try:
        there.world.changes.amend("default", there.task.id, scope_of(grants(*some)), ANN)
    except WideningError:
        assert there.widened(*some, task=there.task).state.value == "applied"


def begin(there: Wide, *some: dict[str, Any], used: int, **arguments: Any) -> None:
    there.task = there.world.start(scope=grants(*some))
    assert [paid(there, **arguments) for _ in range(used)] == ["permit"] * used


def test_law_3_what_was_spent_of_a_grant_that_was_narrowed_away_counts_when_it_is_back(there: Wide) -> None:
    begin(there, to("bob", uses=10), LOOK, used=7)
    give(there, LOOK)
    give(there, to("bob", uses=10), LOOK)
    assert there.world.left(there.task) == {"g0/uses": 3}
    assert [paid(there) for _ in range(4)] == ["permit"] * 3 + ["exhausted"]
    assert differences(there) == ()


def test_law_3_it_counts_against_each_grant_that_shares_a_call_with_it_and_is_not_counted_twice(
    there: Wide,
) -> None:
    begin(there, to("bob", uses=10), LOOK, used=7)
    give(there, LOOK)
    give(there, to("bob", "eve", uses=9), to("bob", "ann", uses=8), to("carl", uses=5), LOOK)
    assert there.world.left(there.task) == {"g0/uses": 2, "g1/uses": 1, "g2/uses": 5}
    assert paid(there, to="eve") == "permit"
    give(there, LOOK)
    give(there, to("bob", uses=10))
    assert there.world.left(there.task) == {"g0/uses": 2}, "seven, and one that could have been to bob"
    give(there, to("carl", uses=10))
    give(there, to("bob", "eve", uses=10))
    assert there.world.left(there.task) == {"g0/uses": 2}


def test_law_3_what_is_beyond_the_limit_of_the_same_calls_counts_against_the_others(there: Wide) -> None:
    begin(there, to("bob", "eve", uses=10), used=8)
    give(there, to("bob", "eve", uses=5), to("bob", uses=4), LOOK)
    assert there.world.left(there.task) == {"g0/uses": 0, "g1/uses": 1}
    give(there, to("bob", "eve", uses=10), to("bob", uses=4), LOOK)
    assert there.world.left(there.task) == {"g0/uses": 2, "g1/uses": 4}


def test_law_3_money_of_a_grant_that_was_gone_counts_in_the_units_of_the_one_that_comes(there: Wide) -> None:
    begin(there, to("bob", total={"amount": {"limit": 1000, "exponent": 2}}), LOOK, used=1, amount=2.5)
    give(there, LOOK)
    give(there, to("bob", total={"amount": LIMIT}), LOOK)
    assert there.world.left(there.task) == {"g0/total/amount": 7}, "a part of one counts whole"


def test_law_3_a_limit_that_was_lifted_comes_back_with_what_was_used_of_it(there: Wide) -> None:
    begin(there, to("bob", uses=10), used=7)
    give(there, to("bob"))
    assert paid(there) == "permit"
    give(there, to("bob", uses=10), LOOK)
    assert there.world.left(there.task) == {"g0/uses": 3}


def test_law_3_a_rate_that_comes_back_goes_on_in_its_window_while_that_lasts(there: Wide) -> None:
    rate = {"uses": 2, "seconds": 60}
    begin(there, to("bob", rate=rate), LOOK, used=2)
    give(there, LOOK)
    give(there, to("bob", rate=rate), LOOK)
    assert paid(there) == "exhausted"
    give(there, LOOK)
    give(there, to("bob", "eve", rate=rate | {"seconds": 30}), LOOK)
    assert paid(there) == "exhausted", "one that can't be told from it begins with a full window"
    give(there, LOOK)
    there.world.clock.at += seconds(61)
    give(there, to("bob", rate=rate), LOOK)
    assert [paid(there) for _ in range(3)] == ["permit", "permit", "exhausted"]


def test_law_3_what_a_child_spent_counts_and_what_it_gives_back_does_not(there: Wide) -> None:
    world = there.world
    there.task = world.start(scope=grants(to("bob", uses=10), LOOK))
    child = world.delegate(there.task, scope=scope_of(grants(to("bob", uses=6))))
    early = id_of(world.ask(child, arguments={"to": "bob", "amount": 1}, agent=child.agent))
    assert paid(there, child) == "permit"
    give(there, LOOK)
    assert world.task(child).state in ENDED
    world.tell(early, "not-sent", None)
    give(there, to("bob", uses=10), LOOK)
    assert world.left(there.task) == {"g0/uses": 8}
    assert differences(there) == ()


def test_law_3_what_a_child_spent_before_its_own_amendment_counts_for_it(there: Wide) -> None:
    world = there.world
    parent = world.start(scope=grants(to("bob", uses=20), LOOK))
    there.task = world.delegate(parent, scope=scope_of(grants(to("bob", uses=6), LOOK)))
    assert [paid(there) for _ in range(4)] == ["permit"] * 4
    give(there, LOOK)
    give(there, to("bob", uses=6), LOOK)
    assert (world.left(there.task), world.left(parent)) == ({"g0/uses": 2}, {"g0/uses": 14})


def test_of_many_grants_that_are_gone_one_entry_a_tool_is_kept_and_counts_against_all(there: Wide) -> None:
    some = [to(f"p{number}", uses=2) for number in range(MOST + 1)]
    there.task = there.world.start(scope=grants(*some, LOOK))
    for number in range(MOST + 1):
        assert paid(there, to=f"p{number}") == "permit"
    give(there, *some[:-1], LOOK)
    assert len(there.now().spent) == MOST + 1
    give(there, LOOK)
    (one,) = there.now().spent
    assert (one.place, one.uses, read_spent(spent_text(one)).key) == ("", MOST + 1, one.key)
    give(there, to("zoe", uses=100), LOOK)
    assert there.world.left(there.task) == {"g0/uses": 99 - MOST}


def test_law_5_a_record_of_a_large_scope_is_read_and_large_entries_are_kept_as_one(there: Wide) -> None:
    large = [to(*(f"{number}{'x' * 1000}{end}" for end in range(200)), uses=2) for number in range(4)]
    there.task = there.world.start(scope=grants(*large, LOOK))
    for number in range(4):
        assert paid(there, to=f"{number}{'x' * 1000}7") == "permit"
    give(there, *large, {**LOOK, "uses": 3})
    assert [(one.place, one.uses) for one in there.now().spent] == [(f"g{number}", 1) for number in range(4)]
    (record,) = there.world.events("task-amended")
    assert [len(one) for one in record["spent"]] == [64], "one digest of them all"
    assert differences(there) == ()
    give(there, LOOK)
    assert [(one.place, one.uses) for one in there.now().spent] == [("", 4)]
    assert differences(there) == ()


def test_windows_of_grants_that_are_gone_count_together_from_the_last_that_opened(there: Wide) -> None:
    rate = {"uses": 3, "seconds": 60}
    some = [to(f"p{number}", rate=rate) for number in range(MOST + 1)]
    there.task = there.world.start(scope=grants(*some, LOOK))
    for number in range(MOST + 1):
        assert paid(there, to=f"p{number}") == "permit"
        there.world.clock.at += seconds(1) // 2
    give(there, LOOK)
    give(there, to("zoe", rate={"uses": MOST + 2, "seconds": 60}), LOOK)
    assert [paid(there, to="zoe") for _ in range(2)] == ["permit", "exhausted"]


def test_nothing_is_left_of_what_only_a_step_that_is_past_could_use_and_it_counts_as_spent_no_more(
    there: Wide,
) -> None:
    world = there.world
    steps = {"steps": [{"name": "one", "grants": [to("bob", uses=5)]}, {"name": "two", "grants": [LOOK]}]}
    there.task = world.start(scope=steps)
    assert paid(there) == "permit"
    world.changes.step("default", there.task.id, "", ANN)
    later = {"steps": [steps["steps"][0], {"name": "two", "grants": [{**LOOK, "uses": 3}]}]}
    world.changes.amend("default", there.task.id, scope_of(later), ANN)
    assert world.left(there.task) == {"g0/uses": 0, "g1/uses": 3}
    give(there, to("bob", uses=5), LOOK)
    assert world.left(there.task) == {"g0/uses": 4}


def test_what_was_used_beyond_a_limit_in_a_row_of_before_counts_on(there: Wide) -> None:
    begin(there, to("bob", uses=2), used=2)
    old = replace(there.now(), over=(("g0/uses", 5),), version=there.now().version + 1)
    there.world.store.write(lambda tx: tx.tasks.put_task(old, expect=old.version - 1))
    give(there, to("bob", uses=10))
    assert there.world.left(there.task) == {"g0/uses": 3}


# Any chain, held against sums.


uses = st.one_of(st.none(), *[st.integers(1, MOST_USES)] * 4)
totals = st.one_of(
    st.none(),
    *[st.builds(dict, limit=st.integers(1, 12), exponent=st.just(0))] * 2,
    *[st.builds(dict, limit=st.integers(1, 1200), exponent=st.just(2))] * 2,
)
some_names = st.sets(st.sampled_from(NAMES), min_size=1).map(lambda names: tuple(sorted(names)))
some_grants = st.dictionaries(some_names, st.tuples(uses, totals), min_size=0, max_size=3)
nth = st.integers(0, 30)


def written(some: dict[tuple[str, ...], tuple[int | None, dict[str, int] | None]]) -> list[dict[str, Any]]:
    return [
        to(*names, uses=count or 0, **({"total": {"amount": total}} if total else {}))
        for names, (count, total) in some.items()
    ] + [LOOK]


def covering(scope: Scope, name: str) -> Iterable[Grant]:
    """The grants of a scope that let pay this one."""
    for one in scope.by_tool.get("bank__pay", ()):
        (rule,) = (rule for path, rule in one.arguments if path.text == "to")
        said = rule.value()
        if said == name or (isinstance(said, list) and name in said):
            yield one


def widest(scope: Scope, name: str, amounts: dict[str, int] | None = None) -> tuple[float, float]:
    """What the limits of a scope come to for this payee, or what is left of them: payments, and cents."""
    often: float = 0
    cents: float = 0
    for one in covering(scope, name):
        often += ENDLESS if one.uses is None else (amounts or {one.uses_key: one.uses})[one.uses_key]
        if not one.totals:
            cents = ENDLESS
        for total in one.totals:
            amount = amounts[total.key] if amounts is not None else total.limit
            cents += amount * 10 ** (2 - total.exponent)
    return often, cents


class Chain(RuleBasedStateMachine):
    make: Callable[[ExitStack], Store]

    def __init__(self) -> None:
        super().__init__()
        self.open = ExitStack()
        self.there = Wide(self.make(self.open))
        self.world = self.there.world
        self.there.task = self.world.start(scope=grants(to(*NAMES, uses=5, total={"amount": LIMIT}), LOOK))
        self.often: Counter[str] = Counter()
        self.cents: Counter[str] = Counter()
        self.bound = {name: widest(self.there.task.scope, name) for name in NAMES}

    def teardown(self) -> None:
        self.open.close()

    def living(self) -> list[Task]:
        with self.world.store.read() as snapshot:
            tree = snapshot.tasks.tree("default", self.there.task.id)
        return [one for one in tree if one.state not in ENDED]

    def pick(self, number: int) -> Task:
        tasks = self.living()
        return tasks[number % len(tasks)]

    @rule(some=some_grants)
    def amend_the_root(self, some: Any) -> None:
        try:
            give(self.there, *written(some))
        except (DeniedError, MalformedError):
            return
        for name in NAMES:
            often, cents = widest(self.there.now().scope, name)
            self.bound[name] = (max(self.bound[name][0], often), max(self.bound[name][1], cents))

    @rule(number=nth, some=some_grants)
    def amend_one(self, number: int, some: Any) -> None:
        task = self.pick(number)
        if task.id == self.there.task.id:
            return
        try:
            self.world.changes.amend("default", task.id, scope_of(grants(*written(some))), ANN)
        except WideningError:
            try:
                asked = self.there.wish(*written(some), task=task)
            except (DeniedError, MalformedError):
                return
            assert self.there.tell(asked, "bob").state.value == "applied"
        except (DeniedError, MalformedError):
            return

    @rule(number=nth, some=some_grants)
    def delegate(self, number: int, some: Any) -> None:
        try:
            self.world.delegate(self.pick(number), scope=scope_of(grants(*written(some))))
        except DeniedError:
            return

    @rule(number=nth)
    def end(self, number: int) -> None:
        task = self.pick(number)
        if task.id != self.there.task.id:
            self.world.tasks.end("default", task.id, TaskEvent.COMPLETE, ANN, reason="")

    @rule(
        number=nth,
        name=st.sampled_from(NAMES),
        cents=st.integers(1, 300),
        outcome=st.sampled_from(["", "", "unknown", "not-sent"]),
    )
    def use(self, number: int, name: str, cents: int, outcome: str) -> None:
        task = self.pick(number)
        whole = cents / 100 if number % 2 else float(-(-cents // 100))
        arguments = {"to": name, "amount": whole}
        answer = self.world.ask(task, arguments=arguments, agent=task.agent)
        if code_of(answer) != "permit":
            return
        if outcome:
            self.world.tell(id_of(answer), outcome, None)
        if outcome != "not-sent":
            self.often[name] += 1
            self.cents[name] += round(whole * 100)

    @invariant()
    def what_was_paid_and_what_is_left_is_within_what_one_scope_allowed(self) -> None:
        rows = [(one, self.world.left(one)) for one in self.living()]
        for name in NAMES:
            often, cents = self.bound[name]
            left = [widest(one.scope, name, amounts) for one, amounts in rows]
            if often != ENDLESS:
                assert self.often[name] + sum(one for one, _ in left) <= often, name
            if cents != ENDLESS:
                assert self.cents[name] + sum(one for _, one in left) <= cents, name

    @invariant()
    def the_log_and_the_rows_say_the_same(self) -> None:
        assert differences(self.there) == ()


def on_sqlite(stack: ExitStack) -> Store:
    return stack.enter_context(closing(sqlite_store()))


def run(make: Callable[[ExitStack], Store], examples: int) -> None:
    class Here(Chain):
        pass

    Here.make = staticmethod(make)
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_law_3_no_chain_of_amendments_gives_back_what_was_spent() -> None:
    run(on_sqlite, 60)


def test_law_3_few_chains_of_amendments_give_back_nothing() -> None:
    run(on_sqlite, 6)


def test_law_3_so_it_is_on_postgresql(server: Any) -> None:
    run(lambda stack: stack.enter_context(server.store()), 5)
