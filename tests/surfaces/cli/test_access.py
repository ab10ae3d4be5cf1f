from __future__ import annotations

import sys
from io import BytesIO, TextIOWrapper
from typing import TYPE_CHECKING

import pytest

from taskbound.core.target import BadAdminAccessError, PostgresAccess, RedisAccess, parse_target_file
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.target.access import Way, read_access, require_way

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.target import AdminAccess


@pytest.mark.parametrize(
    "way",
    [Way(), Way(user="root"), Way(user="root", piped=True), Way(fresh=True), Way(fresh=True, piped=True)],
)
def test_an_openbao_is_reached_by_a_token_from_standard_input_alone(way: Way) -> None:
    with pytest.raises(BadInputError, match="token") as refused:
        require_way("openbao", way)
    assert "--admin-stdin" in refused.value.advice


def test_a_token_is_read_from_standard_input() -> None:
    require_way("openbao", Way(piped=True))


def read(monkeypatch: pytest.MonkeyPatch, kind: str, text: bytes, user: str = "") -> AdminAccess:
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(text)))
    places: dict[str, JsonValue] = {
        "postgres": {"host": "/run/a", "database": "a"},
        "redis": {"nodes": ["/run/a"]},
    }
    grants: dict[str, dict[str, JsonValue]] = {"postgres": {"group": "a"}, "redis": {"commands": ["get"]}}
    file: dict[str, JsonValue] = {
        "target": "a",
        "kind": kind,
        "where": places[kind],
        "owner": "ann",
        "approvers": ["bob"],
    }
    target = parse_target_file({**file, "credentials": {"a": {"for": "A.", "seconds": 60, **grants[kind]}}})
    return read_access(None, target, Way(user=user, piped=True))  # type: ignore[arg-type]  # nothing is typed


def test_a_redis_and_a_database_have_a_user_and_a_password_each_as_it_takes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert read(monkeypatch, "redis", b"word\n", "minter") == RedisAccess(user="minter", password="word")
    whole = b'{"user": "minter", "password": "word"}'
    assert read(monkeypatch, "redis", whole) == RedisAccess(user="minter", password="word")
    assert read(monkeypatch, "postgres", b"\n", "minter") == PostgresAccess(user="minter", password="")
    with pytest.raises(BadAdminAccessError, match="has a password"):
        read(monkeypatch, "redis", b"\n", "minter")
    with pytest.raises(BadInputError, match="not said who the admin is"):
        require_way("redis", Way())
    with pytest.raises(BadInputError, match="for hosts with OpenSSH"):
        require_way("redis", Way(fresh=True))
