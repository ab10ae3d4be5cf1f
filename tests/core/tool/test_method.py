from __future__ import annotations

import pytest

from taskbound.core.tool import (
    METHOD_NAMES,
    QUESTION_NAMES,
    RESERVED_NAMES,
    BadToolNameError,
    Effect,
    Same,
    compare_list,
    join_tool_name,
    method_definition,
    parse_definition,
    parse_listed,
    parse_own_name,
    parse_tool_name,
)


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_a_method_is_a_tool_whose_name_no_server_can_give(name: str) -> None:
    definition = method_definition(name)
    assert parse_tool_name(join_tool_name("fs", name)) == ("fs", name)
    assert parse_definition(definition.canonical).digest == definition.digest
    with pytest.raises(BadToolNameError):
        parse_own_name(name)
    with pytest.raises(BadToolNameError):
        parse_listed(definition.canonical)


@pytest.mark.parametrize("name", sorted(METHOD_NAMES))
def test_a_method_only_reads_and_takes_nothing_but_what_mcp_says(name: str) -> None:
    definition = method_definition(name)
    assert (definition.effect, definition.open_world) == (Effect.READ, True)
    assert definition.input_schema["additionalProperties"] is False
    assert definition.defaults == {}


@pytest.mark.parametrize(
    "name", ["resources/list", "tools/call", "Resources/read", "resources/read/", "/", "resources//read"]
)
def test_no_other_name_with_a_slash_is_one(name: str) -> None:
    with pytest.raises(BadToolNameError):
        parse_tool_name(f"fs__{name}")
    with pytest.raises(BadToolNameError):
        method_definition(name)


@pytest.mark.parametrize("name", sorted(QUESTION_NAMES))
def test_a_question_has_the_worst_effect_and_takes_nothing_but_what_mcp_says(name: str) -> None:
    definition = method_definition(name)
    assert (definition.effect, definition.open_world) == (Effect.DESTRUCTIVE, True)
    assert definition.denies_idempotence
    assert definition.input_schema["additionalProperties"] is False


def test_a_form_and_no_context_are_what_a_grant_need_not_mention() -> None:
    assert method_definition("elicitation/create").defaults == {"mode": "form"}
    assert method_definition("sampling/createMessage").defaults == {"includeContext": "none"}


def test_what_a_server_may_ask_is_a_persons_word_that_no_server_takes_back() -> None:
    pinned = [method_definition("roots/list"), method_definition("prompts/get")]
    found = compare_list(pinned, [], server="fs", methods=("elicitation/create",))
    assert isinstance(found["roots/list"], Same)
    assert not isinstance(found["prompts/get"], Same)
