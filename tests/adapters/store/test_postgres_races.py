from __future__ import annotations

import threading
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import pytest

from taskbound.core.clock import Instant
from taskbound.core.decision import ActHistory
from taskbound.core.identity.person_key import Namespace, PersonKeyState
from taskbound.core.revocation import KillSwitch
from taskbound.core.task import TaskState
from taskbound.core.token import ClaimKind, Use, claim_of
from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import (
    NOW,
    OTHER,
    SPACE,
    action,
    agent,
    append,
    event,
    insert,
    open_chain,
    opening,
    person_key,
    read,
    task,
    template,
    tool,
)
from tests.contracts.store.test_credential import row as credential
from tests.contracts.store.test_target import target
from tests.core.audit.logs import verify_chain

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.adapters.store.postgres import PostgresStore
    from taskbound.ports.store import Transaction
    from tests.adapters.store.conftest import Two


def test_sixty_four_callers_of_two_daemons_on_one_remaining_use_win_once(two: Two) -> None:
    two.first.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_1", {"g0/uses": 1}))
    barrier = threading.Barrier(64)
    won: list[int] = []

    def take(tx: Transaction) -> bool:
        left = tx.tasks.lock_remainders(SPACE, ["tsk_1"])["tsk_1"]["g0/uses"]
        if left:
            tx.tasks.set_remainders(SPACE, {("tsk_1", "g0/uses"): (left, left - 1)})
        return left > 0

    def run(number: int) -> None:
        store = two.first if number % 2 else two.second
        barrier.wait()
        if store.write(take):
            won.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(64)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(won) == 1
    assert read(two.second, lambda seen: seen.tasks.remainders(SPACE, "tsk_1")) == {"g0/uses": 0}


