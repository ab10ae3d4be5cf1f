from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from taskbound.core.action import ActionState
from taskbound.core.clock import Instant
from taskbound.core.identity.proof import Binding, BindingKind
from taskbound.core.token import IssuingKey, Token, TokenForm, TokenKeyState
from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import NOW, OTHER, SPACE, action, read
from tests.contracts.store.rows import insert as insert_actions

if TYPE_CHECKING:
    from taskbound.ports.store import Store, Transaction

LATER = Instant(NOW + 1)
ONE = Token(
    namespace=SPACE,
    id="tok_1",
    form=TokenForm.TASK,
    issuer="https://as.example",
    subject="person:ann",
    actors=("agent:helper", "agent:coder"),
    audience="https://api.example/\x00",
    binding=Binding(kind=BindingKind.MTLS, thumbprint="t" * 43),
    issued=NOW,
    expires=Instant(NOW + 300_000_000),
    key="k1",
    task="tsk_1",
    agent="helper",
    parent="tok_0",
    action="act_1",
    content="sha-256=:AA==:",
    acr="mfa",
    authenticated=Instant(NOW - 1),
    list=7,
    index=0,
    digest="d" * 64,
    may_act="agent:tester",
    record=12,
    proven_by="kid-of-a-service",
)
KEY = IssuingKey(kid="k1", public=b'{"kty":"EC"}', state=TokenKeyState.NEXT, made=NOW)


def put(store: Store, *tokens: Token) -> None:
    for one in tokens:
        store.write(partial(insert, one))


def insert(token: Token, tx: Transaction) -> None:
    tx.tokens.insert(token)


def lock(moves: bool, tx: Transaction) -> tuple[IssuingKey, ...]:  # noqa: FBT001 - given by position
    return tx.tokens.lock_keys(moves=moves)


def move(store: Store, key: IssuingKey, expect: TokenKeyState | None) -> None:
    store.write(lambda tx: tx.tokens.put_key(key, expect=expect))


def names(store: Store, **filters: str | int) -> list[str]:
    found = read(store, lambda seen: seen.tokens.tokens(SPACE, **filters))  # type: ignore[arg-type]  # by name
    return [one.id for one in found]


def test_a_token_reads_as_it_was_written_and_in_its_namespace_alone(store: Store) -> None:
    bare = replace(ONE, id="tok_2", index=1, binding=None, actors=(), revoked=NOW, why="gone")
    put(store, ONE, bare)
    assert read(store, lambda seen: seen.tokens.token(SPACE, "tok_1")) == ONE
    assert store.write(lambda tx: tx.tokens.token(SPACE, "tok_2")) == bare
    assert read(store, lambda seen: seen.tokens.token(OTHER, "tok_1")) is None


def test_tokens_come_newest_first_by_task_and_by_agent_in_pages(store: Store) -> None:
    put(
        store,
        ONE,
        replace(ONE, id="tok_3", index=3, task="tsk_2"),
        replace(ONE, id="tok_2", index=2, agent="coder"),
        replace(ONE, id="tok_9", index=9, namespace=OTHER),
    )
    assert names(store) == ["tok_3", "tok_2", "tok_1"]
    assert names(store, task="tsk_1") == ["tok_2", "tok_1"]
    assert names(store, agent="helper") == ["tok_3", "tok_1"]
    assert names(store, agent="helper", task="tsk_2") == ["tok_3"]
    assert names(store, limit=2) == ["tok_3", "tok_2"]
    assert names(store, before="tok_2") == ["tok_1"]


def test_an_id_is_written_once(store: Store) -> None:
    put(store, ONE)
    with pytest.raises(ConflictError):
        put(store, replace(ONE, index=1))
    put(store, replace(ONE, index=1, namespace=OTHER))


def test_a_place_of_a_list_is_one_tokens_ever_in_whatever_namespace(store: Store) -> None:
    put(store, ONE)
    for other in (replace(ONE, id="tok_2"), replace(ONE, namespace=OTHER)):
        with pytest.raises(ConflictError):
            put(store, other)
    put(store, replace(ONE, id="tok_2", list=8))
    first = replace(ONE, id="tok_3", form=TokenForm.TRANSACTION, list=0, index=0)
    put(store, first, replace(first, id="tok_4"))


def test_a_list_has_the_tokens_of_every_namespace_that_have_not_ended_by_their_places(store: Store) -> None:
    put(
        store,
        replace(ONE, index=5),
        replace(ONE, id="tok_2", index=3, namespace=OTHER),
        replace(ONE, id="tok_3", index=4, expires=LATER),
        replace(ONE, id="tok_4", index=1, list=8),
        replace(ONE, id="tok_5", form=TokenForm.TRANSACTION, list=0, index=0),
    )

    def listed(number: int, now: Instant) -> list[str]:
        return [one.id for one in read(store, lambda seen: seen.tokens.listed(number, now))]

    assert listed(7, NOW) == ["tok_2", "tok_3", "tok_1"]
    assert listed(7, LATER) == ["tok_2", "tok_1"]
    assert listed(9, NOW) == listed(0, NOW) == []


def test_the_first_revocation_stands(store: Store) -> None:
    put(store, ONE, replace(ONE, id="tok_2", index=1), replace(ONE, index=2, namespace=OTHER))

    def revoke(at: Instant, why: str, *tokens: str) -> tuple[str, ...]:
        return store.write(lambda tx: tx.tokens.revoke(SPACE, tokens, at, why))

    assert revoke(NOW, "first", "tok_1", "tok_9", "tok_1") == ("tok_1",)
    assert revoke(LATER, "second", "tok_2", "tok_1") == ("tok_2",)
    assert read(store, lambda seen: seen.tokens.token(SPACE, "tok_1")) == replace(
        ONE, revoked=NOW, why="first"
    )
    kept = read(store, lambda seen: seen.tokens.token(OTHER, "tok_1"))
    assert kept is not None
    assert kept.revoked == 0


