from __future__ import annotations

import json
import os
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.approval import BadProbeError, NarrowedRefusedError, parse_question
from taskbound.core.decision import Hold, Settled
from taskbound.core.decision.settle import LOOK_LIFE
from taskbound.core.errors import DeniedError
from taskbound.core.tool import parse_definition
from taskbound.flows.action import explain
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.tool import Declaration
from taskbound.ports.store import AmbiguousCommitError
from tests.peers.holding import ASKED, Holding
from tests.sqlite import sqlite_store
from tests.world import ANN, LOOK, PAY, code_of, id_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskbound.core.task import Task
    from taskbound.flows.decision import Answer
    from taskbound.ports.store import Store
    from taskbound.ports.tool import PinnedTool

BILL: dict[str, Any] = PAY | {
    "inputSchema": {
        "type": "object",
        "properties": {
            "to": {"type": "string"},
            "amount": {"type": "number"},
            "bill": {},
            "other": {"default": "x"},
        },
    }
}
WIDE: dict[str, Any] = {"grants": [{"tool": "bank__pay", "others": "any", "uses": 50}]}


class Bills(Holding):
    """Payments of bills, which are files that a person declared to be looked at."""

    def __init__(self, store: Store, folder: Path) -> None:
        super().__init__(store)
        self.folder = folder
        self.bill = folder / "march.txt"
        self.bill.write_text("pay bob 10\n")
        raws = [json.dumps(one).encode() for one in (BILL, LOOK)]
        self.world.sights.see("default", "bank", self.tool().identity, raws, agent="coder")
        self.world.sights.accept("default", "bank__pay", _digest(self.tool().seen), ANN)
        self.task: Task = self.world.start(scope=WIDE)
        self.declare(f"bill=file:{folder}")

    def tool(self) -> PinnedTool:
        with self.world.store.read() as snapshot:
            found = snapshot.tools.tool("default", "bank__pay")
        assert found is not None
        return found

    def declare(self, *probes: str) -> None:
        said = Declaration(probes=probes)
        self.world.sights.declare("default", "bank__pay", self.tool().digest, ANN, said)

    def pay(self, **more: Any) -> Answer:
        bill = more.pop("bill", str(self.bill))
        arguments = {"to": "bob", "amount": 10, **({"bill": bill} if bill is not None else {})}
        return self.world.ask(self.task, arguments=arguments, **more)


def _digest(definition: bytes) -> str:
    return parse_definition(definition).digest


@pytest.fixture
def there(store: Store, tmp_path: Path) -> Bills:
    return Bills(store, tmp_path)


@pytest.fixture
def here(tmp_path: Path) -> Bills:
    return Bills(sqlite_store(), tmp_path)


def found_in(bills: Bills, action: str) -> dict[str, str]:
    (operand,) = bills.approval(action).question.operands
    assert operand.place == "/bill"
    return dict(operand.found)


def test_what_is_asked_names_the_file_by_content_path_and_inode_and_is_signed_with_it(there: Bills) -> None:
    action = id_of(there.pay())
    question = there.approval(action).question
    assert found_in(there, action) == {
        "device": str(there.bill.stat().st_dev),
        "inode": str(there.bill.stat().st_ino),
        "path": os.path.realpath(there.bill),
        "sha256": sha256(b"pay bob 10\n").hexdigest(),
        "size": "11",
    }
    assert parse_question(question.canonical) == question
    assert replace(question, operands=()).digest != question.digest, "it is part of what people sign"
    (asked,) = there.world.events("approval-asked")
    assert (asked["operands"], asked["digest"]) == (["/bill"], question.digest)
    with there.world.store.read() as snapshot:
        assert compare_rows(snapshot, lambda _done, _total: None).differences == ()


def test_an_approval_is_used_while_the_file_is_the_one_that_was_asked_about(there: Bills) -> None:
    action = id_of(there.pay())
    there.say(action, "bob")
    there.bill.touch()
    answer = there.pay()
    assert (code_of(answer), id_of(answer)) == ("permit", action)
    assert there.state(action) == ("permitted", "consumed")
    assert explain(there.world.adapters, "default", action).replay == "same"


def rewrite(bill: Path) -> None:
    state = bill.stat()
    bill.write_text("pay eve 99\n")
    os.utime(bill, ns=(state.st_atime_ns, state.st_mtime_ns))


def swap(bill: Path) -> None:
    other = bill.with_name("other")
    other.write_bytes(bill.read_bytes())
    other.replace(bill)


def link(bill: Path) -> None:
    bill.rename(bill.with_name("moved"))
    bill.symlink_to("moved")


def remove(bill: Path) -> None:
    bill.unlink()


def pipe(bill: Path) -> None:
    bill.unlink()
    os.mkfifo(bill)


def lead_out(bill: Path) -> None:
    bill.unlink()
    bill.symlink_to("/etc/hostname")


