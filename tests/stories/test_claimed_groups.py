from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.identity import NotOwnerError
from taskbound.core.identity.agent import OutsideGrantableError
from taskbound.core.identity.issuer import BadIssuerError
from taskbound.core.identity.sign_in import (
    LASTS,
)
from taskbound.core.task import TaskState
from taskbound.flows.approval.circle import lock_people, see_people
from taskbound.flows.identity import Groups
from taskbound.flows.identity.account import end_claims, set_issuer_groups
from taskbound.flows.identity.group import OF_ONE
from taskbound.flows.identity.leaving import People
from taskbound.flows.task import TaskOrder
from tests.sqlite import sqlite_store
from tests.world import ANN, scope_of

if TYPE_CHECKING:
    from taskbound.core.task import Task
    from taskbound.ports.store import Store

from tests.stories.signing import BOB, SPACE, Lobby

MOST = 50
PAYS = {
    "grants": [
        {"tool": "bank__pay", "arguments": {"to": {"one_of": ["bob"]}, "amount": {"range": {"max": MOST}}}}
    ]
}


@pytest.fixture
def lobby(store: Store) -> Lobby:
    return Lobby(store)


@pytest.fixture
def plain() -> Lobby:
    """On SQLite only: what it reads and refuses is no matter of the engine."""
    return Lobby(sqlite_store())


def payers(lobby: Lobby) -> None:
    """A group that may pay, and what the issuer's claim says."""
    made = Groups(lobby.world.adapters)
    made.add(SPACE, "payers", ANN, owns=True)
    made.set_grantable(SPACE, "payers", scope_of(PAYS), actor=ANN, owns=False)
    say(lobby, {"pay": "payers"})
    lobby.link("bob", "s-bob")


def say(lobby: Lobby, groups: dict[str, str], *, owns: bool = True, claim: str = "/groups") -> None:
    set_issuer_groups(
        lobby.world.adapters, SPACE, "corp", claim=claim, groups=groups.items(), actor=ANN, owns=owns
    )


def start(lobby: Lobby) -> Task:
    order = TaskOrder(namespace=SPACE, agent="coder", purpose="pay", seconds=100_000, scope=scope_of(PAYS))
    return lobby.world.tasks.start(order, BOB)


def test_a_sign_in_puts_people_in_the_groups_that_it_names_and_out_of_those_that_it_does_not(
    lobby: Lobby,
) -> None:
    payers(lobby)
    with pytest.raises(OutsideGrantableError):
        start(lobby)
    lobby.enter("s-bob", groups=["pay", "else"])
    assert lobby.group("payers").everyone == ("bob",)
    task = start(lobby)
    lobby.enter("s-bob", groups=["pay"])
    assert lobby.world.task(task).state is TaskState.RUNNING
    entered = lobby.enter("s-bob", groups=["else"])
    assert [one.task for one in entered.moved] == [task.id]
    assert lobby.world.task(task).state is TaskState.PAUSED
    assert lobby.group("payers").everyone == ()
    told = [(one["member"], one["person"], one["issuer"]) for one in lobby.world.events("group-claimed")]
    assert told == [(True, "bob", "corp"), (False, "bob", "corp")]


def test_a_membership_by_claim_ends_by_itself_with_the_task_that_rested_on_it(lobby: Lobby) -> None:
    payers(lobby)
    lobby.enter("s-bob", groups="pay")
    task = start(lobby)
    lobby.world.clock.advance(LASTS / 1_000_000 - 1)
    assert end_claims(lobby.world.adapters) == (0, [])
    lobby.world.clock.advance(1)
    count, moved = end_claims(lobby.world.adapters)
    assert (count, [one.task for one in moved]) == (1, [task.id])
    assert lobby.group("payers").everyone == ()
    assert lobby.world.events("group-claimed")[-1]["by"] == "daemon"


def test_an_issuer_puts_nobody_in_more_groups_than_one_may_be_in(plain: Lobby) -> None:
    payers(plain)
    groups = Groups(plain.world.adapters)
    names = [f"team-{one}" for one in range(OF_ONE)]
    for name in names:
        groups.add(SPACE, name, ANN, owns=True)
    for name in names[1:]:
        groups.set_member(SPACE, name, "bob", member=True, actor=ANN, owns=True)
    say(plain, {"one": "payers", "two": names[0]})
    plain.enter("s-bob", groups=["one", "two"])
    assert (plain.group("payers").everyone, plain.group(names[0]).everyone) == (("bob",), ())
    plain.enter("s-bob", groups=["one", "two"])
    assert (plain.group("payers").everyone, plain.group(names[0]).everyone) == (("bob",), ())


