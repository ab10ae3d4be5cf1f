from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.action import ActionState
from taskbound.core.approval import (
    OPEN,
    Answer,
    AnswerKind,
    AnswerSignIn,
    ApprovalState,
    First,
    Operand,
    ProbeKind,
    Question,
)
from taskbound.core.approval.fatigue import ApprovalLimits, Display
from taskbound.core.clock import Instant
from taskbound.core.errors import TaskboundError
from taskbound.ports.approval import ApprovalChange, StoredApproval, Waiter
from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import (
    NOW,
    OTHER,
    SPACE,
    action,
    append,
    decided,
    insert,
    open_chain,
    read,
    task,
)

if TYPE_CHECKING:
    from taskbound.ports.store import Store, Transaction

FIRST = First(id="apr_0", action="act_0", nonce="m", asked=NOW, deadline=Instant(NOW + 1))
FILE = Operand(
    place="/file",
    kind=ProbeKind.FILE,
    found=(("device", "1"), ("inode", "2"), ("path", "/srv/\u00fc"), ("sha256", "ab"), ("size", "3")),
)


def approval(  # noqa: PLR0913 - what an approval may differ in, each by its name
    number: int = 1,
    *,
    namespace: str = SPACE,
    task: str = "tsk_1",
    act: str = "d1",
    state: ApprovalState = ApprovalState.PENDING,
    narrows: str = "",
    retry: int = 0,
) -> StoredApproval:
    question = Question(
        namespace=namespace,
        id=f"apr_{number}",
        action=f"act_{number}",
        act=act,
        task=task,
        agent="coder",
        requester="ann",
        purpose="pay, 'quoted' \u2014 and more\n",
        tool="git__log",
        bundle="b",
        scope="s",
        edition=1,
        lifters=("approval:finance:2", "confirm"),
        nonce="n",
        asked=Instant(NOW + number),
        deadline=Instant(2**53 - 1),
        operands=(FILE,),
        narrows=narrows,
        first=FIRST if retry else None,
        retry=retry,
    )
    waiter = Waiter(connection="con_1", request='"7"', until=Instant(NOW + 60))
    return StoredApproval(question=question, state=state, waiter=waiter)


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
    number: int = 1,
    before: ApprovalState = ApprovalState.PENDING,
    after: ApprovalState = ApprovalState.APPROVED,
) -> ApprovalChange:
    return ApprovalChange(
        id=f"apr_{number}", before=before, after=after, finished=Instant(9), reason="so \u2028"
    )


def give(one: Answer, tx: Transaction) -> None:
    tx.approvals.put_answer(SPACE, "apr_1", one)


def lock_narrowed(space: str, digest: str, tx: Transaction) -> StoredApproval | None:
    return tx.approvals.lock_narrowed(space, digest)


def ask(store: Store, *some: StoredApproval) -> None:
    store.write(lambda tx: tx.approvals.insert_approvals(some))


@pytest.mark.parametrize("state", ApprovalState)
def test_an_approval_is_read_as_it_was_written(store: Store, state: ApprovalState) -> None:
    asked = replace(approval(state=state), finished=Instant(5), reason="why \u00fc")
    ask(store, asked)
    assert read(store, lambda seen: seen.approvals.approval(SPACE, "apr_1")) == asked
    assert read(store, lambda seen: seen.approvals.approval_of(SPACE, "act_1")) == asked
    assert store.write(lambda tx: tx.approvals.lock_approval(SPACE, "apr_1")) == asked
    assert read(store, lambda seen: seen.approvals.approval(OTHER, "apr_1")) is None
    assert read(store, lambda seen: seen.approvals.approval_of(OTHER, "act_1")) is None
    assert read(store, lambda seen: seen.approvals.approval(SPACE, "apr_2")) is None


def last_used(
    store: Store, task: str = "tsk_1", act: str = "d1", space: str = SPACE
) -> StoredApproval | None:
    return store.write(lambda tx: tx.approvals.lock_last_used(space, task, act))


def test_the_one_that_was_used_last_is_found_by_task_and_action_with_its_answers(store: Store) -> None:
    used = ApprovalState.CONSUMED
    ask(store, *(approval(one, state=used) for one in (1, 3, 2)), approval(4), approval(5, task="tsk_2"))
    store.write(lambda tx: tx.approvals.put_answer(SPACE, "apr_3", answer()))
    found = last_used(store)
    assert found == replace(approval(3, state=used), answers=(answer(),))
    assert last_used(store, task="tsk_2") is None
    assert last_used(store, act="d2") is None
    assert last_used(store, space=OTHER) is None


