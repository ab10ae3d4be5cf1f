from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.action.canonical import members
from taskbound.core.credential.errors import CredentialHeldError
from taskbound.core.errors import FAMILIES, TaskboundError
from taskbound.surfaces.gateway import eras as answers
from taskbound.surfaces.gateway.eras import bridge, crosses, is_complete, narrowed, told
from taskbound.surfaces.gateway.errors import RPC_CODES, rpc_code
from taskbound.wire.action import Changed, Reason, Refused
from taskbound.wire.mcp.message import DECISION_KEY

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=12) | st.just("resultType"), JSON, max_size=4),
    st.sampled_from([None, 1]),
)
def test_a_bridged_result_has_one_type_and_every_other_byte_of_the_servers(
    value: dict[str, Any], indent: int | None
) -> None:
    raw = json.dumps(value, indent=indent).encode()
    typed = "resultType" in value
    assert bridge(raw, typed=typed, modern=False) == raw
    found = bridge(raw, typed=typed, modern=True)
    before, after = members(raw), members(found)
    assert "resultType" in after
    if typed:
        assert found == raw
    else:
        assert after.pop("resultType") == b'"complete"'
        assert after == before


@pytest.mark.parametrize(
    ("result", "final"),
    [
        ({}, True),
        ({"resultType": "complete"}, True),
        ({"resultType": "task"}, False),
        ({"resultType": None}, False),
    ],
)
def test_a_result_is_final_when_it_says_so_or_nothing(result: dict[str, Any], *, final: bool) -> None:
    assert is_complete(result) is final


@pytest.mark.parametrize(
    ("tool", "legacy"),
    [
        ({}, True),
        ({"outputSchema": None}, True),
        ({"outputSchema": {"type": "object"}}, True),
        ({"outputSchema": {"type": "array"}}, False),
        ({"outputSchema": {}}, False),
    ],
)
def test_a_tool_whose_results_are_no_objects_is_for_modern_clients(
    tool: dict[str, Any], *, legacy: bool
) -> None:
    assert crosses(tool, modern=True)
    assert crosses(tool, modern=False) is legacy


def test_a_refusal_without_reasons_or_advice_is_still_one_sentence() -> None:
    found = json.loads(answers.refused(Refused(action="", task="", code="no-task", instead="")))
    assert found["content"] == [{"type": "text", "text": "Refused: it is not permitted."}]
    assert found["_meta"] == {DECISION_KEY: {"code": "no-task"}}
    assert found["isError"] is True


def test_a_held_call_names_its_approval_and_never_says_refused() -> None:
    waits = "waiting for approval by reviewers: apr_1, until 14:32 UTC"
    reasons = (Reason(code="held", text="policy `a` holds it"),)
    answer = Refused(
        action="act_1", task="tsk_1", code="held", instead="call again", reasons=reasons, waits=waits
    )
    found = json.loads(answers.refused(answer))
    assert found["content"][0]["text"] == f"{waits} (policy `a` holds it). Call again."
    reason = {"code": "held", "text": "policy `a` holds it"}
    decision = {"action": "act_1", "code": "held", "reasons": [reason], "task": "tsk_1"}
    assert found["_meta"] == {DECISION_KEY: decision}


def test_call_that_waits_for_a_held_credential_begins_with_held_and_names_the_approval() -> None:
    waits = "server `db` does not have `db__mint` yet: waiting for approval by ann: apr_1, until 14:32 UTC"
    found = json.loads(answers.error_result(CredentialHeldError(waits), action="act_1", task="tsk_1"))
    assert found["content"][0]["text"].startswith(f"Held: {waits}. ")
    assert found["_meta"][DECISION_KEY]["code"] == "credential-held"


def test_an_error_without_a_code_of_its_own_is_an_internal_one() -> None:
    class OddError(TaskboundError):
        """Nobody knows it."""

        code = "odd-in-a-test"

    assert rpc_code(OddError("odd")) == -32603


def test_no_code_of_ours_stands_in_a_range_that_is_reserved_for_others() -> None:
    standard = {-32700, -32600, -32601, -32602, -32603, -32020, -32021, -32022}
    assert {*RPC_CODES.values(), *(one.rpc_code for one in FAMILIES.values())} <= standard


LESS = (
    Changed(place="sum.amount", before="500", after="40"),
    Changed(place="fee", before='"12.50"', after='"1"'),
)
WORDS = "A person has narrowed this call: `sum.amount` is 40 instead of 500, `fee` is 1 instead of 12.50."


@pytest.mark.parametrize(
    ("raw", "content", "rest"),
    [
        (b'{"content":[{"type":"text","text":"ok"}],"x":1e2}', [{"type": "text", "text": "ok"}], {"x": 100}),
        (b'{"content":[],"_meta":{"a":[1.0]}}', [], {}),
        (b'{"structuredContent":{"n":1}}', [], {"structuredContent": {"n": 1}}),
        (b'{"content":"all","_meta":"none"}', ["all"], {}),
        (b'{"content":null,"_meta":null}', [None], {}),
    ],
)
def test_the_answer_of_a_narrowed_call_begins_with_what_was_changed_and_loses_nothing(
    raw: bytes, content: list[Any], rest: dict[str, Any]
) -> None:
    found = json.loads(narrowed(raw, LESS, action="act_1"))
    assert found["content"] == [{"type": "text", "text": WORDS}, *content]
    decision = found["_meta"].pop(DECISION_KEY)
    assert (decision["code"], decision["action"], len(decision["changed"])) == ("narrowed", "act_1", 2)
    assert found.items() >= rest.items()


def test_bytes_of_a_narrowed_call_s_answer_are_the_server_s_but_for_what_is_said() -> None:
    raw = b'{"content":[{"text":"\\u00e9 1.50","type":"text"}],"structuredContent":{"n":1.50}}'
    made = narrowed(raw, LESS, action="act_1")
    assert b'{"text":"\\u00e9 1.50","type":"text"}]' in made
    assert b'"structuredContent":{"n":1.50}' in made


def test_an_error_and_a_refusal_of_a_narrowed_call_say_what_was_changed_too() -> None:
    line = b'{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"no","data":1.50}}\n'
    made = narrowed(line, LESS, action="act_1")
    assert made == (
        b'{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"%b no","data":1.50}}\n' % WORDS.encode()
    )
    refusal = json.loads(narrowed(told("exhausted", "Refused: x", "wait"), LESS, action="act_1"))
    assert refusal["isError"] is True
    assert refusal["_meta"][DECISION_KEY]["code"] == "exhausted"
    assert refusal["content"][0]["text"] == WORDS
