from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.approval import ApprovalState, parse_statement
from taskbound.flows.action import explain, reconcile
from taskbound.flows.approval.hold.holds import HOLD_LIFE
from taskbound.flows.approval.proof.kept import signed
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.identity.agent import say_risk
from taskbound.flows.tool import Declaration
from taskbound.ports.store import StoreUnavailableError
from tests.peers.endings import Ending
from tests.peers.holding import TWICE, Holding, hold_policy
from tests.peers.people import actor_of
from tests.peers.planning import Planner
from tests.sqlite import sqlite_store
from tests.world import ANN, code_of, id_of

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Store

RISKY = hold_policy("approval:finance") + (
    '@id("risky") @hold("approval:finance") forbid (principal, action, resource)'
    ' when { context.risk == "high" };'
)


@pytest.fixture
def there(store: Store) -> Holding:
    return Holding(store)


@pytest.fixture
def here() -> Planner:
    """On SQLite only: what is covered is no matter of the engine."""
    return Planner(sqlite_store())


def failed(there: Holding, retries: int = 1, outcome: str = "failed", *, who: str = "bob") -> str:
    """An attempt that people approved, with so many retries, and what became of it."""
    action = id_of(there.world.ask(there.task))
    there.say(action, who, retries=retries)
    answer = there.world.ask(there.task)
    assert (code_of(answer), id_of(answer)) == ("permit", action)
    if outcome:
        there.world.tell(action, outcome, None if outcome in {"not-sent", "unknown"} else b'{"ok":false}')
    return action


def test_an_approval_covers_no_retry_unless_it_says_so(there: Holding) -> None:
    action = failed(there, 0)
    again = there.world.ask(there.task)
    assert code_of(again) == "hold"
    assert id_of(again) != action
    assert there.approval(id_of(again)).question.first is None


def test_it_covers_as_many_retries_as_it_says_each_a_new_action_used_once(there: Holding) -> None:
    actions = [failed(there, 2)]
    for number in (1, 2):
        answer = there.world.ask(there.task)
        assert code_of(answer) == "permit"
        assert id_of(answer) not in actions
        actions.append(id_of(answer))
        assert there.state(actions[-1]) == ("permitted", "consumed")
        question = there.approval(actions[-1]).question
        first = there.approval(actions[0]).question
        assert (question.retry, question.answered.digest) == (number, first.digest)
        assert question.deadline <= first.deadline
        assert question.digest != first.digest
        there.world.tell(actions[-1], "failed", b"{}")
    assert code_of(there.world.ask(there.task)) == "hold"


def test_a_covered_retry_stands_in_the_log_with_the_digest_that_was_signed(there: Holding) -> None:
    first = failed(there)
    retry = id_of(there.world.ask(there.task))
    digest = there.approval(first).question.digest
    asked = {one["action"]: one.get("retries", "") for one in there.world.events("approval-asked")}
    assert asked == {first: "", retry: digest}
    changes = [one for one in there.world.events("approval-changed") if one["action"] == retry]
    assert [(one["before"], one["after"], one["by"]) for one in changes] == [
        ("pending", "approved", "daemon"),
        ("approved", "consumed", "daemon"),
    ]
    assert "covers retry 1" in changes[0]["reason"]
    assert len(there.world.events("approval-answered")) == 1, "nobody has answered a second time"
    decided = [one for one in there.world.events("action-decided") if one["action"] == retry]
    assert [(one["decision"], one["attempt"]) for one in decided] == [("hold", 2), ("permit", 2)]
    assert explain(there.world.adapters, "default", retry).replay == "same"
    with there.world.store.read() as snapshot:
        assert compare_rows(snapshot, lambda _done, _total: None).differences == ()


@pytest.mark.parametrize(
    ("outcome", "covered"),
    [("failed", True), ("not-sent", True), ("succeeded", False), ("unknown", False), ("", False)],
)
def test_only_what_is_known_to_have_failed_or_not_to_have_been_sent_is_retried(
    there: Holding, outcome: str, *, covered: bool
) -> None:
    failed(there, 1, outcome)
    assert code_of(there.world.ask(there.task, request="again")) == ("permit" if covered else "hold")


def test_i30_an_unknown_outcome_is_asked_about_also_where_the_tool_is_idempotent(here: Holding) -> None:
    with here.world.store.read() as snapshot:
        tool = snapshot.tools.tool("default", "bank__pay")
    assert tool is not None
    here.world.sights.declare("default", "bank__pay", tool.digest, ANN, Declaration(idempotent=True))
    failed(here, 1, "unknown")
    assert code_of(here.world.ask(here.task)) == "hold"


def test_i30_nor_does_a_failure_after_an_unknown_outcome_make_that_one_known(here: Holding) -> None:
    with here.world.store.read() as snapshot:
        tool = snapshot.tools.tool("default", "bank__pay")
    assert tool is not None
    here.world.sights.declare("default", "bank__pay", tool.digest, ANN, Declaration(idempotent=True))
    lost = failed(here, 0, "unknown")
    failed(here, 2)
    assert code_of(here.world.ask(here.task)) == "hold"
    reconcile(here.world.adapters, "default", lost, "failed", "the ledger has no such entry", ANN)
    assert here.approval(id_of(here.world.ask(here.task))).question.first is None, "it is asked about already"