def test_a_retry_is_asked_about_once_and_read_as_it_was_written(store: Store) -> None:
    ask(store, approval(1, retry=1), approval(2, retry=2), approval(3, namespace=OTHER, retry=1))
    assert read(store, lambda seen: seen.approvals.approval(SPACE, "apr_2")) == approval(2, retry=2)
    with pytest.raises(ConflictError):
        ask(store, approval(4, retry=2))
    ask(store, approval(4), approval(5))


@pytest.mark.parametrize("again", [approval(1), replace(approval(2), question=approval(2).question)])
def test_one_action_has_one_question_and_one_id_too(store: Store, again: StoredApproval) -> None:
    ask(store, approval(1), approval(3))
    with pytest.raises(ConflictError):
        ask(store, replace(again, question=replace(again.question, action="act_1")))


def test_pages_are_newest_first_and_filtered(store: Store) -> None:
    ask(
        store,
        approval(1),
        approval(2, task="tsk_2"),
        approval(3, state=ApprovalState.DENIED),
        approval(4, state=ApprovalState.APPROVED),
        approval(1, namespace=OTHER),
    )

    def ids(**filters: Any) -> list[str]:
        found = read(store, lambda seen: seen.approvals.approvals(SPACE, **filters))
        assert all(one.question.asked > two.question.asked for one, two in pairwise(found))
        return [one.question.id for one in found]

    assert ids() == ["apr_4", "apr_3", "apr_2", "apr_1"]
    assert ids(limit=2) == ["apr_4", "apr_3"]
    assert ids(limit=2, before="apr_3") == ["apr_2", "apr_1"]
    assert ids(task="tsk_2") == ["apr_2"]
    assert ids(states=OPEN) == ["apr_4", "apr_2", "apr_1"]
    assert ids(states={ApprovalState.DENIED}, task="tsk_1", before="apr_4") == ["apr_3"]
    assert ids(before="apr_9") == []


def test_open_ones_are_found_over_all_namespaces_and_by_task(store: Store) -> None:
    ask(
        store,
        approval(3),
        approval(1, namespace=OTHER),
        approval(2, state=ApprovalState.CONSUMED),
        approval(4, task="tsk_2", state=ApprovalState.APPROVED),
    )
    found = read(store, lambda seen: seen.approvals.open_approvals())
    assert [one.question.id for one in found] == ["apr_1", "apr_3", "apr_4"]
    assert store.write(lambda tx: tx.approvals.lock_open(SPACE, {"tsk_2", "tsk_9"})) == (
        approval(4, task="tsk_2", state=ApprovalState.APPROVED),
    )
    assert store.write(lambda tx: tx.approvals.lock_open(SPACE, ())) == ()
    assert store.write(lambda tx: tx.approvals.count_open(SPACE, "tsk_1")) == 1
    assert store.write(lambda tx: tx.approvals.count_open(OTHER, "tsk_2")) == 0


def test_holds_of_an_act_are_those_open_denied_or_narrowed_oldest_first_with_their_answers(
    store: Store,
) -> None:
    ask(
        store,
        approval(7, act="d3", state=ApprovalState.NARROWED),
        approval(8, act="d3", state=ApprovalState.SUPERSEDED),
        approval(5),
        approval(1, state=ApprovalState.DENIED),
        approval(2, state=ApprovalState.CONSUMED),
        approval(3, act="d2"),
        approval(4, task="tsk_2"),
        approval(6, namespace=OTHER),
    )
    store.write(lambda tx: tx.approvals.put_answer(SPACE, "apr_5", answer()))
    acts = {("tsk_1", "d1"), ("tsk_1", "d2"), ("tsk_1", "d3"), ("tsk_2", "d2")}
    assert store.write(lambda tx: tx.approvals.lock_holds(SPACE, acts)) == {
        ("tsk_1", "d1"): (
            approval(1, state=ApprovalState.DENIED),
            replace(approval(5), answers=(answer(),)),
        ),
        ("tsk_1", "d2"): (approval(3, act="d2"),),
        ("tsk_1", "d3"): (approval(7, act="d3", state=ApprovalState.NARROWED),),
    }
    assert store.write(lambda tx: tx.approvals.lock_holds(SPACE, ())) == {}


def test_how_a_person_had_signed_in_stands_with_their_answer(store: Store) -> None:
    ask(store, approval(1))
    known = (
        replace(answer("bob"), sign_in=AnswerSignIn(acr="urn:x:mfa", at=Instant(7), token="tok_1")),
        replace(answer("carl", received=2), sign_in=AnswerSignIn(acr="", at=Instant(0), session="ses_1")),
        answer("dora", received=3),
    )
    for one in known:
        store.write(partial(give, one))
    found = read(store, lambda seen: seen.approvals.approval(SPACE, "apr_1"))
    locked = store.write(lambda tx: tx.approvals.lock_approval(SPACE, "apr_1"))
    assert found is not None
    assert locked is not None
    assert found.answers == locked.answers == known


