from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.scope import parse_scope
from taskbound.core.scope.review import Known, against_pinned
from taskbound.core.tool import Effect, effect_of, parse_definition
from taskbound.core.tool.file import (
    BadRoleError,
    Declared,
    Role,
    ToolFileError,
    changes,
    digest_of,
    parse_roles,
    parse_tool_file,
)
from taskbound.core.tool.file.describe import describe_tool
from taskbound.core.tool.file.parse import worth_limits

WHOLE: dict[str, Any] = {
    "server": "git*",
    "tools": {
        "git_status": {"effect": "read", "roles": {"repo_path": "path"}, "idempotent": True},
        "git_add": {"probes": ["files=file:/srv"], "checks": [], "approvers": ["ann"]},
        "git_ask": {"outcome": "unwatched"},
        "git_do": {"outcome": "watched"},
    },
}


def tool(properties: dict[str, Any], **annotations: bool) -> Any:
    whole = {"name": "t", "inputSchema": {"type": "object", "properties": properties}}
    return parse_definition(json.dumps(whole | {"annotations": annotations}).encode())


def roles(**properties: Any) -> dict[str, str]:
    return {one.argument: one.role.value if one.role else "" for one in describe_tool(tool(properties)).roles}


def test_a_tool_file_says_what_it_says_and_nothing_of_the_rest() -> None:
    found = parse_tool_file(WHOLE)
    add, ask, do, status = found.tools
    assert (ask.unwatched, do.unwatched, add.unwatched) == (True, False, None)
    assert (status.effect, status.roles, status.idempotent) == (Effect.READ, ("repo_path=path",), True)
    assert (status.probes, status.checks, status.approvers) == (None, None, None)
    assert (add.effect, add.roles, add.idempotent) == (None, None, None)
    assert (add.probes, add.checks, add.approvers) == (("files=file:/srv",), (), ("ann",))
    assert [found.fits(one) for one in ("git", "git-work", "agit", "gi")] == [True, True, False, False]


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ([], ""),
        ({"server": "git"}, "tools"),
        ({"server": "git", "tools": {}}, "tools"),
        ({"server": "Git", "tools": {"a": {}}}, "server"),
        ({"server": "git", "tools": {"a": {}}, "shareable": 1}, "shareable"),
        ({"server": "git", "tools": {"a": {}}, "owner": "ann"}, "owner"),
        ({"server": "git", "tools": {"a": {"slot": []}}}, "tools.a.slot"),
        ({"server": "git", "tools": {"a": {"effect": "none"}}}, "tools.a.effect"),
        ({"server": "git", "tools": {"a": {"effect": ["read"]}}}, "tools.a.effect"),
        ({"server": "git", "tools": {"a": {"effect": None}}}, "tools.a.effect"),
        ({"server": "git", "tools": {"a": {"idempotent": None}}}, "tools.a.idempotent"),
        ({"server": "git", "tools": {"a": {"idempotent": 1}}}, "tools.a.idempotent"),
        ({"server": "git", "tools": {"a": {"outcome": None}}}, "tools.a.outcome"),
        ({"server": "git", "tools": {"a": {"outcome": True}}}, "tools.a.outcome"),
        ({"server": "git", "tools": {"a": {"outcome": "Unwatched"}}}, "tools.a.outcome"),
        ({"server": "git", "tools": {"a": {"roles": {"p": "file"}}}}, "tools.a.roles.p"),
        ({"server": "git", "tools": {"a": {"roles": {"p": {}}}}}, "tools.a.roles.p"),
        ({"server": "git", "tools": {"a": {"probes": "p"}}}, "tools.a.probes"),
        ({"server": "git", "tools": {"a": {"checks": [1]}}}, "tools.a.checks[0]"),
    ],
)
def test_what_is_no_tool_file_is_refused_with_its_place(value: Any, where: str) -> None:
    with pytest.raises(ToolFileError) as refused:
        parse_tool_file(value)
    assert refused.value.where == where


def test_slots_are_named_with_the_server_and_with_its_tools() -> None:
    found = parse_tool_file(
        {
            "server": "keeper",
            "slots": ["header:Authorization", "environment:TOKEN"],
            "tools": {"sign": {"slots": ["api_key"]}, "use": {}},
        }
    )
    assert found.slots == ("argument:sign/api_key", "environment:TOKEN", "header:authorization")
    assert parse_tool_file({"server": "a", "tools": {"b": {}}}).slots == ()


@pytest.mark.parametrize(
    ("server", "tool", "where"),
    [
        (["environment:PATH"], [], "slots"),
        (["TOKEN"], [], "slots"),
        (["environment:TOKEN", "environment:TOKEN"], [], "slots"),
        (["argument:sign/key"], ["key"], "tools.sign.slots"),
        ([], ["a b"], "tools.sign.slots"),
        ([f"environment:T{number}" for number in range(33)], [], "slots"),
    ],
)
def test_what_is_no_slot_is_refused_with_its_place(server: list[str], tool: list[str], where: str) -> None:
    with pytest.raises(ToolFileError) as caught:
        parse_tool_file({"server": "a", "slots": [*server], "tools": {"sign": {"slots": [*tool]}}})
    assert caught.value.where == where


def test_a_key_that_stands_twice_refuses() -> None:
    with pytest.raises(ToolFileError):
        parse_tool_file(b'{"server":"git","tools":{"a":{"effect":"read"},"a":{"effect":"write"}}}')


def held(**more: Any) -> Declared:
    told: dict[str, Any] = {"definition": "d", "effect": Effect.WRITE} | more
    return Declared(**told)


