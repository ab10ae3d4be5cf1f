"""Targets: declared by a file, given another access, taken away."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import (
    NEVER,
    CredentialState,
    prove_still_gone,
)
from taskbound.core.identity import UnknownIdentityError
from taskbound.core.target import TargetFileError, TargetState, kind_definition, parse_target_file
from taskbound.core.tool import BadSecretError, LookAlikeToolError, ServerIdentity
from taskbound.flows.identity.leaving import NotSelfError, People
from taskbound.flows.target import TargetExistsError, TargetInUseError, UnknownTargetError
from taskbound.flows.target.testing import answering
from taskbound.flows.tool import Declaration, UnknownServerError, UpstreamExistsError
from taskbound.flows.tool.applying import set_approvers, set_owner
from taskbound.flows.tool.errors import DeclaredByTargetError
from taskbound.flows.tool.secret import Secrets
from tests.core.target.test_openssh import KEY
from tests.peers.people import OWNER
from tests.sqlite import sqlite_store
from tests.stories.targeting import BOB, CAROL, FILE, TOOLS, Aiming, aimed, declared, give, sealed_for
from tests.world import ANN

if TYPE_CHECKING:
    from taskbound.ports.store import Store

S, T = CredentialState, TargetState


@pytest.fixture
def aiming() -> Aiming:
    return aimed(sqlite_store())


def leave(aiming: Aiming, name: str) -> dict[str, Any]:
    """Who is told what, if anybody is."""
    aiming.world.add_agent("coder")
    people = People(aiming.adapters, aiming.world.views)
    people.leave("default", name, OWNER, owns=True, reason="")
    return aiming.world.monitor.messages[-1]


def test_another_access_is_tested_at_once_and_has_the_next_number(aiming: Aiming) -> None:
    aiming.ready()
    sealed = sealed_for(FILE, number=2)
    test = aiming.targets.set_admin("default", "orders-db", number=2, sealed=sealed, actor=BOB, owns=False)
    kept = aiming.row()
    assert (kept.sealed, kept.number, kept.state) == (sealed, 2, T.READY)
    assert {one.state for one in aiming.canaries(test)} == {S.JOURNALED}
    (event,) = aiming.world.events("target-admin-set")
    assert (event["number"], event["by"]) == (2, "bob")
    assert event["sealed"] == sha256(sealed.encode()).hexdigest()


@pytest.mark.parametrize(
    ("number", "bound"),
    [
        (1, {"number": 1}),
        (3, {"number": 3}),
        (2, {"number": 1}),
        (2, {"number": 2, "namespace": "other"}),
        (2, {"number": 2, "server": "other"}),
        (2, {"number": 2, "slot": "environment:TOKEN"}),
        (2, {"number": 2, "identity": "0" * 64}),
    ],
)
def test_an_access_that_is_sealed_for_anything_else_is_refused(
    aiming: Aiming, number: int, bound: dict[str, Any]
) -> None:
    aiming.ready()
    sealed = sealed_for(FILE, **bound) if "namespace" not in bound else _of_other(bound)
    with pytest.raises(BadSecretError):
        aiming.targets.set_admin("default", "orders-db", number=number, sealed=sealed, actor=BOB, owns=False)
    assert aiming.row().number == 1
    assert aiming.world.events("target-admin-set") == []


def _of_other(bound: dict[str, Any]) -> str:
    identity = parse_target_file(FILE).identity("default")
    return sealed_for(FILE, identity=identity, **bound)


@pytest.mark.parametrize(
    "sealed",
    [
        "hunter2",
        sealed_for(FILE, number=2),
        sealed_for(FILE, server="other"),
        sealed_for(FILE, slot="environment:TOKEN"),
        sealed_for(declared(where={"host": "127.0.0.1", "database": "payroll"})),
        sealed_for(FILE, namespace="other"),
    ],
)
def test_a_target_is_declared_with_an_access_that_is_sealed_for_it_alone(aiming: Aiming, sealed: str) -> None:
    with pytest.raises(BadSecretError):
        aiming.add(sealed=sealed)
    assert aiming.world.events("target-added") == []


@pytest.mark.parametrize(
    "file",
    [
        declared(owner="dave"),
        declared(approvers=["dave"]),
        declared(approvers=["carol", "group:ops"]),
        declared(approvers=["ops"]),
        declared(owner="ops"),
    ],
)
def test_nobody_who_is_not_there_answers_for_a_target(aiming: Aiming, file: dict[str, Any]) -> None:
    with pytest.raises(UnknownIdentityError):
        aiming.add(file)
    with aiming.adapters.store.read() as seen:
        assert seen.targets.targets("default") == ()
        assert seen.tools.server("default", "orders-db") is None


@pytest.mark.parametrize("who", ["owner", "approvers"])
def test_whoever_has_left_answers_for_no_new_target(aiming: Aiming, who: str) -> None:
    leave(aiming, "bob")
    file = declared(owner="carol", approvers=["carol"]) | {who: "bob" if who == "owner" else ["bob"]}
    with pytest.raises(UnknownIdentityError):
        aiming.add(file)


HOSTILE = ["bob\n", "bob\u202e", "`bob`", "", "b" * 65, "group:", "uid:0", "group:group:a", "../bob", "Bob"]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("where", ["owner", "approvers"])
def test_a_name_that_nobody_can_have_is_refused_at_its_place_and_not_repeated(
    aiming: Aiming, name: str, where: str
) -> None:
    with pytest.raises(TargetFileError) as refused:
        aiming.add(declared(**{where: name if where == "owner" else [name]}), sealed="x")
    assert refused.value.where in {"owner", "approvers[0]"}
    assert refused.value.message.isprintable()
    assert not name or name not in refused.value.message or name.isalnum()


@pytest.mark.parametrize(
    "name", ["orders\ndb", "orders__db", "Orders", "o" * 33, "-orders", "órders", "a/b", "", "orders db"]
)
def test_a_target_has_a_name_that_a_server_could_have(aiming: Aiming, name: str) -> None:
    with pytest.raises(TargetFileError) as refused:
        aiming.add(declared(target=name), sealed="x")
    assert refused.value.where == "target"
    assert refused.value.message.isprintable()


def test_a_kind_that_owns_its_host_is_declared_by_a_word(aiming: Aiming) -> None:
    host = {
        "kind": "openssh",
        "where": {"host": "127.0.0.1", "host_keys": [KEY]},
        "credentials": {"shell": {"for": "Looks around.", "account": "root", "seconds": 60}},
    }
    with pytest.raises(TargetFileError) as refused:
        aiming.add(declared(**host), sealed="x")
    assert (refused.value.where, "root: true" in refused.value.advice) == ("credentials.shell", True)


def test_two_kinds_that_can_be_taken_for_each_other_are_refused(aiming: Aiming) -> None:
    one = FILE["credentials"]["clerk"]
    with pytest.raises(LookAlikeToolError):
        aiming.add(declared(credentials={"read1": one, "readl": one}), sealed="x")


def test_a_group_approves_as_whoever_is_in_it_now_and_a_bare_name_is_a_persons_first(aiming: Aiming) -> None:
    aiming.group("ops", "ann")
    aiming.group("carol", "ann")
    aiming.ready(declared(approvers=["ops", "carol"]))
    assert aiming.named() == dict.fromkeys(TOOLS, ("carol", "group:ops"))
    assert parse_target_file(aiming.row().file).approvers == ("carol", "group:ops")


def test_only_the_account_that_owns_the_data_directory_declares_a_target(aiming: Aiming) -> None:
    with pytest.raises(NotSelfError):
        aiming.add(actor=BOB, owns=False)
    assert aiming.world.events("target-added") == []


def test_another_access_and_the_removal_are_its_owners_and_that_accounts_to_say(aiming: Aiming) -> None:
    aiming.ready()
    sealed = sealed_for(FILE, number=2)
    for actor in (CAROL, ANN):
        with pytest.raises(NotSelfError):
            aiming.targets.set_admin("default", "orders-db", number=2, sealed=sealed, actor=actor, owns=False)
        with pytest.raises(NotSelfError):
            aiming.targets.remove("default", "orders-db", actor, owns=False)
    for name in TOOLS:
        set_owner(aiming.adapters, "default", name, "carol", actor=BOB, owns=False)
    with pytest.raises(NotSelfError):
        aiming.targets.remove("default", "orders-db", BOB, owns=False)
    aiming.targets.remove("default", "orders-db", CAROL, owns=False)


BANK = ServerIdentity(namespace="default", command="/b", resolved="/b", sha256="0" * 64)


def test_a_target_and_a_server_never_have_one_name(aiming: Aiming) -> None:
    aiming.add()
    with pytest.raises(UpstreamExistsError, match="a target named"):
        aiming.world.pins.add("orders-db", BANK, b"{}", [], agents=(), actor=ANN)
    with pytest.raises(TargetExistsError, match="a target named"):
        aiming.add(declared(where={"host": "127.0.0.1", "database": "others"}))
    aiming.world.add_bank()
    with pytest.raises(TargetExistsError, match="a server named"):
        aiming.add(declared(target="bank"))
    with aiming.adapters.store.read() as seen:
        assert [one.name for one in seen.tools.servers("default")] == ["bank"]


def test_namespaces_know_nothing_of_each_others_targets(aiming: Aiming) -> None:
    aiming.ready()
    with pytest.raises(UnknownIdentityError):
        aiming.add(namespace="other")
    for act in (
        lambda: aiming.targets.test("other", "orders-db", BOB),
        lambda: aiming.targets.remove("other", "orders-db", OWNER, owns=True),
    ):
        with pytest.raises(UnknownTargetError):
            act()
    assert aiming.tools("other") == {}


def test_a_target_in_which_something_is_left_stays_and_says_what(aiming: Aiming) -> None:
    test = aiming.add()
    with pytest.raises(TargetInUseError, match="2 live") as refused:
        aiming.targets.remove("default", "orders-db", OWNER, owns=True)
    assert test.credentials[0] in refused.value.message
    aiming.work(test)
    rows = [give(aiming, letter, S.REVOKING, due=Instant(1)) for letter in "bcde"]
    with pytest.raises(TargetInUseError, match="4 are being revoked") as refused:
        aiming.targets.remove("default", "orders-db", OWNER, owns=True)
    assert refused.value.message.endswith(f"`{rows[2].id}` and 1 more")
    assert "credential revoke" in refused.value.advice
    assert tuple(aiming.tools()) == TOOLS


def test_a_lost_mint_that_may_still_arrive_keeps_its_target(aiming: Aiming) -> None:
    aiming.ready()
    now = aiming.world.clock.now()
    give(aiming, "b", S.REVOKED, due=Instant(now + seconds(60)), late=Instant(now + seconds(60)))
    with pytest.raises(TargetInUseError, match="1 are looked at once more") as refused:
        aiming.targets.remove("default", "orders-db", OWNER, owns=True)
    assert refused.value.advice.startswith("nothing is to be done: try again in a minute")


def test_a_target_in_which_nothing_is_left_goes_with_its_tools_and_may_be_declared_anew(
    aiming: Aiming,
) -> None:
    aiming.ready()
    give(aiming, "b", S.REVOKED, due=NEVER)
    give(aiming, "c", S.UNSUPPORTED, due=NEVER)
    before = aiming.tools()
    aiming.targets.remove("default", "orders-db", BOB, owns=False)
    with aiming.adapters.store.read() as seen:
        assert seen.targets.targets("default") == ()
        assert seen.tools.server("default", "orders-db") is None
    assert aiming.tools() == {}
    assert [one["by"] for one in aiming.world.events("target-removed")] == ["bob"]
    with pytest.raises(UnknownTargetError):
        aiming.targets.remove("default", "orders-db", BOB, owns=False)
    aiming.ready()
    assert all(aiming.tools()[name].version > before[name].version for name in TOOLS)


def test_a_target_is_no_server_to_anybody_who_works_on_servers(aiming: Aiming) -> None:
    aiming.ready()
    with pytest.raises(UnknownServerError) as refused:
        aiming.world.pins.remove("default", "orders-db", ANN)
    assert "taskbound target remove orders-db" in refused.value.advice
    with pytest.raises(UnknownServerError):
        aiming.world.sights.see("default", "orders-db", aiming.row().identity, [], agent=None)
    with pytest.raises(UnknownServerError):
        Secrets(aiming.adapters).put(
            "default", "orders-db", "admin:access", number=2, sealed=sealed_for(FILE, number=2), actor=BOB
        )
    assert {one.state for one in aiming.tools().values()} == {"pinned"}


def test_what_a_kind_may_do_is_said_by_its_file_and_by_nobody_beside_it(aiming: Aiming) -> None:
    aiming.ready()
    tool = aiming.tools()[TOOLS[0]]
    for said in (Declaration(effect=kind_definition(parse_target_file(FILE).credentials[1]).effect),):
        with pytest.raises(DeclaredByTargetError):
            aiming.world.sights.declare("default", tool.name, tool.digest, ANN, said)
    assert aiming.tools()[TOOLS[0]] == tool


def test_whoever_leaves_owns_no_target_and_approves_for_none_and_who_watches_is_told(aiming: Aiming) -> None:
    aiming.ready(declared(approvers=["bob", "carol"]))
    news = leave(aiming, "bob")
    assert news["targets_without_owner"] == ["orders-db"]
    assert news["tools_without_owner"] == list(TOOLS)
    assert {one.owner for one in aiming.tools().values()} == {""}
    assert aiming.named() == dict.fromkeys(TOOLS, ("carol",))
    with aiming.adapters.store.read() as seen:
        assert answering(seen, aiming.row()) == ((), ("carol",))


def test_a_target_that_was_given_away_is_left_by_nobody_who_declared_it(aiming: Aiming) -> None:
    aiming.ready()
    for name in TOOLS:
        set_owner(aiming.adapters, "default", name, "carol", actor=BOB, owns=False)
    assert "targets_without_owner" not in leave(aiming, "bob")


def test_a_target_whose_owner_left_before_its_test_was_over_has_tools_that_nobody_owns(
    aiming: Aiming,
) -> None:
    test = aiming.add(declared(approvers=["bob", "carol"]))
    assert leave(aiming, "bob")["targets_without_owner"] == ["orders-db"]
    with aiming.adapters.store.read() as seen:
        assert answering(seen, aiming.row()) == ((), ("carol",))
    aiming.work(test)
    assert {one.owner for one in aiming.tools().values()} == {""}
    assert aiming.named() == dict.fromkeys(TOOLS, ("carol",))


def test_who_answers_for_a_target_is_who_answers_for_its_tools_now(aiming: Aiming) -> None:
    aiming.ready()
    set_owner(aiming.adapters, "default", TOOLS[0], "carol", actor=BOB, owns=False)
    set_approvers(aiming.adapters, "default", TOOLS[1], ("ann",), actor=OWNER, owns=True)
    with aiming.adapters.store.read() as seen:
        assert answering(seen, aiming.row()) == (("bob", "carol"), ("ann", "carol"))


def test_a_target_lives_and_goes_alike_in_every_store(store: Store) -> None:
    aiming = aimed(store)
    aiming.ready()
    before = aiming.tools()
    clerk, reader = aiming.targets.test("default", "orders-db", BOB).credentials
    aiming.fail(clerk)
    assert (aiming.row().state, aiming.tools()) == (T.READY, before)
    sealed = sealed_for(FILE, number=2)
    aiming.work(
        aiming.targets.set_admin("default", "orders-db", number=2, sealed=sealed, actor=BOB, owns=False)
    )
    assert (aiming.row().trouble, aiming.row().number) == ("", 2)
    with pytest.raises(TargetInUseError, match="1 live, 1 are being revoked"):
        aiming.targets.remove("default", "orders-db", BOB, owns=False)
    assert aiming.tools() == before
    aiming.end(reader)
    for one in (clerk, reader):
        aiming.revoke(one)
    aiming.world.clock.advance(120)
    with pytest.raises(TargetInUseError, match="1 are looked at once more"):
        aiming.targets.remove("default", "orders-db", BOB, owns=False)
    aiming.move(clerk, prove_still_gone)
    aiming.targets.remove("default", "orders-db", BOB, owns=False)
    assert aiming.tools() == {}
