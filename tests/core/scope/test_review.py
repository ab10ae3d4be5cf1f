from __future__ import annotations

import json
from typing import Any

import pytest

from taskbound.core.action.canonical import JsonValue
from taskbound.core.scope import parse_scope
from taskbound.core.scope.review import Remark, Weight, against_pinned, breadth, never
from taskbound.core.tool import ToolDefinition, parse_definition

TOOLS: dict[str, ToolDefinition] = {
    f"fs__{one['name']}": parse_definition(json.dumps(one).encode())
    for one in (
        {
            "name": "read",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "path": {"type": "string"},
                    "options": {"type": "object", "properties": {"encoding": {"default": "utf-8"}}},
                    "files": {"type": "array", "items": {"properties": {"name": {}}}},
                },
                "required": ["path"],
            },
            "annotations": {"readOnlyHint": True},
        },
        {"name": "drop", "inputSchema": {"type": "object", "properties": {"table": {}, "cascade": {}}}},
        {
            "name": "open",
            "inputSchema": {"type": "object", "properties": {"x": {}}, "anyOf": [{"required": ["y"]}]},
        },
    )
}


def grant(tool: str = "fs__read", **more: Any) -> dict[str, Any]:
    return {"tool": tool, "uses": 1, **more}


def of(*rules: Any, name: str = "p") -> set[str]:
    return codes(grant(arguments={name: rules[0]}))


def codes(*grants: dict[str, Any]) -> set[str]:
    return {one.code for one in breadth(parse_scope({"grants": list(grants)}))}


def pinned(**more: Any) -> tuple[Remark, ...]:
    return against_pinned(parse_scope({"grants": [grant(**more)]}), TOOLS)


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({"any": True}, "any-value"),
        ({"not_one_of": ["a"]}, "all-but"),
        ({"below": "/"}, "below-root"),
        ({"glob": "**"}, "glob-all"),
        ({"cidr": ["0.0.0.0/0"]}, "every-address"),
        ({"host": {"ip": ["::/0"]}}, "every-address"),
        ({"host": ["*.com"]}, "every-host"),
        ({"url": {"names": ["*.com"]}}, "every-host"),
        ({"range": {"min": 1}}, "range-no-max"),
        ({"range": {"max": 1}}, "range-no-min"),
        ({"date_time": {"min": "2026-01-01"}}, "time-no-end"),
        ({"prefix": "/home/u"}, "prefix-path"),
        ({"prefix": "https://a.example"}, "prefix-url"),
        ({"contains": {"equals": 1}}, "contains-others"),
        ({"each": {"any": True}}, "any-value"),
        ({"any_of": [{"equals": 1}, {"range": {"min": 5}}]}, "range-no-max"),
    ],
)
def test_what_a_rule_leaves_open_is_said(rule: Any, code: str) -> None:
    assert of(rule) == {code}


@pytest.mark.parametrize(
    "rule",
    [
        {"equals": 1},
        {"one_of": [1, 2]},
        {"below": "/home/u"},
        {"glob": "src/*.py"},
        {"cidr": ["10.0.0.0/8"]},
        {"host": ["*.example.com", "a.example"]},
        {"range": {"min": 1, "max": 2}},
        {"date_time": {"max": "2026-01-01"}},
        {"prefix": "INV-"},
        {"all_of": [{"range": {"min": 1}}, {"range": {"max": 2}}]},
        {"all_of": [{"not_one_of": ["a"]}, {"length": {"max": 3}}]},
    ],
)
def test_what_is_narrow_is_not_called_broad(rule: Any) -> None:
    assert of(rule) == set()


def test_a_prefix_on_an_argument_that_is_named_like_a_path_is_said() -> None:
    assert of({"prefix": "home"}, name="file_path") == {"prefix-path"}
    assert of({"prefix": "home"}, name="title") == set()


def test_open_arguments_and_open_numbers_of_uses_are_said() -> None:
    assert codes({"tool": "a__b", "others": "any"}) == {"others-any", "uses-unlimited"}
    assert codes({"tool": "a__b", "rate": {"uses": 1, "seconds": 60}}) == set()
    assert codes({"tool": "a__b", "uses": 1}) == set()


def test_what_has_a_total_needs_no_bound() -> None:
    rule = {"n": {"range": {"max": 500}}}
    assert codes(grant(arguments=rule)) == {"range-no-min"}
    assert codes(grant(arguments=rule, total={"n": {"limit": 9, "exponent": 0}})) == set()


