from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.scope import NotCovered, cover, parse_scope
from taskbound.core.scope.algebra.witness import are_apart

if TYPE_CHECKING:
    from taskbound.core.scope import Grant


def grant(tool: str = "bank__pay", **more: Any) -> Grant:
    return parse_scope({"grants": [{"tool": tool, **more}]}).grants[0]


def to(*names: str, **more: Any) -> Grant:
    return grant(
        arguments={"to": {"one_of": list(names)} if len(names) > 1 else {"equals": names[0]}}, **more
    )


@pytest.mark.parametrize(
    ("one", "two", "apart"),
    [
        (grant(), grant("bank__look"), True),
        (grant(), grant(), False),
        (to("bob"), to("eve"), True),
        (to("bob", "eve"), to("carl", "eve"), False),
        (to("bob"), grant(others="any"), False),
        (to("bob"), to("eve", optional=["to"]), False),
        (to("bob", optional=["to"]), to("eve", optional=["to"]), False),
        (
            grant(arguments={"amount": {"range": {"min": 0, "max": 5}}}),
            grant(arguments={"amount": {"range": {"min": 6, "max": 9}}}),
            True,
        ),
        (grant(arguments={"a.b": {"equals": 1}}), grant(arguments={"a.b": {"equals": 2}}), False),
    ],
)
def test_two_grants_are_apart_where_one_argument_says_so(one: Grant, two: Grant, *, apart: bool) -> None:
    assert are_apart(one, two) is are_apart(two, one) is apart


some = st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True)


@given(some, some, st.sets(st.sampled_from(["one", "two"])), st.sampled_from("abc"))
def test_law_3_no_call_is_covered_by_two_that_are_apart(
    one: list[str], two: list[str], optional: set[str], name: str
) -> None:
    first = to(*one, **({"optional": ["to"]} if "one" in optional else {}))
    second = to(*two, **({"optional": ["to"]} if "two" in optional else {}))
    if not are_apart(first, second):
        return
    for arguments in ({"to": name}, {}):
        missed = [
            isinstance(
                cover(parse_scope({"grants": [each.value()]}), "bank__pay", arguments, None), NotCovered
            )
            for each in (first, second)
        ]
        assert any(missed)
