from __future__ import annotations

from typing import Any

import pytest

from taskbound.core.policy import (
    Forbid,
    Forbidden,
    Held,
    Permitted,
    PolicyAnswer,
    PolicyRequest,
    PolicyTrace,
    conclude_within,
    grants_for,
    turns_within,
)
from taskbound.core.scope import parse_scope

SMALL: dict[str, Any] = {
    "tool": "bank__pay",
    "arguments": {"to": {"one_of": ["bob"]}, "amount": {"range": {"max": 20}}},
}
SCOPE = parse_scope({"grants": [SMALL, {**SMALL, "arguments": {"to": {"prefix": "b"}}, "others": "any"}]})
ONE = parse_scope({"grants": [SMALL]})
TRACE = PolicyTrace(candidates=("large",), facts=(), arguments=("arguments/amount",), told="")


def request(**arguments: Any) -> PolicyRequest:
    return PolicyRequest(
        namespace="default", agent="a", tool="bank__pay", server="bank", arguments=arguments, facts={}
    )


def ask(asked: PolicyRequest) -> PolicyAnswer:
    """Permits, and holds an amount above 10."""
    amount = asked.arguments.get("amount", 0)
    large = (Forbid(policy="large", lifter="confirm"),) if isinstance(amount, int) and amount > 10 else ()
    return PolicyAnswer(permits=("base",), forbids=large, erred=(), bundle="b")


def concluded(scope: Any, **arguments: Any) -> Any:
    return conclude_within(scope, request(**arguments), ask(request(**arguments)))


def test_what_no_grant_covers_is_refused_whatever_the_rules_say() -> None:
    assert concluded(ONE, to="bob", amount=5) == Permitted(policies=("base",))
    assert concluded(ONE, to="bob", amount=11) == Held(policies=("large",), lifters=("confirm",))
    for arguments in ({"to": "bob", "amount": 21}, {"to": "eve", "amount": 1}, {"amount": 1}):
        found = concluded(ONE, **arguments)
        assert isinstance(found, Forbidden)
        assert (found.code, found.policies) == ("outside-scope", ())
        assert concluded(None, **arguments) != found


def test_every_grant_that_covers_is_named_in_the_order_in_which_they_pay() -> None:
    found = grants_for(SCOPE, request(to="bob", amount=5))
    assert [one.partition(":")[0] for one in found.covering] == ["g0", "g1"]
    assert found.nearest == ()
    assert [one.partition(":")[0] for one in grants_for(SCOPE, request(to="ben")).covering] == ["g1"]


def test_what_kept_the_nearest_grant_from_a_call_is_named_with_what_would_do() -> None:
    found = grants_for(ONE, request(to="bob", amount=21))
    assert found.covering == ()
    (sentence,) = found.nearest
    assert sentence.startswith("grant g0 came nearest: argument `amount` was `21`")
    assert "20" in sentence


def test_only_the_grants_of_the_step_in_force_cover() -> None:
    stepped = parse_scope(
        {
            "steps": [
                {"name": "look", "grants": [{"tool": "bank__look", "others": "any"}]},
                {"name": "pay", "grants": [SMALL]},
            ]
        }
    )
    call = request(to="bob", amount=5)
    assert grants_for(stepped, call).covering == ()
    assert grants_for(stepped, call, step=1).covering
    assert isinstance(conclude_within(stepped, call, ask(call), step=0), Forbidden)
    assert isinstance(conclude_within(stepped, call, ask(call), step=1), Permitted)


@pytest.mark.parametrize(
    ("scope", "arguments", "turn"),
    [
        (ONE, {"to": "bob", "amount": 5}, ("without grant g0", "refuse, outside-scope")),
        (SCOPE, {"to": "bob", "amount": 5}, ("without grants g0, g1", "refuse, outside-scope")),
        (ONE, {"to": "eve", "amount": 5}, ("with a grant that covers it as it is", "permit (base)")),
        (
            ONE,
            {"to": "eve", "amount": 50},
            ("with a grant that covers it as it is", "hold, lifted by confirm (large)"),
        ),
    ],
)
def test_the_scope_is_one_of_the_things_that_would_change_the_answer(
    scope: Any, arguments: Any, turn: tuple[str, str]
) -> None:
    first = turns_within(scope, request(**arguments), TRACE, ask).found[0]
    assert (first.what, first.change, first.answer) == ("scope", *turn)


def test_an_argument_that_only_the_scope_reads_is_changed_as_well() -> None:
    found = turns_within(ONE, request(to="bob", amount=20), TRACE, ask).found
    assert {one.what for one in found} == {"scope", "arguments/amount", "arguments/to"}
    (amount,) = (one for one in found if one.what == "arguments/amount")
    assert (amount.change, amount.answer[:21]) == ("amount = 21", "refuse, outside-scope")
    alone = turns_within(None, request(to="bob", amount=20), TRACE, ask).found
    assert {one.what for one in alone} == {"arguments/amount"}
