from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.action import canonical
from taskbound.core.credential import BadCredentialLifeError
from taskbound.core.target import (
    BadKindError,
    BadParameterError,
    CredentialKind,
    Life,
    PostgresKind,
    kind_definition,
    life_of,
    require_parameters,
)
from taskbound.core.tool import credential_kind, join_tool_name, parse_definition

if TYPE_CHECKING:
    from taskbound.core.tool import ToolDefinition

KIND = CredentialKind(
    name="reader",
    description="Reads",
    seconds=600,
    grants=PostgresKind(group="readers", context=("customer", "order")),
)
DEFINITION = kind_definition(KIND)
WHOLE = {"customer": "42", "order": "7"}


def without(*ways: str) -> ToolDefinition:
    """The definition with something of its schema taken away."""
    value: Any = parse_definition(DEFINITION.canonical).value
    for way in ways:
        part = value["inputSchema"]
        *before, last = way.split("/")
        for step in before:
            part = part[step]
        del part[last]
    return parse_definition(canonical(value))


@given(st.sampled_from(sorted(WHOLE)), st.text(min_size=1, max_size=256).filter(str.isprintable))
def test_every_text_within_the_bounds_is_a_parameter(name: str, text: str) -> None:
    require_parameters(DEFINITION, WHOLE | {name: text})


@pytest.mark.parametrize("value", ["", "x" * 257, 1, 1.5, True, None, [], {}, ["42"]], ids=repr)
@pytest.mark.parametrize("name", sorted(WHOLE))
def test_anything_else_is_none(name: str, value: Any) -> None:
    with pytest.raises(BadParameterError, match=name):
        require_parameters(DEFINITION, WHOLE | {name: value})


def test_all_that_it_requires_and_nothing_that_it_does_not_know_is_there() -> None:
    require_parameters(DEFINITION, WHOLE)
    require_parameters(DEFINITION, WHOLE | {"seconds": "of which another asks"})
    with pytest.raises(BadParameterError, match="needs `order`"):
        require_parameters(DEFINITION, {"customer": "42"})
    with pytest.raises(BadParameterError, match="has no `role`"):
        require_parameters(DEFINITION, WHOLE | {"role": "admin"})


@given(st.integers(min_value=1, max_value=600))
def test_a_life_within_the_kinds_is_asked_for_as_it_is(seconds: int) -> None:
    assert life_of(DEFINITION, WHOLE | {"seconds": seconds}) == Life(asked=seconds, most=600)


def test_without_a_number_the_definition_says_for_how_long() -> None:
    assert life_of(DEFINITION, WHOLE) == Life(asked=600, most=600)


@pytest.mark.parametrize("seconds", [0, -1, 601, 10**9, 1.0, 1.5, True, False, None, "1", [1]], ids=repr)
def test_no_other_life_is_one(seconds: Any) -> None:
    with pytest.raises(BadCredentialLifeError):
        life_of(DEFINITION, WHOLE | {"seconds": seconds})


@pytest.mark.parametrize(
    "way", ["properties/seconds", "properties/seconds/maximum", "properties/seconds/default"]
)
def test_a_definition_that_says_no_life_gives_none(way: str) -> None:
    for asked in (WHOLE, WHOLE | {"seconds": 5}):
        with pytest.raises(BadKindError):
            life_of(without(way), asked)


@pytest.mark.parametrize("way", ["properties/customer/maxLength", "properties/customer/minLength"])
def test_a_definition_without_bounds_lets_no_text_through(way: str) -> None:
    with pytest.raises(BadKindError):
        require_parameters(without(way), WHOLE)
    with pytest.raises(BadParameterError, match="has no `customer`"):
        require_parameters(without("properties"), WHOLE)


def test_a_tools_name_says_which_kind_of_which_target_it_is() -> None:
    assert credential_kind(join_tool_name("orders-db", DEFINITION.name)) == ("orders-db", "reader")
    for other in (
        "orders-db__reader",
        "orders-db__credential/",
        "orders-db__credential/Reader",
        "orders-db__credential/reader/x",
        "orders-db__credential",
        "credential/reader",
        "orders-db__resources/read",
        "",
    ):
        assert credential_kind(other) is None, other


def test_nothing_is_asked_for_by_a_form_of_a_text_that_is_not_known() -> None:
    value: Any = parse_definition(DEFINITION.canonical).value
    value["inputSchema"]["properties"]["order"]["pattern"] = "^[0-9]+$"
    with pytest.raises(BadKindError, match="what `order` of this kind of credential may be"):
        require_parameters(parse_definition(canonical(value)), WHOLE)
