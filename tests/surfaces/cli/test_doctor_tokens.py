from __future__ import annotations

import pytest

from taskbound.core.clock import days, hours
from taskbound.surfaces.cli.doctor.people import tell_stolen, tell_token_keys, tell_trouble
from taskbound.wire.authorization import AdmissionRow
from taskbound.wire.token import TokenKeyRow, TokenKeyRows

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


@pytest.mark.parametrize(("rows", "level"), [((), "warn"), ((key("current"),), "bad")])
def test_doctor_says_why_no_token_can_be_signed_and_what_to_do(
    rows: tuple[TokenKeyRow, ...], level: str
) -> None:
    found = TokenKeyRows(rows=rows, trouble="the account 7 may not read `x` [store-unreadable]", advice="do")
    ((seen, name, text, advice),) = tell_trouble(found)
    assert (seen, name, advice) == (level, "token-signer", "do")
    assert "[store-unreadable]" in text
    assert list(tell_trouble(TokenKeyRows(rows=rows))) == []


def test_doctor_says_nothing_where_no_token_was_ever_asked_for() -> None:
    assert list(tell_token_keys((), NOW)) == []


def admission(name: str, *, state: str = "stands", bound: bool = False) -> AdmissionRow:
    return AdmissionRow(
        admission=name,
        client="desk",
        agent="helper",
        task="tsk_1",
        person="ann",
        resource="http://127.0.0.1:8701/mcp/helper",
        state=state,
        begun=NOW,
        until=NOW + hours(1),
        bound=bound,
    )


def test_doctor_says_what_a_stolen_token_could_do_and_for_how_long() -> None:
    rows = [
        admission("adm_1"),
        admission("adm_2", bound=True),
        admission("adm_3", state="ended"),
        admission("adm_4", state="over"),
    ]
    front, loose = tell_stolen(("http://127.0.0.1:8701",), rows)
    assert front[:2] == ("ok", "front")
    assert "1 of its clients have none" in front[2]
    assert loose[:2] == ("warn", "bearer-tokens")
    for word in ("`desk`", "`http://127.0.0.1:8701/mcp/helper` alone", "`tsk_1`", "5 minutes at most"):
        assert word in loose[2]
    assert "taskbound token admission end adm_1" in loose[3]


def test_doctor_says_nothing_of_stolen_tokens_where_nobody_takes_any() -> None:
    assert list(tell_stolen((), [admission("adm_2", bound=True)])) == []
    ((level, name, text, _),) = tell_stolen(("http://127.0.0.1:8701",), [])
    assert (level, name) == ("ok", "front")
    assert "none of its clients has none" in text
