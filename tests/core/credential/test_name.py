from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.credential import (
    MINTED,
    BadMarkError,
    ForeignNameError,
    id_of,
    name_of,
    parse_mark,
    pattern_of,
    prefix_of,
)

LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
MARKS = st.text(LETTERS, min_size=8, max_size=8)
IDS = st.text(LETTERS, min_size=35, max_size=35).map("crd_{}".format)


@given(MARKS, IDS)
def test_row_and_target_find_each_other_by_name(mark: str, credential: str) -> None:
    name = name_of(mark, credential)
    assert id_of(mark, name) == credential
    assert name.startswith(prefix_of(mark))
    assert len(name.encode()) == 47  # PostgreSQL cuts at 63 bytes, STS refuses beyond 64
    assert name == name.lower()


@given(MARKS, MARKS, IDS)
def test_i14_another_installations_names_are_foreign(mark: str, other: str, credential: str) -> None:
    name = name_of(other, credential)
    if mark == other:
        return
    assert not name.startswith(prefix_of(mark))
    with pytest.raises(ForeignNameError):
        id_of(mark, name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "postgres",
        "tb_abcdefgh_",
        "tb_abcdefgh_" + "a" * 34,
        "tb_abcdefgh_" + "a" * 36,
        "tb_abcdefgh_" + "A" * 35,
        "tb_abcdefgh_" + "a" * 34 + "1",
        "tb_abcdefgh_" + "a" * 35 + "\n",
        "tb_abcdefgh_" + "a" * 34 + "à",
        "TB_abcdefgh_" + "a" * 35,
        'tb_abcdefgh_"; drop role postgres; --aaaaaaaaaaaaa',
    ],
)
def test_a218_what_only_begins_like_ours_is_nobodys_to_touch(name: str) -> None:
    with pytest.raises(ForeignNameError) as caught:
        id_of("abcdefgh", name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "abcdefg", "abcdefghi", "ABCDEFGH", "abcdefg1", "abcdefg_", "abcdefgh\n"]
)
def test_a_mark_is_eight_letters_that_every_target_takes(text: str) -> None:
    with pytest.raises(BadMarkError):
        parse_mark(text)
    with pytest.raises(BadMarkError):
        prefix_of(text)


@pytest.mark.parametrize("text", ["", "crd_", "tok_" + "a" * 35, "crd_" + "a" * 34, "crd_" + "A" * 35])
def test_only_an_id_of_a_credential_has_a_name(text: str) -> None:
    with pytest.raises(ForeignNameError):
        name_of("abcdefgh", text)


def test_a_pattern_is_of_exactly_the_names_that_have_one_of_the_marks() -> None:
    name, other = (name_of(mark, "crd_" + "a" * 35) for mark in ("abcdefgh", "zzzzzzz2"))
    both = pattern_of(("abcdefgh", "zzzzzzz2"))
    assert all(re.fullmatch(both, one) and re.fullmatch(MINTED, one) for one in (name, other))
    assert not re.fullmatch(pattern_of(("abcdefgh",)), other)
    for looks in (f"{name}a", name[:-1], f"{name[:-1]}A", f"x{name}", f"{name}\n", "tb_abcdefgh_", ""):
        assert not re.fullmatch(both, looks)
        assert not re.fullmatch(MINTED, looks)
    assert not re.fullmatch(pattern_of(()), name)
    with pytest.raises(BadMarkError):
        pattern_of(("a|b",))
