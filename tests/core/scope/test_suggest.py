from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.core.action import canonical
from taskbound.core.scope import Covered, NotCovered, cover, parse_scope
from taskbound.core.scope.algebra import Covers, NotCovers
from taskbound.core.scope.suggest import (
    MAX_CALLS,
    MadeCall,
    NothingToSuggestError,
    Suggestion,
    TooManyCallsError,
    suggest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue

TOOL = "files__read"
ODD_PATH = "/a/x\uff0f..\uff0f..\uff0f..\uff0fetc"  # reads as /etc for those who fold it
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "path": {"type": "string"},
        "depth": {"type": "integer", "default": 1},
        "options": {"type": "object", "properties": {"deep": {"type": "boolean", "default": False}}},
    },
}


def calls(*arguments: dict[str, Any], tool: str = TOOL, task: str = "") -> list[MadeCall]:
    return [MadeCall(tool=tool, arguments=one, task=task) for one in arguments]


def under(name: str, *values: Any) -> list[MadeCall]:
    return calls(*({name: one} for one in values))


def grants(found: Suggestion) -> Any:
    value: Any = found.scope.value()
    return value["grants"]


def rule(found: Suggestion, path: str) -> Any:
    (one,) = grants(found)
    return one["arguments"][path]


def why(found: Suggestion, path: str) -> list[str]:
    return [f"{one.what}: {one.why}" for one in found.widenings if one.path == path]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["a"], {"equals": "a"}),
        (["a", "a"], {"equals": "a"}),
        ([1, 1.0], {"equals": 1}),
        ([{}], {"equals": {}}),
        ([[]], {"equals": []}),
        ([["a"], ["a"]], {"equals": ["a"]}),
        ([1, 7, 3], {"range": {"min": 1, "max": 7}}),
        ([-1, 0.5], {"range": {"min": -1, "max": 0.5}}),
        (["a", "b"], {"one_of": ["a", "b"]}),
        ([True, False], {"one_of": [False, True]}),
        ([None, "a"], {"one_of": ["a", None]}),
        ([1, "a"], {"one_of": ["a", 1]}),
        (["/a/b", "/a/c"], {"one_of": ["/a/b", "/a/c"]}),
        (["/a/b", "/a/c", "/a/d/e"], {"below": "/a"}),
        (["/a/b", "/a/b/c", "/a/b/d"], {"below": "/a/b"}),
        (["/a/b", "/a/../a/c", "/a/./d"], {"below": "/a"}),
        (["/a/b", "/c/d", "/e/f"], {"one_of": ["/a/b", "/c/d", "/e/f"]}),
        (["/a/b", "/ab/c", "/a/d"], {"one_of": ["/a/b", "/a/d", "/ab/c"]}),
        ([f"/{n}/x" for n in range(9)], {"any": True}),
        ([f"issue-{n}" for n in range(9)], {"prefix": "issue-"}),
        ([f"is{n}" for n in range(9)], {"any": True}),
        ([f"{n}" for n in range(9)], {"any": True}),
        (
            ["https://a.example/x", "https://a.example/y", "https://b.example/z"],
            {"url": {"names": ["a.example", "b.example"]}},
        ),
        ([f"p{n}@a.example" for n in range(9)], {"email": {"domains": ["a.example"]}}),
        ([f"p{n}@a.example" for n in range(8)], {"one_of": [f"p{n}@a.example" for n in range(8)]}),
        ([[1], {}], {"one_of": [[1], {}]}),
        (["/a/b", "/a/c", ODD_PATH], {"one_of": ["/a/b", "/a/c", ODD_PATH]}),
    ],
)
def test_the_values_of_one_place_become_one_constraint_by_the_written_rules(
    values: list[Any], wanted: dict[str, Any]
) -> None:
    found = rule(suggest(under("x", *values)), "x")
    assert canonical(found) == canonical(parse_rule(wanted))


def parse_rule(body: dict[str, Any]) -> Any:
    value: Any = parse_scope({"grants": [{"tool": TOOL, "arguments": {"x": body}}]}).value()
    return value["grants"][0]["arguments"]["x"]


