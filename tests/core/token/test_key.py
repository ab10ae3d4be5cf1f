from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from taskbound.core.clock import Instant, seconds
from taskbound.core.token import (
    IssuingKey,
    TokenKeyEvent,
    TokenKeyRevokedError,
    TokenKeyState,
    is_published,
    move_key,
    require_not_revoked,
    rotation_due,
)
from taskbound.core.token.key import KEY_DAY, KEY_NOTICE
from taskbound.core.token.values import LONGEST
from taskbound.core.transition import WrongStateError

NOW = Instant(1_800_000_000_000_000)
NEXT = IssuingKey(kid="k1", public=b"{}", state=TokenKeyState.NEXT, made=NOW)
MOVES = {
    ("next", "use"): "current",
    ("current", "retire"): "retired",
    ("next", "revoke"): "revoked",
    ("current", "revoke"): "revoked",
    ("retired", "revoke"): "revoked",
}


@pytest.mark.parametrize(("state", "event"), [*product(TokenKeyState, TokenKeyEvent)])
def test_a_key_goes_from_next_to_current_to_retired_and_from_each_to_revoked(
    state: TokenKeyState, event: TokenKeyEvent
) -> None:
    key = replace(NEXT, state=state)
    after = MOVES.get((state.value, event.value))
    if after is None:
        with pytest.raises(WrongStateError):
            move_key(key, event, NOW)
    else:
        assert move_key(key, event, NOW, "lost").state.value == after


def test_i43_a_retired_key_is_published_until_its_last_token_has_ended_and_a_revoked_one_never() -> None:
    used = move_key(NEXT, TokenKeyEvent.USE, NOW)
    retired = move_key(used, TokenKeyEvent.RETIRE, NOW)
    last = Instant(NOW + seconds(LONGEST))
    assert is_published(NEXT, NOW)
    assert is_published(used, NOW)
    assert is_published(retired, last)
    assert not is_published(retired, Instant(last + seconds(61)))
    for one in (NEXT, used, retired):
        assert not is_published(move_key(one, TokenKeyEvent.REVOKE, NOW, "lost"), NOW)


def test_i43_tokens_of_a_retired_key_stand_and_those_of_a_revoked_or_unknown_one_do_not() -> None:
    retired = replace(NEXT, state=TokenKeyState.RETIRED)
    assert require_not_revoked(retired) == retired
    for key in (None, replace(NEXT, state=TokenKeyState.REVOKED)):
        with pytest.raises(TokenKeyRevokedError):
            require_not_revoked(key)


def test_a_key_signs_for_a_day_and_the_next_one_is_known_ten_minutes_before() -> None:
    current = replace(NEXT, kid="k0", state=TokenKeyState.CURRENT, used=NOW)
    late = Instant(NOW + KEY_DAY)
    assert rotation_due([], NOW)
    assert rotation_due([current], NOW)
    assert rotation_due([NEXT], NOW)
    assert not rotation_due([current, NEXT], Instant(late - 1))
    assert rotation_due([current, NEXT], late)
    young = replace(NEXT, made=Instant(late - KEY_NOTICE + 1))
    assert not rotation_due([current, young], late)
    assert rotation_due([current, young], Instant(late + 1))
