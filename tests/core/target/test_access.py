from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.target import BadAdminAccessError, PostgresAccess, parse_admin_access


@given(
    user=st.text(st.characters(categories=("L", "N")), min_size=1, max_size=15),
    password=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60),
)
def test_what_is_sealed_is_read_as_it_was(user: str, password: str) -> None:
    access = PostgresAccess(user=user, password=password)
    assert parse_admin_access("postgres", access.text) == access


def test_the_password_is_in_no_repr() -> None:
    assert "hunter2" not in repr(PostgresAccess(user="minter", password="hunter2"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        "{}",
        '["hunter2"]',
        '{"password":"hunter2"}',
        '{"password":"hunter2","user":""}',
        '{"password":"hunter2","user":1}',
        '{"password":"hunter2","user":"a","x":1}',
        '{"user":"a","password":"hunter2"}',
        '{"password":"hunter2","password":"b","user":"a"}',
        '{"password":"hunter2","user":"a\\nb"}',
        '{"password":"hunter2\\u0000","user":"a"}',
        '{"password":"hunter2","user":"' + "a" * 64 + '"}',
        '{"password":"hunter2' + "2" * 4096 + '","user":"a"}',
        '{"password":"hunter2\\ud800","user":"a"}',
    ],
)
def test_what_is_no_access_is_refused_without_being_said(text: str) -> None:
    with pytest.raises(BadAdminAccessError) as refused:
        parse_admin_access("postgres", text)
    said = refused.value
    assert "hunter2" not in f"{said.message} {said.advice} {said.__cause__}"


def test_another_kind_of_target_has_none() -> None:
    with pytest.raises(BadAdminAccessError):
        parse_admin_access("oracle", PostgresAccess(user="a", password="b").text)