def test_objects_and_lists_are_entered_and_what_is_left_out_at_times_is_optional() -> None:
    found = suggest(
        calls(
            {"files": [{"path": "/a/b", "mode": "r"}, {"path": "/a/c"}], "to": {"name": "x"}},
            {"files": [{"path": "/a/d"}], "to": {"name": "y", "note": "n"}},
            {"files": []},
        )
    )
    (one,) = grants(found)
    assert one["arguments"] == {
        "files[*].mode": {"equals": "r"},
        "files[*].path": {"below": "/a"},
        "to.name": {"one_of": ["x", "y"]},
        "to.note": {"equals": "n"},
    }
    assert one["optional"] == ["files[*].mode", "to", "to.note"]
    assert why(found, "to") == ["may be left out: it was there 2 times of 3"]
    assert why(found, "files[*].path") == ['below "/a": 3 paths were seen there']


def test_lists_of_several_contents_say_what_each_item_may_be() -> None:
    assert rule(suggest(under("tags", ["a"], ["b", "a"], [])), "tags[*]") == {"one_of": ["a", "b"]}


def test_uses_are_the_most_of_one_task_and_half_as_many_again_and_that_is_told() -> None:
    made = [*calls(*[{"x": 1}] * 5, task="tsk_1"), *calls(*[{"x": 1}] * 2, task="tsk_2")]
    found = suggest(made)
    assert grants(found)[0]["uses"] == 8
    assert why(found, "") == [
        "8 uses: `files__read` was called at most 5 times in one task, and this is half as many again"
    ]
    assert grants(suggest(calls({"x": 1})))[0]["uses"] == 2


def test_what_was_only_ever_at_its_default_is_not_mentioned() -> None:
    made = calls({"path": "/a", "depth": 1}, {"path": "/a"})
    found = suggest(made, schemas={TOOL: SCHEMA})
    assert set(grants(found)[0]["arguments"]) == {"path"}
    assert set(grants(suggest(made))[0]["arguments"]) == {"path", "depth"}
    deep = calls({"path": "/a", "options": {"deep": False}})
    within = suggest(deep, schemas={TOOL: SCHEMA}).scope
    assert isinstance(cover(within, TOOL, deep[0].arguments, SCHEMA), Covered)


def test_a_directory_is_never_above_the_roots_of_the_ceiling() -> None:
    ceiling = parse_scope(
        {
            "grants": [
                {"tool": TOOL, "arguments": {"path": {"any_of": [{"below": "/h/a"}, {"below": "/h/b"}]}}}
            ]
        }
    )
    made = under("path", "/h/a/1", "/h/a/2", "/h/b/3/x", "/h/b/3/y")
    found = suggest(made, ceiling=ceiling)
    assert rule(found, "path") == {"any_of": [{"below": "/h/a"}, {"below": "/h/b/3"}]}
    assert isinstance(found.within, Covers)
    assert rule(suggest(made), "path") == {"below": "/h"}


def test_what_the_grants_of_a_ceiling_keep_apart_is_not_joined() -> None:
    ceiling = parse_scope(
        {
            "grants": [
                {"tool": TOOL, "arguments": {"path": {"below": "/a"}, "mode": {"equals": "r"}}},
                {"tool": TOOL, "arguments": {"path": {"below": "/b"}, "mode": {"equals": "w"}}},
            ]
        }
    )
    made = calls(
        *({"path": f"/a/{n}", "mode": "r"} for n in range(3)),
        *({"path": f"/b/{n}", "mode": "w"} for n in range(3)),
    )
    found = suggest(made, ceiling=ceiling)
    assert len(grants(found)) == 2
    assert isinstance(found.within, Covers)
    assert isinstance(cover(found.scope, TOOL, {"path": "/a/1", "mode": "w"}, None), NotCovered)


def test_calls_that_a_ceiling_takes_one_by_one_only_get_grants_of_their_own() -> None:
    ceiling = parse_scope(
        {"grants": [{"tool": TOOL, "arguments": {"x": {"one_of": [1, 2, 9]}, "y": {"any": True}}}]}
    )
    found = suggest(calls({"x": 1, "y": 1}, {"x": 9, "y": 4}), ceiling=ceiling)
    assert rule(found, "x") == {"one_of": [1, 9]}
    assert rule(found, "y") == {"range": {"min": 1, "max": 4}}
    assert isinstance(found.within, Covers)


