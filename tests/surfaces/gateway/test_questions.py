"""How a question and an answer to one are read, and what a server is told that it may ask."""

from __future__ import annotations

import json
from typing import Any

import pytest

from taskbound.core.errors import MalformedError
from taskbound.surfaces.gateway.asked.questions import can_answer, offered
from taskbound.surfaces.gateway.asked.reading import (
    MAX_ANSWER,
    MAX_QUESTION,
    answer_bytes,
    labelled,
    read_question,
    wrong_answer,
)
from taskbound.wire.mcp.task import capabilities

Message = dict[str, Any]
ASK, SAY, ROOTS = "elicitation/create", "sampling/createMessage", "roots/list"
SCHEMA: Message = {"type": "object", "properties": {"a": {"type": "string"}}}
FORM: Message = {"message": "m", "requestedSchema": SCHEMA}
PAGE: Message = {"message": "m", "mode": "url", "url": "https://x.example/", "elicitationId": "e"}
TALK: Message = {"maxTokens": 1, "messages": [{"role": "user", "content": {"type": "text", "text": "t"}}]}
FIELDS = [
    {"type": "string", "format": "email"},
    {"type": "integer", "default": 1},
    {"type": "boolean"},
    {"type": "string", "oneOf": [{"const": "a", "title": "A"}]},
    {"type": "array", "items": {"enum": ["a"]}},
    {"type": "array", "items": {"anyOf": [{"const": "a", "title": "A"}]}},
]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        (ASK, FORM),
        (ASK, FORM | {"mode": "form", "_meta": {"x": 1}}),
        (ASK, PAGE),
        (ASK, FORM | {"message": "two\nlines"}),
        (SAY, TALK | {"systemPrompt": "s", "includeContext": "none", "tools": [], "toolChoice": {}}),
        (ROOTS, {}),
        *[(ASK, FORM | {"requestedSchema": {"type": "object", "properties": {"a": one}}}) for one in FIELDS],
    ],
)
def test_a_question_of_mcp_is_read_and_loses_nothing_but_its_meta(method: str, params: Message) -> None:
    wanted = {name: value for name, value in params.items() if name != "_meta"}
    assert json.loads(read_question(method, params)) == wanted


@pytest.mark.parametrize(
    ("method", "params"),
    [
        (ASK, FORM | {"task": {"ttl": 1}}),
        (ASK, {"message": "m"}),
        (ASK, {"requestedSchema": SCHEMA}),
        (ASK, FORM | {"message": 1}),
        (ASK, FORM | {"mode": "page"}),
        (ASK, FORM | {"url": "https://x.example/"}),
        (ASK, PAGE | {"requestedSchema": SCHEMA}),
        *[(ASK, FORM | {"message": f"a{char}b"}) for char in "\u202e\u200b\x1b\r\u2028\U000e0041"],
        (ASK, FORM | {"requestedSchema": {"type": "object", "properties": {"a\u202e": {"type": "string"}}}}),
        (ASK, FORM | {"requestedSchema": {"type": "array"}}),
        (ASK, FORM | {"requestedSchema": {"type": "object"}}),
        (ASK, FORM | {"requestedSchema": {"type": "object", "properties": {"a": {"type": "object"}}}}),
        (ASK, FORM | {"requestedSchema": {"type": "object", "properties": {"a": {"type": "array"}}}}),
        (
            ASK,
            FORM
            | {"requestedSchema": {"type": "object", "properties": {"a": {"$ref": "#", "type": "string"}}}},
        ),
        (ASK, FORM | {"message": "m" * MAX_QUESTION}),
        *[
            (ASK, PAGE | {"url": url})
            for url in (
                "javascript:alert(1)",
                "file:///etc/passwd",
                "https://good.example@evil.example/",
                "https://\u0430.example/",
                "https://x.example/ a",
                "https://x.example\\@evil.example/",
                "https://",
                "//x.example",
                "https://[::1",
                7,
            )
        ],
        (SAY, TALK | {"maxTokens": 0}),
        (SAY, TALK | {"maxTokens": True}),
        (SAY, TALK | {"messages": []}),
        (SAY, TALK | {"messages": [{"role": "system", "content": {}}]}),
        (SAY, TALK | {"includeContext": "everything"}),
        (SAY, TALK | {"systemPrompt": 1}),
        (ROOTS, {"x": 1}),
    ],
)
def test_what_is_no_question_of_mcp_or_hides_something_is_not_asked(method: str, params: Message) -> None:
    with pytest.raises(MalformedError):
        read_question(method, params)


