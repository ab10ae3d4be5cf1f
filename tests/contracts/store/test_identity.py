from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.identity import AgentState, Breadth, PersonState
from taskbound.core.identity.person_key import Custody, Namespace, PersonKeyKind, PersonKeyState
from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import OTHER, SCOPE, SPACE, agent, group, issuer, person, person_key, read

if TYPE_CHECKING:
    from taskbound.core.identity import Grantable
    from taskbound.ports.store import Store, Transaction


def test_a_person_is_read_as_it_was_written(store: Store) -> None:
    gone = replace(person(), state=PersonState.GONE, uid=2**31, human="bob")
    store.write(lambda tx: tx.identities.put_person(gone, expect=0))
    assert read(store, lambda seen: seen.identities.person(SPACE, "ann")) == gone
    assert read(store, lambda seen: seen.identities.person(SPACE, "bob")) is None


@pytest.mark.parametrize("acknowledged", [True, False])
def test_an_agent_is_read_as_it_was_written(store: Store, *, acknowledged: bool) -> None:
    written = agent() if acknowledged else replace(agent(), acknowledged=None, challenge="", approvers=())
    store.write(lambda tx: tx.identities.put_agent(written, expect=0))
    assert read(store, lambda seen: seen.identities.agent(SPACE, "coder")) == written
    assert read(store, lambda seen: seen.identities.agent(SPACE, "other")) is None


def test_persons_and_agents_come_by_name_and_of_one_namespace(store: Store) -> None:
    def work(tx: Transaction) -> None:
        for name in ("carl", "ann", "bob"):
            tx.identities.put_person(person(name), expect=0)
            tx.identities.put_agent(agent(name), expect=0)

    store.write(work)
    store.write(lambda tx: tx.identities.put_person(person("zed", namespace=OTHER), expect=0))
    store.write(lambda tx: tx.identities.put_agent(agent("ann", namespace=OTHER), expect=0))
    with store.read() as seen:
        assert list(seen.identities.persons(SPACE)) == ["ann", "bob", "carl"]
        assert list(seen.identities.persons(OTHER)) == ["zed"]
        assert [one.name for one in seen.identities.agents(SPACE)] == ["ann", "bob", "carl"]
        assert [one.namespace for one in seen.identities.agents(OTHER)] == [OTHER]
        assert seen.identities.person(SPACE, "zed") is None
        assert seen.identities.namespaces() == tuple(sorted((SPACE, OTHER)))


def test_each_monitor_of_an_active_agent_comes_once_with_its_first_namespace(
    store: Store,
) -> None:
    def work(tx: Transaction) -> None:
        one, two = sorted((SPACE, OTHER))
        for space, name, address in ((two, "a", "file:/m"), (one, "b", "file:/m"), (two, "c", "file:/n")):
            tx.identities.put_agent(replace(agent(name, namespace=space), monitor=address), expect=0)
        silent = replace(agent("d"), monitor="file:/o", state=AgentState.SUSPENDED)
        tx.identities.put_agent(silent, expect=0)

    assert read(store, lambda seen: seen.identities.monitors()) == {}
    store.write(work)
    one, two = sorted((SPACE, OTHER))
    assert read(store, lambda seen: seen.identities.monitors()) == {"file:/m": one, "file:/n": two}


def test_a_changed_row_replaces_the_one_that_was_expected(store: Store) -> None:
    store.write(lambda tx: tx.identities.put_agent(agent(), expect=0))
    store.write(lambda tx: tx.identities.put_person(person(), expect=0))
    changed = replace(agent(version=2), state=AgentState.SUSPENDED, owner="bob")
    store.write(lambda tx: tx.identities.put_agent(changed, expect=1))
    store.write(lambda tx: tx.identities.put_person(person(version=2), expect=1))
    assert read(store, lambda seen: seen.identities.agent(SPACE, "coder")) == changed
    assert read(store, lambda seen: seen.identities.person(SPACE, "ann")) == person(version=2)


@pytest.mark.parametrize("expect", [0, 2, 7])
def test_a_row_of_another_version_than_expected_conflicts(store: Store, expect: int) -> None:
    store.write(lambda tx: tx.identities.put_agent(agent(), expect=0))
    store.write(lambda tx: tx.identities.put_person(person(), expect=0))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.identities.put_agent(agent(version=8), expect=expect))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.identities.put_person(person(version=8), expect=expect))
    assert read(store, lambda seen: seen.identities.agent(SPACE, "coder")) == agent()
    assert read(store, lambda seen: seen.identities.person(SPACE, "ann")) == person()