def test_what_could_not_be_signed_is_nobodys_and_any_other_row_of_the_action_may_be_somebodys(
    store: Store,
) -> None:
    form = replace(ONE, form=TokenForm.TRANSACTION, list=0, index=0)
    put(store, form, replace(form, id="tok_2", namespace=OTHER), replace(form, id="tok_3", task="tsk_2"))

    def told(task: str, action: str = "act_1") -> bool:
        return store.write(lambda tx: tx.tokens.is_told(SPACE, task, action))

    assert (told("tsk_1"), told("tsk_2"), told("tsk_3"), told("tsk_1", "act_2")) == (True, True, False, False)
    store.write(lambda tx: tx.tokens.revoke(SPACE, ["tok_1"], NOW, "unsigned", unsigned=True))
    store.write(lambda tx: tx.tokens.revoke(SPACE, ["tok_3"], NOW, "stolen"))
    assert (told("tsk_1"), told("tsk_2")) == (False, True)
    kept = read(store, lambda seen: seen.tokens.token(SPACE, "tok_1"))
    assert kept == replace(form, revoked=NOW, why="unsigned", unsigned=True)
    store.write(lambda tx: tx.tokens.revoke(SPACE, ["tok_1"], LATER, "again"))
    assert not told("tsk_1")


def test_a_token_is_kept_as_long_as_the_outcome_of_its_action_is_to_come(store: Store) -> None:
    form = replace(ONE, form=TokenForm.TRANSACTION, list=0, index=0)
    insert_actions(store, action(1), replace(action(2), state=ActionState.SUCCEEDED))
    put(store, form, replace(form, id="tok_2", action="act_2"), replace(form, id="tok_3", action="act_3"))
    end = Instant(ONE.expires + 1)
    assert store.write(lambda tx: tx.tokens.sweep(end, limit=9)) == 2
    assert read(store, lambda seen: seen.tokens.token(SPACE, "tok_1")) == form


def test_tokens_are_locked_by_their_ids_in_their_namespace_whatever_they_are_worth(store: Store) -> None:
    gone = replace(ONE, id="tok_2", index=1, revoked=NOW, why="gone")
    put(store, ONE, gone, replace(ONE, id="tok_3", index=2, namespace=OTHER))

    def locked(*tokens: str) -> dict[str, Token]:
        return dict(store.write(lambda tx: tx.tokens.lock_tokens(SPACE, tokens)))

    assert locked("tok_2", "tok_1", "tok_3", "tok_9", "tok_1") == {"tok_1": ONE, "tok_2": gone}
    assert locked("tok_1") == {"tok_1": ONE}
    assert locked("tok_3") == locked() == {}


def test_a_key_is_moved_by_who_saw_its_state_and_one_is_current_and_one_is_next(store: Store) -> None:
    move(store, KEY, None)
    second = replace(KEY, kid="k2", made=LATER)
    for key, expect in [(KEY, None), (second, None), (replace(KEY, used=NOW), TokenKeyState.CURRENT)]:
        with pytest.raises(ConflictError):
            move(store, key, expect)
    used = replace(KEY, state=TokenKeyState.CURRENT, used=NOW)
    move(store, used, TokenKeyState.NEXT)
    move(store, second, None)
    with pytest.raises(ConflictError):
        move(store, replace(second, state=TokenKeyState.CURRENT), TokenKeyState.NEXT)
    retired = replace(used, state=TokenKeyState.RETIRED, retired=LATER)
    move(store, retired, TokenKeyState.CURRENT)
    revoked = replace(second, state=TokenKeyState.REVOKED, revoked=LATER, why="lost")
    move(store, revoked, TokenKeyState.NEXT)
    assert read(store, lambda seen: seen.tokens.all_keys()) == (retired, revoked)
    for moves in (False, True):
        assert store.write(partial(lock, moves)) == (retired, revoked)
    assert read(store, lambda seen: seen.tokens.key("k2")) == revoked
    assert read(store, lambda seen: seen.tokens.key("k3")) is None


def test_tokens_that_ended_are_forgotten_first_those_that_ended_first_and_their_places_with_them(
    store: Store,
) -> None:
    first = replace(ONE, id="tok_a", index=1, expires=Instant(NOW + 1))
    second = replace(ONE, id="tok_b", index=2, expires=Instant(NOW + 2), namespace=OTHER)
    third = replace(ONE, id="tok_c", index=3, expires=Instant(NOW + 3))
    transaction = replace(
        ONE, id="tok_d", form=TokenForm.TRANSACTION, list=0, index=0, expires=Instant(NOW + 1)
    )
    put(store, third, second, first, transaction)
    end = Instant(NOW + 3)
    assert store.write(lambda tx: tx.tokens.sweep(end, limit=2)) == 2
    with store.read() as seen:
        found = [seen.tokens.token(one.namespace, one.id) for one in (first, transaction, second, third)]
    assert found == [None, None, second, third]
    assert store.write(lambda tx: tx.tokens.sweep(end, limit=9)) == 1
    assert store.write(lambda tx: tx.tokens.sweep(end, limit=9)) == 0
    put(store, replace(first, id="tok_e"))
    with pytest.raises(ConflictError):
        put(store, replace(third, id="tok_f"))