@pytest.mark.parametrize(
    ("change", "why", "code"),
    [
        (rewrite, "what it names is another thing now: the sha256 behind `/bill`", "hold"),
        (swap, "what it names is another thing now: the inode behind `/bill`", "hold"),
        (link, "what it names is another thing now: the path behind `/bill`", "hold"),
        (remove, "no such file", "operand-unreadable"),
        (pipe, "no plain file", "operand-unreadable"),
        (lead_out, "not beneath", "operand-outside"),
    ],
)
def test_an_approval_is_never_used_for_another_file_and_the_answer_says_why(
    there: Bills, change: Callable[[Path], object], why: str, code: str
) -> None:
    action = id_of(there.pay())
    there.say(action, "bob")
    change(there.bill)
    before = there.world.left(there.task)
    answer = there.pay(resume=action)
    assert code_of(answer) == code
    assert there.state(action) == ("withdrawn", "superseded")
    assert why in there.approval(action).reason
    assert there.world.left(there.task) == before
    assert why in str(answer)
    assert [one["after"] for one in there.world.events("approval-changed")] == ["approved", "superseded"]
    assert code_of(there.pay()) != "permit", "nor later"


def test_a_file_that_changed_is_asked_about_anew_and_that_answer_counts(there: Bills) -> None:
    first = id_of(there.pay())
    there.say(first, "bob")
    rewrite(there.bill)
    answer = there.pay()
    second = id_of(answer)
    assert second != first
    assert isinstance(answer, Settled)
    assert isinstance(answer.decision, Hold)
    assert answer.decision.reasons[0].code == "superseded"
    assert found_in(there, second)["sha256"] == sha256(b"pay eve 99\n").hexdigest()
    there.say(second, "bob")
    answer = there.pay()
    assert (code_of(answer), id_of(answer)) == ("permit", second)


def test_a_file_that_changed_back_does_not_bring_an_approval_back(here: Bills) -> None:
    action = id_of(here.pay())
    here.say(action, "bob")
    rewrite(here.bill)
    assert code_of(here.pay()) == "hold"
    here.bill.write_text("pay bob 10\n")
    assert id_of(here.pay()) != action
    assert here.state(action) == ("withdrawn", "superseded")


def test_a_file_that_changed_while_people_are_asked_ends_the_question_at_the_next_look(here: Bills) -> None:
    action = id_of(here.pay())
    rewrite(here.bill)
    assert id_of(here.pay()) != action
    with pytest.raises(DeniedError, match="over"):
        here.say(action, "bob")


@pytest.mark.parametrize("bill", [None, 7, True, "", [], ["a", 1], {"path": "x"}])
def test_what_can_t_be_looked_at_is_asked_of_nobody(here: Bills, bill: object) -> None:
    assert code_of(here.pay(bill=bill)) == "operand-unreadable"
    assert here.world.events("approval-asked") == []


def test_each_of_a_list_is_looked_at(here: Bills) -> None:
    (here.folder / "april.txt").write_text("x")
    paths = [str(here.bill), str(here.folder / "april.txt")]
    action = id_of(here.pay(bill=paths))
    places = [one.place for one in here.approval(action).question.operands]
    assert places == ["/bill/0", "/bill/1"]
    here.say(action, "bob")
    (here.folder / "april.txt").write_text("y")
    assert id_of(here.pay(bill=paths)) != action
    assert "`/bill/1`" in here.approval(action).reason
    assert code_of(here.pay(bill=[str(here.bill)] * 17)) == "operand-unreadable"


def test_the_schema_s_default_stands_for_what_is_not_there(here: Bills) -> None:
    here.declare(f"other=file:{here.folder}")
    assert code_of(here.pay()) == "operand-outside", "`x` where the server runs, which is `/`"


def test_what_policy_does_not_hold_is_not_looked_at(here: Bills) -> None:
    (here.folder / "none").mkdir()
    assert (
        code_of(here.world.ask(here.task, arguments={"to": "bob", "amount": 1, "bill": "/none"})) != "permit"
    )
    looking = here.world.start(scope={"grants": [{"tool": "bank__look", "others": "any"}]})
    assert code_of(here.world.ask(looking, "bank__look", {"path": "/none"})) == "permit"


def test_another_declaration_is_another_question_and_a_commit_that_read_the_old_one_is_stale(
    there: Bills,
) -> None:
    action = id_of(there.pay())
    there.say(action, "bob")
    other = there.world.beside()
    digest = there.tool().digest
    said = Declaration(probes=(f"bill=file:{there.folder.parent}",))
    there.world.meanwhile(lambda: other.sights.declare("default", "bank__pay", digest, ANN, said))
    answer = there.pay()
    assert (code_of(answer), id_of(answer)) == ("permit", action), "the same file, looked at from further up"
    again = id_of(there.pay())
    there.say(again, "bob")
    there.world.meanwhile(
        lambda: other.sights.declare("default", "bank__pay", digest, ANN, Declaration(probes=()))
    )
    assert id_of(there.pay()) != again
    assert "looked at in another way" in there.approval(again).reason


