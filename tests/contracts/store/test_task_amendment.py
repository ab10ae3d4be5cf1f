from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from taskbound.core.approval import Answer, AnswerKind
from taskbound.core.approval.amendment import AmendmentQuestion, AmendmentState
from taskbound.core.clock import Instant
from taskbound.ports.store import ConflictError
from taskbound.ports.task import AmendmentChange, StoredAmendment
from tests.contracts.store.rows import NOW, OTHER, SPACE, read, task
from tests.world import scope_of

if TYPE_CHECKING:
    from taskbound.ports.store import Store, Transaction

PENDING, DENIED, APPLIED = AmendmentState.PENDING, AmendmentState.DENIED, AmendmentState.APPLIED
WIDER = scope_of({"grants": [{"tool": "git__log", "others": "any"}]})


def amendment(
    number: int = 1,
    *,
    namespace: str = SPACE,
    task: str = "",
    agent: str = "coder",
    state: AmendmentState = PENDING,
) -> StoredAmendment:
    question = AmendmentQuestion(
        namespace=namespace,
        id=f"amd_{number}",
        task=task or f"tsk_{number}",
        agent=agent,
        requester="ann",
        asker="bob",
        purpose="pay, 'quoted' — and more\n",
        reason="more \U0001f600",
        bundle="b",
        before="d",
        edition=2,
        step=1,
        after=WIDER,
        lifters=("approval:agent:2",),
        nonce="n",
        asked=Instant(NOW + number),
        deadline=Instant(2**53 - 1),
    )
    return StoredAmendment(question=question, state=state)


def answer(person: str = "bob", kind: AnswerKind = AnswerKind.APPROVE, *, received: int = 1) -> Answer:
    return Answer(
        kind=kind,
        person=person,
        key="key_1",
        at=Instant(NOW),
        received=Instant(NOW + received),
        statement=b"said\n",
        signature=b"\x00\xff",
    )


def step(
    number: int = 1, before: AmendmentState = PENDING, after: AmendmentState = APPLIED
) -> AmendmentChange:
    return AmendmentChange(
        id=f"amd_{number}", before=before, after=after, finished=Instant(9), reason="so \u2028"
    )


def ask(store: Store, *some: StoredAmendment) -> None:
    def work(tx: Transaction) -> None:
        for one in some:
            tx.amendments.insert_amendment(one)

    store.write(work)


def give(one: Answer, tx: Transaction) -> None:
    tx.amendments.put_answer(SPACE, "amd_1", one)


@pytest.mark.parametrize("state", AmendmentState)
def test_an_amendment_is_read_as_it_was_written(store: Store, state: AmendmentState) -> None:
    asked = replace(amendment(state=state), finished=Instant(5), reason="why \u00fc")
    ask(store, asked)
    assert read(store, lambda seen: seen.amendments.amendment(SPACE, "amd_1")) == asked
    assert store.write(lambda tx: tx.amendments.lock_amendment(SPACE, "amd_1")) == asked
    assert read(store, lambda seen: seen.amendments.amendment(OTHER, "amd_1")) is None
    assert read(store, lambda seen: seen.amendments.amendment(SPACE, "amd_2")) is None


def test_an_id_is_used_once_and_a_task_has_one_open_amendment(store: Store) -> None:
    ask(store, amendment(1))
    with pytest.raises(ConflictError):
        ask(store, amendment(1, task="tsk_9"))
    with pytest.raises(ConflictError):
        ask(store, amendment(2, task="tsk_1"))
    ask(store, amendment(3, task="tsk_1", state=DENIED), amendment(4, namespace=OTHER, task="tsk_1"))
    store.write(lambda tx: tx.amendments.move_amendments(SPACE, [step()]))
    ask(store, amendment(2, task="tsk_1"))


def test_answers_are_kept_in_the_order_in_which_they_came_and_each_once(store: Store) -> None:
    ask(store, amendment(1), amendment(2))
    late, early = answer("carl", received=3), answer("bob", received=2)
    for one in (late, early):
        store.write(partial(give, one))
    with pytest.raises(ConflictError):
        store.write(partial(give, answer("carl", received=9)))
    store.write(partial(give, answer("carl", AnswerKind.DENY, received=4)))
    found = read(store, lambda seen: seen.amendments.amendment(SPACE, "amd_1"))
    assert found is not None
    assert [one.person for one in found.answers] == ["bob", "carl", "carl"]
    assert found.answers[0] == early
    (whole,) = store.write(lambda tx: tx.amendments.lock_open(SPACE, {"tsk_1"}))
    assert whole == found
    assert store.write(lambda tx: tx.amendments.lock_amendment(SPACE, "amd_1")) == found
    assert [one.answers for one in read(store, lambda seen: seen.amendments.open_amendments())] == [(), ()]


