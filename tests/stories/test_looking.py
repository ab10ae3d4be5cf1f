from __future__ import annotations

import sqlite3
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.approval import NarrowedRefusedError
from taskbound.core.decision import Settled
from taskbound.core.decision.settle import LOOK_LIFE
from taskbound.flows.approval.look import NeedsProbe, probe_remote
from taskbound.flows.tool import Declaration
from tests.peers.holding import Holding
from tests.sqlite import sqlite_store
from tests.stories.test_operands import CHANGED_SINCE, COUNTED
from tests.world import ANN, code_of, id_of

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.core.approval import Operand
    from taskbound.flows.decision import Answer, Call
    from taskbound.ports.store import Store

SCOPE: dict[str, Any] = {"grants": [{"tool": "bank__pay", "others": "any", "uses": 50}]}


class Ledger(Holding):
    """Payments of invoices, which are rows of a ledger that a person declared to be looked at."""

    def __init__(self, store: Store, folder: Path) -> None:
        super().__init__(store)
        self.path = folder / "ledger.db"
        self.own = sqlite3.connect(self.path, isolation_level=None)
        weakref.finalize(self, self.own.close)
        self.own.execute("CREATE TABLE invoices (id TEXT, version INTEGER)")
        self.own.execute("INSERT INTO invoices VALUES ('INV-7', 1)")
        self.task = self.world.start(scope=SCOPE)
        with store.read() as snapshot:
            tool = snapshot.tools.tool("default", "bank__pay")
        assert tool is not None
        probe = f"note=row:sqlite:{self.path}?table=invoices&key=id&version=version"
        said = Declaration(probes=(probe,))
        self.world.sights.declare("default", "bank__pay", tool.digest, ANN, said)

    def write(self, version: int) -> None:
        self.own.execute("UPDATE invoices SET version = ?", (version,))

    def call(self, **more: Any) -> Call:
        arguments = {"to": "bob", "amount": 10, "note": more.pop("note", "INV-7")}
        return self.world.call(self.task, arguments=arguments, **more)

    def pay(self, **more: Any) -> Answer:
        (answer,) = self.world.decide([self.call(**more)])
        return answer

    def operand(self, action: str) -> Operand:
        (operand,) = self.approval(action).question.operands
        return operand


@pytest.fixture
def there(store: Store, tmp_path: Path) -> Ledger:
    return Ledger(store, tmp_path)


@pytest.fixture
def here(tmp_path: Path) -> Ledger:
    return Ledger(sqlite_store(), tmp_path)


def test_a_row_is_part_of_what_people_sign_and_another_version_is_asked_about_anew(there: Ledger) -> None:
    action = id_of(there.pay())
    operand = there.operand(action)
    assert (operand.place, operand.kind.value) == ("/note", "row")
    assert dict(operand.found)["version"] == 'integer "1"'
    there.say(action, "bob")
    there.write(2)
    other = there.pay(resume=action)
    assert code_of(other) == "hold"
    assert there.approval(action).reason == "what it names is another thing now: the version behind `/note`"
    assert there.state(action) == ("withdrawn", "superseded")
    there.say(id_of(other), "bob")
    assert code_of(there.pay()) == "permit"


def test_a_row_that_is_there_by_now_is_another_question_than_none(here: Ledger) -> None:
    action = id_of(here.pay(note="INV-8"))
    assert dict(here.operand(action).found)["version"] == "no such row"
    here.say(action, "bob")
    here.own.execute("INSERT INTO invoices VALUES ('INV-8', 1)")
    assert id_of(here.pay(note="INV-8")) != action
    assert here.state(action) == ("withdrawn", "superseded")


def test_what_can_t_be_looked_at_any_more_ends_the_question_and_is_refused(here: Ledger) -> None:
    action = id_of(here.pay())
    here.say(action, "bob")
    here.own.execute("DROP TABLE invoices")
    assert code_of(here.pay()) == "operand-unreadable"
    assert here.state(action) == ("withdrawn", "superseded")


def test_a_call_that_was_not_looked_at_is_given_back_undecided_and_leaves_nothing(here: Ledger) -> None:
    before = here.world.records()
    call = here.call()
    (given,) = here.world.decisions.decide([call])
    assert isinstance(given, NeedsProbe)
    assert [one.value for one in given.looks] == ["INV-7"]
    assert here.world.records() == before
    (asked,) = here.world.decisions.decide(
        [replace(call, sight=probe_remote(here.world.adapters, given.looks))]
    )
    assert code_of(asked) == "hold"


def test_what_was_seen_is_of_these_looks_and_is_worth_some_seconds(here: Ledger) -> None:
    call = here.call()
    (given,) = here.world.decisions.decide([call])
    assert isinstance(given, NeedsProbe)
    sight = probe_remote(here.world.adapters, given.looks)
    other = replace(sight, looks=(replace(sight.looks[0], value="INV-8"),))
    decide = here.world.decisions.decide
    assert isinstance(decide([replace(call, sight=other)])[0], NeedsProbe), "it is of another row"
    here.world.clock.advance(LOOK_LIFE / 1_000_000 - 1)
    assert code_of(decide([replace(call, sight=sight)])[0]) == "hold"
    here.world.clock.advance(1)
    assert isinstance(decide([replace(here.call(), sight=sight)])[0], NeedsProbe), "it is old"


def test_an_approval_is_not_used_for_what_was_seen_before_it_waited(here: Ledger) -> None:
    action = id_of(here.pay())
    here.say(action, "bob")
    call = here.call()
    (given,) = here.world.decisions.decide([call])
    assert isinstance(given, NeedsProbe)
    sight = probe_remote(here.world.adapters, given.looks)
    here.world.meanwhile(lambda: here.world.clock.advance(6))
    (answer,) = here.world.decisions.decide([replace(call, sight=sight)])
    assert isinstance(answer, NeedsProbe)
    assert here.state(action) == ("held", "approved")


def test_neighbors_of_an_unseen_call_are_decided(here: Ledger) -> None:
    looking = here.world.call(here.task, "bank__look", {"path": "/srv/x"})
    answers = here.world.decisions.decide([looking, here.call(), looking])
    assert [code_of(one) for one in answers][1] == "unseen"
    assert all(isinstance(one, Settled) for one in (answers[0], answers[2]))


def test_a_policy_reads_what_a_row_was_and_whether_it_changed_since_the_last_attempt(here: Ledger) -> None:
    here.rule(base_bundle() + CHANGED_SINCE)
    assert code_of(here.pay()) == "permit"
    assert code_of(here.pay()) == "hold", "nothing changed"
    here.write(2)
    assert code_of(here.pay()) == "forbidden"


def test_a_row_that_changed_since_it_was_shown_is_not_narrowed_about(here: Ledger) -> None:
    here.task = here.world.start(scope=COUNTED)
    action = id_of(here.pay())
    less: dict[str, Any] = {"to": "bob", "amount": 4, "note": "INV-7"}
    here.write(2)
    with pytest.raises(NarrowedRefusedError, match="the version behind"):
        here.narrow(action, "bob", less)
    here.write(1)
    done = here.narrow(action, "bob", less)
    assert here.operand(done.instead.action) == here.operand(action)