def test_a_look_is_worth_some_seconds_and_then_it_is_taken_again(here: Bills) -> None:
    action = id_of(here.pay())
    here.say(action, "bob")

    def late(seconds: float) -> Callable[[], object]:
        def happen() -> None:
            here.world.clock.advance(seconds)
            rewrite(here.bill)

        return happen

    here.world.meanwhile(late(LOOK_LIFE / 1_000_000 + 1))
    assert id_of(here.pay()) != action
    assert here.state(action) == ("withdrawn", "superseded")


def test_of_two_presentations_in_one_group_no_file_is_paid_for_twice(here: Bills) -> None:
    action = id_of(here.pay())
    here.say(action, "bob")
    arguments = {"to": "bob", "amount": 10, "bill": str(here.bill)}
    calls = [here.world.call(here.task, arguments=arguments) for _ in range(3)]  # type: ignore[arg-type]  # a plain JSON object
    codes = [code_of(one) for one in here.world.decisions.decide(calls)]
    assert codes.count("permit") == 1


def test_an_ambiguous_commit_uses_the_approval_once(there: Bills) -> None:
    action = id_of(there.pay())
    there.say(action, "bob")
    write = there.world.store.write

    def lose(work: Any, **more: Any) -> object:
        there.world.store.write = write  # type: ignore[method-assign]  # the seam is put back
        write(work, **more)
        raise AmbiguousCommitError("lost")

    there.world.store.write = lose  # type: ignore[method-assign, assignment]  # the seam of a story
    assert (code_of(one := there.pay()), id_of(one)) == ("permit", action)
    assert code_of(there.pay()) == "hold"


@pytest.mark.parametrize(
    "probe",
    [
        "", "bill", "bill=", "bill=file", "bill=file:", "bill=file:bills", "bill=file:/a/../b",
        "bill=file:/a/",
        "=file:/a", "bill=file://a", "bill=rows:/a", "bill=version:/a", "none=file:/a",
        "bill=revision:none:/a",
        "bill=revision:to", "bill=file:/a\n", "bi/ll=file:/a", "bill=FILE:/a", " bill=file:/a",
    ],
)  # fmt: skip  # texts side by side
def test_a_probe_that_says_nothing_is_not_declared(here: Bills, probe: str) -> None:
    with pytest.raises(BadProbeError):
        here.declare(probe)
    assert here.tool().probes == (f"bill=file:{here.folder}",)


def test_what_was_declared_of_what_arguments_name_is_recorded_and_falls_with_the_definition(
    there: Bills,
) -> None:
    there.declare("other=revision:/srv/repo", f"bill=revision:to:{there.folder}")
    assert there.tool().probes == (f"bill=revision:to:{there.folder}", "other=revision:/srv/repo")
    event = there.world.events("tool-declared")[-1]
    assert (tuple(event["probes"]), event["idempotent"], event["by"]) == (there.tool().probes, False, "ann")
    with pytest.raises(BadProbeError, match="one argument"):
        there.declare("bill=file:/a", "bill=file:/b")
    raws = [json.dumps(one).encode() for one in (BILL | {"description": "Other."}, LOOK)]
    there.world.sights.see("default", "bank", there.tool().identity, raws, agent="coder")
    there.world.sights.accept("default", "bank__pay", _digest(there.tool().seen), ANN)
    assert there.tool().probes == ()


def test_the_agent_s_own_word_of_what_a_file_holds_is_not_believed(here: Bills) -> None:
    action = id_of(here.pay())
    here.say(action, "bob")
    rewrite(here.bill)
    lies = {"to": "bob", "amount": 10, "bill": str(here.bill), "sha256": sha256(b"pay bob 10\n").hexdigest()}
    answer = here.world.ask(here.task, arguments=lies)
    assert code_of(answer) == "hold"
    assert found_in(here, id_of(answer))["sha256"] == sha256(b"pay eve 99\n").hexdigest()


def test_another_spelling_of_the_same_path_is_another_action(here: Bills) -> None:
    action = id_of(here.pay())
    here.say(action, "bob")
    assert id_of(here.pay(bill=f"{here.folder}/./march.txt")) != action
    assert code_of(here.pay()) == "permit"


# --- what policies read of it ------------------------------------------------------------------------

CHANGED_SINCE = """
@id("same") @hold("confirm") forbid (principal, action == Taskbound::Action::"bank__pay", resource)
when { context.attempt > 1 && context.changed.isEmpty() };
@id("other") forbid (principal, action == Taskbound::Action::"bank__pay", resource)
when { context.changed.contains("operands") };
"""