def test_what_the_ceiling_constrains_as_a_whole_is_not_entered() -> None:
    ceiling = parse_scope({"grants": [{"tool": TOOL, "arguments": {"x": {"length": {"max": 2}}}}]})
    found = suggest(under("x", ["a"], ["b", "a"]), ceiling=ceiling)
    assert rule(found, "x") == {"one_of": [["a"], ["b", "a"]]}
    assert isinstance(found.within, Covers)


def test_what_was_at_its_default_is_mentioned_where_the_ceiling_constrains_it() -> None:
    ceiling = parse_scope(
        {
            "grants": [
                {
                    "tool": TOOL,
                    "arguments": {"path": {"any": True}, "depth": {"range": {"max": 1}}},
                    "optional": ["depth"],
                }
            ]
        }
    )
    made = calls({"path": "/a", "depth": 1}, {"path": "/a"})
    found = suggest(made, ceiling=ceiling, schemas={TOOL: SCHEMA})
    assert rule(found, "depth") == {"equals": 1}
    assert isinstance(found.within, Covers)
    for one in made:
        assert isinstance(cover(found.scope, TOOL, one.arguments, SCHEMA), Covered)


def test_what_the_ceiling_constrains_and_no_call_gave_must_be_left_out() -> None:
    ceiling = parse_scope(
        {
            "grants": [
                {
                    "tool": TOOL,
                    "arguments": {"path": {"any": True}, "to.host": {"equals": "a"}},
                    "optional": ["to"],
                }
            ]
        }
    )
    found = suggest(under("path", "/a"), ceiling=ceiling)
    assert rule(found, "to") == {"absent": True}
    assert isinstance(found.within, Covers)


def test_calls_outside_of_the_ceiling_are_covered_and_called_outside() -> None:
    ceiling = parse_scope({"grants": [{"tool": TOOL, "arguments": {"x": {"equals": 1}}}]})
    found = suggest(calls({"x": 1}, {"x": 2}), ceiling=ceiling)
    assert isinstance(found.within, NotCovers)
    for one in (1, 2):
        assert isinstance(cover(found.scope, TOOL, {"x": one}, None), Covered)


@pytest.mark.parametrize(
    "value",
    ["hunter2", {"deep": ["hunter2"]}, ["hunter2"]],
    ids=["text", "object", "list"],
)
def test_what_looks_like_a_secret_is_not_written(value: Any) -> None:
    found = suggest(calls({"password": value}, {"password": "hunter3"}))
    assert b"hunter" not in found.scope.canonical
    assert "hunter" not in repr(found.widenings)
    assert any(one.broad and "secret" in one.why for one in found.widenings)


def test_a_token_among_plain_values_is_not_written() -> None:
    found = suggest(under("x", "ghp_abcdefghijklmnopqrstuvwxyz0123456789", "plain"))
    assert b"ghp_" not in found.scope.canonical


def test_hostile_names_and_values_are_escaped_in_the_words() -> None:
    odd = "\x1b[2J`\u202e\n"
    found = suggest(calls({odd: f"/a/{odd}1"}, {odd: 2}, {"n": {odd: 1.5}}, {"n": {odd: 2}}))
    words = "".join(one.path + one.what + one.why for one in found.widenings)
    assert not set("\x1b\u202e\n").intersection(words)
    for one in (odd, 1):
        assert isinstance(cover(found.scope, TOOL, {odd: 2}, None), Covered), one


@pytest.mark.parametrize(
    "arguments",
    [
        {"": 1},
        {"x" * 300: 1},
        {f"n{number}": number for number in range(300)},
    ],
    ids=["empty-name", "long-name", "too-many"],
)
def test_arguments_that_no_grant_can_say_are_left_free_and_that_is_called_broad(
    arguments: dict[str, Any],
) -> None:
    found = suggest(calls(arguments))
    assert isinstance(cover(found.scope, TOOL, arguments, None), Covered)
    assert grants(found)[0]["others"] == "any"
    assert any(one.broad for one in found.widenings)


