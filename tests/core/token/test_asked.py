from __future__ import annotations

import re

import pytest

from taskbound.core.clock import Instant
from taskbound.core.token.authorization.asked import (
    ConsentRequest,
    form_secret,
    require_demands,
    require_form,
    secret_digest,
    typed_code,
    typed_digest,
)
from taskbound.core.token.authorization.errors import NotAskedError, SignInDemandedError
from taskbound.core.token.authorization.request import AuthorizationRequest, Redirect

BEGUN = Instant(1_800_000_000_900_000)
"""Within a second."""


def test_a155_a_code_that_a_person_types_holds_43_bits_and_no_letter_that_is_taken_for_another() -> None:
    made = {typed_code(f"{number:043d}") for number in range(2000)}
    assert len(made) == 2000
    assert all(re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{5}-[BCDFGHJKLMNPQRSTVWXZ]{5}", one) for one in made)
    assert {letter for one in made for letter in one} == set("BCDFGHJKLMNPQRSTVWXZ-")
    assert 20**10 > 2**43
    assert typed_code("x") == typed_code("x")


def test_what_is_typed_is_the_same_however_its_groups_are_written() -> None:
    assert typed_digest("bcdfg hjklm") == typed_digest("BCDFG-HJKLM") == typed_digest("BCDFGHJKLM")
    assert typed_digest("BCDFG-HJKLN") != typed_digest("BCDFG-HJKLM")


@pytest.mark.parametrize("typed", ["", "BCDFG-HJKL", "BCDFG-HJKLMN", "BCDFG-HJKLA", "BCDFG-HJKL\u0405"])
def test_what_can_be_no_code_is_refused_by_name(typed: str) -> None:
    with pytest.raises(NotAskedError):
        typed_digest(typed)


def asked(*, acr: tuple[str, ...] = (), max_age: int | None = None) -> ConsentRequest:
    request = AuthorizationRequest(
        client="desk",
        redirect=Redirect(text="http://127.0.0.1/cb", host="127.0.0.1"),
        challenge="c" * 43,
        resource="https://gate.example/mcp/helper",
        scope=(),
        acr=acr,
        max_age=max_age,
    )
    return ConsentRequest(
        namespace="default",
        id="ask_1",
        request=request,
        shown="Desk",
        host="",
        agent="helper",
        browser=secret_digest("x"),
        typed="",
        asked=BEGUN,
    )


@pytest.mark.parametrize(
    ("acr", "max_age", "signed", "when"),
    [
        (("urn:a", "urn:b"), None, "urn:b", 0),
        ((), 60, "", BEGUN - 60_900_000),
        ((), 0, "", BEGUN - 900_000),
        (("urn:a",), 0, "urn:a", BEGUN + 1),
        ((), None, "", 0),
    ],
)
def test_a_sign_in_that_is_as_the_request_wants_it_goes_on(
    acr: tuple[str, ...], max_age: int | None, signed: str, when: int
) -> None:
    require_demands(asked(acr=acr, max_age=max_age), signed, Instant(when))


@pytest.mark.parametrize(
    ("acr", "max_age", "signed", "when"),
    [
        (("urn:a",), None, "", BEGUN),
        (("urn:a",), None, "urn:A", BEGUN),
        ((), 60, "", BEGUN - 62_000_000),
        ((), 0, "", BEGUN - 2_000_000),
        ((), 60, "", 0),
        (("urn:a",), 60, "urn:a", 0),
    ],
)
def test_a_sign_in_that_is_older_or_another_than_the_request_wants_goes_no_further(
    acr: tuple[str, ...], max_age: int | None, signed: str, when: int
) -> None:
    with pytest.raises(SignInDemandedError):
        require_demands(asked(acr=acr, max_age=max_age), signed, Instant(when))


def test_a_form_is_its_browsers_and_its_sign_ins() -> None:
    form = form_secret("x", "ses_1")
    require_form(form, "x", "ses_1")
    for secret, session in (("x", ""), ("x", "ses_2"), ("y", "ses_1"), ("x ses_1", "")):
        with pytest.raises(NotAskedError):
            require_form(form, secret, session)
    assert form not in {secret_digest("x"), typed_digest(typed_code("x"))}