def reading(bills: Bills, rules: str = CHANGED_SINCE) -> Bills:
    bills.rule(base_bundle() + rules)
    return bills


def test_a_policy_sees_that_what_the_arguments_name_changed_since_the_last_attempt(there: Bills) -> None:
    reading(there)
    assert code_of(there.pay()) == "permit"
    there.bill.touch()
    held = there.pay()
    assert code_of(held) == "hold", "nothing changed"
    with there.world.store.read() as snapshot:
        kept = snapshot.actions.action("default", id_of(held))
    assert kept is not None
    (words,) = dict(kept.facts)["operands"].split("\n")
    assert json.loads(words)["found"]["sha256"] == sha256(b"pay bob 10\n").hexdigest()
    assert explain(there.world.adapters, "default", id_of(held)).replay == "same"
    rewrite(there.bill)
    assert code_of(there.pay()) == "forbidden"


def test_what_the_last_attempt_named_and_nobody_recorded_counts_as_changed(here: Bills) -> None:
    here.rule(base_bundle())
    assert code_of(here.pay()) == "permit"
    assert code_of(reading(here).pay()) == "forbidden"


def test_where_nothing_is_declared_nothing_has_changed(here: Bills) -> None:
    here.declare()
    here.rule(base_bundle())
    assert code_of(here.pay()) == "permit"
    rewrite(here.bill)
    reading(
        here,
        '@id("other") forbid (principal, action, resource) when { context.changed.contains("operands") };',
    )
    assert code_of(here.pay(connection="con_z")) == "permit"


@pytest.mark.parametrize("fact", ["operands", "changed"])
def test_what_can_t_be_looked_at_is_refused_where_a_policy_reads_of_it(here: Bills, fact: str) -> None:
    never = f'@id("never") forbid (principal, action, resource) when {{ context.{fact}.contains("x") }};'
    reading(here, never)
    assert code_of(here.pay()) == "permit"
    remove(here.bill)
    assert code_of(here.pay()) == "operand-unreadable"
    reading(here, "")
    assert code_of(here.pay(connection="con_z")) == "permit", "no policy reads of it"


def test_what_no_grant_covers_is_not_looked_at_for_a_policy(here: Bills) -> None:
    reading(
        here, '@id("never") forbid (principal, action, resource) when { context.operands.contains("x") };'
    )
    here.task = here.world.start(
        scope={"grants": [{"tool": "bank__pay", "arguments": {"to": {"equals": "eve"}}}]}
    )
    assert code_of(here.pay(bill="/none")) == "outside-scope"


COUNTED: dict[str, Any] = {
    "grants": [
        {
            "tool": "bank__pay",
            "arguments": {"amount": {"range": {"min": 0, "max": 50}}},
            "others": "any",
            "total": {"amount": {"limit": 10000, "exponent": 2}},
        }
    ]
}


def narrowed(there: Bills, action: str) -> str:
    less: dict[str, Any] = {"to": "bob", "amount": 4, "bill": str(there.bill)}
    return there.narrow(action, "bob", less).instead.action


def taken(there: Bills, action: str) -> Answer:
    less = {"to": "bob", "amount": 4, "bill": str(there.bill)}
    return there.world.ask(there.task, arguments=less, resume=action)


@pytest.mark.parametrize("held", [True, False], ids=["policy holds less", "policy would permit less"])
@pytest.mark.parametrize("changed", [True, False], ids=["written over", "left alone"])
def test_what_was_narrowed_is_bound_to_the_file_that_was_shown(
    here: Bills, *, held: bool, changed: bool
) -> None:
    here.task = here.world.start(scope=COUNTED)
    if not held:
        when = ' when { context.arguments.amount.greaterThan(decimal("5.0")) };'
        here.rule(ASKED.removesuffix(";") + when)
    action = id_of(here.pay())
    less = narrowed(here, action)
    assert here.approval(less).question.operands == here.approval(action).question.operands != ()
    if changed:
        here.bill.write_text("pay eve 10\n")
    answer = taken(here, less)
    assert code_of(answer) == ("hold-over" if changed else "permit")
    assert here.approval(less).state.value == ("superseded" if changed else "consumed")


def test_a_file_that_was_written_over_since_it_was_shown_is_not_narrowed_about(here: Bills) -> None:
    here.task = here.world.start(scope=COUNTED)
    action = id_of(here.pay())
    before = here.bill.read_text()
    here.bill.write_text("pay eve 10\n")
    with pytest.raises(NarrowedRefusedError, match="the sha256 behind"):
        narrowed(here, action)
    here.bill.unlink()
    with pytest.raises(NarrowedRefusedError, match="operand-unreadable"):
        narrowed(here, action)
    assert here.state(action) == ("held", "pending")
    assert before
