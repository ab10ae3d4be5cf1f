"""The transaction that permits asking for a credential writes its row, and no other does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.credential import CredentialState, NoRecipientError, credential_of
from taskbound.core.decision import Settled
from taskbound.core.task import TaskEvent
from taskbound.flows.action import Withhold, explain
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.credential.journaling import granted
from taskbound.flows.identity import register_person
from taskbound.flows.identity.leaving import People
from taskbound.flows.revocation import stop
from taskbound.ports.store import AmbiguousCommitError
from tests.core.credential.crediting import made
from tests.peers.targeting import ALICE, BOB, IDENTITY, MAY_MINT, Targets, add_target
from tests.sqlite import sqlite_store
from tests.world import ANN, World, code_of, codes_of, id_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.ports.store import Store

READ: dict[str, Any] = {"customer": "42"}
ZERO = "A" * 43


@pytest.fixture
def there(store: Store) -> Targets:
    world = World(store=store)
    world.settle_in()
    return Targets(world)


@pytest.fixture
def here() -> Targets:
    """On SQLite only: what is asked is no matter of the engine."""
    world = World(store=sqlite_store())
    world.settle_in()
    return Targets(world)


def test_i01_a_permit_writes_one_row_with_its_record_and_nothing_was_called(there: Targets) -> None:
    answer = there.ask()
    assert code_of(answer) == "permit"
    (row,) = there.rows()
    with there.world.store.read() as snapshot:
        action = snapshot.actions.action("default", id_of(answer))
    assert action is not None
    assert (row.id, row.action) == (credential_of(action.id), action.id)
    assert (row.target, row.kind, row.identity) == ("orders-db", "reader", IDENTITY)
    assert (row.task, row.agent, row.arguments) == (there.task.id, "minter", action.arguments)
    assert (row.recipient, row.state, row.version) == (ALICE, CredentialState.JOURNALED, 1)
    assert (row.made, row.due, row.ends) == (action.at, action.at, action.at + 600_000_000)
    assert (row.lease.fence, row.acknowledged, row.late) == (0, False, 0)
    there.require_recorded()
    with there.world.store.read() as snapshot:
        assert compare_rows(snapshot, lambda _done, _total: None).differences == ()


def test_two_of_a_group_have_each_its_row_and_the_number_of_its_own_record(there: Targets) -> None:
    world, task = there.world, there.task
    reader, writer = (f"orders-db__credential/{kind}" for kind in ("reader", "writer"))
    own: dict[str, Any] = {"agent": "minter"}
    calls = [
        world.call(task, "bank__pay", **own),
        world.call(task, reader, READ, recipient=ALICE, **own),
        world.call(task, reader, {"customer": ""}, recipient=ALICE, **own),
        world.call(task, "bank__look", {"path": "/"}, **own),
        world.call(task, writer, {"seconds": 5}, recipient=BOB, **own),
        world.call(task, "bank__pay", **own),
    ]
    answers = world.decide(calls)
    assert codes_of(answers) == ["permit", "permit", "bad-credential-parameter", *["permit"] * 3]
    first, second = there.rows()
    assert (first.action, second.action) == (id_of(answers[1]), id_of(answers[4]))
    assert (first.recipient, second.recipient) == (ALICE, BOB)
    assert (first.made == second.made, first.record < second.record) == (True, True)
    assert second.ends == second.made + 5_000_000
    there.require_recorded()


@pytest.mark.parametrize(
    ("kind", "arguments", "seconds"),
    [
        ("reader", READ, 600),
        ("reader", READ | {"seconds": 600}, 600),
        ("reader", READ | {"seconds": 1}, 1),
        ("writer", {}, 120),
        ("writer", {"seconds": 119}, 119),
    ],
)
def test_it_ends_when_it_was_asked_to_and_else_with_its_kind(
    here: Targets, kind: str, arguments: dict[str, Any], seconds: int
) -> None:
    assert code_of(here.ask(kind, arguments)) == "permit"
    (row,) = here.rows()
    assert row.ends == row.made + seconds * 1_000_000


@pytest.mark.parametrize(
    "seconds", [0, -1, 601, 86_400, 1.5, True, False, "60", None, [60], 2**53 - 1], ids=str
)
def test_a_life_that_no_such_credential_has_is_refused_with_one_record(here: Targets, seconds: Any) -> None:
    answer = here.ask(arguments=READ | {"seconds": seconds})
    assert code_of(answer) == "bad-credential-life"
    assert here.rows() == ()
    (decided,) = here.world.events("action-decided")
    assert (decided["decision"], decided["action"]) == ("refuse", id_of(answer))
    assert explain(here.world.adapters, "default", id_of(answer)).replay.startswith("not computed")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"customer": ""},
        {"customer": "x" * 257},
        {"customer": 42},
        {"customer": None},
        {"customer": ["42"]},
        {"customer": "42", "order": "1"},
        {"Customer": "42"},
        {"customer": "42", "seconds ": 5},
    ],
    ids=str,
)
def test_what_its_kind_does_not_know_or_misses_is_refused_with_one_record(
    here: Targets, arguments: dict[str, Any]
) -> None:
    answer = here.ask(arguments=arguments)
    assert code_of(answer) == "bad-credential-parameter"
    assert here.rows() == ()
    assert [one["decision"] for one in here.world.events("action-decided")] == ["refuse"]


def test_a_parameter_of_the_longest_text_is_minted_with_as_it_is(here: Targets) -> None:
    assert code_of(here.ask(arguments={"customer": "é" * 256})) == "permit"
    assert here.rows()[0].arguments == b'{"customer":"%b"}' % ("é" * 256).encode()


RECIPIENTS = {
    "": "no-recipient",
    "x": "bad-recipient",
    ZERO: "bad-recipient",
    ALICE[:-1]: "bad-recipient",
    f"{ALICE}=": "bad-recipient",
    f"{ALICE[:-1]}p": "bad-recipient",
    f"{ALICE}\n": "bad-recipient",
}


@pytest.mark.parametrize("recipient", RECIPIENTS, ids=repr)
def test_who_can_not_be_sealed_to_is_refused_with_one_record_and_nothing_is_taken(
    here: Targets, recipient: str
) -> None:
    before = len(here.world.records())
    assert code_of(here.ask(recipient=recipient)) == RECIPIENTS[recipient]
    (record,) = here.world.records()[before:]
    assert (record["event"]["kind"], record["event"]["code"]) == (
        "action-refused-malformed",
        RECIPIENTS[recipient],
    )
    assert here.rows() == ()


def test_nobody_is_named_to_get_what_has_no_secret(here: Targets) -> None:
    before = len(here.world.records())
    asked = here.world.ask(here.task, "bank__pay", agent="minter", recipient=ALICE)
    assert code_of(asked) == "unwanted-recipient"
    (record,) = here.world.records()[before:]
    assert record["event"]["kind"] == "action-refused-malformed"
    unknown = here.world.ask(here.task, "bank__credential/reader", READ, agent="minter", recipient=ALICE)
    assert code_of(unknown) == "unknown-tool"


def test_law_7_the_same_presentation_is_the_same_credential_whoever_it_names(there: Targets) -> None:
    first = there.ask(request="7", key="once")
    again = [
        there.ask(request="7", key="once"),
        there.ask(request="8", key="once", connection="con_b", recipient=BOB),
    ]
    assert codes_of(again) == ["duplicate", "duplicate"]
    assert {id_of(one) for one in again} == {id_of(first)}
    (row,) = there.rows()
    assert row.recipient == ALICE
    there.require_recorded()


def test_f3_an_ambiguous_commit_neither_loses_nor_doubles_a_row(there: Targets) -> None:
    world = there.world
    write = world.store.write
    broken = {"after": 1, "before": 1}

    def lose(work: Any, **more: Any) -> Any:
        if broken["before"]:
            broken["before"] -= 1
            raise AmbiguousCommitError("lost before")
        answer = write(work, **more)
        if broken["after"]:
            broken["after"] -= 1
            raise AmbiguousCommitError("lost after")
        return answer

    world.store.write = lose  # type: ignore[method-assign]  # the seam of this story
    answer = there.ask()
    assert code_of(answer) == "permit"
    assert broken == {"after": 0, "before": 0}
    assert [one.action for one in there.rows()] == [id_of(answer)]
    there.require_recorded()


def test_i01_a_permit_whose_row_can_not_be_written_is_none(there: Targets) -> None:
    world = there.world
    number = int(world.chance.name("act").removeprefix("act_")) + 1
    taken = made(id=f"crd_{number:026d}", action="act_other", record=1)
    world.store.write(lambda tx: tx.credentials.insert_credentials([taken]))
    answer = there.ask()
    assert code_of(answer) == "permit"
    assert id_of(answer) != f"act_{number:026d}"
    with world.store.read() as snapshot:
        assert snapshot.actions.action("default", f"act_{number:026d}") is None
    assert sorted(one.action for one in there.rows()) == sorted(["act_other", id_of(answer)])
    (event,) = world.events("credential-journaled")
    assert event["action"] == id_of(answer)


def test_uses_of_a_grant_are_paid_by_credentials_too_and_are_not_given_back(there: Targets) -> None:
    scope = {"grants": [{"tool": "orders-db__credential/reader", "others": "any", "uses": 2}]}
    task = there.world.start(scope=scope, agent="minter")
    answers = [there.ask(task=task) for _ in range(3)]
    assert codes_of(answers) == ["permit", "permit", "exhausted"]
    assert len(there.rows()) == 2
    told = there.world.tell(id_of(answers[0]), "not-sent", None)
    assert isinstance(told, Withhold)
    assert (told.code, told.recorded) == ("credential-was-written", False)
    (event,) = there.world.events("outcome-refused")
    assert (event["action"], event["code"]) == (id_of(answers[0]), "credential-was-written")
    assert there.world.left(task)["g0/uses"] == 0
    assert there.world.tell(id_of(answers[0])).action == id_of(answers[0])
    there.require_recorded()


def ended(there: Targets) -> None:
    there.world.tasks.end("default", there.task.id, TaskEvent.CANCEL, ANN, reason="no")


def paused(there: Targets) -> None:
    there.world.tasks.pause("default", there.task.id, ANN, reason="wait")


def stopped(there: Targets) -> None:
    stop(there.world.adapters, "default", stopped=True, reason="halt", actor=ANN)


def suspended(there: Targets) -> None:
    there.world.agents.suspend("default", "minter", ANN, reason="odd")


def removed(there: Targets) -> None:
    there.world.store.write(lambda tx: tx.tools.drop_server("default", "orders-db"))


def pinned_anew(there: Targets) -> None:
    """Another target under the same name: whoever asked meant the first."""
    removed(there)
    add_target(there.world, owner="")


def expired(there: Targets) -> None:
    there.world.clock.advance(4000)


MEANWHILE: dict[str, tuple[Callable[[Targets], None], str]] = {
    "ended": (ended, "task-ended"),
    "paused": (paused, "task-paused"),
    "stopped": (stopped, "stopped"),
    "suspended": (suspended, "inactive-agent"),
    "removed": (removed, "unknown-tool"),
    "pinned anew": (pinned_anew, "tool-without-owner"),
    "expired": (expired, "task-expired"),
}


@pytest.mark.parametrize("what", MEANWHILE)
def test_i12_what_takes_the_authority_first_leaves_no_row(there: Targets, what: str) -> None:
    assert code_of(there.ask()) == "permit"
    (before,) = there.rows()
    happens, code = MEANWHILE[what]
    there.world.meanwhile(lambda: happens(there))
    assert code_of(there.ask()) == code
    assert [one.id for one in there.rows()] == [before.id]
    assert len(there.world.events("credential-journaled")) == 1


@pytest.mark.parametrize("what", MEANWHILE)
def test_i12_what_has_no_authority_gets_no_row(here: Targets, what: str) -> None:
    happens, code = MEANWHILE[what]
    happens(here)
    here.world.views.forget()
    assert code_of(here.ask()) == code
    assert here.rows() == ()


def test_what_is_left_of_a_task_is_judged_at_the_commit_and_a_second_is_the_least(here: Targets) -> None:
    world = here.world
    short = world.start(scope=MAY_MINT, agent="minter", seconds=10)
    world.clock.advance(5)
    world.meanwhile(lambda: world.clock.advance(4.5))
    late = here.ask(task=short)
    assert code_of(late) == "bad-credential-life"
    (record,) = world.events("action-decided")
    assert (record["decision"], record["reasons"]) == ("refuse", ["bad-credential-life"])
    assert code_of(here.ask(task=short)) == "bad-credential-life"
    assert here.rows() == ()
    assert explain(world.adapters, "default", id_of(late)).replay.startswith("not computed")


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_law_9_no_kind_is_given_by_a_target_that_nobody_answers_for_not_even_one_that_reads(
    here: Targets, kind: str
) -> None:
    add_target(here.world, owner="", name="orphan")
    scope = {"grants": [{"tool": f"orphan__credential/{kind}", "others": "any"}]}
    here.world.add_agent("other", ceiling=scope)
    task = here.world.start(scope=scope, agent="other")
    given = READ if kind == "reader" else {}
    asked = here.world.ask(task, f"orphan__credential/{kind}", given, agent="other", recipient=ALICE)
    assert code_of(asked) == "tool-without-owner"
    assert here.rows() == ()


def test_law_9_a_kind_whose_owner_has_left_is_given_to_nobody(here: Targets) -> None:
    register_person(here.world.adapters, "default", "bob", uid=1001, actor=ANN)
    add_target(here.world, owner="bob", name="bobs")
    scope = {"grants": [{"tool": "bobs__credential/reader", "others": "any"}]}
    here.world.add_agent("other", ceiling=scope)
    task = here.world.start(scope=scope, agent="other")
    more: dict[str, Any] = {"agent": "other", "recipient": ALICE}
    assert code_of(here.world.ask(task, "bobs__credential/reader", READ, **more)) == "permit"
    People(here.world.adapters, here.world.views).leave("default", "bob", ANN, owns=True, reason="left")
    assert code_of(here.world.ask(task, "bobs__credential/reader", READ, **more)) == "tool-without-owner"
    assert len(here.rows()) == 1


LOOK: dict[str, Any] = {"grants": [{"tool": "bank__look", "others": "any"}]}
ONE: dict[str, Any] = {
    "grants": [
        {
            "tool": "orders-db__credential/reader",
            "arguments": {"customer": {"one_of": ["42"]}, "seconds": {"range": {"min": 1, "max": 60}}},
        }
    ]
}


def test_i08_a_scope_without_the_kind_or_for_less_gives_nothing_of_it(here: Targets) -> None:
    without = here.world.start(scope=LOOK, agent="minter")
    assert code_of(here.ask(task=without)) == "outside-scope"
    narrow = here.world.start(scope=ONE, agent="minter")
    for arguments in ({"customer": "43", "seconds": 9}, READ | {"seconds": 61}, READ):
        assert code_of(here.ask(arguments=arguments, task=narrow)) == "outside-scope", arguments
    assert code_of(here.ask("writer", task=narrow)) == "outside-scope"
    assert here.rows() == ()
    assert code_of(here.ask(arguments=READ | {"seconds": 60}, task=narrow)) == "permit"
    assert len(here.rows()) == 1


def test_i08_a_ceiling_and_an_ancestor_without_the_kind_give_nothing_of_it(here: Targets) -> None:
    parent = here.world.start(scope=LOOK, agent="minter")
    child = here.world.child(parent, scope=MAY_MINT)
    assert code_of(here.ask(task=child)) == "outside-scope"
    beneath = here.world.child(here.task, scope=MAY_MINT)
    assert code_of(here.ask(task=beneath)) == "permit"
    plain = here.world.start(scope=LOOK, agent="coder")
    wide = here.world.child(plain, scope=MAY_MINT)
    assert code_of(here.ask(task=wide, agent="coder")) == "outside-scope"
    assert [one.task for one in here.rows()] == [beneath.id]


def test_a_decision_about_a_credential_replays_to_the_same(there: Targets) -> None:
    permitted = id_of(there.ask())
    narrow = there.world.start(scope=ONE, agent="minter")
    refused = id_of(there.ask(task=narrow, arguments={"customer": "43"}))
    for action in (permitted, refused):
        assert explain(there.world.adapters, "default", action).replay == "same"


def test_nothing_is_permitted_that_was_evaluated_for_nobody(here: Targets) -> None:
    call = here.world.call(here.task, "orders-db__credential/writer", {}, agent="minter")
    (answer,) = here.world.decide([replace(call, recipient=None)])
    assert code_of(answer) == "undecided"
    assert here.rows() == ()
    assert here.world.events("credential-journaled") == []


@pytest.mark.parametrize("is_target", [True, False])
def test_a_server_has_no_credentials_and_a_target_has_nothing_else(here: Targets, *, is_target: bool) -> None:
    name = "bank" if is_target else "orders-db"
    with here.world.store.read() as snapshot:
        server = snapshot.tools.server("default", name)
    assert server is not None
    other = replace(server, is_target=is_target, version=server.version + 1)
    here.world.store.write(lambda tx: tx.tools.put_server(other, expect=server.version))
    here.world.views.forget()
    asked = here.world.ask(here.task, agent="minter") if is_target else here.ask()
    assert code_of(asked) == "unknown-tool"
    assert here.rows() == ()


@pytest.mark.parametrize("recipient", ["", None])
def test_a_permit_for_nobody_is_written_down_for_nobody(here: Targets, recipient: str | None) -> None:
    permitted, refused = here.ask(), here.ask(arguments={})
    assert isinstance(permitted, Settled)
    assert isinstance(refused, Settled)
    with pytest.raises(NoRecipientError):
        granted(permitted, "act_1", recipient)
    assert granted(refused, "act_1", recipient) == ()
    paid = here.world.ask(here.task, "bank__pay", agent="minter")
    assert isinstance(paid, Settled)
    assert granted(paid, "act_1", recipient) == ()