def test_a_row_that_is_expected_and_not_there_conflicts(store: Store) -> None:
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.identities.put_agent(agent(), expect=1))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.identities.put_person(person(), expect=1))


def test_locking_agents_tells_the_version_of_those_that_exist_in_the_namespace(store: Store) -> None:
    store.write(lambda tx: tx.identities.put_agent(agent("one", version=4), expect=0))
    store.write(lambda tx: tx.identities.put_agent(agent("two", namespace=OTHER), expect=0))
    names = {"one", "two", "three"}
    assert store.write(lambda tx: tx.identities.lock_agents(SPACE, names)) == {"one": 4}
    assert store.write(lambda tx: tx.identities.lock_agents(OTHER, names)) == {"two": 1}
    assert store.write(lambda tx: tx.identities.lock_agents(SPACE, ())) == {}


@pytest.mark.parametrize("grantable", [SCOPE, Breadth.NOTHING, Breadth.CEILING])
def test_what_somebody_may_grant_is_read_as_it_was_written(store: Store, grantable: Grantable) -> None:
    ann, team = replace(person(), grantable=grantable), replace(group(), grantable=grantable, members=())
    store.write(lambda tx: tx.identities.put_person(ann, expect=0))
    store.write(lambda tx: tx.identities.put_group(team, expect=0))
    assert read(store, lambda seen: seen.identities.person(SPACE, "ann")) == ann
    assert read(store, lambda seen: seen.identities.groups(SPACE)) == (team,)


def test_groups_come_by_name_and_of_one_namespace(store: Store) -> None:
    def work(tx: Transaction) -> None:
        for one in (group("zeta"), group("alpha"), group("far", namespace=OTHER)):
            tx.identities.put_group(one, expect=0)

    store.write(work)
    with store.read() as seen:
        assert seen.identities.groups(SPACE) == (group("alpha"), group("zeta"))
        assert seen.identities.groups(OTHER) == (group("far", namespace=OTHER),)


@pytest.mark.parametrize("expect", [0, 2])
def test_a_group_of_another_version_than_expected_conflicts(store: Store, expect: int) -> None:
    store.write(lambda tx: tx.identities.put_group(group(), expect=0))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.identities.put_group(group(version=8), expect=expect))
    changed = replace(group(version=2), members=("carl",), grantable=SCOPE)
    store.write(lambda tx: tx.identities.put_group(changed, expect=1))
    assert read(store, lambda seen: seen.identities.groups(SPACE)) == (changed,)


def test_persons_are_locked_by_their_names(store: Store) -> None:
    def work(tx: Transaction) -> None:
        for one in (person("ann"), person("bob"), person("eve", namespace=OTHER)):
            tx.identities.put_person(one, expect=0)

    store.write(work)
    found = store.write(lambda tx: tx.identities.lock_persons(SPACE, {"bob", "eve", "nobody"}))
    assert found == {"bob": person("bob")}


def test_those_who_may_grant_are_locked_all_together_and_of_one_namespace(store: Store) -> None:
    def work(tx: Transaction) -> None:
        for one in (person("bob"), person("ann"), person("zed", namespace=OTHER)):
            tx.identities.put_person(one, expect=0)
        for team in (group("two"), group("one"), group("far", namespace=OTHER)):
            tx.identities.put_group(team, expect=0)

    store.write(work)
    persons, groups = store.write(lambda tx: tx.identities.lock_grantors(SPACE))
    assert list(persons.values()) == [person("ann"), person("bob")]
    assert groups == (group("one"), group("two"))


@pytest.mark.parametrize("state", list(PersonKeyState))
@pytest.mark.parametrize("kind", list(PersonKeyKind))
@pytest.mark.parametrize("custody", list(Custody))
def test_a_key_is_read_as_it_was_written(
    store: Store, state: PersonKeyState, kind: PersonKeyKind, custody: Custody
) -> None:
    written = replace(person_key(), state=state, kind=kind, custody=custody)
    store.write(lambda tx: tx.identities.put_person_key(written, expect=0))
    assert read(store, lambda seen: seen.identities.person_key(SPACE, "key_1")) == written
    assert read(store, lambda seen: seen.identities.person_key(SPACE, "key_2")) is None
    assert read(store, lambda seen: seen.identities.person_key(OTHER, "key_1")) is None