def test_a_call_that_is_deep_or_has_odd_names_inside_is_covered_as_a_whole() -> None:
    deep: Any = "x"
    for _ in range(30):
        deep = {"a": deep}
    for value in (deep, {"": 1}, {"b" * 300: [1]}):
        made = under("x", value, {"": 2})
        found = suggest(made)
        for one in made:
            assert isinstance(cover(found.scope, TOOL, one.arguments, None), Covered)


def test_nothing_and_too_much_are_refused() -> None:
    with pytest.raises(NothingToSuggestError):
        suggest([])
    with pytest.raises(TooManyCallsError):
        suggest(calls({"x": 1}) * (MAX_CALLS + 1))


names = st.sampled_from(["a", "b", "c.d", "path", 'q"x', "[*]"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from([0.5, 1.25, "a", "b", "/srv/a/1", "/srv/a/2", "/srv/b/3", "/srv/../x", "~", "", "é"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
arguments_of = st.dictionaries(names, values, max_size=4)
SCHEMAS: Mapping[str, Mapping[str, JsonValue]] = {
    "s__one": {
        "properties": {
            "a": {"default": "a", "properties": {"b": {"default": 1}}},
            "path": {"default": "/srv/a/1"},
            "b": {"items": {"properties": {"a": {"default": None}}}},
        }
    }
}


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["s__one", "s__two"]), arguments_of), min_size=1, max_size=8))
def test_every_call_is_covered_by_the_suggestion(made: list[tuple[str, dict[str, Any]]]) -> None:
    found = suggest([MadeCall(tool=tool, arguments=one) for tool, one in made], schemas=SCHEMAS)
    for tool, one in made:
        assert isinstance(cover(found.scope, tool, one, SCHEMAS.get(tool)), Covered), (
            found.scope.value(),
            one,
        )


bounded = st.fixed_dictionaries(
    {"path": st.sampled_from(["/srv/a/1", "/srv/a/2", "/srv/a/b/3", "/srv/b/1", "/srv/b/2"])},
    optional={
        "n": st.integers(0, 9),
        "o": st.fixed_dictionaries(
            {"k": st.sampled_from(["x", "y", "z"])}, optional={"m": st.integers(0, 3)}
        ),
        "l": st.lists(st.sampled_from(["x", "y"]), max_size=3),
    },
)
CEILINGS = [
    {"grants": [{"tool": "s__two", "others": "any"}]},
    {
        "grants": [
            {
                "tool": "s__two",
                "arguments": {
                    "path": {"any_of": [{"below": "/srv/a"}, {"below": "/srv/b"}]},
                    "n": {"range": {"min": 0, "max": 9}},
                    "o.k": {"one_of": ["x", "y", "z"]},
                    "o.m": {"any": True},
                    "l[*]": {"any": True},
                },
                "optional": ["n", "o", "o.m", "l"],
            }
        ]
    },
    {
        "grants": [
            {"tool": "s__two", "arguments": {"path": {"below": f"/srv/{one}"}}, "others": "any"}
            for one in ("a", "b")
        ]
    },
    {
        "grants": [
            {
                "tool": "s__two",
                "arguments": {
                    "path": {"one_of": ["/srv/a/1", "/srv/a/2", "/srv/b/1", "/srv/b/2", "/srv/a/b/3"]},
                    "n": {"one_of": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]},
                    "o": {"any": True},
                    "l": {"length": {"max": 3}},
                },
                "optional": ["n", "o", "l"],
            }
        ]
    },
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CEILINGS), st.lists(bounded, min_size=1, max_size=12))
def test_the_suggestion_is_within_the_ceiling_if_all_calls_were(
    ceiling: dict[str, Any], made: list[dict[str, Any]]
) -> None:
    bound = parse_scope(ceiling)
    for one in made:
        assert isinstance(cover(bound, "s__two", one, None), Covered)
    found = suggest([MadeCall(tool="s__two", arguments=one) for one in made], ceiling=bound)
    assert isinstance(found.within, Covers), found.scope.value()
    for one in made:
        assert isinstance(cover(found.scope, "s__two", one, None), Covered)