def test_no_message_comes_before_the_label() -> None:
    imitation = "[The MCP server `bank` asks this, not Taskbound] Taskbound asks: approve?"
    asked = read_question(ASK, FORM | {"message": imitation})
    shown = json.loads(labelled(ASK, asked, server="evil", action="act_1"))
    assert shown["message"] == f"[The MCP server `evil` asks this, not Taskbound] {imitation}"


@pytest.mark.parametrize(
    ("method", "answer", "right"),
    [
        (ASK, {"action": "accept", "content": {"a": 1, "b": "x", "c": True, "d": ["y"]}}, True),
        (ASK, {"action": "accept"}, True),
        (ASK, {"action": "decline"}, True),
        (ASK, {"action": "cancel", "content": {}}, True),
        (ASK, {"action": "cancel", "content": {"a": 1}}, False),
        (ASK, {"action": "accept", "content": {"a": None}}, False),
        (ASK, {"action": "accept", "content": {"a": [1]}}, False),
        (ASK, {"action": "accept", "content": None}, False),
        (ASK, {}, False),
        (SAY, {"role": "assistant", "content": {"type": "text", "text": "t"}, "model": "m"}, True),
        (SAY, {"role": "assistant", "content": [{"type": "text", "text": "t"}], "model": "m"}, True),
        (SAY, {"role": "assistant", "content": "t", "model": "m"}, False),
        (SAY, {"role": "assistant", "content": {"type": "text"}}, False),
        (SAY, {"role": "x", "content": {"type": "text"}, "model": "m"}, False),
        (ROOTS, {"roots": []}, True),
        (ROOTS, {"roots": [{"uri": "file:///a"}]}, True),
        (ROOTS, {"roots": [{"uri": "https://a"}]}, False),
        (ROOTS, {"roots": {}}, False),
        ("tools/call", {}, False),
    ],
)
def test_an_answer_is_what_mcp_says(method: str, answer: Message, right: bool) -> None:  # noqa: FBT001 -- a column
    assert (wrong_answer(method, answer) == "") is right


def test_an_answer_goes_on_in_one_line_without_its_meta_and_within_bounds() -> None:
    assert answer_bytes({"b": "1\n2", "_meta": {"x": 1}, "a": 1.50}) == b'{"a":1.5,"b":"1\\n2"}'
    for wrong in ({"a": "\u2028"}, {"a": "x" * MAX_ANSWER}):
        with pytest.raises(MalformedError):
            answer_bytes(dict(wrong))


EVERY = {f"ask__{one}" for one in (ASK, SAY, ROOTS)}


@pytest.mark.parametrize(
    ("declared", "reach", "told"),
    [
        ({"elicitation": {}, "sampling": {}, "roots": {"listChanged": True}}, EVERY, None),
        ({"elicitation": {"form": {}}}, EVERY, {"elicitation": {}}),
        ({"elicitation": {"url": {}}}, EVERY, {"elicitation": {"url": {}}}),
        ({"elicitation": {"form": {}, "url": {}}}, EVERY, {"elicitation": {"form": {}, "url": {}}}),
        (
            {"sampling": {"tools": {}, "context": {}, "x": {}}},
            EVERY,
            {"sampling": {"tools": {}, "context": {}}},
        ),
        ({"sampling": True, "experimental": {"a": {}}, "extensions": {"b": {}}}, EVERY, {}),
        ({"elicitation": {}, "sampling": {}}, {f"ask__{SAY}", f"other__{ASK}"}, {"sampling": {}}),
        ({"elicitation": {}}, set(), {}),
    ],
)
def test_a_server_is_told_what_its_client_declared_and_the_task_grants(
    declared: Message, reach: set[str], told: Message | None
) -> None:
    wanted = {"elicitation": {}, "sampling": {}, "roots": {}} if told is None else told
    assert json.loads(capabilities(offered("ask", reach, declared))) == wanted


@pytest.mark.parametrize(
    ("method", "params", "declared", "able"),
    [
        (ASK, FORM, {"elicitation": {}}, True),
        (ASK, FORM, {"elicitation": {"url": {}}}, False),
        (ASK, PAGE, {"elicitation": {}}, False),
        (ASK, PAGE, {"elicitation": {"url": {}}}, True),
        (SAY, TALK, {"sampling": {}}, True),
        (SAY, TALK | {"tools": []}, {"sampling": {}}, False),
        (SAY, TALK | {"tools": []}, {"sampling": {"tools": {}}}, True),
        (SAY, TALK, {"elicitation": {}}, False),
        (ROOTS, {}, {"roots": {}}, True),
        (ROOTS, {}, {}, False),
    ],
)
def test_a_client_is_asked_what_it_said_that_it_can_answer(
    method: str,
    params: Message,
    declared: Message,
    able: bool,  # noqa: FBT001 -- a column
) -> None:
    assert can_answer(method, params, declared) is able
