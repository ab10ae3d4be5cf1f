from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.clock import Instant
from taskbound.core.credential import LIVE, NEVER, Credential, CredentialState, Lease, Renewal, RenewalState
from taskbound.ports.credential import HeldCredential
from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import NOW, OTHER, SPACE, action, insert

if TYPE_CHECKING:
    from taskbound.ports.store import Store

S = CredentialState


def row(letter: str, **changes: Any) -> Credential:
    """A credential, with something of its own in each column."""
    whole = Credential(
        namespace=SPACE,
        id="crd_" + letter * 35,
        target="orders-db",
        kind="reader",
        identity="1" * 64,
        task="tsk_1",
        agent="coder",
        action="act_1",
        arguments=b'{"tenant":"\\u0000blue"}',
        recipient="A" * 43,
        state=S.ACTIVE,
        made=NOW,
        ends=Instant(NOW + 300),
        due=Instant(NOW + 10),
        lease=Lease(fence=3, until=Instant(NOW + 4)),
        shown=Instant(NOW + 1),
        acknowledged=True,
        ended=Instant(NOW + 5),
        why="the task ended",
        attempts=2,
        trouble="the database says OperationalError",
        late=Instant(NOW + 70),
        record=17,
        renewal=Renewal(
            action="act_2", ends=Instant(NOW + 400), record=18, state=RenewalState.FAILED, attempts=3
        ),
        kept="sealed\u00e9",
        version=5,
    )
    return replace(whole, **changes)


def written(store: Store, *rows: Credential) -> None:
    store.write(lambda tx: tx.credentials.insert_credentials(rows))


def written_over(store: Store, row: Credential, expect: int) -> None:
    store.write(lambda tx: tx.credentials.put_credential(row, expect=expect))


def test_a_row_comes_back_as_it_was_written(store: Store) -> None:
    rows = [
        row("a"),
        row("b", acknowledged=False, lease=Lease(), late=NEVER, action="", renewal=None),
        row("a", namespace=OTHER),
    ]
    written(store, *rows)
    with store.read() as seen:
        for one in rows:
            assert seen.credentials.credential(one.namespace, one.id) == one
        assert seen.credentials.credential(OTHER, row("b").id) is None


def test_a_row_is_written_over_the_one_that_it_was_made_of(store: Store) -> None:
    before = row("a")
    after = replace(
        before,
        state=S.REVOKING,
        ends=Instant(NOW + 400),
        due=Instant(NOW + 20),
        lease=Lease(fence=4, until=Instant(NOW + 30)),
        shown=Instant(NOW + 2),
        acknowledged=False,
        ended=Instant(NOW + 6),
        why="paused",
        attempts=3,
        trouble="",
        late=NEVER,
        renewal=Renewal(action="act_3", ends=Instant(NOW + 500), record=19),
        kept="",
        version=6,
    )
    written(store, before)
    written_over(store, after, 5)
    with store.read() as seen:
        assert seen.credentials.credential(SPACE, before.id) == after
    for stale in (5, 7):
        with pytest.raises(ConflictError):
            written_over(store, before, stale)
    with pytest.raises(ConflictError):
        written_over(store, row("b"), 5)
    with store.read() as seen:
        assert seen.credentials.credential(SPACE, before.id) == after


def test_an_id_is_written_once(store: Store) -> None:
    written(store, row("a"))
    with pytest.raises(ConflictError):
        written(store, row("b"), row("a", why="another"))
    with store.read() as seen:
        assert seen.credentials.credentials(SPACE) == (row("a"),)


def test_they_are_found_by_what_they_are_of_newest_first_and_by_pages(store: Store) -> None:
    rows = [
        row("a"),
        row("b", task="tsk_2", state=S.REVOKED),
        row("c", target="mail", agent="helper"),
        row("d", state=S.REVOKING),
    ]
    written(store, *rows, row("e", namespace=OTHER))
    first, second, third, fourth = rows
    with store.read() as seen:
        of = seen.credentials.credentials
        assert of(SPACE) == (fourth, third, second, first)
        assert of(SPACE, task="tsk_1", target="orders-db") == (fourth, first)
        assert of(SPACE, agent="helper") == (third,)
        assert of(SPACE, states=(S.REVOKING, S.REVOKED)) == (fourth, second)
        assert of(SPACE, limit=2) == (fourth, third)
        assert of(SPACE, limit=2, before=third.id) == (second, first)
        assert of(SPACE, task="tsk_3") == ()


