from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships no types

from taskbound.core.scope import ScopeSyntaxError, parse_scope
from taskbound.core.scope.constraints.constraint import Constraint
from taskbound.core.scope.constraints.registry import CONSTRAINTS
from taskbound.core.scope.schema import grant_schema, scope_schema
from tests.core.scope.obvious import RULES
from tests.core.scope.strategies import grant_lists

SCHEMA: Any = Draft202012Validator(scope_schema())
GRANT: Any = Draft202012Validator(grant_schema())


def of_rule(rule: Any) -> dict[str, Any]:
    optional = {"optional": ["p"]} if rule == {"absent": True} else {}
    return {"grants": [{"tool": "a__b", "arguments": {"p": rule}, **optional}]}


def of(**members: Any) -> dict[str, Any]:
    return {"grants": [{"tool": "a__b", **members}]}


def is_read(scope: Any) -> bool:
    try:
        parse_scope(scope)
    except ScopeSyntaxError:
        return False
    return True


GOOD_BODIES: dict[str, tuple[Any, ...]] = {
    "absent": (True,),
    "all_of": ([{"prefix": "a"}, {"length": {"max": 3}}],),
    "any_of": ([{"equals": 1}, {"each": {"any": True}}],),
    "any": (True,),
    "below": ("/", "/home/u"),
    "cidr": (["10.0.0.0/8", "2001:db8::/32"],),
    "contains": ({"equals": 1}, {"all_of": [{"prefix": "a"}, {"glob": "*b"}]}),
    "date_time": ({"min": "2026-11-24"}, {"max": "2026-11-24T19:30:00+01:00"}),
    "each": ({"one_of": ["a"]},),
    "email": ({"addresses": ["a@b.example"]}, {"domains": ["b.example"]}),
    "equals": (None, 1, "", [], {"any": 1}),
    "glob": ("src/**/*.py", "[!a-z]?"),
    "host": (["a.example", "*.b.example"], {"ip": ["10.0.0.0/8"]}, {"names": ["a.example"]}),
    "length": ({"min": 1}, {"max": 0}, {"min": 1, "max": 3}),
    "not_one_of": (["a", 1, None],),
    "one_of": ([1, True, "1", None],),
    "prefix": ("a",),
    "range": ({"min": -1.5}, {"max": 10**15}, {"min": 0, "max": 0}),
    "url": (
        {"names": ["a.example"]},
        {"ip": ["10.0.0.0/8"], "schemes": ["http"], "ports": [80], "path": "/v1"},
    ),
}
BAD_BODIES: dict[str, tuple[Any, ...]] = {
    "absent": (False, "true", 1, None),
    "all_of": ([], [{"any": True}], {"any": True}, [{"any": True}, {"nothing": 1}], [1, 2]),
    "any_of": (
        [],
        [{"equals": 1}],
        "x",
        [{"equals": 1}, {"equals": 2, "any": True}],
        [{"any": True}, {"absent": True}],
    ),
    "any": (False, "true", None, 1),
    "below": ("", "relative", "./a", 1, None, ["/"]),
    "cidr": ([], "10.0.0.0/8", [1], [""], ["10.0.0.0/8", "10.0.0.0/8"]),
    "contains": ({}, {"any": True, "equals": 1}, True, {"absent": True}, [{"any": True}]),
    "date_time": ({}, {"from": "2026-11-24"}, {"min": 1}, {"min": "today"}, "2026-11-24"),
    "each": ({}, "any", {"eaches": 1}, {"absent": True}),
    "email": ({}, {"domain": ["b.example"]}, ["a@b.example"], {"domains": "b.example"}, {"domains": [""]}),
    "glob": ("", 1, "{a,b}", "a\\b", ["*"], "x" * 5000),
    "host": ([], {}, "a.example", {"name": ["a.example"]}, [1], ["a.example", "a.example"]),
    "length": ({}, {"min": -1}, {"max": 1.5}, {"least": 1}, 3, {"min": "1"}),
    "not_one_of": ([], "a", [1, 1.0], {"a": 1}),
    "one_of": ([], "a", ["a", "a"], None, list(range(1001))),
    "prefix": ("", 1, ["a"]),
    "range": ({}, {"min": "1"}, {"least": 1}, [1, 2], {"min": None}, {"min": True}),
    "url": (
        {"names": "a"},
        {"names": ["a.example"], "schemes": ["gopher"]},
        {"names": ["a.example"], "ports": [0]},
        {"names": ["a.example"], "path": "v1"},
        {"hosts": ["a.example"]},
        "https://a.example",
        {"names": [""]},
    ),
}
GOOD: tuple[Any, ...] = (
    of(),
    of(others="any", uses=1),
    of(others="default-only", optional=[], arguments={}),
    of(arguments={"a.b[*].c": {"any": True}, '"x.y"': {"any": True}}, optional=["a"]),
    of(arguments={"n": {"any": True}}, total={"n": {"limit": 1, "exponent": 9}}),
    of(
        arguments={"n": {"any": True}, "c": {"any": True}},
        total={"n": {"currency": "c", "limits": {"EUR": "1000.00", "JPY": "5"}, "text": True}},
    ),
    of(rate={"uses": 1, "seconds": 60}),
    of(rate=[{"uses": 1, "seconds": 60}, {"uses": 2, "seconds": 3600}]),
    {"steps": [{"name": "a", **of()}, {"name": "b-2", "keep": True, **of(others="any")}]},
)
BAD: tuple[Any, ...] = (
    {},
    [],
    None,
    "grants",
    {"grants": []},
    {"grants": [{}]},
    {"grants": [1]},
    {"grants": {}},
    {**of(), "more": 1},
    {**of(), "steps": []},
    {"steps": [{"name": "a", **of()}]},
    {"steps": []},
    {"steps": [{"name": "A", **of()}, {"name": "b", **of()}]},
    {"steps": [{**of()}, {"name": "b", **of()}]},
    {"steps": [{"name": "a", **of()}, {"name": "b", "keep": "yes", **of()}]},
    {"grants": [{"tool": "nothing"}]},
    {"grants": [{"tool": ""}]},
    {"grants": [{"tool": 1}]},
    of(extra=1),
    of(others="all"),
    of(others=None),
    of(uses=0),
    of(uses=True),
    of(uses="3"),
    of(uses=1.5),
    of(uses=2**53),
    of(optional="a"),
    of(optional=[1]),
    of(arguments=[]),
    of(arguments={"a": 1}),
    of(arguments={"a": {}}),
    of(arguments={"a": {"any": True, "equals": 1}}),
    of(arguments={"a": {"Any": True}}),
    of(arguments={"": {"any": True}}),
    of(rate={}),
    of(rate=[]),
    of(rate={"uses": 1}),
    of(rate={"uses": 1, "seconds": 0}),
    of(rate=[{"uses": 1, "seconds": n} for n in (1, 2, 3, 4, 5)]),
    of(rate={"uses": 1, "seconds": 60, "burst": 2}),
    of(arguments={"n": {"any": True}}, total={"n": 5}),
    of(arguments={"n": {"any": True}}, total={"n": {"limit": 5}}),
    of(arguments={"n": {"any": True}}, total={"n": {"limit": 5, "exponent": 10}}),
    of(arguments={"n": {"any": True}}, total={"n": {"limit": 5, "exponent": 2, "text": False}}),
    of(
        arguments={"n": {"any": True}, "c": {"any": True}},
        total={"n": {"currency": "c", "limits": {"XXX": "1"}}},
    ),
    of(arguments={"n": {"any": True}, "c": {"any": True}}, total={"n": {"currency": "c", "limits": {}}}),
    of(
        arguments={"n": {"any": True}, "c": {"any": True}},
        total={"n": {"currency": "c", "limits": {"EUR": 1}}},
    ),
    of(arguments={f"a{n}": {"any": True} for n in range(257)}),
)
BEYOND: tuple[Any, ...] = (
    of_rule({"range": {"min": 2, "max": 1}}),
    of_rule({"below": "/a/../b"}),
    of_rule({"all_of": [{"equals": 1}, {"equals": 2}]}),
    of(optional=["b"]),
    of(arguments={"a[": {"any": True}}),
    {"grants": [{"tool": "a__b"}, {"tool": "a__b"}]},
)


