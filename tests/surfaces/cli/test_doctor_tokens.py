from __future__ import annotations

import pytest

from taskbound.core.clock import days, hours
from taskbound.surfaces.cli.doctor_tokens import tell_token_keys
from taskbound.wire.token import TokenKeyRow

NOW = 1_800_000_000_000_000


def key(state: str, age: int = 0) -> TokenKeyRow:
    used = None if state == "next" else NOW - age
    return TokenKeyRow(key=state, state=state, published=True, made=NOW - age, used=used, why="")


@pytest.mark.parametrize(
    ("rows", "level", "words"),
    [
        ((key("current", hours(3)), key("next")), "ok", "for 3 hours; the next one is ready"),
        ((key("current", hours(3)),), "warn", "none is ready"),
        ((key("current", days(3)), key("next")), "warn", "for 72 hours"),
        ((key("revoked"), key("next")), "bad", "no key signs"),
    ],
)
def test_doctor_says_how_old_the_key_is_that_signs_tokens_and_whether_one_follows(
    rows: tuple[TokenKeyRow, ...], level: str, words: str
) -> None:
    ((found, name, text, _),) = tell_token_keys(rows, NOW)
    assert (found, name) == (level, "token-key")
    assert words in text


def test_doctor_says_nothing_where_no_token_was_ever_asked_for() -> None:
    assert list(tell_token_keys((), NOW)) == []
