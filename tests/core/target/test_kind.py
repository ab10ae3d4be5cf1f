from __future__ import annotations

import pytest

from taskbound.core.target import BadKindError, CredentialKind, PostgresKind, kind_definition
from taskbound.core.tool import BadToolNameError, is_reserved, join_tool_name, parse_own_name, parse_tool_name
from taskbound.core.tool.definition import Effect, parse_listed

READER = CredentialKind(
    name="reader",
    description="Reads orders of one tenant.",
    seconds=900,
    grants=PostgresKind(group="readers", context=("region", "tenant")),
    effect=Effect.READ,
)


def test_a_kind_is_asked_for_as_a_tool_of_its_target_whose_definition_is_ours() -> None:
    found = kind_definition(READER)
    assert found.name == "credential/reader"
    assert found.effect is Effect.READ
    assert found.defaults == {"seconds": 900}
    assert found.value["inputSchema"] == {
        "additionalProperties": False,
        "properties": {
            "region": {"maxLength": 256, "minLength": 1, "type": "string"},
            "seconds": {
                "default": 900,
                "description": "How long it is wanted. It ends with the task in any case.",
                "maximum": 900,
                "minimum": 1,
                "type": "integer",
            },
            "tenant": {"maxLength": 256, "minLength": 1, "type": "string"},
        },
        "required": ["region", "tenant"],
        "type": "object",
    }
    assert not found.open_world


@pytest.mark.parametrize("effect", Effect)
def test_its_effect_is_what_was_declared(effect: Effect) -> None:
    kind = CredentialKind(name="a", description="x", seconds=1, grants=PostgresKind(group="g"), effect=effect)
    assert kind_definition(kind).effect is effect


def test_no_server_can_list_a_tool_of_such_a_name() -> None:
    full = join_tool_name("orders-db", "credential/reader")
    assert parse_tool_name(full) == ("orders-db", "credential/reader")
    with pytest.raises(BadToolNameError):
        parse_own_name("credential/reader")
    with pytest.raises(BadToolNameError):
        parse_listed(kind_definition(READER).canonical)


@pytest.mark.parametrize(
    "name",
    [
        "credential/",
        "credential/Reader",
        "credential/1",
        "credential/a/b",
        "credential/" + "a" * 33,
        "credentials/a",
    ],
)
def test_only_a_kinds_name_is_reserved(name: str) -> None:
    assert not is_reserved(name)
    with pytest.raises(BadToolNameError):
        parse_tool_name(f"orders-db__{name}")


@pytest.mark.parametrize("seconds", [0, -1, 86_401])
def test_a_kind_lives_a_day_at_most(seconds: int) -> None:
    with pytest.raises(BadKindError):
        CredentialKind(name="a", description="x", seconds=seconds, grants=PostgresKind(group="g"))


@pytest.mark.parametrize("description", ["", "a\nb", "\x1b[31m", "x" * 401])
def test_it_is_described_in_one_line(description: str) -> None:
    with pytest.raises(BadKindError):
        CredentialKind(name="a", description=description, seconds=1, grants=PostgresKind(group="g"))
