from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dev.reference import load_all
from taskbound.core.action import canonical, parse_object
from taskbound.core.errors import MalformedError, error_classes
from taskbound.core.tool import parse_tool_name
from taskbound.surfaces.api.server.reply import family_of
from taskbound.surfaces.network.authzen.request import EvaluationRequest, read_evaluation, read_evaluations
from taskbound.surfaces.network.authzen.response import EvaluationAnswer, require_request_id, told, told_back
from taskbound.wire.action import MOST_EVALUATIONS, ActionPermitted, NotPermitted

ORIGIN = "https://as.example"
ONE_MIB = 1_048_576
_leaf = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=20)
_json = st.recursive(
    _leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
)
_kinds = st.sampled_from(["tool", "todo", "a", "a__b", "Todo", "bank-2", "", "t\u043edo"]) | st.text(
    max_size=12
)
_names = st.sampled_from(["tools/call", "read", "b__c", "c", "credential/x", ""]) | st.text(max_size=12)
_ids = st.text(max_size=20) | st.just("bank__pay")
_properties = st.dictionaries(st.sampled_from(["to", "subject", "resource", "role"]), _json, max_size=3)


def _with(required: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(required, optional={"properties": _properties, "odd": _json})


_entities: dict[str, st.SearchStrategy[Any]] = {
    "subject": _with({"type": st.text(max_size=9), "id": _ids}),
    "action": _with({"name": _names}),
    "resource": _with({"type": _kinds, "id": _ids}),
}
_context = st.dictionaries(st.sampled_from(["approval", "ip", "subject"]), _json, max_size=3)
_whole = st.fixed_dictionaries(_entities, optional={"context": _context, "odd": _json})
_item = st.fixed_dictionaries({}, optional={**_entities, "context": _context}) | _json
_semantics = st.sampled_from(["execute_all", "deny_on_first_deny", "permit_on_first_permit"])
_many = st.fixed_dictionaries(
    {"evaluations": st.lists(_item, max_size=4)},
    optional={
        **_entities,
        "context": _context,
        "options": st.fixed_dictionaries({}, optional={"evaluations_semantic": _semantics}) | _json,
    },
)


def read(body: bytes) -> list[EvaluationRequest]:
    found: list[EvaluationRequest] = []
    for reader in (read_evaluation, read_evaluations):
        with suppress(MalformedError):
            found.append(reader(body))
    return found


@settings(max_examples=400, deadline=None)
@given(_whole | _many | _json)
def test_whatever_is_sent_is_refused_by_name_or_asks_about_tools_by_canonical_arguments(said: Any) -> None:
    for asked in read(json.dumps(said).encode()):
        assert 1 <= len(asked.ask.evaluations) <= MOST_EVALUATIONS
        assert asked.many or len(asked.ask.evaluations) == 1
        for one in asked.ask.evaluations:
            raw = bytes(one.arguments)
            assert canonical(parse_object(raw)) == raw
            if not one.code:
                parse_tool_name(one.tool)
                assert set(parse_object(one.subject.encode())) == {"type", "id"}


@settings(max_examples=400, deadline=None)
@given(_whole)
def test_what_is_asked_about_is_the_resource_s_own_tool_with_its_own_arguments(said: dict[str, Any]) -> None:
    for asked in read(json.dumps(said).encode()):
        (one,) = asked.ask.evaluations
        kind, name = said["resource"]["type"], said["action"]["name"]
        arguments = parse_object(bytes(one.arguments))
        if (kind, name) == ("tool", "tools/call"):
            assert one.tool == said["resource"]["id"]
            assert arguments == parse_object(json.dumps(said["resource"].get("properties", {})).encode())
        elif not one.code:
            assert parse_tool_name(one.tool) == (kind, name)  # no other pair has this tool
            assert set(arguments) <= {"subject", "resource", "action", "context"}
            assert not {"approval", "odd"} & set(arguments.get("context") or {})  # type: ignore[arg-type]  # an object
            for entity in ("subject", "resource"):
                assert set(arguments[entity]) <= {"type", "id", "properties"}  # type: ignore[arg-type]  # the same


@pytest.mark.parametrize("reader", [read_evaluation, read_evaluations])
@pytest.mark.parametrize("name", ["subject", "action", "resource", "context", "evaluations"])
def test_a_member_that_stands_twice_is_read_in_no_way(reader: Any, name: str) -> None:
    body = f'{{"{name}":{{"type":"a","id":"b","name":"c"}},"{name}":{{}}}}'
    with pytest.raises(MalformedError) as caught:
        reader(body.encode())
    assert caught.value.code == "duplicate-key"


WORDS = {"held", "narrowed", "action-repeated", "forbidden", "not-permitted"}
"""Codes of decisions that no error has."""


def refusal(code: str, **more: Any) -> NotPermitted:
    return NotPermitted(code=code, family=family_of(code), message="m", advice="a", **more)


def truths(answer: EvaluationAnswer) -> list[Any]:
    """Every `decision` that stands anywhere in an answer."""
    found: list[Any] = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            found.extend(one for name, one in value.items() if name == "decision")
            for one in value.values():
                look(one)
        elif isinstance(value, list):
            for one in value:
                look(one)

    if answer.kind == "application/json":
        look(json.loads(answer.body))
    return found


def test_no_refusal_by_whichever_name_is_told_with_a_true_or_as_a_success_without_a_false() -> None:
    load_all()
    codes = {one.code for one in error_classes()} | WORDS
    assert len(codes) > 400
    decided = {"action": "act_1", "state": "refused"}
    for said in (refusal(code, **more) for code in sorted(codes) for more in ({}, decided)):
        alone, listed = (told([said], many=many, origin=ORIGIN) for many in (False, True))
        assert truths(listed) == [False]
        assert listed.status == 200
        if alone.status == 200:
            assert truths(alone) == [False]
        else:
            assert alone.status in {400, 429, 500, 503}
            assert not said.state  # what was decided is a denial, and no error
            assert json.loads(listed.body)["evaluations"][0]["context"]["error"]["status"] == alone.status


def test_only_a_permit_is_true_and_it_is_nothing_else() -> None:
    permit = ActionPermitted(
        action="act_1",
        task="t",
        tool="a__b",
        digest="d",
        arguments=msgspec.Raw(b"{}"),
        until=1,
        due=0,
        server="s",
        definition="d",
    )
    assert told([permit], many=False, origin=ORIGIN).body == b'{"decision":true}'
    listed = told([permit, refusal("held", until=1)], many=True, origin=ORIGIN)
    assert truths(listed) == [True, False]


_id = st.binary(max_size=210) | st.text(st.characters(min_codepoint=32, max_codepoint=126)).map(str.encode)
_fields = st.lists(st.tuples(st.sampled_from([b"x-request-id", b"host", b"x-request-idx"]), _id), max_size=3)
_REFUSAL = re.compile(
    r"the request has [23] ids, and an answer gives one back"
    r"|the id of the request is (over 200 characters long|not of visible characters of ASCII)"
)
_targets = st.sampled_from(["/access/v1/evaluation", "/access/", "/access/?x=1", "/v1/actions", "/access"])


@settings(max_examples=300)
@given(_targets, _fields)
def test_a_request_s_id_is_given_back_as_it_came_or_the_request_is_refused(
    target: str, fields: list[tuple[bytes, bytes]]
) -> None:
    came = [value for name, value in fields if name == b"x-request-id"]
    back = told_back(target, fields)
    if back == () and came not in ([], [b""]):
        with pytest.raises(MalformedError) as caught:
            require_request_id(target, fields)
        assert caught.value.code == "bad-request-id"
        assert _REFUSAL.fullmatch(caught.value.message)  # nothing of what came
    else:
        require_request_id(target, fields)
        given_back = [value.encode() for _, value in back or ()]
        assert (back is None) == (not target.startswith("/access/"))
        assert given_back == ([one for one in came if one] if back is not None else [])
        assert all(b" " <= bytes([one]) <= b"~" for value in given_back for one in value)
