from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.credential import SECRET_BYTES, find_secrets, spell_secret


@given(st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES), st.text(max_size=20))
def test_a_secret_is_found_wherever_it_stands(raw: bytes, before: str) -> None:
    secret = spell_secret(raw)
    assert len(secret) == 53
    assert len(before) + 1 in find_secrets(f"{before} {secret}\n")


@given(st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES), st.integers(4, 52), st.sampled_from("aZ0_-"))
def test_what_is_no_secret_is_taken_for_none(raw: bytes, place: int, other: str) -> None:
    secret = spell_secret(raw)
    changed = secret[:place] + other + secret[place + 1 :]
    assert find_secrets(changed) == ((0,) if changed == secret else ())


def test_another_form_is_none() -> None:
    secret = spell_secret(bytes(range(SECRET_BYTES)))
    assert find_secrets(secret) == (0,)
    for one in (secret[1:], secret[:-1], secret.upper(), secret.replace("tbs_", "tb__")):
        assert find_secrets(one) == ()


def test_a_secret_is_found_between_others_without_anything_between() -> None:
    secret = spell_secret(bytes(SECRET_BYTES))
    assert find_secrets(f"tbs_{secret}{secret}x") == (4, 57)


def test_two_secrets_are_two_places() -> None:
    secret = spell_secret(bytes(SECRET_BYTES))
    assert find_secrets(f"{secret},{secret}") == (0, 54)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_no_secret_is_made_of_less_chance(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        spell_secret(bytes(size))
