from __future__ import annotations

import json
import sqlite3
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.approval import BadProbeError
from taskbound.core.clock import Instant
from taskbound.core.decision import Settled, Waiting
from taskbound.flows.action import explain, reconcile
from taskbound.flows.approval.look import NeedsProbe, probe_remote
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.tool import Declaration
from tests.sqlite import sqlite_store
from tests.stories.test_retries import see, seen_digest
from tests.world import ANN, PAY, World, code_of, id_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskbound.flows.decision import Answer, Call
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Store

SCOPE: dict[str, Any] = {"grants": [{"tool": "bank__pay", "others": "any", "uses": 50}]}
SETTLED = 61


class Ledger:
    """A bank whose payments leave a row, which a person declared to show whether one was made."""

    def __init__(self, store: Store, folder: Path, policy: str = "") -> None:
        self.world = World(store=store, policy=base_bundle() + policy)
        self.world.settle_in()
        self.task = self.world.start(scope=SCOPE)
        self.path = folder / "ledger.db"
        self.own = sqlite3.connect(self.path, isolation_level=None)
        weakref.finalize(self, self.own.close)
        self.own.execute("CREATE TABLE payments (note TEXT)")
        self.declare(f"60:note=row:sqlite:{self.path}?table=payments&key=note")

    def declare(self, *checks: str) -> None:
        with self.world.store.read() as snapshot:
            tool = snapshot.tools.tool("default", "bank__pay")
        assert tool is not None
        self.world.sights.declare("default", "bank__pay", tool.digest, ANN, Declaration(checks=checks))

    def call(self, **more: Any) -> Call:
        note = more.pop("note", "INV-7")
        arguments = {"to": "bob", "amount": 10, **({"note": note} if note is not None else {})}
        return self.world.call(self.task, arguments=arguments, **more)

    def pay(self, **more: Any) -> Answer:
        (answer,) = self.world.decide([self.call(**more)])
        return answer

    def lose(self, **more: Any) -> str:
        """A payment of which nobody knows what became."""
        action = id_of(self.pay(**more))
        self.world.tell(action, "unknown", None)
        return action

    def book(self, note: str = "INV-7") -> None:
        """The payment takes its effect."""
        self.own.execute("INSERT INTO payments VALUES (?)", (note,))

    def kept(self, action: str) -> StoredAction:
        with self.world.store.read() as snapshot:
            found = snapshot.actions.action("default", action)
        assert found is not None
        return found

    def facts(self, answer: Answer | NeedsProbe) -> dict[str, str]:
        return dict(self.kept(id_of(answer)).facts)


@pytest.fixture
def there(store: Store, tmp_path: Path) -> Ledger:
    return Ledger(store, tmp_path)


@pytest.fixture
def here(tmp_path: Path) -> Ledger:
    return Ledger(sqlite_store(), tmp_path)


def why(answer: Answer | NeedsProbe) -> str:
    """What whoever asked is told of the check."""
    assert isinstance(answer, Settled | Waiting)
    return next((one.text for one in answer.decision.reasons if one.code == "checked"), "")


def test_a_repeat_asks_nobody_once_it_is_seen_that_the_lost_call_had_no_effect(there: Ledger) -> None:
    there.lose()
    there.world.clock.advance(SETTLED)
    again = there.pay()
    assert code_of(again) == "permit"
    facts = there.facts(again)
    assert (facts["checked"], facts["last_outcome"]) == ("absent", "unknown")
    (found,) = map(json.loads, facts["check_found"].split("\n"))
    assert (found["kind"], found["place"], found["found"]["version"]) == ("row", "/note", "no such row")
    assert explain(there.world.adapters, "default", id_of(again)).replay == "same"
    with there.world.store.read() as snapshot:
        assert compare_rows(snapshot, lambda _done, _total: None).differences == ()


def test_a_repeat_of_what_is_there_asks_and_whoever_asked_is_told_so(there: Ledger) -> None:
    there.lose()
    there.book()
    there.world.clock.advance(SETTLED)
    again = there.pay()
    assert (code_of(again), why(again)) == ("hold", "what an attempt before was to do is there already")
    assert there.facts(again)["checked"] == "present"


