from __future__ import annotations

import re

import pytest

from taskbound.core.token.authorization.asked import typed_code, typed_digest
from taskbound.core.token.authorization.errors import NotAskedError


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