def test_another_attempt_in_the_tree_of_tasks_comes_first(here: Holding) -> None:
    failed(here)
    child = here.world.child(here.task)
    own, here.task = here.task, child
    failed(here, 0)
    here.task = own
    assert code_of(here.world.ask(here.task)) == "hold"


def test_what_a_person_found_to_have_failed_is_covered(here: Holding) -> None:
    action = failed(here, 1, "unknown")
    reconcile(here.world.adapters, "default", action, "failed", "the ledger has no such entry", ANN)
    assert code_of(here.world.ask(here.task)) == "permit"


def test_while_another_attempt_is_under_way_people_are_asked(here: Holding) -> None:
    first = id_of(here.world.ask(here.task, wait=60, request="one"))
    second = id_of(here.world.ask(here.task, wait=60, request="two"))
    for one in (first, second):
        here.say(one, "bob", retries=1)
    assert code_of(here.world.ask(here.task, request="one", resume=first)) == "permit"
    assert code_of(here.world.ask(here.task, request="two", resume=second)) == "permit"
    here.world.tell(second, "failed", b"{}")
    assert code_of(here.world.ask(here.task)) == "hold", "the first may have its effect"
    here.world.tell(first, "failed", b"{}")


@pytest.mark.parametrize(
    "what", ["policy", "tool", "amend", "leave the group", "withdraw the key", "leave for good"]
)
def test_whatever_is_bound_and_has_changed_is_asked_about(here: Planner, what: str) -> None:
    ending = Ending(here, what)
    ending.begin()
    here.task = here.world.start()
    failed(here, who=ending.approver)
    ending.of("")()
    answer = here.world.ask(here.task)
    assert code_of(answer) == "hold"
    assert here.approval(id_of(answer)).question.first is None
    ending.undo()


def test_a_file_that_changed_is_asked_about(here: Holding, tmp_path: Path) -> None:
    here.task = here.world.start(scope={"grants": [{"tool": "bank__pay", "others": "any"}]})
    paper = tmp_path / "paper"
    with here.world.store.read() as snapshot:
        tool = snapshot.tools.tool("default", "bank__pay")
    assert tool is not None
    probes = Declaration(probes=(f"note=file:{tmp_path}",))
    here.world.sights.declare("default", "bank__pay", tool.digest, ANN, probes)
    arguments = {"to": "bob", "amount": 10, "note": str(paper)}
    codes: list[str] = []
    for text in ("100", "100", "101"):
        paper.write_text(text)
        answer = here.world.ask(here.task, arguments=arguments)
        if code_of(answer) == "hold" and not codes:
            here.say(id_of(answer), "bob", retries=2)
            answer = here.world.ask(here.task, arguments=arguments)
        codes.append(code_of(answer))
        if codes[-1] == "permit":
            here.world.tell(id_of(answer), "failed", b"{}")
    assert codes == ["permit", "permit", "hold"]


def test_it_covers_nothing_after_the_deadline_of_what_was_signed(here: Holding) -> None:
    here.task = here.world.start(seconds=30 * 3600)
    failed(here, 2)
    here.world.clock.advance(HOLD_LIFE / 1_000_000 - 1)
    answer = here.world.ask(here.task)
    assert code_of(answer) == "permit"
    here.world.tell(id_of(answer), "failed", b"{}")
    here.world.clock.advance(2)
    assert code_of(here.world.ask(here.task)) == "hold"


def test_another_argument_is_another_call(here: Holding) -> None:
    failed(here)
    assert code_of(here.world.ask(here.task, arguments={"to": "bob", "amount": 11})) == "hold"


def test_another_task_is_another_question(here: Holding) -> None:
    failed(here)
    here.task = here.world.start()
    assert code_of(here.world.ask(here.task)) == "hold"


def test_a_policy_that_did_not_hold_the_attempt_before_asks() -> None:
    here = Holding(sqlite_store(), RISKY)
    failed(here)
    say_risk(
        here.world.adapters, here.world.views, "default", "coder", "high", reason="odd", actor=actor_of("ann")
    )
    assert code_of(here.world.ask(here.task)) == "hold"


@pytest.mark.parametrize(("numbers", "covered"), [((1, 1), 1), ((2, 1), 1), ((2, 2), 2), ((1, 0), 0)])
def test_of_those_who_are_needed_each_must_have_said_so(numbers: tuple[int, int], covered: int) -> None:
    here = Holding(sqlite_store(), TWICE)
    action = id_of(here.world.ask(here.task))
    for who, retries in zip(("bob", "carl"), numbers, strict=True):
        here.say(action, who, retries=retries)
    codes: list[str] = []
    for _ in range(3):
        answer = here.world.ask(here.task)
        codes.append(code_of(answer))
        if codes[-1] == "permit":
            here.world.tell(id_of(answer), "failed", b"{}")
    assert codes == ["permit"] * (1 + covered) + ["hold"] * (2 - covered)


