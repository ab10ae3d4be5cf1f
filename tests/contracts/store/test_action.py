from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.action import ActionState, PriorAction
from taskbound.core.clock import Instant
from taskbound.core.decision import ActHistory, Presentation
from taskbound.ports.action import OpenPermit
from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import NOW, OTHER, SPACE, action, digest, finished, insert, outcome, read

if TYPE_CHECKING:
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Store, Transaction


def permit_of(one: StoredAction) -> OpenPermit:
    return OpenPermit(
        id=one.id,
        task=one.task,
        root=one.root,
        act_key=one.act_key,
        state=one.state,
        connection=one.connection,
        charges=one.charges,
        scope=one.scope,
        until=one.until,
    )


@pytest.mark.parametrize("decision", ["permit", "hold", "refuse"])
def test_an_action_is_read_as_it_was_written(store: Store, decision: str) -> None:
    written = replace(action(decision=decision), task="", key="k\u0000\U0001f600")
    insert(store, written)
    assert read(store, lambda seen: seen.actions.action(SPACE, "act_1")) == written
    assert read(store, lambda seen: seen.actions.action(OTHER, "act_1")) is None
    assert read(store, lambda seen: seen.actions.action(SPACE, "act_2")) is None


def test_an_action_without_reasons_charges_flags_or_facts_is_read_as_it_was_written(store: Store) -> None:
    bare = replace(action(), reasons=(), charges=(), policies=(), flags=(), facts=(), arguments=b"")
    insert(store, bare)
    assert read(store, lambda seen: seen.actions.action(SPACE, "act_1")) == bare


def test_an_action_that_is_written_with_its_outcome_is_read_with_it(store: Store) -> None:
    done, open_one = finished(action(1), outcome(action(1))), action(2)
    insert(store, done, open_one)
    assert read(store, lambda seen: seen.actions.action(SPACE, "act_1")) == done
    assert read(store, lambda seen: seen.actions.action(SPACE, "act_2")) == open_one


def test_an_action_is_seen_at_once_within_its_own_transaction(store: Store) -> None:
    one = action()

    def work(tx: Transaction) -> None:
        tx.actions.insert_actions([one])
        assert tx.actions.action(SPACE, one.id) == one
        assert tx.actions.actions(SPACE) == (one,)
        assert tx.actions.count(SPACE, one.task) == 1
        assert tx.actions.open_permits(SPACE) == (permit_of(one),)
        assert tx.actions.lock_permits(SPACE, [one.id]) == {one.id: permit_of(one)}
        assert tx.actions.namespaces() == (SPACE,)
        tx.actions.set_outcomes(SPACE, [outcome(one)])
        assert tx.actions.action(SPACE, one.id) == finished(one, outcome(one))

    store.write(work)


@pytest.mark.parametrize("together", [True, False])
def test_an_id_that_exists_conflicts_and_nothing_of_the_group_stays(store: Store, *, together: bool) -> None:
    again = replace(action(2), id="act_1")
    if not together:
        insert(store, action(1))
    group = [action(1), action(3), again] if together else [action(3), again]
    with pytest.raises(ConflictError):
        insert(store, *group)
    assert read(store, lambda seen: seen.actions.action(SPACE, "act_3")) is None
    insert(store, action(1, namespace=OTHER))


def test_actions_come_newest_first_page_by_page(store: Store) -> None:
    insert(store, *(action(n) for n in (3, 1, 2)))
    insert(store, action(0), action(9, namespace=OTHER), action(7, task="tsk_2"))
    with store.read() as seen:
        everything = [one.id for one in seen.actions.actions(SPACE)]
        assert everything == ["act_7", "act_0", "act_2", "act_1", "act_3"]
        first = [one.id for one in seen.actions.actions(SPACE, limit=2)]
        rest = [one.id for one in seen.actions.actions(SPACE, before=first[-1])]
        assert first + rest == everything
        assert seen.actions.actions(SPACE, before="act_3") == ()
        assert seen.actions.actions(SPACE, before="unknown") == ()
        assert seen.actions.actions(SPACE, before="act_9") == ()


def test_actions_are_found_by_task_and_decision(store: Store) -> None:
    decisions = ("permit", "refuse", "hold", "refuse")
    insert(store, *(action(n, decision=one) for n, one in enumerate(decisions)))
    insert(store, action(4, task="tsk_2", decision="refuse"), action(5, task="tsk_2"))
    with store.read() as seen:
        assert [one.id for one in seen.actions.actions(SPACE, decision="refuse")] == [
            "act_4",
            "act_3",
            "act_1",
        ]
        assert [one.id for one in seen.actions.actions(SPACE, decision="permit")] == ["act_5", "act_0"]
        both = seen.actions.actions(SPACE, task="tsk_1", decision="refuse", before="act_3", limit=5)
        assert [one.id for one in both] == ["act_1"]
        assert [one.id for one in seen.actions.actions(SPACE, task="tsk_2")] == ["act_5", "act_4"]
        assert seen.actions.count(SPACE, "tsk_1") == 4
        assert seen.actions.count(SPACE, "tsk_9") == 0
        assert seen.actions.count(OTHER, "tsk_1") == 0


