"""Targets: declared by a file, tested before anything is asked for, given another access, taken away."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.store.memory import MemoryStore
from taskbound.core.action import parse_object
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import (
    NEVER,
    CredentialState,
    end_credential,
    is_canary,
    prove_still_gone,
    reappear,
)
from taskbound.core.credential.due import MINTED_WITHIN
from taskbound.core.identity import UnknownIdentityError
from taskbound.core.target import TargetFileError, TargetState, kind_definition, parse_target_file
from taskbound.core.tool import BadSecretError, LookAlikeToolError, ServerIdentity
from taskbound.flows.identity.leaving import NotSelfError, People
from taskbound.flows.target import TargetExistsError, TargetInUseError, UnknownTargetError
from taskbound.flows.target.people import answering
from taskbound.flows.target.testing import CANARY
from taskbound.flows.tool import Declaration, UnknownServerError, UpstreamExistsError
from taskbound.flows.tool.answering import set_approvers
from taskbound.flows.tool.errors import DeclaredByTargetError
from taskbound.flows.tool.owning import set_owner
from taskbound.flows.tool.secret import Secrets
from tests.core.credential.crediting import made
from tests.peers.people import OWNER
from tests.stories.targeting import BOB, CAROL, FILE, TOOLS, Aiming, declared, sealed_for
from tests.world import ANN

if TYPE_CHECKING:
    from taskbound.core.credential import Credential
    from taskbound.ports.store import Store

S, T = CredentialState, TargetState


@pytest.fixture
def aiming() -> Aiming:
    return Aiming(MemoryStore())


def leave(aiming: Aiming, name: str) -> dict[str, Any]:
    """Who is told what, if anybody is."""
    aiming.world.add_agent("coder")
    people = People(aiming.means, aiming.world.views)
    people.leave("default", name, OWNER, owns=True, reason="")
    return aiming.world.monitor.messages[-1]


def give(aiming: Aiming, letter: str, state: CredentialState, **more: Any) -> Credential:
    """A credential of some task in the target."""
    row = made(id="crd_" + letter * 35, **{"identity": aiming.row().identity, "state": state} | more)
    aiming.means.store.write(lambda tx: tx.credentials.insert_credentials([row]))
    return row


def test_a_target_begins_untested_with_a_canary_of_each_kind_and_without_a_tool(aiming: Aiming) -> None:
    test = aiming.add()
    kept, rows = aiming.row(), aiming.canaries(test)
    assert (kept.state, kept.number, kept.tested, kept.version) == (T.UNTESTED, 1, None, 1)
    assert [one.kind for one in rows] == ["clerk", "reader"]
    for row in rows:
        assert (row.state, row.due, row.made) == (S.JOURNALED, kept.begun, kept.begun)
        assert row.ends == row.made + seconds(60)
        assert (row.task, row.agent, row.action, row.recipient) == ("", "", "", "")
        assert is_canary(row)
    assert parse_object(rows[0].arguments) == {"seconds": 30}
    assert parse_object(rows[1].arguments) == {"seconds": 60, "tenant": CANARY}
    assert aiming.tools() == {}


def test_the_record_of_a_canarys_beginning_is_the_one_that_its_row_names(aiming: Aiming) -> None:
    test = aiming.add()
    with aiming.means.store.read() as seen:
        for row in aiming.canaries(test):
            kept = seen.audit.numbered(row.record)
            assert kept is not None
            event = json.loads(kept.body)["event"]
            assert (event["kind"], event["credential"], event["of"]) == (
                "credential-journaled",
                row.id,
                row.kind,
            )
            assert event["ends"] == row.ends


def test_what_is_recorded_of_a_target_names_people_and_digests_and_no_access(aiming: Aiming) -> None:
    sealed = sealed_for(FILE)
    test = aiming.add(sealed=sealed)
    (added,) = aiming.world.events("target-added")
    assert (added["owner"], added["approvers"], added["credentials"]) == (
        "bob",
        ["carol"],
        ["clerk", "reader"],
    )
    assert (added["of"], added["by"]) == ("postgres", OWNER.name)
    assert added["sealed"] == sha256(sealed.encode()).hexdigest()
    (begun,) = aiming.world.events("target-test-begun")
    assert tuple(begun["canaries"]) == test.credentials
    assert all(sealed not in json.dumps(one) for one in aiming.world.records())


def test_it_is_ready_with_its_last_canary_that_was_used_and_is_gone_and_has_its_tools_then(
    aiming: Aiming,
) -> None:
    clerk, reader = aiming.add().credentials
    for one in (clerk, reader):
        aiming.mint(one)
        aiming.end(one)
    aiming.revoke(clerk)
    assert (aiming.row().state, aiming.tools()) == (T.UNTESTED, {})
    aiming.revoke(reader)
    kept, tools = aiming.row(), aiming.tools()
    assert (kept.state, kept.trouble, kept.tested is not None) == (T.READY, "", True)
    assert tuple(tools) == TOOLS
    kinds = parse_target_file(FILE).credentials
    for kind, tool in zip(kinds, tools.values(), strict=True):
        assert (tool.owner, tool.identity, tool.server) == ("bob", kept.identity, "orders-db")
        assert tool.definition == kind_definition(kind).canonical
        assert tool.version > 1_000_000
    assert aiming.named() == dict.fromkeys(TOOLS, ("carol",))
    assert [one["tool"] for one in aiming.world.events("tool-pinned")] == list(TOOLS)
    assert [one["after"] for one in aiming.world.events("target-tested")] == ["ready"]


def test_one_kind_that_can_t_be_minted_refuses_the_target_and_says_which_and_why(aiming: Aiming) -> None:
    clerk, reader = aiming.add().credentials
    aiming.mint(reader)
    aiming.end(reader)
    aiming.revoke(reader)
    aiming.fail(clerk)
    kept = aiming.row()
    assert kept.state is T.REFUSED
    assert kept.trouble == "the kind `clerk`: it could not be minted: no group `clerks`"
    assert aiming.tools() == {}
    aiming.revoke(clerk)
    assert len(aiming.world.events("target-tested")) == 1


def test_what_is_gone_afterwards_makes_no_refused_target_ready(aiming: Aiming) -> None:
    clerk, reader = aiming.add().credentials
    aiming.fail(clerk)
    aiming.mint(reader)
    aiming.end(reader)
    aiming.revoke(reader)
    aiming.revoke(clerk)
    assert (aiming.row().state, aiming.tools()) == (T.REFUSED, {})


def test_a_canary_that_no_broker_took_says_so(aiming: Aiming) -> None:
    clerk, _ = aiming.add().credentials
    aiming.world.clock.advance(MINTED_WITHIN / 1_000_000)
    aiming.end(clerk, "nobody minted it in time")
    assert aiming.row().trouble == "the kind `clerk`: no broker took it in hand (nobody minted it in time)"
    assert aiming.row().state is T.REFUSED


def test_a_target_that_can_t_end_what_is_open_is_refused(aiming: Aiming) -> None:
    clerk, _ = aiming.add().credentials
    aiming.mint(clerk)
    aiming.end(clerk)
    aiming.leave_open(clerk)
    assert (aiming.row().state, "can't be ended" in aiming.row().trouble) == (T.REFUSED, True)


def test_a_refused_target_is_ready_after_a_later_test_that_works(aiming: Aiming) -> None:
    aiming.fail(aiming.add().credentials[0])
    test = aiming.targets.test("default", "orders-db", BOB)
    aiming.work(test)
    assert (aiming.row().state, aiming.row().trouble, tuple(aiming.tools())) == (T.READY, "", TOOLS)
    begun = aiming.world.events("target-test-begun")
    assert [one["by"] for one in begun] == [OWNER.name, "bob"]


def test_a_ready_target_keeps_its_tools_when_a_later_test_fails_and_shows_why(aiming: Aiming) -> None:
    aiming.ready()
    before = aiming.tools()
    test = aiming.targets.test("default", "orders-db", BOB)
    aiming.fail(test.credentials[1], "it could not be minted: the server is gone")
    kept = aiming.row()
    assert (kept.state, aiming.tools()) == (T.READY, before)
    assert kept.trouble.endswith("the server is gone")
    aiming.work(aiming.targets.test("default", "orders-db", BOB))
    assert (aiming.row().trouble, aiming.tools()) == ("", before)
    tested = [(one["before"], one["after"]) for one in aiming.world.events("target-tested")]
    assert tested == [("untested", "ready"), ("ready", "ready"), ("ready", "ready")]


def test_the_canaries_of_an_earlier_test_count_for_nothing(aiming: Aiming) -> None:
    first = aiming.add()
    second = aiming.targets.test("default", "orders-db", BOB)
    aiming.work(first)
    assert aiming.row().state is T.UNTESTED
    for one in second.credentials:
        aiming.mint(one)
        aiming.end(one)
    aiming.revoke(second.credentials[0])
    assert aiming.row().state is T.UNTESTED
    aiming.revoke(second.credentials[1])
    assert aiming.row().state is T.READY


def test_a_canary_of_an_earlier_test_that_fails_refuses_nothing(aiming: Aiming) -> None:
    first = aiming.add()
    aiming.targets.test("default", "orders-db", BOB)
    aiming.fail(first.credentials[0])
    assert aiming.world.events("target-tested") == []


@pytest.mark.parametrize("other", [{"action": "act_9"}, {"action": "", "identity": "9" * 64}])
def test_what_is_no_canary_of_this_very_target_refuses_nothing(aiming: Aiming, other: dict[str, Any]) -> None:
    aiming.add()
    begun = aiming.row().begun
    assert begun is not None
    row = give(aiming, "b", S.JOURNALED, made=begun, **other)
    aiming.end(row.id)
    assert aiming.world.events("target-tested") == []


def test_a_canary_that_was_never_used_and_is_gone_makes_no_target_ready(aiming: Aiming) -> None:
    clerk, reader = aiming.add().credentials
    aiming.quiet = True
    aiming.end(clerk, "somebody revoked it")
    aiming.revoke(clerk)
    aiming.quiet = False
    aiming.mint(reader)
    aiming.end(reader)
    aiming.revoke(reader)
    assert (aiming.row().state, aiming.tools()) == (T.UNTESTED, {})


def test_two_tests_never_begin_at_one_instant(aiming: Aiming) -> None:
    aiming.ready()
    over = aiming.row().tested
    assert over is not None
    aiming.world.clock.at = over - 10
    aiming.targets.test("default", "orders-db", BOB)
    begun = aiming.row().begun
    assert begun is not None
    assert begun > over


def test_what_tasks_had_there_meanwhile_concludes_no_test(aiming: Aiming) -> None:
    aiming.add()
    row = give(aiming, "b", S.JOURNALED)
    aiming.move(row.id, lambda one, now: end_credential(one, "its task has ended", now))
    assert aiming.row().state is T.UNTESTED
    assert aiming.world.events("target-tested") == []


def test_a_canary_that_its_target_shows_again_opens_no_test(aiming: Aiming) -> None:
    test = aiming.ready()
    aiming.move(test.credentials[0], reappear)
    assert (aiming.row().state, aiming.row().trouble) == (T.READY, "")


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
    with aiming.means.store.read() as seen:
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
        set_owner(aiming.means, "default", name, "carol", actor=BOB, owns=False)
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
    with aiming.means.store.read() as seen:
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
    with pytest.raises(TargetInUseError, match="1 are looked at once more"):
        aiming.targets.remove("default", "orders-db", OWNER, owns=True)


def test_a_target_in_which_nothing_is_left_goes_with_its_tools_and_may_be_declared_anew(
    aiming: Aiming,
) -> None:
    aiming.ready()
    give(aiming, "b", S.REVOKED, due=NEVER)
    give(aiming, "c", S.UNSUPPORTED, due=NEVER)
    before = aiming.tools()
    aiming.targets.remove("default", "orders-db", BOB, owns=False)
    with aiming.means.store.read() as seen:
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
        Secrets(aiming.means).put(
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
    with aiming.means.store.read() as seen:
        assert answering(seen, aiming.row()) == ((), ("carol",))


def test_a_target_that_was_given_away_is_left_by_nobody_who_declared_it(aiming: Aiming) -> None:
    aiming.ready()
    for name in TOOLS:
        set_owner(aiming.means, "default", name, "carol", actor=BOB, owns=False)
    assert "targets_without_owner" not in leave(aiming, "bob")


def test_a_target_whose_owner_left_before_its_test_was_over_has_tools_that_nobody_owns(
    aiming: Aiming,
) -> None:
    test = aiming.add(declared(approvers=["bob", "carol"]))
    assert leave(aiming, "bob")["targets_without_owner"] == ["orders-db"]
    with aiming.means.store.read() as seen:
        assert answering(seen, aiming.row()) == ((), ("carol",))
    aiming.work(test)
    assert {one.owner for one in aiming.tools().values()} == {""}
    assert aiming.named() == dict.fromkeys(TOOLS, ("carol",))


def test_who_answers_for_a_target_is_who_answers_for_its_tools_now(aiming: Aiming) -> None:
    aiming.ready()
    set_owner(aiming.means, "default", TOOLS[0], "carol", actor=BOB, owns=False)
    set_approvers(aiming.means, "default", TOOLS[1], ("ann",), actor=OWNER, owns=True)
    with aiming.means.store.read() as seen:
        assert answering(seen, aiming.row()) == (("bob", "carol"), ("ann", "carol"))


def test_a_target_lives_and_goes_alike_in_every_store(store: Store) -> None:
    aiming = Aiming(store)
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
