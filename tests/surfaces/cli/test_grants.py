from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from taskbound.core.scope import Covered, NotCovered, cover
from taskbound.core.tool import Effect, parse_definitions
from taskbound.surfaces.cli.init.scope import Offer, build_scope, offers_of, outermost, parse_root
from taskbound.surfaces.cli.reading import BadInputError

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.core.action.canonical import JsonValue


def offers(*tools: dict[str, object]) -> tuple[Offer, ...]:
    raws = [json.dumps(one).encode() for one in tools]
    return offers_of("fs", parse_definitions(raws, server="fs"))


def tool(name: str, properties: dict[str, object], **more: object) -> dict[str, object]:
    schema = {"type": "object", "properties": properties, "required": more.pop("required", [])}
    return {"name": name, "inputSchema": schema, **more}


READ = {"readOnlyHint": True}


def test_path_arguments_are_known_by_their_names_and_types() -> None:
    (one,) = offers(
        tool(
            "x",
            {
                "repo_path": {"type": "string"},
                "path": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "outputDir": {"type": ["string", "null"]},
                "files": {"type": "array", "items": {"type": "string"}},
                "profile": {"type": "string"},
                "query": {"type": "string"},
                "path_count": {"type": "integer"},
                "max_path": {"type": "integer"},
            },
        )
    )
    assert one.paths == ("files", "outputDir", "path", "repo_path")


def test_only_tools_that_say_they_destroy_nothing_are_ticked_at_first() -> None:
    silent, writes, reads = offers(
        tool("silent", {}),
        tool("writes", {}, annotations={"destructiveHint": False}),
        tool("reads", {}, annotations=READ),
    )
    assert (silent.effect, silent.ticked(free=False)) == (Effect.DESTRUCTIVE, False)
    assert (writes.effect, writes.ticked(free=False)) == (Effect.WRITE, True)
    assert (reads.effect, reads.ticked(free=False)) == (Effect.READ, True)


def test_a_ticked_tool_is_covered_below_each_root_and_nowhere_else() -> None:
    some = offers(tool("read", {"path": {"type": "string"}, "n": {"type": "integer"}}, required=["path"]))
    scope = build_scope(some, ["/srv/a", "/srv/b"])
    for inside in ("/srv/a/x", "/srv/b"):
        assert isinstance(cover(scope, "fs__read", {"path": inside, "n": 3}, None), Covered)
    for outside in ("/srv", "/srv/ab", "/srv/a/../c", "relative"):
        assert isinstance(cover(scope, "fs__read", {"path": outside}, None), NotCovered)
    assert isinstance(cover(scope, "fs__read", {}, None), NotCovered), "a required path must be there"
    assert isinstance(cover(scope, "fs__write", {"path": "/srv/a"}, None), NotCovered)


def test_a_tool_with_one_path_has_one_grant_and_a_refusal_names_every_root() -> None:
    some = offers(tool("read", {"path": {"type": "string"}}, required=["path"]))
    scope = build_scope(some, ["/srv/b", "/srv/a", "/srv/a/x"])
    assert len(scope.grants) == 1
    missed = cover(scope, "fs__read", {"path": "/etc"}, None)
    assert isinstance(missed, NotCovered)
    (sentence,) = missed.sentences
    assert all(f'below `"{root}"`' in sentence for root in ("/srv/a", "/srv/b"))
    assert "/srv/a/x" not in sentence, "it lies below another one"


def test_roots_below_another_root_are_left_out() -> None:
    assert outermost(["/srv/a/b", "/srv/ab", "/srv/a", "/srv/a"]) == ("/srv/a", "/srv/ab")
    assert outermost(["/etc", "/"]) == ("/",)


def test_a_path_that_need_not_be_there_may_be_left_out() -> None:
    scope = build_scope(offers(tool("list", {"path": {"type": "string"}})), ["/srv/a"])
    assert isinstance(cover(scope, "fs__list", {}, None), Covered)
    assert isinstance(cover(scope, "fs__list", {"path": "/etc"}, None), NotCovered)


