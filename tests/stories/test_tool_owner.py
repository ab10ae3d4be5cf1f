from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.identity import NotOwnerError, UnknownIdentityError
from taskbound.core.tool import Effect, ServerIdentity, parse_definition
from taskbound.flows.decision.errors import UnknownToolError
from taskbound.flows.identity import register_person
from taskbound.flows.identity.leaving import People
from taskbound.flows.tool import Declaration
from taskbound.flows.tool.applying import ToolDeclaration, set_owner
from taskbound.flows.tool.errors import RelaxesError
from tests.peers.people import OWNER, actor_of
from tests.stories.test_tool import see
from tests.stories.test_tool_file import apply, say, tool
from tests.world import ANN, LOOK, PAY, World, code_of

if TYPE_CHECKING:
    from taskbound.core.task import Task
    from taskbound.flows.means import Actor
    from taskbound.ports.store import Store, Transaction

BOB = actor_of("bob")
BANK = ServerIdentity(namespace="default", command="/b", resolved="/b", sha256="0" * 64)
LOOKED = ("bank__look", {"path": "/srv/a"})


@pytest.fixture
def world(store: Store) -> World:
    made = World(store=store)
    made.settle_in()
    register_person(made.adapters, "default", "bob", uid=1001, actor=ANN)
    return made


@pytest.fixture
def task(world: World) -> Task:
    return world.start()


def give(
    world: World, owner: str, actor: Actor = ANN, *, name: str = "bank__pay", owns: bool = False
) -> None:
    set_owner(world.adapters, "default", name, owner, actor=actor, owns=owns)
    world.views.forget()


def leave(world: World, name: str) -> None:
    People(world.adapters, world.views).leave("default", name, actor_of(name), owns=False, reason="")


def owned(name: str, owner: str) -> ToolDeclaration:
    return replace(say(name), owner=owner)


def test_whoever_pins_a_server_owns_its_tools_and_the_record_says_so(world: World) -> None:
    assert (tool(world).owner, tool(world, "bank__look").owner) == ("ann", "ann")
    assert [one["owner"] for one in world.events("tool-pinned")] == ["ann", "ann"]


def test_what_an_account_pinned_before_it_was_a_person_s_is_that_person_s(store: Store) -> None:
    world = World(store=store)
    world.pins.add("bank", BANK, b"{}", [json.dumps(PAY).encode()], agents=(), actor=actor_of("uid:1000"))
    assert tool(world).owner == "uid:1000"
    register_person(world.adapters, "default", "bob", uid=1001, actor=OWNER)
    assert tool(world).owner == "uid:1000"
    register_person(world.adapters, "default", "ann", uid=1000, actor=OWNER)
    assert tool(world).owner == "ann"


def test_a_tool_that_acts_is_refused_once_its_owner_has_left_and_one_that_reads_goes_on(
    world: World, task: Task
) -> None:
    give(world, "bob")
    give(world, "bob", name="bank__look")
    assert code_of(world.ask(task)) == "permit"
    leave(world, "bob")
    assert (tool(world).owner, tool(world, "bank__look").owner) == ("", "")
    assert world.monitor.messages[-1]["tools_without_owner"] == ["bank__look", "bank__pay"]
    assert code_of(world.ask(task)) == "tool-without-owner"
    assert code_of(world.ask(task, *LOOKED)) == "permit"
    refused = [one for one in world.events("action-decided") if one["decision"] == "refuse"]
    assert len(refused) == 1
    assert any("tool-without-owner" in reason for reason in refused[0]["reasons"])
    People(world.adapters, world.views).come_back("default", "bob", OWNER, owns=True)
    assert code_of(world.ask(task)) == "tool-without-owner", "coming back gives no tool back"
    give(world, "bob", OWNER, owns=True)
    assert code_of(world.ask(task)) == "permit"
    changed = [(one["before"], one["owner"]) for one in world.events("tool-owner-changed")]
    assert changed == [("ann", "bob"), ("ann", "bob"), ("bob", ""), ("bob", ""), ("", "bob")]


def test_an_owner_who_leaves_through_another_daemon_is_missed_at_once(world: World, task: Task) -> None:
    give(world, "bob")
    assert code_of(world.ask(task)) == "permit"
    leave(world.beside(), "bob")
    assert code_of(world.ask(task)) == "tool-without-owner"