def test_a_counter_that_two_daemons_take_from_in_groups_ends_at_nothing_without_a_deadlock(two: Two) -> None:
    limits = {f"g{n}/uses": 100 for n in range(4)}
    two.first.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_1", limits))
    failures: list[BaseException] = []

    def run(store: PostgresStore, order: list[str]) -> None:
        def take(tx: Transaction) -> None:
            left = tx.tasks.lock_remainders(SPACE, ["tsk_1"])["tsk_1"]
            tx.tasks.set_remainders(SPACE, {("tsk_1", name): (left[name], left[name] - 1) for name in order})

        try:
            for _ in range(50):
                store.write(take)
        except BaseException as error:  # noqa: BLE001 - whatever went wrong is the finding
            failures.append(error)

    names = sorted(limits)
    threads = [
        threading.Thread(target=run, args=(two.first, names)),
        threading.Thread(target=run, args=(two.second, names[::-1])),
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failures == []
    left = read(two.first, lambda seen: seen.tasks.remainders(SPACE, "tsk_1"))
    assert left == dict.fromkeys(limits, 0)


def test_a_revocation_that_commits_while_a_decision_waits_for_its_lock_is_what_the_decision_reads(
    two: Two,
) -> None:
    two.first.write(lambda tx: tx.tasks.put_task(task(), expect=0))
    ended = replace(task(version=2), state=TaskState.REVOKED)
    done = two.while_held(
        lambda tx: tx.tasks.put_task(ended, expect=1),
        lambda: two.second.write(lambda tx: tx.tasks.lock_heads(SPACE, ["tsk_1"])["tsk_1"].state),
    )
    assert done == [None, TaskState.REVOKED]


def locked_switch(tx: Transaction) -> object:
    return tx.revocation.lock_kill_switch(SPACE)


def locked_touched_switch(tx: Transaction) -> object:
    return tx.revocation.lock_kill_switch(OTHER)


def locked_agent(tx: Transaction) -> object:
    return tx.identities.lock_agents(SPACE, ["coder"])


def locked_tool(tx: Transaction) -> object:
    return tx.tools.lock_tools(SPACE, ["git__log"])


def locked_task(tx: Transaction) -> object:
    return tx.tasks.lock_heads(SPACE, ["tsk_1"])


CHANGES: dict[str, tuple[Callable[[Transaction], object], Callable[[Transaction], None]]] = {
    "switch": (
        locked_switch,
        lambda tx: tx.revocation.put_kill_switch(SPACE, KillSwitch(stopped=True, epoch=1), expect=0),
    ),
    "touched switch": (
        locked_touched_switch,
        lambda tx: tx.revocation.put_kill_switch(OTHER, KillSwitch(stopped=True, epoch=2), expect=1),
    ),
    "agent": (locked_agent, lambda tx: tx.identities.put_agent(agent(version=2), expect=1)),
    "tool": (locked_tool, lambda tx: tx.tools.put_tool(tool(version=2), expect=1)),
    "task": (locked_task, lambda tx: tx.tasks.put_task(task(version=2), expect=1)),
}


@pytest.mark.parametrize("what", sorted(CHANGES))
def test_what_a_decision_has_locked_does_not_change_before_it_has_ended(two: Two, what: str) -> None:
    def fill(tx: Transaction) -> None:
        tx.revocation.put_kill_switch(OTHER, KillSwitch(stopped=False, epoch=1), expect=0)
        tx.identities.put_agent(agent(), expect=0)
        tx.tools.put_tool(tool(), expect=0)
        tx.tasks.put_task(task(), expect=0)

    two.first.write(fill)
    lock, change = CHANGES[what]
    order: list[str] = []

    def decide(tx: Transaction) -> None:
        lock(tx)
        order.append("locked")

    def revoke() -> None:
        two.second.write(change)
        order.append("changed")

    two.while_held(decide, revoke)
    assert order == ["locked", "changed"]


def test_two_daemons_can_not_both_be_first_to_attempt_an_act(two: Two) -> None:
    def attempt(tx: Transaction) -> int:
        known = tx.actions.lock_acts(SPACE, [("root", "key")])
        attempts = known[("root", "key")].attempts if known else 0
        tx.actions.put_acts(SPACE, {("root", "key"): ActHistory(attempts=attempts + 1)})
        return attempts + 1

    done = two.while_held(attempt, lambda: two.second.write(attempt))
    assert done == [1, ConflictError]
    assert two.second.write(attempt) == 2
    assert read(two.first, lambda seen: seen.actions.act(SPACE, "root", "key")).attempts == 2


@pytest.mark.parametrize("key", ["", "key-1"])
def test_two_daemons_can_not_both_permit_one_presentation(two: Two, key: str) -> None:
    again = replace(action(2, key=key), request='"2"' if key else '"1"')
    done = two.while_held(
        lambda tx: tx.actions.insert_actions([action(1, key=key)]), lambda: insert(two.second, again)
    )
    assert done == [None, ConflictError]


def test_a_record_that_commits_late_is_not_passed_over(two: Two) -> None:
    open_chain(two.first, "wrt_a")
    open_chain(two.second, "wrt_b")
    reached, go_on = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> None:
        tx.audit.append(SPACE, "wrt_a", [event(1)], NOW)
        tx.audit.count()
        reached.set()
        go_on.wait()

    thread = threading.Thread(target=lambda: two.first.write(slow))
    thread.start()
    reached.wait()
    append(two.second, event(2), writer="wrt_b")
    assert read(two.second, lambda seen: seen.audit.count()) == 3

    def place(tx: Transaction) -> int:
        numbers = [one.number for one in tx.audit.pending(100)]
        tx.audit.extend(tx.audit.size(), numbers)
        return len(numbers)

    go_on_first = read(two.second, lambda seen: len(seen.audit.pending(100)))
    assert go_on_first == 2  # the openings; what came after the slow one waits for it
    go_on.set()
    thread.join()
    assert two.second.write(place) == 4
    assert read(two.first, lambda seen: (seen.audit.size(), seen.audit.pending(9))) == (4, ())


def test_two_that_order_the_log_at_once_give_no_place_twice(two: Two) -> None:
    open_chain(two.first, "wrt_a")
    append(two.first, event(1), writer="wrt_a")

    def place(tx: Transaction) -> None:
        numbers = [one.number for one in tx.audit.pending(100)]
        tx.audit.extend(0, numbers)

    done = two.while_held(place, lambda: two.second.write(place))
    assert done == [None, ConflictError]
    assert read(two.first, lambda seen: seen.audit.size()) == 2


def test_a_chain_that_names_a_head_of_a_later_transaction_conflicts(two: Two) -> None:
    open_chain(two.first, "wrt_a")

    others = count()

    def late(tx: Transaction) -> None:
        tx.revocation.put_kill_switch(SPACE, KillSwitch(stopped=True, epoch=1), expect=0)
        append(two.second, opening(), writer=f"wrt_b{next(others)}")  # it runs twice, being late
        heads = [f"{one.writer}:{one.seq}:{one.hash}" for one in tx.audit.heads()]
        tx.audit.append(SPACE, "wrt_c", [opening(*heads)], NOW)

    with pytest.raises(ConflictError):
        two.first.write(late)


def test_a_transaction_that_reads_without_a_lock_is_alone_among_those_that_do(two: Two) -> None:
    two.first.write(lambda tx: tx.tasks.put_template(template("t1"), expect=0))

    def count(tx: Transaction) -> int:
        return len(tx.tasks.templates(SPACE))

    def add(tx: Transaction) -> int:
        seen = len(tx.tasks.templates(SPACE))
        tx.tasks.put_template(template(f"t{seen + 1}"), expect=0)
        return seen

    done = two.while_held(add, lambda: two.second.write(count))
    assert done == [1, 2]


def test_a_deadlock_ends_with_both_done(two: Two) -> None:
    def fill(tx: Transaction) -> None:
        tx.tasks.open_limits(SPACE, "tsk_1", {"g0/uses": 9})
        tx.tasks.open_limits(SPACE, "tsk_2", {"g0/uses": 9})

    two.first.write(fill)
    barrier = threading.Barrier(2, timeout=20)
    done: list[str] = []

    def run(store: PostgresStore, names: tuple[str, str]) -> None:
        turns = [0]

        def take(tx: Transaction) -> None:
            turns[0] += 1
            for place, name in enumerate(names):
                left = tx.tasks.lock_remainders(SPACE, [name])[name]["g0/uses"]
                tx.tasks.set_remainders(SPACE, {(name, "g0/uses"): (left, left - 1)})
                if place == 0 and turns[0] == 1:
                    barrier.wait()

        store.write(take)
        done.append(names[0])

    threads = [
        threading.Thread(target=run, args=(two.first, ("tsk_1", "tsk_2"))),
        threading.Thread(target=run, args=(two.second, ("tsk_2", "tsk_1"))),
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(done) == ["tsk_1", "tsk_2"]
    with two.first.read() as seen:
        assert seen.tasks.remainders(SPACE, "tsk_1") == {"g0/uses": 7}
        assert seen.tasks.remainders(SPACE, "tsk_2") == {"g0/uses": 7}


def test_a_key_that_a_signature_leans_on_is_withdrawn_only_after_that_committed(two: Two) -> None:
    two.first.write(lambda tx: tx.identities.put_person_key(person_key(), expect=0))
    gone = replace(person_key(version=2), state=PersonKeyState.WITHDRAWN)
    seen, _ = two.while_held(
        lambda tx: tx.identities.lock_person_keys(SPACE),
        lambda: two.second.write(lambda tx: tx.identities.put_person_key(gone, expect=1)),
    )
    assert seen == (person_key(),)
    assert read(two.first, lambda seen: seen.identities.person_keys(SPACE)) == (gone,)


def test_of_two_first_keys_of_two_daemons_one_conflicts(two: Two) -> None:
    said = Namespace(name=SPACE, keys=1, version=1)

    def count(tx: Transaction) -> None:
        tx.identities.put_namespace(said, expect=0)

    assert two.while_held(count, lambda: two.second.write(count)) == [None, ConflictError]
    with pytest.raises(ConflictError):
        two.second.write(count)


def test_a_proof_that_is_being_forgotten_while_it_is_shown_again_is_no_first_use(two: Two) -> None:
    shown = claim_of(SPACE, ClaimKind.DPOP, "key", "jti", until=Instant(NOW))
    other = claim_of(SPACE, ClaimKind.DPOP, "key", "other", until=Instant(NOW + 1))
    two.first.write(lambda tx: tx.claims.use([shown]))
    found = two.while_held(
        lambda tx: tx.claims.sweep(Instant(NOW + 1), limit=9),
        lambda: two.second.write(lambda tx: tx.claims.use([other, shown])),
    )
    assert found == [1, (Use.FIRST, Use.LATE)]


def test_two_daemons_that_forget_at_once_keep_the_last_window_of_both(two: Two) -> None:
    claims = [claim_of(SPACE, ClaimKind.DPOP, "key", f"{one}", until=Instant(NOW + one)) for one in range(4)]
    two.first.write(lambda tx: tx.claims.use(claims))
    found = two.while_held(
        lambda tx: tx.claims.sweep(Instant(NOW + 2), limit=9),
        lambda: two.second.write(lambda tx: tx.claims.sweep(Instant(NOW + 9), limit=9)),
    )
    assert found == [2, 2]
    new = [replace(one, digest="0" * 63 + f"{number}") for number, one in enumerate(claims)]
    later = replace(new[0], digest="f" * 64, until=Instant(NOW + 4))
    uses = two.first.write(lambda tx: tx.claims.use([*new, later]))
    assert uses == (*[Use.LATE] * 4, Use.FIRST)


def test_a_chain_that_another_process_moved_on_is_not_written_over_and_goes_on_after_it(two: Two) -> None:
    open_chain(two.first, "wrt_a")
    append(two.second, event(1), writer="wrt_a")
    with pytest.raises(ConflictError):
        append(two.first, event(2), writer="wrt_a")
    append(two.first, event(3), writer="wrt_a")
    with two.second.read() as seen:
        assert verify_chain([one.body for one in seen.audit.pending(10)]).count == 3


WRITTEN: dict[str, Callable[[Transaction], None]] = {
    "a target": lambda tx: tx.targets.put_target(target(), expect=0),
    "a target over another": lambda tx: tx.targets.put_target(target("mail", version=6), expect=5),
    "the mark": lambda tx: tx.targets.put_mark("abcdefgh"),
    "a credential": lambda tx: tx.credentials.insert_credentials([credential("a")]),
    "a credential over another": lambda tx: tx.credentials.put_credential(
        credential("b", version=6), expect=5
    ),
}
"""What two daemons may write at once, as if each were alone."""


@pytest.mark.parametrize("what", WRITTEN)
def test_of_two_daemons_that_write_one_row_at_once_the_second_is_told(two: Two, what: str) -> None:
    two.first.write(lambda tx: tx.targets.put_target(target("mail"), expect=0))
    two.first.write(lambda tx: tx.credentials.insert_credentials([credential("b")]))
    done = two.while_held(WRITTEN[what], lambda: two.second.write(WRITTEN[what]))
    assert done == [None, ConflictError]
