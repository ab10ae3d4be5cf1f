from __future__ import annotations

import pytest

from taskbound.core.credential import LIVE, CredentialEvent, CredentialState
from taskbound.core.credential.values import BEGINNINGS, CREDENTIAL_TRANSITIONS, MAY_EXIST, advance
from taskbound.core.transition import WrongStateError

S, E = CredentialState, CredentialEvent


def reachable(*, without: frozenset[CredentialEvent] = frozenset()) -> set[CredentialState]:
    """Where a journaled credential can get to."""
    found, todo = {S.JOURNALED}, [S.JOURNALED]
    while todo:
        state = todo.pop()
        for (before, event), after in CREDENTIAL_TRANSITIONS.moves.items():
            if before is state and event not in without and after not in found:
                found.add(after)
                todo.append(after)
    return found


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize("event", E)
def test_every_cell_has_an_answer(state: CredentialState, event: CredentialEvent) -> None:
    if (state, event) in CREDENTIAL_TRANSITIONS.moves:
        assert advance(state, event) is CREDENTIAL_TRANSITIONS.moves[state, event]
    else:
        with pytest.raises(WrongStateError):
            advance(state, event)


def test_i12_nothing_that_is_being_revoked_or_was_is_ever_minted_or_active_again() -> None:
    over = {S.REVOKING, S.REVOKED, S.UNSUPPORTED}
    for (before, _), after in CREDENTIAL_TRANSITIONS.moves.items():
        if before in over:
            assert after in over


def test_only_what_was_journaled_is_minted() -> None:
    assert [one for one in CREDENTIAL_TRANSITIONS.moves.items() if one[1] is S.MINTING] == [
        ((S.JOURNALED, E.MINT), S.MINTING)
    ]
    assert S.MINTING not in BEGINNINGS
    assert S.ACTIVE not in BEGINNINGS


def test_whatever_lives_can_end_and_its_end_is_one_step() -> None:
    assert {advance(one, E.END) for one in LIVE} == {S.REVOKING}
    for one in set(S) - LIVE:
        with pytest.raises(WrongStateError):
            advance(one, E.END)


def test_i06_i07_revoking_is_left_with_what_the_target_showed_and_with_nothing_else() -> None:
    leaving = {
        event
        for (before, event), after in CREDENTIAL_TRANSITIONS.moves.items()
        if before is S.REVOKING and after is not S.REVOKING
    }
    assert leaving == {E.GONE, E.LEAVE}
    assert reachable(without=frozenset({E.GONE, E.LEAVE, E.UNSENT})) == {
        S.JOURNALED,
        S.MINTING,
        S.ACTIVE,
        S.REVOKING,
    }


def test_i07_the_one_end_without_a_look_is_of_a_mint_that_is_under_way() -> None:
    assert [one for one in CREDENTIAL_TRANSITIONS.moves.items() if one[0][1] is E.UNSENT] == [
        ((S.MINTING, E.UNSENT), S.REVOKED)
    ]


def test_nothing_is_over_while_the_target_may_show_it() -> None:
    assert {S.MINTING, S.ACTIVE, S.REVOKING, S.UNSUPPORTED} == MAY_EXIST
    assert reachable() == set(S)