def test_a_claim_touches_no_membership_that_a_person_gave(lobby: Lobby) -> None:
    payers(lobby)
    groups = Groups(lobby.world.adapters)
    groups.set_member(SPACE, "payers", "bob", member=True, actor=ANN, owns=True)
    lobby.enter("s-bob", groups=["pay"])
    lobby.enter("s-bob")
    assert lobby.group("payers").members == ("bob",)
    lobby.enter("s-bob", groups=["pay"])
    groups.set_member(SPACE, "payers", "bob", member=False, actor=ANN, owns=True)
    assert lobby.group("payers").members == ()
    assert lobby.group("payers").everyone == ("bob",)
    groups.set_member(SPACE, "payers", "ann", member=True, actor=ANN, owns=True)
    assert lobby.group("payers").everyone == ("ann", "bob")


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"groups": None},
        {"groups": {"pay": True}},
        {"groups": ["pay", 1]},
        {"groups": "PAY"},
        {"groups": "pay "},
        {"groups": "pay,else"},
        {"groups": [["pay"]]},
        {"groups": True},
        {"deep": {"groups": ["pay"]}},
    ],
)
def test_a_claim_that_does_not_say_the_value_to_the_letter_puts_nobody_anywhere(
    plain: Lobby, claims: dict[str, Any]
) -> None:
    payers(plain)
    plain.enter("s-bob", **claims)
    assert plain.group("payers").everyone == ()


def test_a_claim_within_another_is_named_by_its_pointer_and_no_group_is_made_by_one(lobby: Lobby) -> None:
    payers(lobby)
    say(lobby, {"pay": "payers", "other": "no-such-group"}, claim="/https:~1~1corp.example~1roles/app")
    lobby.enter("s-bob", **{"https://corp.example/roles": {"app": ["pay", "other"]}})
    assert lobby.group("payers").everyone == ("bob",)
    with lobby.world.store.read() as seen:
        assert [one.name for one in seen.identities.groups(SPACE)] == ["payers"]


@pytest.mark.parametrize("how", ["mapping", "unlink", "leave"])
def test_memberships_by_claim_end_with_what_they_rest_on(lobby: Lobby, how: str) -> None:
    payers(lobby)
    lobby.enter("s-bob", groups=["pay"])
    task = start(lobby)
    match how:
        case "mapping":
            say(lobby, {"other": "payers"})
        case "unlink":
            lobby.unlink("bob", "s-bob")
        case _:
            People(lobby.world.adapters, lobby.world.views).leave(SPACE, "bob", BOB, owns=False, reason="")
    assert lobby.group("payers").everyone == ()
    assert lobby.world.task(task).state is TaskState.PAUSED


@pytest.mark.parametrize(
    ("claim", "groups"),
    [
        ("groups", {"a": "payers"}),
        ("/", {"a": "payers"}),
        ("/groups", {}),
        ("/groups", {"": "payers"}),
        ("/groups", {str(number): "payers" for number in range(65)}),
    ],
)
def test_a_mapping_that_can_not_be_is_refused(plain: Lobby, claim: str, groups: dict[str, str]) -> None:
    with pytest.raises(BadIssuerError):
        say(plain, groups, claim=claim)
    with pytest.raises(NotOwnerError):
        say(plain, {"a": "payers"}, owns=False)


def test_who_was_a_member_until_before_grants_nothing_though_nobody_has_ended_it(lobby: Lobby) -> None:
    payers(lobby)
    lobby.enter("s-bob", groups="pay")
    task = start(lobby)
    lobby.world.tasks.pause(SPACE, task.id, BOB, reason="for now")
    lobby.world.clock.advance(LASTS / 1_000_000)
    assert lobby.group("payers").everyone == ("bob",)
    with pytest.raises(OutsideGrantableError):
        start(lobby)
    with pytest.raises(OutsideGrantableError):
        lobby.world.tasks.resume(SPACE, task.id, BOB)
    with lobby.world.store.read() as snapshot:
        people = see_people(snapshot, SPACE, lobby.world.clock.now())
    assert [one.everyone for one in people.groups] == [()]
    locked = lobby.world.store.write(lambda tx: lock_people(tx, SPACE, lobby.world.clock.now()))
    assert locked.groups == people.groups


def test_a_membership_that_is_over_is_in_nobody_s_way(lobby: Lobby) -> None:
    payers(lobby)
    lobby.enter("s-bob", groups="pay")
    groups = Groups(lobby.world.adapters)
    groups.add(SPACE, "others", ANN, owns=True)
    groups.set_member(SPACE, "others", "bob", member=True, actor=ANN, owns=True)
    lobby.world.clock.advance(LASTS / 1_000_000)
    with pytest.raises(OutsideGrantableError):
        start(lobby)
    more = scope_of({"grants": [{"tool": "bank__pay", "others": "any"}]})
    groups.set_grantable(SPACE, "others", more, actor=ANN, owns=True)
    assert lobby.world.task(start(lobby)).state is TaskState.RUNNING