@pytest.mark.parametrize(
    ("before", "after", "relaxes"),
    [
        (held(), held(effect=Effect.READ), True),
        (held(), held(effect=Effect.DESTRUCTIVE), False),
        (held(), held(idempotent=True), True),
        (held(idempotent=True), held(), False),
        (held(), held(unwatched=True), True),
        (held(unwatched=True), held(), False),
        (held(), held(probes=("a=file:/srv",)), False),
        (held(probes=("a=file:/srv",)), held(probes=("a=file:/",)), True),
        (held(), held(checks=("60:a=row:x",)), True),
        (held(checks=("60:a=row:x",)), held(), False),
        (held(), held(roles=("a=path", "b=content")), False),
        (held(roles=("a=path",)), held(roles=("a=content",)), True),
        (held(roles=("a=path",)), held(), True),
        (held(roles=("a=content",)), held(), True),
        (held(roles=("a=path",)), held(roles=("a=url",)), False),
        (held(roles=("a=path",)), held(roles=("a=path", "b=option")), True),
        (held(), held(approvers=("ann",)), True),
        (held(), held(approvers=()), False),
        (held(approvers=()), held(approvers=("ann",)), True),
        (held(approvers=("ann",)), held(), True),
        (held(approvers=("ann", "bob")), held(approvers=("ann",)), False),
        (held(approvers=("ann",)), held(approvers=("ann", "eve")), True),
    ],
)
def test_what_relaxes_is_told_from_what_tightens(before: Declared, after: Declared, *, relaxes: bool) -> None:
    (found,) = changes("bank__pay", before, after)
    assert found.relaxes is relaxes
    assert changes("bank__pay", after, after) == ()


def test_the_digest_of_changes_is_of_the_definitions_too() -> None:
    one = changes("bank__pay", held(), held(effect=Effect.READ))
    other = changes("bank__pay", held(definition="e"), held(definition="e", effect=Effect.READ))
    assert digest_of(one) != digest_of(other)
    assert digest_of(one) == digest_of(changes("bank__pay", held(), held(effect=Effect.READ)))


@pytest.mark.parametrize("text", ["path", "=path", "a=file", "a=path="])
def test_a_role_that_is_not_written_so_is_refused(text: str) -> None:
    with pytest.raises(BadRoleError):
        parse_roles([text])
    with pytest.raises(BadRoleError):
        parse_roles(["a=path", "a=url"])


def test_an_argument_may_hold_what_stands_before_its_role() -> None:
    assert parse_roles(["a=b=path"]) == {"a=b": Role.PATH}


def test_without_a_role_an_argument_is_worth_a_limit_where_the_tool_has_any() -> None:
    assert worth_limits(("a", "b"), {}) == {}
    assert worth_limits(("a", "b", "c"), {"a": Role.CONTENT, "b": Role.PATH}).keys() == {"b", "c"}


# --- what is proposed -----------------------------------------------------------------------------------


def test_a_proposed_effect_is_what_holds_without_a_file() -> None:
    for hints in ({}, {"readOnlyHint": True}, {"destructiveHint": False}, {"readOnlyHint": False}):
        one = tool({}, **hints)
        assert describe_tool(one).effect is effect_of(one, "") is one.effect
    assert describe_tool(tool({})).effect is Effect.DESTRUCTIVE


def test_roles_are_guessed_from_names_formats_and_descriptions_and_unknown_ones_have_none() -> None:
    text = {"type": "string"}
    assert roles(
        repoPath=text,
        where={"type": "string", "format": "uri"},
        query=text | {"description": "The SELECT SQL query to run"},
        q=text,
        content=text | {"description": "Content of the file"},
        depth={"type": "integer"},
        force={"type": "boolean"},
        mode={"enum": ["a", "b"]},
        issue_number={"type": "integer"},
        file={"type": "integer"},
        zzz=text,
        target=text | {"description": "Path of the folder"},
    ) == {
        "content": "content",
        "depth": "option",
        "file": "",
        "force": "option",
        "issue_number": "name",
        "mode": "option",
        "q": "query",
        "query": "program",
        "repoPath": "path",
        "target": "path",
        "where": "url",
        "zzz": "",
    }


@given(
    st.dictionaries(
        st.text(max_size=12),
        st.recursive(
            st.none() | st.booleans() | st.text(max_size=9),
            lambda inner: st.dictionaries(st.sampled_from(["type", "anyOf", "format", "description"]), inner),
            max_leaves=6,
        ),
        max_size=5,
    )
)
def test_no_schema_makes_a_proposal_looser_than_nothing(properties: dict[str, Any]) -> None:
    one = tool(properties)
    found = describe_tool(one)
    assert found.effect is one.effect
    assert [guess.argument for guess in found.roles] == sorted(properties)


# --- a scope against what was declared ---------------------------------------------------------------


def remarks(known: Known, **more: Any) -> list[str]:
    scope = parse_scope({"grants": [{"tool": "s__t", "uses": 1, **more}]})
    found = against_pinned(scope, {"s__t": tool({"p": {}, "c": {}}, readOnlyHint=True)}, {"s__t": known})
    return [one.code for one in found]


def test_what_is_worth_a_limit_is_named_where_a_scope_leaves_it_open() -> None:
    declared = Known(roles=("c=content", "p=path"))
    assert remarks(declared, others="any") == ["worth-a-limit"]
    assert remarks(Known(roles=("c=content",)), others="any") == ["worth-a-limit"]
    assert remarks(Known(), others="any") == []
    assert remarks(declared, arguments={"p": {"below": "/srv"}}, others="any") == []
    assert remarks(declared) == []


def test_a_scope_is_looked_at_with_the_effect_that_a_person_declared() -> None:
    assert remarks(Known(effect="destructive"), others="any") == ["destructive"]