def test_i29_calls_that_come_together_get_one_retry(there: Holding) -> None:
    failed(there)
    answers = there.world.decisions.decide([there.world.call(there.task) for _ in range(8)])
    assert [code_of(one) for one in answers].count("permit") == 1


def test_what_is_spent_is_spent_by_each_retry(here: Holding) -> None:
    failed(here)
    before = here.world.left(here.task)
    assert code_of(here.world.ask(here.task)) == "permit"
    assert here.world.left(here.task) != before


def _leave_unused(here: Holding, monkeypatch: pytest.MonkeyPatch) -> StoredApproval:
    """A retry whose question was answered, and that lost the store before it was used."""
    failed(here)
    write = here.world.store.write

    def once(work: Any, **more: Any) -> Any:
        if _open(here):
            raise StoreUnavailableError("gone between the question and its use")
        return write(work, **more)

    with monkeypatch.context() as patch:
        patch.setattr(here.world.store, "write", once)
        assert code_of(here.world.ask(here.task, wait=60, request="one")) == "store-unavailable"
    (retry,) = _open(here)
    assert (retry.state, retry.question.retry) == (ApprovalState.APPROVED, 1)
    return retry


def test_a_retry_that_was_answered_and_not_used_is_used_when_the_store_is_back(
    here: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = _leave_unused(here, monkeypatch).question.action
    answer = here.world.ask(here.task, request="one", resume=action)
    assert (code_of(answer), id_of(answer)) == ("permit", action)


def test_it_is_over_once_another_attempt_was_made_in_the_tree_of_tasks(
    here: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    retry = _leave_unused(here, monkeypatch)
    own, here.task = here.task, here.world.child(here.task)
    failed(here, 0, "succeeded")
    here.task = own
    assert code_of(here.world.ask(here.task, request="one", resume=retry.question.action)) == "hold"
    assert here.state(retry.question.action) == ("withdrawn", "superseded")


def test_it_is_over_once_another_attempt_was_made_in_its_own_task(
    here: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    retry = _leave_unused(here, monkeypatch)
    other = id_of(here.world.ask(here.task, connection="con_b"))
    here.say(other, "bob")
    assert code_of(here.world.ask(here.task, connection="con_b", resume=other)) == "permit"
    here.world.tell(other, connection="con_b")
    answer = here.world.ask(here.task, request="one", resume=retry.question.action)
    assert code_of(answer) == "hold"
    assert here.state(retry.question.action) == ("withdrawn", "superseded")


def _open(here: Holding) -> list[StoredApproval]:
    with here.world.store.read() as snapshot:
        found = snapshot.approvals.open_approvals()
        names = [one.question.id for one in found]
        whole = [snapshot.approvals.approval("default", name) for name in names]
    return [one for one in whole if one is not None]


def test_i28_an_answer_counts_for_no_retry_beyond_its_number_nor_for_another_question(here: Holding) -> None:
    first = failed(here)
    retry = here.approval(id_of(here.world.ask(here.task)))
    keys = {key.id: key for key, _ in here.devices.values()}
    check = here.world.adapters.signatures

    def counts(question: Any) -> int:
        return len(signed(question, here.approval(first).answers, keys, check))

    assert counts(retry.question) == 1
    assert counts(replace(retry.question, retry=2)) == 0
    assert counts(replace(retry.question, retry=0)) == 0
    assert counts(replace(retry.question, retry=-1)) == 0
    changes: list[dict[str, Any]] = [
        {name: "x"} for name in ("tool", "act", "scope", "bundle", "task", "requester", "purpose")
    ]
    first_of = retry.question.first
    assert first_of is not None
    changes += [{"first": replace(first_of, id="x")}, {"first": replace(first_of, nonce="x")}]
    changes += [{"first": replace(first_of, action="x")}]
    for change in changes:
        assert counts(replace(retry.question, **change)) == 0, change
    assert parse_statement(retry.answers[0].statement).question == here.approval(first).question.id


def test_i29_of_two_daemons_that_retry_at_once_one_is_permitted(stores: tuple[Store, Store]) -> None:
    first = Holding(stores[0])
    second = first.beside_on(stores[1])
    for _ in range(6):
        first.task = second.task = first.world.start()
        failed(first)
        start = threading.Barrier(2)
        permitted: list[str] = []

        def use(there: Holding, connection: str, start: threading.Barrier, permitted: list[str]) -> None:
            start.wait()
            calls = [there.world.call(there.task, connection=connection) for _ in range(4)]
            permitted += [
                id_of(one) for one in there.world.decisions.decide(calls) if code_of(one) == "permit"
            ]

        threads = [
            threading.Thread(target=use, args=(there, name, start, permitted))
            for there, name in ((first, "con_a"), (second, "con_b"))
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert len(permitted) == 1
        first.world.clock.advance(3600)