def test_keys_come_by_id_and_of_one_namespace_and_are_locked_all_together(store: Store) -> None:
    def work(tx: Transaction) -> None:
        for one in (person_key("key_2"), person_key("key_1"), person_key("key_3", namespace=OTHER)):
            tx.identities.put_person_key(one, expect=0)

    store.write(work)
    wanted = (person_key("key_1"), person_key("key_2"))
    assert read(store, lambda seen: seen.identities.person_keys(SPACE)) == wanted
    assert store.write(lambda tx: tx.identities.lock_person_keys(SPACE)) == wanted


@pytest.mark.parametrize("expect", [0, 2])
def test_a_key_of_another_version_than_expected_conflicts(store: Store, expect: int) -> None:
    store.write(lambda tx: tx.identities.put_person_key(person_key(), expect=0))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.identities.put_person_key(person_key(version=8), expect=expect))
    changed = replace(person_key(version=2), state=PersonKeyState.WITHDRAWN, counter=4)
    store.write(lambda tx: tx.identities.put_person_key(changed, expect=1))
    assert read(store, lambda seen: seen.identities.person_keys(SPACE)) == (changed,)


def test_of_a_namespace_that_nothing_was_said_of_holds_what_goes_without_saying(store: Store) -> None:
    assert read(store, lambda seen: seen.identities.namespace(SPACE)) == Namespace(name=SPACE)
    said = Namespace(name=SPACE, demo=True, keys=3, version=1)
    store.write(lambda tx: tx.identities.put_namespace(said, expect=0))
    assert read(store, lambda seen: seen.identities.namespace(SPACE)) == said
    assert read(store, lambda seen: seen.identities.namespace(OTHER)) == Namespace(name=OTHER)


@pytest.mark.parametrize("expect", [0, 2])
def test_a_namespace_of_another_version_than_expected_conflicts(store: Store, expect: int) -> None:
    said = Namespace(name=SPACE, demo=True, version=1)
    store.write(lambda tx: tx.identities.put_namespace(said, expect=0))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.identities.put_namespace(replace(said, demo=False), expect=expect))
    after = replace(said, demo=False, version=2)
    store.write(lambda tx: tx.identities.put_namespace(after, expect=1))
    assert read(store, lambda seen: seen.identities.namespace(SPACE)) == after


def test_issuers_are_read_as_they_were_written_by_name_and_of_one_namespace(store: Store) -> None:
    def work(tx: Transaction) -> None:
        for one in (issuer("b"), issuer("a"), issuer("c", namespace=OTHER)):
            tx.identities.put_issuer(one, expect=0)

    store.write(work)
    wanted = (issuer("a"), issuer("b"))
    assert read(store, lambda seen: seen.identities.issuers(SPACE)) == wanted
    assert store.write(lambda tx: tx.identities.lock_issuers(SPACE)) == wanted


@pytest.mark.parametrize("expect", [0, 2])
def test_an_issuer_of_another_version_than_expected_conflicts(store: Store, expect: int) -> None:
    store.write(lambda tx: tx.identities.put_issuer(issuer(), expect=0))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.identities.put_issuer(issuer(version=8), expect=expect))
    changed = replace(issuer(version=2), keys=b"other", thumbprints=())
    store.write(lambda tx: tx.identities.put_issuer(changed, expect=1))
    assert read(store, lambda seen: seen.identities.issuers(SPACE)) == (changed,)


def test_two_issuers_of_a_namespace_never_write_themselves_alike(store: Store) -> None:
    store.write(lambda tx: tx.identities.put_issuer(issuer("a", own="x"), expect=0))
    store.write(lambda tx: tx.identities.put_issuer(issuer("b", own="x", namespace=OTHER), expect=0))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.identities.put_issuer(issuer("b", own="x"), expect=0))
    assert read(store, lambda seen: seen.identities.issuers(SPACE)) == (issuer("a", own="x"),)


def test_an_issuer_that_is_dropped_is_gone_and_another_may_write_itself_like_it(store: Store) -> None:
    store.write(lambda tx: tx.identities.put_issuer(issuer("a", own="x"), expect=0))
    store.write(lambda tx: tx.identities.put_issuer(issuer("a", own="x", namespace=OTHER), expect=0))
    store.write(lambda tx: tx.identities.drop_issuer(SPACE, "a"))
    store.write(lambda tx: tx.identities.drop_issuer(SPACE, "a"))
    assert read(store, lambda seen: seen.identities.issuers(SPACE)) == ()
    assert len(read(store, lambda seen: seen.identities.issuers(OTHER))) == 1
    store.write(lambda tx: tx.identities.put_issuer(issuer("b", own="x"), expect=0))
