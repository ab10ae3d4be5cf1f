from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.identity import UnknownIdentityError
from taskbound.core.tool import Effect, parse_definition
from taskbound.core.tool.file import BadRoleError
from taskbound.flows.decision.errors import UnknownToolError
from taskbound.flows.identity import register_person
from taskbound.flows.identity.leaving import NotSelfError
from taskbound.flows.tool import Declaration, UnknownServerError
from taskbound.flows.tool.applying import FileDeclaration, ToolDeclaration, apply_file, compare_file
from taskbound.flows.tool.errors import NotIdempotentError, OtherChangesError, RelaxesError
from tests.sqlite import sqlite_store
from tests.stories.test_retries import lost
from tests.stories.test_tool import see
from tests.world import ANN, LOOK, PAY, World, code_of

if TYPE_CHECKING:
    from taskbound.flows.tool.applying import Applied
    from taskbound.ports.store import Store
    from taskbound.ports.tool import PinnedServer, PinnedTool

READ = (ToolDeclaration(name="bank__pay", said=Declaration(effect=Effect.READ)),)


@pytest.fixture
def world(store: Store) -> World:
    made = World(store=store)
    made.settle_in()
    return made


def say(name: str, approvers: tuple[str, ...] | None = None, **said: Any) -> ToolDeclaration:
    return ToolDeclaration(name=name, said=Declaration(**said), approvers=approvers)


def tool(world: World, name: str = "bank__pay") -> PinnedTool:
    with world.store.read() as snapshot:
        found = snapshot.tools.tool("default", name)
    assert found is not None
    return found


def apply(world: World, *sayings: ToolDeclaration, owns: bool = True, **more: Any) -> Applied:
    said = FileDeclaration(server="bank", tools=sayings, shareable=more.pop("shareable", None))
    agreed = compare_file(world.adapters, "default", said).digest
    told: dict[str, Any] = {"agreed": agreed, "relax": False, "actor": ANN, "owns": owns} | more
    found = apply_file(world.adapters, "default", said, **told)
    world.views.forget()
    return found


def records(world: World) -> int:
    return len(world.events("tool-declared")) + len(world.events("tool-approvers-changed"))


def test_a_file_is_applied_whole_with_a_record_for_each_change_and_twice_is_once(world: World) -> None:
    sayings = (
        say(
            "bank__pay", idempotent=False, roles=("amount=amount", "to=recipient"), effect=Effect.DESTRUCTIVE
        ),
        say("bank__look", approvers=("ann",)),
    )
    with pytest.raises(RelaxesError):  # approvers where nobody was named
        apply(world, *sayings)
    assert records(world) == 0
    found = apply(world, *sayings, relax=True)
    assert [(one.tool, one.what) for one in found.changes] == [
        ("bank__look", "approvers"),
        ("bank__pay", "roles"),
    ]
    assert tool(world).roles == ("amount=amount", "to=recipient")
    (event,) = world.events("tool-declared")
    assert (event["tool"], event["roles"], event["by"]) == ("bank__pay", list(tool(world).roles), "ann")
    (other,) = world.events("tool-approvers-changed")
    assert (other["tool"], other["approvers"]) == ("bank__look", ["ann"])
    before = (tool(world), tool(world, "bank__look"))
    again = apply(world, *sayings)
    assert again.changes == ()
    assert records(world) == 2
    assert (tool(world), tool(world, "bank__look")) == before, "what changes nothing writes nothing"


def test_what_relaxes_needs_a_person_s_word_and_then_policy_goes_by_it(world: World) -> None:
    before = tool(world)
    with pytest.raises(RelaxesError):
        apply(world, *READ)
    assert (tool(world), records(world)) == (before, 0)
    apply(world, *READ, relax=True)
    assert tool(world).effect == "read"
    (event,) = world.events("tool-declared")
    assert event["effect"] == "read"
    apply(world, say("bank__pay", effect=Effect.DESTRUCTIVE))