def test_nothing_is_looked_at_while_the_lost_call_may_still_take_its_effect(here: Ledger) -> None:
    here.lose()
    here.world.clock.advance(59)
    (answer,) = here.world.decisions.decide([here.call()])
    assert (code_of(answer), why(answer)) == ("hold", "an attempt before may still have its effect")
    assert here.facts(answer)["checked"] == "unsettled"


def test_the_time_runs_from_when_the_last_of_several_was_lost(here: Ledger) -> None:
    first, second = id_of(here.pay()), id_of(here.pay())
    here.world.tell(second, "unknown", None)
    here.world.clock.advance(SETTLED)
    assert why(here.pay()) == "an attempt before may still have its effect", "the first one is under way"
    here.world.tell(first, "unknown", None)
    here.world.clock.advance(SETTLED - 2)
    assert code_of(here.pay()) == "hold", "the first one was lost just now"
    here.world.clock.advance(2)
    assert code_of(here.pay()) == "permit"


def test_more_lost_attempts_than_are_looked_back_at_ask(here: Ledger) -> None:
    for action in [id_of(here.pay()) for _ in range(17)]:
        here.world.tell(action, "unknown", None)
    here.world.clock.advance(SETTLED)
    assert why(here.pay()) == "an attempt before may still have its effect"


def test_while_the_holder_of_an_attempt_is_lost_nothing_shows_that_it_had_no_effect(here: Ledger) -> None:
    here.pay()
    here.world.clock.advance(SETTLED)
    here.world.views.doubts.lose(("default", "con_a"))
    again = here.pay(connection="con_b")
    assert (code_of(again), why(again)) == ("hold", "an attempt before may still have its effect")


def drop(here: Ledger) -> None:
    here.own.execute("DROP TABLE payments")


def remove(here: Ledger) -> None:
    here.path.unlink()


def double(here: Ledger) -> None:
    here.book()
    here.book()


@pytest.mark.parametrize("blind", [drop, remove, double])
def test_what_can_t_be_looked_at_asks_as_if_nothing_had_been_declared(
    here: Ledger, blind: Callable[[Ledger], None]
) -> None:
    here.lose()
    blind(here)
    here.world.clock.advance(SETTLED)
    again = here.pay()
    assert (code_of(again), here.facts(again)["checked"]) == ("hold", "unreadable")
    assert why(again) == "whether an attempt before had its effect can't be looked at"


def test_a_call_that_names_no_key_asks(here: Ledger) -> None:
    here.lose(note=None)
    here.world.clock.advance(SETTLED)
    again = here.pay(note=None)
    assert (code_of(again), here.facts(again)["checked"]) == ("hold", "unreadable"), "the default is empty"


def test_every_check_has_to_find_nothing(here: Ledger) -> None:
    row = f"row:sqlite:{here.path}?table=payments&key=note"
    here.declare(f"60:note={row}", f"60:to={row}")
    here.lose()
    here.book("bob")
    here.world.clock.advance(SETTLED)
    assert code_of(here.pay()) == "hold"
    here.own.execute("DELETE FROM payments")
    assert code_of(here.pay()) == "permit"


def test_after_another_outcome_or_where_nothing_is_declared_nothing_is_looked_at(here: Ledger) -> None:
    paid = here.pay()
    assert here.facts(paid)["checked"] == ""
    assert "checked (none)" in explain(here.world.adapters, "default", id_of(paid)).facts
    here.world.tell(id_of(here.pay()), "failed", None)
    (answer,) = here.world.decisions.decide([here.call()])
    assert code_of(answer) == "permit"
    here.declare()
    here.lose()
    here.world.clock.advance(SETTLED)
    (answer,) = here.world.decisions.decide([here.call()])
    assert (code_of(answer), why(answer)) == ("hold", "")


def test_a_second_repeat_is_looked_at_again(here: Ledger) -> None:
    here.lose()
    here.world.clock.advance(SETTLED)
    second = here.pay()
    assert code_of(second) == "permit"
    assert code_of(here.pay()) == "hold", "the second one is under way"
    here.book()
    here.world.tell(id_of(second), "unknown", None)
    here.world.clock.advance(SETTLED)
    assert why(here.pay()) == "what an attempt before was to do is there already"