def test_open_permits_are_those_permitted_or_sent_of_a_connection_a_task_or_all(store: Store) -> None:
    states = dict(enumerate(ActionState))
    for number, state in states.items():
        insert(store, replace(action(number), state=state))
    insert(
        store,
        action(20, task="tsk_2"),
        action(21, connection="con_2"),
        action(22, connection="con_2", task="tsk_2"),
        action(23, namespace=OTHER),
    )
    opened = [f"act_{n}" for n, state in states.items() if state in {ActionState.PERMITTED, ActionState.SENT}]
    with store.read() as seen:
        everything = seen.actions.open_permits(SPACE)
        assert [one.id for one in everything] == [*opened, "act_20", "act_21", "act_22"]
        assert everything[-1] == permit_of(action(22, connection="con_2", task="tsk_2"))
        of_connection = seen.actions.open_permits(SPACE, connection="con_2")
        assert [one.id for one in of_connection] == ["act_21", "act_22"]
        assert [one.id for one in seen.actions.open_permits(SPACE, task="tsk_2")] == ["act_20", "act_22"]
        both = seen.actions.open_permits(SPACE, connection="con_2", task="tsk_2")
        assert [one.id for one in both] == ["act_22"]


def test_namespaces_are_those_that_have_an_action_in_order(store: Store) -> None:
    assert read(store, lambda seen: seen.actions.namespaces()) == ()
    insert(store, *(action(1, namespace=name) for name in ("b", "a", "c")), action(2, namespace="a"))
    assert read(store, lambda seen: seen.actions.namespaces()) == ("a", "b", "c")


def test_permits_are_locked_by_id_whatever_their_state(store: Store) -> None:
    ended = replace(action(1), state=ActionState.UNKNOWN)
    insert(store, ended, action(2), action(3, namespace=OTHER))
    found = store.write(lambda tx: tx.actions.lock_permits(SPACE, ["act_1", "act_3", "act_4"]))
    assert found == {"act_1": permit_of(ended)}
    assert store.write(lambda tx: tx.actions.lock_permits(SPACE, ())) == {}


def test_priors_are_the_permitted_actions_under_a_request_or_a_key(store: Store) -> None:
    plain, keyed = action(1), action(2, key="key-1")
    insert(store, plain, keyed, action(3, decision="refuse"), action(4, decision="hold", key="key-2"))
    insert(store, action(5, namespace=OTHER))
    by_request = Presentation(connection="con_1", request='"1"')
    keyed_request = Presentation(connection="con_1", request='"2"')
    by_key = Presentation(connection="tsk_1", request="", key="key-1")
    strangers = (
        Presentation(connection="con_1", request='"3"'),
        Presentation(connection="con_1", request='"4"'),
        Presentation(connection="con_1", request='"5"'),
        Presentation(connection="con_2", request='"1"'),
        Presentation(connection="con_1", request="1"),
        Presentation(connection="tsk_1", request="", key="key-2"),
        Presentation(connection="tsk_2", request="", key="key-1"),
    )
    names = {by_request, keyed_request, by_key, *strangers}
    found = store.write(lambda tx: tx.actions.lock_priors(SPACE, names))
    assert found == {
        by_request: PriorAction(id=plain.id, digest=plain.digest, state=plain.state),
        keyed_request: PriorAction(id=keyed.id, digest=keyed.digest, state=keyed.state),
        by_key: PriorAction(id=keyed.id, digest=keyed.digest, state=keyed.state),
    }
    assert store.write(lambda tx: tx.actions.lock_priors(SPACE, ())) == {}


def test_a_prior_has_the_state_that_its_outcome_gave_it(store: Store) -> None:
    one = action()
    insert(store, one)
    store.write(lambda tx: tx.actions.set_outcomes(SPACE, [outcome(one, ActionState.NOT_SENT)]))
    name = Presentation(connection="con_1", request='"1"')
    assert store.write(lambda tx: tx.actions.lock_priors(SPACE, [name]))[name].state is ActionState.NOT_SENT


@pytest.mark.parametrize(
    "second",
    [
        replace(action(1), id="act_2"),
        replace(action(2, key="key-1"), request='"2"'),
    ],
    ids=["request", "key"],
)
def test_a_presentation_is_permitted_once_whoever_asks(store: Store, second: StoredAction) -> None:
    insert(store, action(1, key="key-1"))
    with pytest.raises(ConflictError):
        insert(store, second)
    assert read(store, lambda seen: seen.actions.action(SPACE, "act_2")) is None
    insert(store, replace(second, id="act_3", decision="refuse", state=ActionState.REFUSED))
    insert(store, replace(second, namespace=OTHER))


