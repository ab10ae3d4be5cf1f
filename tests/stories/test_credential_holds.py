"""What people are asked about before a credential is given: its row comes with the permit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.action import canonical
from taskbound.core.approval import AnswerKind, NarrowedRefusedError, PlanRefusedError
from taskbound.core.approval.sheet import BadSheetError, Sheet, render_sheet
from taskbound.flows.action import explain
from taskbound.flows.decision import Step
from taskbound.surfaces.api.operations.approval import detail_of
from taskbound.surfaces.api.operations.show import sheet_for, sheet_text
from taskbound.surfaces.cli.approval.sheets import question_from, sheet_from
from tests.peers.planning import Planner
from tests.peers.targeting import ALICE, BOB, Targets, held_by_finance, rows_of
from tests.sheet_oracle import parse_sheet
from tests.sqlite import sqlite_store
from tests.world import code_of, id_of

if TYPE_CHECKING:
    from taskbound.flows.decision import Answer
    from taskbound.ports.store import Store

READER, WRITER = "orders-db__credential/reader", "orders-db__credential/writer"
READ: dict[str, Any] = {"customer": "42", "seconds": 300}
LESS: dict[str, Any] = {"customer": "42", "seconds": 60}
SCOPE: dict[str, Any] = {
    "grants": [
        {
            "tool": READER,
            "arguments": {
                "customer": {"one_of": ["42", "43"]},
                "seconds": {"range": {"min": 0, "max": 600}},
            },
            "uses": 5,
            "total": {"seconds": {"limit": 3600, "exponent": 0}},
        },
        {"tool": WRITER, "others": "any"},
        {"tool": "bank__pay", "others": "any"},
        {"tool": "bank__look", "others": "any"},
    ]
}
HELD = held_by_finance(held_by_finance(base_bundle(), "writer").replace('"minted"', '"written"'))


class Asker(Planner):
    """An agent whose credentials wait for people of finance."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, HELD)
        self.targets = Targets(self.world, scope=SCOPE)
        self.task = self.targets.task

    def ask(self, arguments: dict[str, Any] = READ, tool: str = READER, **more: Any) -> Answer:
        return self.world.ask(self.task, tool, arguments, **({"agent": "minter", "recipient": ALICE} | more))


@pytest.fixture
def there(store: Store) -> Asker:
    return Asker(store)


@pytest.fixture
def here() -> Asker:
    """On SQLite only: what is asked is no matter of the engine."""
    return Asker(sqlite_store())


def test_a_hold_writes_no_row_and_the_row_is_of_who_presents_it_after_the_approval(there: Asker) -> None:
    held = there.ask(connection="con_a")
    assert code_of(held) == "hold"
    assert there.targets.rows() == ()
    there.say(id_of(held), "bob")
    assert there.targets.rows() == ()
    there.world.clock.advance(30)
    permit = there.ask(connection="con_a", recipient=BOB)
    assert (code_of(permit), id_of(permit)) == ("permit", id_of(held))
    (row,) = there.targets.rows()
    assert (row.action, row.recipient) == (id_of(held), BOB)
    assert row.ends == row.made + 300_000_000
    with there.world.store.read() as snapshot:
        action = snapshot.actions.action("default", id_of(held))
    assert action is not None
    assert row.arguments == action.arguments
    assert row.made > action.at + 30_000_000
    there.targets.require_recorded()
    assert explain(there.world.adapters, "default", row.action).replay == "same"
    again = there.ask(connection="con_a", recipient=BOB)
    assert (code_of(again), len(there.targets.rows())) == ("hold", 1)


def test_what_was_denied_or_ended_meanwhile_has_no_row(here: Asker) -> None:
    denied = here.ask()
    here.say(id_of(denied), "bob", AnswerKind.DENY)
    assert code_of(here.ask()) == "approval-denied"
    over = here.ask({"customer": "43", "seconds": 9})
    here.say(id_of(over), "bob")
    here.world.clock.advance(3595)
    late = here.ask({"customer": "43", "seconds": 9})
    assert code_of(late) == "permit"
    (row,) = here.targets.rows()
    assert row.ends < row.made + 9_000_000
    assert row.ends == here.world.task(here.task).deadline


def test_a_hold_is_lifted_for_nobody_that_can_not_be_sealed_to(here: Asker) -> None:
    held = here.ask()
    here.say(id_of(held), "bob")
    for recipient, code in (("", "no-recipient"), ("A" * 43, "bad-recipient")):
        assert code_of(here.ask(recipient=recipient)) == code
    assert here.targets.rows() == ()
    assert code_of(here.ask()) == "permit"
    assert len(here.targets.rows()) == 1