def test_a_call_is_decided_with_the_effect_that_was_declared() -> None:
    world = World(store=sqlite_store())
    task = world.settle_in()
    lost(world, task)
    assert code_of(world.ask(task)) == "hold"
    apply(world, *READ, relax=True)
    assert code_of(world.ask(task)) == "permit", "what only reads may be asked again"


def test_only_what_was_shown_is_applied(world: World) -> None:
    shown = compare_file(world.adapters, "default", FileDeclaration(server="bank", tools=READ)).digest
    world.sights.declare("default", "bank__pay", tool(world).digest, ANN, Declaration(effect=Effect.WRITE))
    before = records(world)
    with pytest.raises(OtherChangesError):
        apply(world, *READ, agreed=shown, relax=True)
    assert (tool(world).effect, records(world)) == ("write", before)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (say("bank__pray", effect=Effect.DESTRUCTIVE), UnknownToolError),
        (say("bank__pay", roles=("account=recipient",)), BadRoleError),
        (say("bank__pay", roles=("to",)), BadRoleError),
        (say("bank__pay", approvers=("mallory",)), UnknownIdentityError),
    ],
)
def test_one_bad_word_leaves_all_as_it_was(
    world: World, bad: ToolDeclaration, error: type[Exception]
) -> None:
    with pytest.raises(error):
        apply(world, say("bank__look", effect=Effect.WRITE), bad, relax=True)
    assert (tool(world, "bank__look").effect, records(world)) == ("", 0)


def test_a_tool_of_another_server_or_one_that_is_said_twice_is_refused(world: World) -> None:
    with pytest.raises(UnknownServerError):
        compare_file(world.adapters, "default", FileDeclaration(server="shop", tools=()))
    with pytest.raises(UnknownToolError):
        apply(world, say("bank__pay", effect=Effect.WRITE), say("bank__pay", effect=Effect.READ))


def test_approvers_are_said_by_the_account_that_owns_the_data_directory(world: World) -> None:
    with pytest.raises(NotSelfError):
        apply(world, say("bank__pay", approvers=("ann",)), owns=False, relax=True)
    assert records(world) == 0
    apply(world, say("bank__pay", roles=("to=recipient",)), owns=False)


def test_a_file_makes_no_tool_idempotent_that_says_it_is_not() -> None:
    world = World(store=sqlite_store())
    world.add_bank(PAY | {"annotations": {"idempotentHint": False}})
    register_person(world.adapters, "default", "ann", uid=1000, actor=ANN)
    with pytest.raises(NotIdempotentError):
        apply(world, say("bank__pay", idempotent=True), relax=True)


def test_what_was_declared_falls_with_its_definition(world: World) -> None:
    apply(world, say("bank__pay", effect=Effect.READ, roles=("to=recipient",), unwatched=True), relax=True)
    see(world, PAY | {"annotations": {}}, LOOK)
    assert (tool(world).effect, tool(world).roles, tool(world).unwatched) == ("read", ("to=recipient",), True)
    seen = parse_definition(tool(world).seen).digest
    world.sights.accept("default", "bank__pay", seen, ANN)
    assert (tool(world).effect, tool(world).roles, tool(world).unwatched) == ("", (), False)


def test_a_server_is_declared_shareable_by_the_word_for_what_relaxes_and_stays_who_it_is(
    world: World,
) -> None:
    def server() -> PinnedServer:
        with world.store.read() as snapshot:
            found = snapshot.tools.server("default", "bank")
        assert found is not None
        return found

    before = server()
    with pytest.raises(RelaxesError):
        apply(world, shareable=True)
    assert server() == before
    apply(world, shareable=True, relax=True)
    assert json.loads(server().spec) == {"shareable": True}
    assert server().identity == before.identity
    assert apply(world, shareable=True).changes == ()
    apply(world, shareable=False)
    assert json.loads(server().spec) == {"shareable": False}
    assert [one["shareable"] for one in world.events("upstream-declared")] == [True, False]