def test_acts_are_known_by_root_and_act_key(store: Store) -> None:
    known = {
        ("root", digest("a")): ActHistory(attempts=1),
        ("root", digest("b")): ActHistory(attempts=2, last_outcome="unknown", last_action="act_7"),
    }
    store.write(lambda tx: tx.actions.put_acts(SPACE, known))
    after = ActHistory(attempts=2, last_outcome="failed", last_action="act_9", last_at=Instant(NOW + 9))
    later = {("root", digest("a")): after}
    store.write(lambda tx: tx.actions.put_acts(SPACE, later))
    store.write(lambda tx: tx.actions.put_acts(OTHER, {("root", digest("c")): ActHistory(attempts=9)}))
    asked = [*known, ("root", digest("c")), ("other", digest("a"))]
    assert store.write(lambda tx: tx.actions.lock_acts(SPACE, asked)) == {**known, **later}
    assert store.write(lambda tx: tx.actions.lock_acts(SPACE, ())) == {}
    assert read(store, lambda seen: seen.actions.act(SPACE, "root", digest("a"))) == after
    assert read(store, lambda seen: seen.actions.act(SPACE, "root", digest("c"))) == ActHistory()
    keys = tuple(sorted(known))
    assert read(store, lambda seen: seen.actions.acts(SPACE, limit=9)) == keys
    assert read(store, lambda seen: seen.actions.acts(SPACE, limit=1)) == keys[:1]
    assert read(store, lambda seen: seen.actions.acts(SPACE, limit=9, after=keys[0])) == keys[1:]
    assert read(store, lambda seen: seen.actions.acts(OTHER, limit=9)) == (("root", digest("c")),)


def test_unknown_outcomes_are_found_by_act_and_root_and_namespace(store: Store) -> None:
    first, second, known, other = (action(number, act="one") for number in range(1, 5))
    other = replace(other, root="elsewhere")
    insert(store, first, second, known, other)
    lost = [replace(outcome(one), after=ActionState.UNKNOWN) for one in (first, second, other)]
    store.write(lambda tx: tx.actions.set_outcomes(SPACE, [*lost, outcome(known)]))
    found = read(store, lambda seen: seen.actions.unknowns(SPACE, first.root, first.act_key))
    assert found == (first.id, second.id)
    assert read(store, lambda seen: seen.actions.unknowns(OTHER, first.root, first.act_key)) == ()
    assert store.write(lambda tx: tx.actions.unknowns(SPACE, first.root, action(9).act_key)) == ()


def test_whether_any_outcome_is_unknown_is_known_of_each_namespace(store: Store) -> None:
    first, known = action(1), action(2)
    insert(store, first, known)
    store.write(lambda tx: tx.actions.set_outcomes(SPACE, [outcome(known)]))
    assert not read(store, lambda seen: seen.actions.has_unknown(SPACE))
    store.write(
        lambda tx: tx.actions.set_outcomes(SPACE, [replace(outcome(first), after=ActionState.UNKNOWN)])
    )
    assert read(store, lambda seen: seen.actions.has_unknown(SPACE)) is True
    assert read(store, lambda seen: seen.actions.has_unknown(OTHER)) is False


@pytest.mark.parametrize("answer", [b"\x00answer\xff", b"", None])
def test_an_outcome_is_read_with_its_action(store: Store, answer: bytes | None) -> None:
    one, other = action(1), action(2)
    insert(store, one, other)
    change = outcome(one, answer=answer)
    store.write(lambda tx: tx.actions.set_outcomes(SPACE, [change]))
    assert read(store, lambda seen: seen.actions.action(SPACE, one.id)) == finished(one, change)
    assert read(store, lambda seen: seen.actions.action(SPACE, other.id)) == other


def test_an_outcome_of_another_state_than_the_action_has_conflicts(store: Store) -> None:
    one, other = action(1), action(2)
    insert(store, one, other)
    store.write(lambda tx: tx.actions.set_outcomes(SPACE, [outcome(one)]))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.actions.set_outcomes(SPACE, [outcome(other), outcome(one)]))
    assert read(store, lambda seen: seen.actions.action(SPACE, other.id)) == other
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.actions.set_outcomes(OTHER, [outcome(other)]))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.actions.set_outcomes(SPACE, [outcome(action(5))]))


def test_group_of_many_actions_and_names_is_written_and_found(store: Store) -> None:
    many = [action(n, key=f"key-{n}" if n % 2 else "", act=str(n)) for n in range(700)]
    insert(store, *many)
    names = [Presentation(connection="con_1", request=one.request) for one in many]
    names += [Presentation(connection="tsk_1", request="", key=one.key) for one in many if one.key]
    found = store.write(lambda tx: tx.actions.lock_priors(SPACE, names))
    assert len(found) == 700 + 350
    assert store.write(lambda tx: len(tx.actions.lock_permits(SPACE, [one.id for one in many]))) == 700
