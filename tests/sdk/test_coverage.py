from __future__ import annotations

import sys
import types
from typing import Any

import msgspec
import pytest

import taskbound
from taskbound import Client
from taskbound.sdk.guard.signature import definition_digest
from taskbound.sdk.tool.coverage.found import MOST, Coverage, Walk
from taskbound.sdk.tool.coverage.walk import cover
from tests.sdk import exposed
from tests.sdk.noted import note


def states(application: object) -> list[tuple[str, str]]:
    """Name and state of each tool."""
    return [(one.name, one.state) for one in cover(application, "app").tools]


def test_functions_that_guard_has_made_are_guarded_and_say_which_definition_is_compared() -> None:
    found = cover(exposed.GUARDED, "app").tools
    assert [(one.state, one.tool) for one in found] == [
        ("guarded", "notes__note"),
        ("guarded", "notes__note_later"),
        ("guarded", "notes__note"),
    ]
    assert found[0].definition == definition_digest(note.definition) == found[2].definition
    assert [one.place for one in found] == ["app[0]", "app[1]", "app[2]"]


def test_every_other_callable_is_unguarded_whatever_it_is_called() -> None:
    assert [state for _, state in states(exposed.BARE)] == ["unguarded"] * len(exposed.BARE)


@pytest.mark.parametrize("name", sorted(exposed.HIDDEN))
def test_what_looks_like_a_guarded_function_is_not_taken_for_one(name: str) -> None:
    (found,) = cover(exposed.HIDDEN[name], "app").tools
    assert (found.state, found.tool, found.definition) == ("unguarded", "", "")
    assert found.why


def test_what_stands_in_itself_is_looked_at_once() -> None:
    assert states(exposed.circle) == [("notes__note", "guarded")]


def test_what_is_no_tool_that_is_known_can_not_be_told() -> None:
    assert states([None, 5, "note", object(), note, {"type": "web_search"}, {"notes": note}]) == [
        ("app[0]", "untold"),
        ("app[1]", "untold"),
        ("app[2]", "untold"),
        ("app[3]", "untold"),
        ("notes__note", "guarded"),
        ("web_search", "untold"),
        ("notes__note", "guarded"),
    ]


def test_what_a_program_writes_its_tools_with_is_none_of_them() -> None:
    def carry() -> None:
        """Carry nothing, under a name of ours."""

    carry.__module__, carry.__qualname__ = taskbound.carry.__module__, "carry"
    module: Any = types.ModuleType("desk")
    vars(module).update(note=note, guard=taskbound.guard, carry=taskbound.carry, acarry=taskbound.acarry)
    assert states(module) == [("notes__note", "guarded")]
    module.other = carry
    assert states(module)[1:] == [("carry", "unguarded")]
    module.__all__ = ["guard"]
    assert states(module) == [("guard", "unguarded")]


def test_a_module_is_what_it_says_it_exposes_or_everything_in_it_that_can_be_called() -> None:
    module: Any = types.ModuleType("desk")
    vars(module).update(note=note, plain=print, _own=print, Kind=object, five=5)
    assert states(module) == [("notes__note", "guarded"), ("print", "unguarded")]
    module.__all__ = ["note", "missing"]
    assert states(module) == [("notes__note", "guarded"), ("app.missing", "untold")]


def test_an_object_that_makes_its_attributes_up_is_not_asked_for_them() -> None:
    asked = []

    class Up:
        def __getattribute__(self, name: str) -> Any:
            asked.append(name)
            return note

        def __call__(self) -> None:
            raise AssertionError

    assert states(Up()) == [("Up", "unguarded")]
    assert asked == []


def test_texts_of_an_application_are_bounded_and_can_be_written_down() -> None:
    def plain() -> None:
        raise AssertionError

    plain.__name__ = "\ud800" + "n" * 1000
    found = cover({"k" * 2000: plain}, "app")
    (one,) = found.tools
    assert len(one.name) < 250
    assert len(one.place) < 450
    assert msgspec.json.decode(msgspec.json.encode(found), type=Coverage) == found


def test_more_tools_than_can_be_told_are_no_covered_application() -> None:
    found = cover([note] * (MOST + 5), "app").tools
    assert len(found) == MOST + 1
    assert (found[-1].name, found[-1].state) == ("(more)", "untold")
    assert {one.state for one in found[:-1]} == {"guarded"}


def test_a_look_loads_no_framework() -> None:
    before = set(sys.modules)
    cover([note, print], "app")
    assert set(sys.modules) == before


@pytest.mark.parametrize("function", [exposed.mine, exposed.plain, None], ids=["kind", "plain", "none"])
def test_an_adapters_tool_that_holds_something_else_is_unguarded(function: object) -> None:
    walk = Walk()
    walk.guarded(function, object(), "app", name="note")
    assert [(one.name, one.state) for one in walk.found] == [("note", "unguarded")]


def test_a_function_that_is_guarded_by_the_client_that_programs_import_is_guarded() -> None:
    guarded = Client(agent="helper").guard(server="notes", tool="plain")(exposed.plain)
    assert states(guarded) == [("notes__plain", "guarded")]