def test_an_owner_who_leaves_while_a_decision_waits_wins(world: World, task: Task) -> None:
    give(world, "bob")
    assert code_of(world.ask(task)) == "permit"
    other, call = world.beside(), world.call(task)
    world.meanwhile(lambda: leave(other, "bob"))
    (answer,) = world.decisions.decide([call])
    assert code_of(answer) == "tool-without-owner"


def test_somebody_who_is_no_person_or_has_left_owns_nothing_whatever_the_row_says(
    world: World, task: Task
) -> None:
    leave(world, "bob")
    for owner in ("bob", "nobody"):

        def write(tx: Transaction, owner: str = owner) -> None:
            pin = tx.tools.tool("default", "bank__pay")
            assert pin is not None
            tx.tools.put_tool(replace(pin, owner=owner, version=pin.version + 1), expect=pin.version)

        world.store.write(write)
        world.views.forget()
        assert code_of(world.ask(task)) == "tool-without-owner"


def test_an_effect_that_a_person_declared_counts_for_whether_an_owner_is_needed(
    world: World, task: Task
) -> None:
    give(world, "bob")
    give(world, "bob", name="bank__look")
    leave(world, "bob")
    apply(world, say("bank__pay", effect=Effect.READ), say("bank__look", effect=Effect.WRITE), relax=True)
    assert code_of(world.ask(task)) != "tool-without-owner"
    assert code_of(world.ask(task, *LOOKED)) == "tool-without-owner"


def test_an_owner_gives_a_tool_away_and_where_nobody_is_the_data_directory_s_account_does(
    world: World,
) -> None:
    with pytest.raises(NotOwnerError):
        give(world, "bob", BOB)
    with pytest.raises(NotOwnerError):
        give(world, "bob", OWNER, owns=True)
    with pytest.raises(UnknownIdentityError):
        give(world, "mallory")
    with pytest.raises(UnknownToolError):
        give(world, "bob", name="bank__other")
    assert (tool(world).owner, world.events("tool-owner-changed")) == ("ann", [])
    give(world, "bob")
    with pytest.raises(NotOwnerError):
        give(world, "ann")
    leave(world, "bob")
    with pytest.raises(NotOwnerError):
        give(world, "ann")
    with pytest.raises(UnknownIdentityError):
        give(world, "bob", OWNER, owns=True)
    give(world, "ann", OWNER, owns=True)
    assert tool(world).owner == "ann"


def test_a_tool_file_says_who_owns_a_tool_and_is_applied_whole_or_not_at_all(world: World) -> None:
    sayings = (owned("bank__pay", "bob"), say("bank__look", effect=Effect.WRITE))
    for wrong in ("mallory", "carl"):
        with pytest.raises(UnknownIdentityError, match=wrong):
            apply(world, owned("bank__pay", wrong), sayings[1])
    with pytest.raises(NotOwnerError):
        apply(world, *sayings, actor=BOB)
    assert (tool(world).owner, tool(world, "bank__look").effect) == ("ann", "")
    found = apply(world, *sayings, owns=False)
    assert [(one.what, one.before, one.after, one.relaxes) for one in found.changes] == [
        ("effect", "read", "write", False),
        ("owner", "ann", "bob", False),
    ]
    assert len(world.events("tool-declared")) == 1
    (event,) = world.events("tool-owner-changed")
    assert (event["tool"], event["before"], event["owner"], event["by"]) == ("bank__pay", "ann", "bob", "ann")
    before = tool(world)
    assert apply(world, *sayings, owns=False).changes == ()
    assert tool(world) == before


def test_an_owner_where_nobody_was_relaxes_and_needs_the_word_for_it(world: World, task: Task) -> None:
    give(world, "bob")
    leave(world, "bob")
    with pytest.raises(RelaxesError):
        apply(world, owned("bank__pay", "ann"))
    assert code_of(world.ask(task)) == "tool-without-owner"
    apply(world, owned("bank__pay", "ann"), relax=True)
    assert code_of(world.ask(task)) == "permit"


def test_what_is_declared_or_accepted_of_a_tool_leaves_its_owner(world: World) -> None:
    give(world, "bob")
    world.sights.declare("default", "bank__pay", tool(world).digest, ANN, Declaration(idempotent=True))
    see(world, PAY | {"description": "Pays twice."}, LOOK)
    world.sights.accept("default", "bank__pay", seen_digest(world), ANN)
    assert tool(world).owner == "bob"


def seen_digest(world: World) -> str:
    _, difference = world.sights.difference("default", "bank__pay")
    assert difference.state == "text-changed"
    return parse_definition(tool(world).seen).digest