@pytest.mark.parametrize("after", [one for one in AmendmentState if one is not PENDING])
def test_a_step_is_taken_once_from_where_it_was_seen(store: Store, after: AmendmentState) -> None:
    ask(store, amendment(1), amendment(2))
    store.write(lambda tx: tx.amendments.move_amendments(SPACE, [step(after=after)]))
    found = read(store, lambda seen: seen.amendments.amendment(SPACE, "amd_1"))
    assert found is not None
    assert (found.state, found.finished, found.reason) == (after, 9, "so \u2028")
    for wrong in (step(), step(3), step(2, before=DENIED)):
        with pytest.raises(ConflictError):
            store.write(lambda tx, wrong=wrong: tx.amendments.move_amendments(SPACE, [step(2), wrong]))  # type: ignore[misc]  # a default of a lambda has no type
    assert [one.question.id for one in read(store, lambda seen: seen.amendments.open_amendments())] == [
        "amd_2"
    ]


def test_pages_are_newest_first_and_filtered(store: Store) -> None:
    some = [amendment(number, state=DENIED if number % 2 else PENDING) for number in range(1, 8)]
    ask(store, *some, amendment(9, namespace=OTHER))
    every = read(store, lambda seen: seen.amendments.amendments(SPACE))
    assert [one.question.id for one in every] == [f"amd_{number}" for number in range(7, 0, -1)]
    page = read(store, lambda seen: seen.amendments.amendments(SPACE, limit=2, before="amd_5"))
    assert [one.question.id for one in page] == ["amd_4", "amd_3"]
    denied = read(store, lambda seen: seen.amendments.amendments(SPACE, states={DENIED}))
    assert [one.question.id for one in denied] == ["amd_7", "amd_5", "amd_3", "amd_1"]
    one = read(store, lambda seen: seen.amendments.amendments(SPACE, task="tsk_3"))
    assert [each.question.id for each in one] == ["amd_3"]
    assert read(store, lambda seen: seen.amendments.amendments(SPACE, before="amd_0")) == ()


def test_all_that_is_open_is_told_oldest_first_of_every_namespace(store: Store) -> None:
    ask(store, amendment(3), amendment(1), amendment(2, namespace=OTHER), amendment(4, state=APPLIED))
    found = read(store, lambda seen: seen.amendments.open_amendments())
    assert [one.question.id for one in found] == ["amd_1", "amd_2", "amd_3"]
    assert all(a.question.asked < b.question.asked for a, b in pairwise(found))


def test_open_ones_of_tasks_are_locked_by_id_and_counted(store: Store) -> None:
    ask(store, amendment(2), amendment(1), amendment(3, state=DENIED), amendment(4, namespace=OTHER))
    tasks = {"tsk_1", "tsk_2", "tsk_3", "tsk_4"}
    found = store.write(lambda tx: tx.amendments.lock_open(SPACE, tasks))
    assert [one.question.id for one in found] == ["amd_1", "amd_2"]
    assert store.write(lambda tx: tx.amendments.lock_open(SPACE, ())) == ()
    counted = store.write(lambda tx: tx.amendments.count_open(SPACE, tasks))
    assert counted == {"tsk_1": 1, "tsk_2": 1, "tsk_3": 0, "tsk_4": 0}


def test_what_was_denied_is_known_by_task_and_scope(store: Store) -> None:
    ask(store, amendment(1, state=DENIED), amendment(2))

    def denied(task: str, scope: str, space: str = SPACE) -> bool:
        return store.write(lambda tx: tx.amendments.denied(space, task, scope))

    assert denied("tsk_1", WIDER.digest)
    assert not denied("tsk_2", WIDER.digest)
    assert not denied("tsk_1", "0" * 64)
    assert not denied("tsk_1", WIDER.digest, OTHER)


def test_what_was_asked_since_is_counted_by_agent(store: Store) -> None:
    ask(store, amendment(1), amendment(2, state=DENIED), amendment(3, agent="other"))
    since = Instant(NOW + 2)
    assert store.write(lambda tx: tx.amendments.count_asked(SPACE, "coder", since)) == 1
    assert store.write(lambda tx: tx.amendments.count_asked(SPACE, "other", since)) == 1
    assert store.write(lambda tx: tx.amendments.count_asked(OTHER, "coder", since)) == 0


def test_what_a_task_has_used_beyond_its_limits_is_kept_with_it(store: Store) -> None:
    made = replace(task(), over=(("g0/total/amount", 7), ("g0/uses", 2**53 - 1)))
    store.write(lambda tx: tx.tasks.put_task(made, expect=0))
    assert read(store, lambda seen: seen.tasks.task(SPACE, made.id)) == made
    after = replace(made, over=(), version=made.version + 1)
    store.write(lambda tx: tx.tasks.put_task(after, expect=made.version))
    assert read(store, lambda seen: seen.tasks.task(SPACE, made.id)) == after