def test_every_constraint_gives_its_own_fragment_with_a_description() -> None:
    for tag, one in CONSTRAINTS.items():
        own: type[Constraint] = one
        assert "schema" in vars(own), tag
        assert str(own.schema["description"]).endswith(".")
        assert SCHEMA.schema["$defs"][f"constraint-{tag}"] == own.schema
        assert tag in SCHEMA.schema["$defs"]["argument"]["properties"]
    Draft202012Validator.check_schema(scope_schema())
    Draft202012Validator.check_schema(grant_schema())


def test_the_tables_have_a_good_and_a_bad_body_for_every_constraint() -> None:
    assert set(GOOD_BODIES) == set(CONSTRAINTS)
    assert set(BAD_BODIES) == set(CONSTRAINTS) - {"equals"}, "any value can be the body of equals"


@pytest.mark.parametrize(
    "scope",
    [*GOOD, *(of_rule({tag: body}) for tag, bodies in GOOD_BODIES.items() for body in bodies)],
    ids=lambda one: str(one)[:70],
)
def test_what_is_a_scope_is_one_to_the_schema(scope: Any) -> None:
    assert is_read(scope)
    assert not list(SCHEMA.iter_errors(scope))
    for grant in scope.get("grants", ()):
        assert not list(GRANT.iter_errors(grant))


@pytest.mark.parametrize(
    "scope",
    [*BAD, *(of_rule({tag: body}) for tag, bodies in BAD_BODIES.items() for body in bodies)],
    ids=lambda one: str(one)[:70],
)
def test_what_the_schema_refuses_is_no_scope(scope: Any) -> None:
    assert not is_read(scope)
    assert list(SCHEMA.iter_errors(scope)), "the schema can tell"


@pytest.mark.parametrize("scope", BEYOND, ids=lambda one: str(one)[:70])
def test_what_the_schema_can_not_tell_it_lets_pass_and_the_parser_refuses(scope: Any) -> None:
    assert not is_read(scope)
    assert not list(SCHEMA.iter_errors(scope))


@given(grant_lists)
def test_the_schema_refuses_no_scope(grants: list[Any]) -> None:
    parsed = parse_scope({"grants": grants})
    assert not list(SCHEMA.iter_errors({"grants": grants}))
    assert not list(SCHEMA.iter_errors(parsed.value()))


def test_the_schema_refuses_no_rule_that_a_person_finds_obvious() -> None:
    for wide, narrow in RULES:
        for rule in (wide, *narrow):
            assert not list(SCHEMA.iter_errors(of_rule(rule))), rule