def test_grants_whose_limits_add_up_are_said() -> None:
    one = grant(arguments={"p": {"range": {"min": 1, "max": 5}}})
    assert codes(one, grant(arguments={"p": {"range": {"min": 5, "max": 9}}})) == {"overlap"}
    assert codes(one, grant(arguments={"p": {"range": {"min": 6, "max": 9}}})) == set()
    three: list[JsonValue] = [grant(arguments={"p": {"range": {"min": 1, "max": top}}}) for top in (5, 6, 7)]
    told = [one.sentence for one in breadth(parse_scope({"grants": three}))]
    assert told == [
        "g1: covers calls that `g0` covers too: their limits add up",
        "g2: covers calls that `g0`, `g1` covers too: their limits add up",
    ]
    assert "overlap" not in codes({"tool": "a__b", "others": "any"}, {"tool": "a__b"}), "no limit adds up"


def test_grants_that_are_too_many_to_compare_are_said_to_be() -> None:
    many = [grant(arguments={"p": {"equals": n}}) for n in range(300)]
    assert codes(*many) == {"overlap-unknown"}
    assert codes(*many[:100]) == set()


def test_a_tool_or_argument_that_is_misspelt_is_named_with_the_near_one() -> None:
    (tool,) = pinned(tool="fs__raed")
    assert (tool.code, tool.weight) == ("unknown-tool", Weight.MISTAKE)
    assert tool.sentence == "g0: `fs__raed` is no pinned tool; is `fs__read` meant?"
    (argument,) = pinned(arguments={"path": {"below": "/d"}, "pahts": {"any": True}})
    assert (argument.code, argument.path) == ("unknown-argument", "pahts")
    assert argument.sentence.endswith("it has no `pahts`; is `path` meant?")
    (deep,) = pinned(arguments={"path": {"below": "/d"}, "options.encodnig": {"equals": "x"}})
    assert deep.text.endswith("is `encoding` meant?")
    (item,) = pinned(arguments={"path": {"below": "/d"}, "files[*].nmae": {"equals": "x"}})
    assert item.text.endswith("is `name` meant?")


def test_what_a_schema_does_not_say_plainly_is_no_mistake() -> None:
    assert pinned(tool="fs__open", arguments={"y": {"equals": 1}}) == ()
    assert pinned(arguments={"path": {"below": "/d"}, "files[*].name": {"equals": "x"}}) == ()


def test_a_grant_that_covers_no_valid_call_is_a_mistake() -> None:
    (found,) = pinned(arguments={})
    assert (found.code, "`path`" in found.text) == ("never-callable", True)
    assert pinned(arguments={}, others="any") == ()
    schema = {"type": "object", "properties": {"p": {"default": 1}}, "required": ["p"]}
    tools = {"a__b": parse_definition(json.dumps({"name": "b", "inputSchema": schema}).encode())}
    scope = parse_scope({"grants": [grant("a__b")]})
    assert against_pinned(scope, tools) == (), "its default is what the grant lets pass"


def test_what_may_destroy_something_is_said_where_the_grant_leaves_something_open() -> None:
    (optional,) = pinned(tool="fs__drop", arguments={"cascade": {"equals": False}}, optional=["cascade"])
    assert (optional.code, "up to the server" in optional.text) == ("destructive-optional", True)
    (others,) = pinned(tool="fs__drop", others="any")
    assert others.code == "destructive"
    assert pinned(tool="fs__drop", arguments={"cascade": {"equals": False}}) == ()


def test_what_a_scope_never_can_is_said_with_and_without_the_pinned_tools() -> None:
    scope = parse_scope({"grants": [grant(arguments={"path": {"below": "/d"}})]})
    assert never(scope, None) == (
        "call any tool but `fs__read`",
        "by g0, give `fs__read` any argument but `path`",
        "act more than once in all",
    )
    assert never(scope, TOOLS) == (
        "call another tool; of those that are pinned: `fs__drop`, `fs__open`",
        "by g0, give `fs__read` anything but the default for `files`, `options`",
        "act more than once in all",
    )
    assert never(parse_scope({"grants": [{"tool": "fs__drop", "others": "any"}]}), None) == (
        "call any tool but `fs__drop`",
    )


def test_what_comes_only_in_a_later_step_is_said() -> None:
    steps: list[JsonValue] = [
        {"name": "read", "grants": [grant()]},
        {"name": "drop", "grants": [grant("fs__drop")]},
    ]
    told = never(parse_scope({"steps": steps}), None)
    assert "before step `drop`, call `fs__drop`" in told
    assert "from step `drop` on, use what only the steps before it grant" in told


def test_hostile_names_are_short_and_visible_in_every_sentence() -> None:
    name = "\x1b[2J\u202e" + "x" * 200
    definition = {
        "name": "evil",
        "inputSchema": {"type": "object", "properties": {name: {}}, "required": [name]},
    }
    tools = {"fs__evil": parse_definition(json.dumps(definition).encode())}
    scope = parse_scope({"grants": [grant("fs__evil", arguments={'"\\u001b[2J"': {"any": True}})]})
    told = [*never(scope, tools), *(one.sentence for one in (*breadth(scope), *against_pinned(scope, tools)))]
    assert len(told) >= 4
    for line in told:
        assert line.isprintable()
        assert "\u202e" not in line
        assert len(line) < 300