def test_what_was_narrowed_to_is_minted_with_and_given_to_who_presents_it(there: Asker) -> None:
    held = there.ask(request="first", wait=60)
    done = there.narrow(id_of(held), "bob", LESS)
    less = done.instead.action
    assert there.targets.rows() == ()
    assert code_of(there.ask(request="first", resume=id_of(held))) == "narrowed"
    assert there.targets.rows() == ()
    permit = there.ask(LESS, request="first", resume=less, recipient=BOB)
    assert (code_of(permit), id_of(permit)) == ("permit", less)
    (row,) = there.targets.rows()
    assert (row.action, row.recipient, row.arguments) == (less, BOB, canonical(LESS))
    assert row.ends == row.made + 60_000_000
    there.targets.require_recorded()
    assert explain(there.world.adapters, "default", less).replay == "same"


def test_nothing_is_narrowed_to_what_its_kind_does_not_know(here: Asker) -> None:
    held = here.ask()
    with pytest.raises(NarrowedRefusedError, match="bad-credential-life"):
        here.narrow(id_of(held), "bob", {"customer": "42", "seconds": 0})
    assert here.state(id_of(held)) == ("held", "pending")
    assert here.targets.rows() == ()


def steps(*some: tuple[str, dict[str, Any]]) -> list[Step]:
    return [Step(tool=tool, arguments=canonical(arguments)) for tool, arguments in some]


def test_a_plan_of_credentials_is_asked_for_nobody_and_each_step_is_given_to_who_presents_it(
    there: Asker,
) -> None:
    plan = there.propose(*steps((READER, READ), (WRITER, {"seconds": 30})))
    assert there.targets.rows() == ()
    there.sign(plan)
    assert there.targets.rows() == ()
    first = there.ask(READ, recipient=ALICE)
    there.world.tell(id_of(first))
    second = there.ask({"seconds": 30}, WRITER, recipient=BOB)
    assert (code_of(first), code_of(second)) == ("permit", "permit")
    rows = there.targets.rows()
    assert [(one.kind, one.recipient) for one in rows] == [("reader", ALICE), ("writer", BOB)]
    assert {one.action for one in rows} == {one.question.action for one in there.whole(plan).steps}
    there.targets.require_recorded()


def test_a_plan_with_what_no_kind_knows_is_refused(here: Asker) -> None:
    for arguments, code in (
        ({"customer": "42", "seconds": 1.5}, "bad-credential-life"),
        ({"seconds": 5}, "bad-credential-parameter"),
    ):
        with pytest.raises(PlanRefusedError, match=code):
            here.propose(*steps((WRITER, {"seconds": 30}), (READER, arguments)))
    assert here.targets.rows() == ()


def test_a_retry_that_an_approval_covers_is_a_credential_of_its_own(here: Asker) -> None:
    held = here.ask()
    here.say(id_of(held), "bob")
    first = here.ask()
    here.world.tell(id_of(first), "failed")
    second = here.ask(recipient=BOB)
    assert code_of(second) == "hold"
    here.say(id_of(second), "carl")
    third = here.ask(recipient=BOB)
    assert code_of(third) == "permit"
    assert [one.recipient for one in rows_of(here.world.store)] == [ALICE, BOB]
    here.targets.require_recorded()


SAID = """\
  argument    | 1/2 "customer" = text "42"
  argument    | 2/2 "seconds" = number 300
  note        | tool: a yes gives a credential: its secret goes to whoever makes
              > this call, and to nobody else
  note        | tool: with it all that its kind may do is done without another
              > question
  note        | tool: it lasts 300 seconds from then on, and never longer than
              > its task
"""


def test_the_sheet_says_what_is_given_to_whom_and_until_when_and_is_read_back(here: Asker) -> None:
    held = here.ask()
    with here.world.store.read() as snapshot:
        approval = here.approval(id_of(held))
        text, of = sheet_text(snapshot, approval), sheet_for(snapshot, approval)
        detail = detail_of(here.world.adapters, snapshot, approval)
    assert SAID in text
    assert '  gives       | "Reads the orders of one customer [' in text
    assert of.gives.endswith(
        "[read: a member of `order_readers`, 5 connections at once, with rows of its own context]"
    )
    assert parse_sheet(text) == of == sheet_from(detail, question_from(detail))
    with pytest.raises(BadSheetError):
        parse_sheet(text.replace("300 seconds", "30 seconds"))
    written = here.ask({}, WRITER)
    with here.world.store.read() as snapshot:
        text = sheet_text(snapshot, here.approval(id_of(written)))
    assert "tool: it lasts as long as its kind may from then on, and never" in text
    paid = replace(of, tool="bank__pay", gives="")
    match render_sheet(paid):
        case Sheet(text=text):
            assert "credential" not in text.replace("credential/", "")
        case other:
            raise AssertionError(other)