def test_of_equal_repeats_in_one_group_one_is_permitted_by_what_was_seen(here: Ledger) -> None:
    here.lose()
    here.world.clock.advance(SETTLED)
    answers = here.world.decide([here.call() for _ in range(3)])
    assert [code_of(one) for one in answers] == ["permit", "hold", "hold"]


def test_what_was_seen_is_worth_some_seconds_also_for_a_permit(here: Ledger) -> None:
    here.lose()
    here.world.clock.advance(SETTLED)
    call = here.call()
    (given,) = here.world.decisions.decide([call])
    assert isinstance(given, NeedsProbe)
    sight = probe_remote(here.world.adapters, given.looks)
    here.world.meanwhile(lambda: here.world.clock.advance(6))
    (answer,) = here.world.decisions.decide([replace(call, sight=sight)])
    assert isinstance(answer, NeedsProbe), "it waited for its commit, and is looked at anew"


def test_what_a_person_found_out_meanwhile_counts_before_what_was_seen(here: Ledger) -> None:
    lost = here.lose()
    here.world.clock.advance(SETTLED)
    other = here.world.beside()
    here.world.meanwhile(lambda: reconcile(other.adapters, "default", lost, "succeeded", "looked", ANN))
    again = here.pay()
    assert code_of(again) == "permit"
    assert here.facts(again)["last_outcome"] == "succeeded", "it was evaluated anew"


def test_an_attempt_that_comes_in_between_makes_what_was_seen_stale(here: Ledger) -> None:
    here.lose()
    here.world.clock.advance(SETTLED)
    other = here.world.beside()
    here.world.meanwhile(lambda: other.decide([here.call(connection="con_b")]))
    assert code_of(here.pay()) == "hold", "the other attempt is under way"


def test_a_policy_of_one_s_own_reads_what_was_found(tmp_path: Path) -> None:
    here = Ledger(
        sqlite_store(),
        tmp_path,
        '@id("done") forbid (principal, action, resource) when { context.checked == "present" };',
    )
    here.lose()
    here.book()
    here.world.clock.advance(SETTLED)
    assert code_of(here.pay()) == "forbidden"


def test_what_shows_an_effect_is_declared_of_an_argument_and_falls_with_the_definition(
    there: Ledger,
) -> None:
    with pytest.raises(BadProbeError, match="no argument"):
        there.declare("60:nothing=row:sqlite:/srv/a.db?table=t&key=k")
    event = there.world.events("tool-declared")[-1]
    assert event["checks"] == [f"60:note=row:sqlite:{there.path}?table=payments&key=note"]
    see(there.world, PAY | {"description": "Pays twice."})
    there.world.sights.accept("default", "bank__pay", seen_digest(there.world), ANN)
    there.lose()
    there.world.clock.advance(SETTLED)
    assert (code_of(there.pay()), why(there.pay())) == ("hold", "")


def test_what_was_seen_before_it_was_settled_shows_nothing(here: Ledger) -> None:
    here.lose()
    here.world.clock.advance(SETTLED)
    call = here.call()
    (given,) = here.world.decisions.decide([call])
    assert isinstance(given, NeedsProbe)
    sight = probe_remote(here.world.adapters, given.looks)
    early = replace(sight, at=Instant(sight.at - 4_000_000))
    (answer,) = here.world.decisions.decide([replace(call, sight=early)])
    assert (code_of(answer), here.facts(answer)["checked"]) == ("hold", "unsettled")
    (answer,) = here.world.decisions.decide([replace(here.call(), sight=sight)])
    assert code_of(answer) == "permit"


@pytest.mark.parametrize("note", [" INV-7", "INV-7 ", "INV\u20117", "INV-7\u200b", "INV-7\n"])
def test_a_key_that_the_server_may_write_otherwise_is_not_looked_for(here: Ledger, note: str) -> None:
    here.lose(note=note)
    here.world.clock.advance(SETTLED)
    again = here.pay(note=note)
    assert (code_of(again), here.facts(again)["checked"]) == ("hold", "unreadable")
