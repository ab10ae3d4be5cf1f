from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.clock import Instant, seconds
from taskbound.core.identity.proof import Binding, BindingKind
from taskbound.core.token import (
    ActorChainError,
    BadTokenLifeError,
    TokenForm,
    UnboundTokenError,
    WeakerBindingError,
    extend_chain,
    life_of,
    parse_life,
    require_as_firm,
    require_bound,
)
from taskbound.core.token.values import DEPTH, LONGEST, SHORT

NOW = Instant(1_800_000_000_400_000)
DPOP = Binding(kind=BindingKind.DPOP, thumbprint="a" * 43)
MTLS = Binding(kind=BindingKind.MTLS, thumbprint="b" * 43)
HOSTILE = [math.nan, math.inf, -1, 10**18, "5m; drop", "300", 300.0, True, None, LONGEST + 1]


@pytest.mark.parametrize("asked", HOSTILE)
def test_a142_a_life_is_whole_seconds_within_five_minutes_and_nothing_else(asked: object) -> None:
    with pytest.raises(BadTokenLifeError, match="1 to 300 seconds"):
        parse_life(asked, TokenForm.TASK)


@pytest.mark.parametrize(
    ("form", "most"),
    [(TokenForm.TASK, LONGEST), (TokenForm.PERSON, LONGEST), (TokenForm.TRANSACTION, SHORT)],
)
def test_who_asks_for_no_life_gets_the_longest_of_the_form(form: TokenForm, most: int) -> None:
    assert parse_life(0, form) == most
    assert parse_life(1, form) == 1
    with pytest.raises(BadTokenLifeError):
        parse_life(most + 1, form)


@given(
    life=st.integers(1, LONGEST),
    now=st.integers(0, 2**50),
    ends=st.lists(st.integers(0, 2**51), max_size=3),
)
def test_i44_a_token_ends_within_its_life_and_no_later_than_anything_it_rests_on(
    life: int, now: int, ends: list[int]
) -> None:
    try:
        issued, expires = life_of(life, Instant(now), *map(Instant, ends))
    except BadTokenLifeError:
        assert any(end // 1_000_000 * 1_000_000 <= now for end in ends) or life == 1
        return
    assert issued <= now < expires <= min([issued + seconds(life), *ends])
    assert issued % 1_000_000 == expires % 1_000_000 == 0


def test_what_has_less_than_a_second_left_gives_no_token() -> None:
    assert life_of(9, NOW, Instant(NOW + 900_000)) == (NOW - 400_000, NOW + 600_000)
    for end in (NOW, NOW + 100, NOW + 599_999, NOW - 1):
        with pytest.raises(BadTokenLifeError, match="less than a second"):
            life_of(9, NOW, Instant(end))


def test_a151_a_chain_grows_at_its_front_to_six_and_no_further() -> None:
    chain: tuple[str, ...] = ()
    for number in range(DEPTH):
        chain = extend_chain(f"agent:a{number}", chain, "person:ann")
    assert chain[0] == "agent:a5"
    with pytest.raises(ActorChainError, match="at most 5 times"):
        extend_chain("agent:a6", chain, "person:ann")


def test_a151_a_chain_has_nobody_twice_and_not_the_one_it_acts_for() -> None:
    with pytest.raises(ActorChainError, match="before"):
        extend_chain("agent:a", ("agent:b", "agent:a"), "person:ann")
    for actor, before in (("agent:a", ()), ("agent:b", ("agent:a",))):
        with pytest.raises(ActorChainError, match="for itself"):
            extend_chain(actor, before, "agent:a")


def test_a151_i42_a_binding_is_never_dropped_and_never_weaker() -> None:
    assert require_bound(DPOP) == DPOP
    with pytest.raises(UnboundTokenError):
        require_bound(None)
    for firm, before in [(None, None), (DPOP, None), (DPOP, DPOP), (MTLS, DPOP), (MTLS, MTLS)]:
        require_as_firm(firm, before)
    for weak, before in [(None, DPOP), (None, MTLS), (DPOP, MTLS)]:
        with pytest.raises(WeakerBindingError):
            require_as_firm(weak, before)