def test_what_narrows_a_question_is_found_by_its_digest_in_its_namespace(store: Store) -> None:
    first = approval(1).question.digest
    less = approval(2, narrows=first, state=ApprovalState.CONSUMED)
    ask(store, approval(1), less, approval(3), approval(4, namespace=OTHER))
    store.write(lambda tx: tx.approvals.put_answer(SPACE, "apr_2", answer()))
    found = replace(less, answers=(answer(),))
    assert read(store, lambda seen: seen.approvals.narrowed_to(SPACE, first)) == found
    assert store.write(lambda tx: tx.approvals.lock_narrowed(SPACE, first)) == found
    for space, digest in ((OTHER, first), (SPACE, approval(3).question.digest), (SPACE, "")):
        with store.read() as snapshot:
            assert snapshot.approvals.narrowed_to(space, digest) is None
        assert store.write(partial(lock_narrowed, space, digest)) is None


def test_a_question_is_narrowed_once_and_any_number_narrow_none(store: Store) -> None:
    first = approval(1).question.digest
    ask(
        store,
        approval(1),
        approval(2, narrows=first),
        approval(3),
        approval(5, namespace=OTHER, narrows=first),
    )
    with pytest.raises(ConflictError):
        ask(store, approval(4, narrows=first))
    assert read(store, lambda seen: seen.approvals.approval(SPACE, "apr_4")) is None


@pytest.mark.parametrize("before", ApprovalState)
def test_an_approval_moves_only_from_the_state_that_it_is_in(store: Store, before: ApprovalState) -> None:
    ask(store, approval(1, state=ApprovalState.APPROVED))
    used = step(1, before, ApprovalState.CONSUMED)
    if before is ApprovalState.APPROVED:
        store.write(lambda tx: tx.approvals.move_approvals(SPACE, [used]))
        after = replace(approval(), state=ApprovalState.CONSUMED, finished=Instant(9), reason="so \u2028")
        assert read(store, lambda seen: seen.approvals.approval(SPACE, "apr_1")) == after
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.approvals.move_approvals(SPACE, [used]))


def test_of_several_steps_all_happen_or_none(store: Store) -> None:
    ask(store, approval(1), approval(2, state=ApprovalState.EXPIRED))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.approvals.move_approvals(SPACE, [step(1), step(2)]))
    assert read(store, lambda seen: seen.approvals.approval(SPACE, "apr_1")) == approval(1)


def test_a_step_of_what_is_not_there_conflicts_even_when_the_work_swallows_it(store: Store) -> None:
    ask(store, approval(1))

    def work(tx: Any) -> None:
        tx.approvals.move_approvals(SPACE, [step(1)])
        with pytest.raises(TaskboundError):
            tx.approvals.move_approvals(SPACE, [step(7)])

    with pytest.raises(ConflictError):
        store.write(work)
    assert read(store, lambda seen: seen.approvals.approval(SPACE, "apr_1")) == approval(1)


def test_who_waits_is_written_while_it_is_open(store: Store) -> None:
    ask(store, approval(1), approval(2, state=ApprovalState.WITHDRAWN))
    waiter = Waiter(connection="con_2", request="8", until=Instant(0))
    store.write(lambda tx: tx.approvals.put_waiter(SPACE, "apr_1", waiter))
    found = read(store, lambda seen: seen.approvals.approval(SPACE, "apr_1"))
    assert found == replace(approval(1), waiter=waiter)
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.approvals.put_waiter(SPACE, "apr_2", waiter))


def test_a_person_answers_once_in_each_kind_and_answers_come_in_the_order_of_their_arrival(
    store: Store,
) -> None:
    ask(store, approval(1), approval(2))
    given = (answer("zed", received=1), answer("ann", received=2), answer("zed", AnswerKind.DENY, received=3))
    for one in (given[1], given[0], given[2]):
        store.write(partial(give, one))
    found = read(store, lambda seen: seen.approvals.approval(SPACE, "apr_1"))
    assert found is not None
    assert found.answers == given
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.approvals.put_answer(SPACE, "apr_1", answer("zed", received=9)))
    other = read(store, lambda seen: seen.approvals.approval(SPACE, "apr_2"))
    assert other == approval(2)