def test_i59_what_is_due_is_asked_for_by_target_and_comes_in_its_order(store: Store) -> None:
    rows = [
        row("a", due=Instant(NOW + 9)),
        row("b", due=Instant(NOW + 5)),
        row("c", due=Instant(NOW + 5)),
        row("d", due=NEVER),
        row("e", due=Instant(NOW + 11)),
        row("f", due=Instant(NOW + 1), target="mail"),
        row("g", due=Instant(NOW + 1), namespace=OTHER),
    ]
    written(store, *rows)
    with store.read() as seen:
        due = seen.credentials.due
        assert due(SPACE, "orders-db", Instant(NOW + 10), limit=9) == (rows[1], rows[2], rows[0])
        assert due(SPACE, "orders-db", Instant(NOW + 10), limit=1) == (rows[1],)
        assert due(SPACE, "orders-db", Instant(NOW + 4), limit=9) == ()
        assert due(SPACE, "mail", Instant(NOW + 1), limit=9) == (rows[5],)


def test_i59_what_is_due_of_none_of_these_agents_comes_in_its_order_however_much_is_theirs(
    store: Store,
) -> None:
    rows = [
        *(row(letter, due=Instant(NOW), agent="greedy") for letter in "abc"),
        row("d", due=Instant(NOW + 5), agent="helper"),
        row("e", due=Instant(NOW + 1), agent="other"),
        row("f", due=Instant(NOW + 11), agent="helper"),
        row("g", due=Instant(NOW + 1), agent="helper", target="mail"),
        row("h", due=NEVER, agent="helper"),
    ]
    written(store, *rows)
    with store.read() as seen:
        beside = seen.credentials.due_beside
        assert beside(SPACE, "orders-db", Instant(NOW + 10), {"greedy"}, limit=9) == (rows[4], rows[3])
        assert beside(SPACE, "orders-db", Instant(NOW + 10), {"greedy"}, limit=1) == (rows[4],)
        assert beside(SPACE, "orders-db", Instant(NOW + 10), {"greedy", "other"}, limit=9) == (rows[3],)


def test_i59_what_is_due_and_lives_comes_in_its_order_however_much_is_being_revoked(store: Store) -> None:
    states = [S.REVOKING, S.REVOKING, S.REVOKED, S.JOURNALED, S.ACTIVE, S.MINTING]
    rows = [
        row(letter, due=Instant(NOW + number), state=state)
        for number, (letter, state) in enumerate(zip("abcdef", states, strict=True))
    ]
    later = row("g", due=Instant(NOW + 11))
    written(store, *rows, later, row("h", due=NEVER), row("i", due=Instant(NOW), target="mail"))
    with store.read() as seen:
        alive = seen.credentials.due_alive
        assert alive(SPACE, "orders-db", Instant(NOW + 10), limit=9) == tuple(rows[3:])
        assert alive(SPACE, "orders-db", Instant(NOW + 10), limit=2) == (rows[3], rows[4])
        assert alive(SPACE, "orders-db", Instant(NOW + 2), limit=2) == ()


def test_i59_what_lives_in_a_target_is_found_latest_first_however_much_is_being_revoked(store: Store) -> None:
    states = [S.REVOKING, S.ACTIVE, S.REVOKED, S.JOURNALED, S.UNSUPPORTED, S.MINTING]
    rows = [
        row(letter, due=Instant(NOW + number), state=state)
        for number, (letter, state) in enumerate(zip("abcdef", states, strict=True))
    ]
    same = row("g", due=Instant(NOW + 1))
    written(store, *rows, same, row("h", target="mail"), row("i", namespace=OTHER), row("j", due=NEVER))
    with store.read() as seen:
        alive = seen.credentials.alive_in
        assert alive(SPACE, "orders-db", limit=9) == (rows[5], rows[3], same, rows[1])
        assert alive(SPACE, "orders-db", limit=2) == (rows[5], rows[3])
        assert alive(SPACE, "none", limit=2) == ()