def test_two_paths_of_one_call_must_lie_below_the_same_root() -> None:
    both: dict[str, object] = {"source_path": {"type": "string"}, "target_path": {"type": "string"}}
    scope = build_scope(offers(tool("move", both, required=["source_path", "target_path"])), ["/a", "/b"])
    assert isinstance(cover(scope, "fs__move", {"source_path": "/a/x", "target_path": "/a/y"}, None), Covered)
    assert isinstance(
        cover(scope, "fs__move", {"source_path": "/a/x", "target_path": "/b/y"}, None), NotCovered
    )


def test_what_init_writes_can_be_a_ceiling() -> None:
    scope = build_scope(offers(tool("list", {"path": {"type": "string"}})), ["/srv/a"])
    assert b"uses" not in scope.canonical
    assert b"total" not in scope.canonical


def test_nothing_ticked_is_refused() -> None:
    with pytest.raises(BadInputError):
        build_scope((), ["/srv"])


def test_a_root_is_an_existing_directory_in_its_normal_form(tmp_path: Path) -> None:
    assert parse_root(f"{tmp_path}/x/../") == str(tmp_path)
    assert parse_root(f"/{tmp_path}") == str(tmp_path)
    with pytest.raises(BadInputError, match="no directory"):
        parse_root(str(tmp_path / "none"))


TEXT = {"type": "string"}
HOSTILE: dict[str, object] = {
    "path": TEXT,
    "PATH": TEXT,
    "repoPath": TEXT,
    "paths": {"type": "array", "items": TEXT},
    "source": {**TEXT, "description": "Path to copy from"},
    "edits": {"type": "array", "items": {"type": "object", "properties": {"path": TEXT, "text": TEXT}}},
    "one": {"anyOf": [{"type": "object", "properties": {"file": TEXT}}, {"type": "null"}]},
    "uri": TEXT,
    "some_file": {"anyOf": [TEXT, {"type": "array", "items": TEXT}]},
}


@pytest.mark.parametrize("roots", [("/srv/a",), ("/srv/a", "/srv/b")])
@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ({"path": "/srv/a/x"}, {"path": "/etc/passwd"}),
        ({"PATH": "/srv/a/x"}, {"PATH": "/srv/a/../c"}),
        ({"repoPath": "/srv/a"}, {"repoPath": "/"}),
        ({"paths": ["/srv/a/x", "/srv/a/y"]}, {"paths": ["/srv/a/x", "/etc/passwd"]}),
        ({"source": "/srv/a/x"}, {"source": "~/x"}),
        (
            {"edits": [{"path": "/srv/a/x", "text": "/etc"}]},
            {"edits": [{"path": "/srv/a/x"}, {"path": "/etc"}]},
        ),
        ({"edits": [{"text": "t"}]}, {"edits": {"path": "/etc"}}),
        ({"one": {"file": "/srv/a/x"}}, {"one": {"file": "/etc"}}),
        ({"uri": "https://example.com/etc"}, {"uri": "file:///etc/passwd"}),
        ({"some_file": "/srv/a/x"}, {"some_file": "/etc"}),
        ({"some_file": ["/srv/a/x"]}, {"some_file": ["/etc"]}),
        ({}, {"paths": "/srv/a/x\0"}),
    ],
)
def test_call_is_covered_inside_of_the_roots_and_refused_outside_at_every_place(
    roots: tuple[str, ...], inside: dict[str, JsonValue], outside: dict[str, JsonValue]
) -> None:
    scope = build_scope(offers(tool("do", HOSTILE)), roots)
    assert isinstance(cover(scope, "fs__do", inside, None), Covered)
    assert isinstance(cover(scope, "fs__do", outside, None), NotCovered)


def test_required_place_inside_of_an_object_must_be_there() -> None:
    item = {"type": "object", "properties": {"path": TEXT}, "required": ["path"]}
    some = offers(tool("do", {"edits": {"type": "array", "items": item}}, required=["edits"]))
    scope = build_scope(some, ["/srv/a"])
    assert isinstance(cover(scope, "fs__do", {"edits": [{}]}, None), NotCovered)
    assert isinstance(cover(scope, "fs__do", {}, None), NotCovered)


def test_tool_with_a_possible_path_is_ticked_only_where_paths_are_free() -> None:
    (one,) = offers(tool("run", {"command": TEXT}, annotations=READ))
    assert (one.doubts, one.ticked(free=False), one.ticked(free=True)) == (("command",), False, True)
