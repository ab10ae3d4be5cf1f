"""What a transaction token says, typed: rules 1 to 3 of `said`, each read apart from the gate before it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.revocation import About, Thing
from taskbound.sdk.verify.errors import BadTokenContextError
from taskbound.sdk.verify.keys import Said, parse_said
from taskbound.wire.jose import TRANSACTION_TOKEN, parse_jws
from tests.sdk.verify.world import Place, Places


@pytest.fixture
def place(tmp_path: Path, places: Places) -> Place:
    return places(tmp_path)


def said(place: Place, **claims: Any) -> Said:
    return parse_said(parse_jws(place.token(**claims), kind=TRANSACTION_TOKEN))


def past_the_gate(place: Place, **claims: Any) -> Said:
    """What is read of claims that the gate before it lets nobody have."""
    jws = parse_jws(place.token(), kind=TRANSACTION_TOKEN)
    return parse_said(replace(jws, claimed=replace(jws.claimed, rest={**jws.claimed.rest, **claims})))


def nested(count: int) -> Any:
    """So many who act, each for the next."""
    found: Any = None
    for number in reversed(range(count)):
        found = {"sub": "agent:coder" if number == 0 else f"agent:a{number}"} | (
            {"act": found} if found else {}
        )
    return found


def test_a_token_rests_on_nothing_that_it_does_not_name(place: Place) -> None:
    of = {"namespace": "default"}
    assert said(place, sub="agent:coder").things() == (
        Thing(**of, about=About.NAMESPACE, id=""),
        Thing(**of, about=About.TASK, id="tsk_1"),
        Thing(**of, about=About.AGENT, id="coder"),
        Thing(**of, about=About.TOKEN, id="tok_1"),
        Thing(namespace="", about=About.KEY, id="key-1"),
    )


def test_who_acts_is_the_holder_where_nobody_is_named(place: Place) -> None:
    assert said(place, act=...).agents == ("coder",)
    assert said(place, act=nested(7)).agents == ("coder", *(f"a{number}" for number in range(1, 7)))
    assert past_the_gate(place, act=nested(16)).agents == (
        "coder",
        *(f"a{number}" for number in range(1, 16)),
    )


ELSEWHERE = ("agent:acme/coder", "person:coder", "coder", "agent:", "agent:a:b", "agents:coder")
WRONG: dict[str, dict[str, Any]] = {
    **{f"{name} acts": {"req_wl": name, "act": {"sub": name}} for name in ELSEWHERE},
    "nobody that has a name acts": {"act": {"sub": "agent:coder", "act": {"sub": ""}}},
    "one elsewhere acts for it": {"act": {"sub": "agent:coder", "act": {"sub": "agent:acme/x"}}},
    "an empty task": {"tctx_task": ""},
    "a task without an end": {"tctx_task": "x" * 513},
    "an empty definition": {"tctx_definition": ""},
    "an approval that is no text": {"tctx_approval": 1},
    "seventeen tasks above": {"tctx_ancestors": [f"tsk_{number}" for number in range(17)]},
    "a task above that is no text": {"tctx_ancestors": [7]},
    "sixty-five approvers": {"tctx_approver": ["person:ann"] * 65},
    "approvers that are a text": {"tctx_approver": "person:ann"},
}


@pytest.mark.parametrize("name", WRONG)
def test_what_can_not_be_read_is_no_token(place: Place, name: str) -> None:
    with pytest.raises(BadTokenContextError):
        said(place, **WRONG[name])


def test_as_many_as_may_be_are_read(place: Place) -> None:
    many = [f"tsk_{number}" for number in range(16)]
    found = said(place, tctx_ancestors=many, tctx_approver=["person:ann"] * 64, tctx_approval="x" * 512)
    assert (list(found.ancestors), len(found.approvers), len(found.approval)) == (many, 64, 512)


@pytest.mark.parametrize(
    "claims",
    [{"tctx": ["x"]}, {"tctx": None}, {"act": "agent:coder"}, {"act": [1]}, {"act": nested(17)}, {"cnf": []}],
    ids=["list", "nothing", "text", "numbers", "seventeen", "key"],
)
def test_what_the_gate_would_not_let_through_is_not_read_either(place: Place, claims: dict[str, Any]) -> None:
    with pytest.raises(BadTokenContextError):
        past_the_gate(place, **claims)