def test_i06_what_is_overdue_comes_oldest_first_whatever_else_there_is(store: Store) -> None:
    rows = [
        row("a", state=S.REVOKING, ended=Instant(NOW + 9)),
        row("b", state=S.REVOKING, ended=Instant(NOW + 5)),
        row("c", state=S.REVOKED, ended=Instant(NOW + 1)),
        row("d", state=S.REVOKING, ended=Instant(NOW + 1), namespace=OTHER),
    ]
    written(store, *rows)
    with store.read() as seen:
        assert seen.credentials.overdue(SPACE, Instant(NOW + 10), limit=9) == (rows[1], rows[0])
        assert seen.credentials.overdue(SPACE, Instant(NOW + 9), limit=9) == (rows[1],)
        assert seen.credentials.overdue(SPACE, Instant(NOW + 10), limit=1) == (rows[1],)


def test_tasks_of_what_lives_are_found_once_each_and_those_of_what_is_over_are_not(store: Store) -> None:
    lives = [
        row(letter, state=state, task=f"tsk_{state.value}") for letter, state in zip("fedcba", S, strict=True)
    ]
    written(
        store, *lives, row("g", task="tsk_active"), row("h", task=""), row("i", task="tsk_4", namespace=OTHER)
    )
    with store.read() as seen:
        assert seen.credentials.living_tasks(SPACE) == ("", "tsk_active", "tsk_journaled", "tsk_minting")
        assert seen.credentials.living_tasks("none") == ()


def test_what_is_had_is_found_by_the_names_of_its_holders_and_nothing_else_is(store: Store) -> None:
    holders = ("egr_a", "egr_b", "con_c", "EGR_d", "egr_e", "egr_f")
    actions = [replace(action(number), connection=one) for number, one in enumerate(holders, 1)]
    insert(store, *actions, replace(action(7), namespace=OTHER, connection="egr_g"))
    of = {letter: one.id for letter, one in zip("abcdef", actions, strict=True)}
    changes: dict[str, dict[str, Any]] = {"e": {"acknowledged": False}, "f": {"state": S.REVOKING}}
    rows = [
        row(
            letter,
            **{"action": of[letter], "state": S.ACTIVE, "acknowledged": True, **changes.get(letter, {})},
        )
        for letter in "badcfe"
    ]
    written(store, *rows, row("g", namespace=OTHER, action=action(7).id, acknowledged=True))
    with store.read() as seen:
        assert seen.credentials.held_by(SPACE, "egr_") == (
            HeldCredential(credential=row("a").id, task="tsk_1", connection="egr_a"),
            HeldCredential(credential=row("b").id, task="tsk_1", connection="egr_b"),
        )
        assert seen.credentials.held_by(SPACE, "none") == ()


def test_what_lives_of_some_tasks_is_locked_by_id_and_nothing_else(store: Store) -> None:
    rows = {state: row(letter, state=state) for letter, state in zip("fedcba", S, strict=True)}
    written(store, *rows.values(), row("g", task="tsk_2"), row("h", task="tsk_3"), row("i", namespace=OTHER))
    living = sorted((rows[one] for one in LIVE), key=lambda one: one.id)
    found = store.write(lambda tx: tx.credentials.lock_living(SPACE, {"tsk_1", "tsk_2"}))
    assert found == (*living, row("g", task="tsk_2"))
    assert store.write(lambda tx: tx.credentials.lock_living(SPACE, set())) == ()
    assert store.write(lambda tx: tx.credentials.lock_credential(SPACE, row("h").id)) == row(
        "h", task="tsk_3"
    )
    assert store.write(lambda tx: tx.credentials.lock_credential(OTHER, row("h").id)) is None
