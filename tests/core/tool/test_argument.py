from __future__ import annotations

import json
from typing import Any

import pytest

from taskbound.core.tool import BadSlotError, parse_definition, parse_slot
from taskbound.core.tool.errors import SlotTakenError
from taskbound.core.tool.slot import filled, offered, require_arguments

PAY: dict[str, Any] = {
    "name": "pay",
    "inputSchema": {
        "type": "object",
        "properties": {"to": {"type": "string"}, "key": {"type": "string"}, "n": {"type": "integer"}},
        "required": ["key", "to"],
    },
}
DEFINED = parse_definition(json.dumps(PAY).encode())


def test_an_argument_that_is_a_slot_is_not_offered_nor_required() -> None:
    found = json.loads(offered(DEFINED.canonical, {"key"}))
    assert list(found["inputSchema"]["properties"]) == ["n", "to"]
    assert found["inputSchema"]["required"] == ["to"]
    assert offered(DEFINED.canonical, ()) == DEFINED.canonical


def test_a_schema_without_properties_is_offered_as_it_is() -> None:
    plain = parse_definition(b'{"name":"pay","inputSchema":{"type":"object"}}')
    assert offered(plain.canonical, {"key"}) == plain.canonical


def test_what_is_sent_is_what_was_decided_and_the_values_in_canonical_bytes() -> None:
    assert filled(b'{"to":"bob"}', {"key": "a\u20ac"}) == '{"key":"a\u20ac","to":"bob"}'.encode()
    assert filled(b'{"to": "bob"}', {}) == b'{"to": "bob"}'


def test_a_call_that_has_the_argument_already_is_not_filled() -> None:
    with pytest.raises(SlotTakenError, match="key"):
        filled(b'{"key":"mine","to":"bob"}', {"key": "theirs"})


@pytest.mark.parametrize("slot", ["argument:pay/other", "argument:pay/n", "argument:sell/key"])
def test_a_slot_is_an_argument_that_the_tool_takes_as_a_text(slot: str) -> None:
    with pytest.raises(BadSlotError):
        require_arguments([parse_slot(slot)], [DEFINED])


def test_a_slot_that_is_one_is_taken_and_others_are_not_looked_at() -> None:
    require_arguments([parse_slot("argument:pay/key"), parse_slot("environment:KEY")], [DEFINED])