HELD = action(1, decision="hold")
LIFTED = replace(action(1, decision="permit", connection="con_2", key="k"), request='"99"', attempt=4)


def test_a_held_action_is_permitted_and_the_record_that_follows_is_its_own(store: Store) -> None:
    open_chain(store)
    insert(store, HELD)
    append(store, decided(HELD))

    def work(tx: Any) -> None:
        tx.actions.lift_actions([LIFTED])
        tx.audit.append(SPACE, "wrt_a", [decided(LIFTED)], Instant(NOW))

    store.write(work)
    assert read(store, lambda seen: seen.actions.action(SPACE, "act_1")) == LIFTED
    assert [one.id for one in read(store, lambda seen: seen.actions.open_permits(SPACE))] == ["act_1"]
    numbers = read(store, lambda seen: [one.number for one in seen.audit.pending(10)])
    store.write(lambda tx: tx.audit.extend(0, numbers))
    assert read(store, lambda seen: seen.audit.place(SPACE, "act_1")) == 2


@pytest.mark.parametrize("decision", ["permit", "refuse"])
def test_what_is_not_held_is_not_lifted(store: Store, decision: str) -> None:
    insert(store, action(1, decision=decision))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.actions.lift_actions([LIFTED]))


@pytest.mark.parametrize("state", [ActionState.WITHDRAWN, ActionState.EXPIRED, ActionState.REFUSED])
def test_a_hold_that_has_ended_is_not_lifted(store: Store, state: ActionState) -> None:
    insert(store, replace(HELD, state=state))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.actions.lift_actions([LIFTED]))


@pytest.mark.parametrize(
    "other",
    [
        replace(action(2, connection="con_2"), request='"99"'),
        replace(action(2, connection="con_3", key="k")),
    ],
)
def test_two_permits_never_share_a_presentation_also_when_one_was_held(store: Store, other: Any) -> None:
    insert(store, HELD, other)
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.actions.lift_actions([LIFTED]))


def test_the_first_display_to_each_person_is_kept_and_no_later_one(store: Store) -> None:
    first, other = (Display(person=name, at=Instant(NOW + 5), length=900) for name in ("bob", "ann"))

    def show(tx: Transaction) -> None:
        for space, name, one in (
            (SPACE, "apr_1", first),
            (SPACE, "apr_1", other),
            (SPACE, "apr_2", other),
            (OTHER, "apr_1", replace(first, length=1)),
        ):
            tx.approvals.put_display(space, name, one)

    store.write(show)
    store.write(
        lambda tx: tx.approvals.put_display(SPACE, "apr_1", replace(first, at=Instant(NOW), length=2))
    )
    with store.read() as seen:
        assert seen.approvals.displays(SPACE, {"apr_1", "apr_3"}) == {"apr_1": (other, first)}
        assert seen.approvals.displays(SPACE, {"apr_1", "apr_2"})["apr_2"] == (other,)
        assert seen.approvals.displays(OTHER, {"apr_1"}) == {"apr_1": (replace(first, length=1),)}
        assert seen.approvals.displays(SPACE, set()) == {}


def test_limits_are_those_of_the_namespace_that_were_written_last_or_what_holds_anyway(store: Store) -> None:
    limits = ApprovalLimits(namespace=SPACE, open=4, hourly=5, speed=6)
    for one in (replace(limits, open=3), limits):
        store.write(partial(lambda said, tx: tx.approvals.put_limits(said), one))
    with store.read() as seen:
        assert seen.approvals.limits(SPACE) == limits
        assert seen.approvals.limits(OTHER) == ApprovalLimits(namespace=OTHER)


def test_what_an_agent_asked_is_counted_over_its_tasks_from_an_instant_on(store: Store) -> None:
    def begin(tx: Transaction) -> None:
        for name, agent in (("tsk_1", "coder"), ("tsk_2", "coder"), ("tsk_3", "helper")):
            tx.tasks.put_task(task(name, agent=agent), expect=0)
        tx.tasks.put_task(task("tsk_1", namespace=OTHER), expect=0)

    store.write(begin)
    ask(
        store, approval(1), approval(2, task="tsk_2"), approval(3, task="tsk_3"), approval(4, namespace=OTHER)
    )
    ask(store, approval(5, state=ApprovalState.DENIED))

    def count(agent: str, since: int) -> int:
        return store.write(lambda tx: tx.approvals.count_asked(SPACE, agent, Instant(NOW + since)))

    assert [count("coder", since) for since in (0, 1, 2, 3, 6)] == [3, 3, 2, 1, 0]
    assert (count("helper", 0), count("nobody", 0)) == (1, 0)
