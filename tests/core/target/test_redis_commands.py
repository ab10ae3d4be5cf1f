from __future__ import annotations

import pytest

from taskbound.core.target import BadKindError, RedisKind
from taskbound.core.target.redis import SHOWING_CHANNELS, SHOWING_KEYS, refusal_of


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("acl", "not all of it"),
        ("acl|setuser", "who may do what"),
        ("acl|genpass", "who may do what"),
        ("client", "as in `client|getname`"),
        ("client|kill", "other sessions"),
        ("client|no-evict", "treats a session"),
        ("cluster", "not all of it"),
        ("pubsub", "not all of it"),
        ("cluster|forget", "which nodes there are"),
        ("config", "governs the server"),
        ("config|get", "governs the server"),
        ("copy", "another database"),
        ("debug", "governs the server"),
        ("eval", "has no time limit"),
        ("fcall_ro", "has no time limit"),
        ("flushall", "other people's keys"),
        ("function|load", "has no time limit"),
        ("info", "governs the server"),
        ("migrate", "another server"),
        ("module|load", "governs the server"),
        ("monitor", "other sessions"),
        ("replicaof", "which nodes there are"),
        ("restore", "bytes that the server does not check"),
        ("script|kill", "has no time limit"),
        ("select", "as in `select|1`"),
        ("shutdown", "governs the server"),
        ("georadius", "`STORE` is said twice"),
        ("georadiusbymember", "`STORE` is said twice"),
        ("sort_ro", "no pattern allows"),
    ],
)
def test_a214_what_governs_reaches_others_or_outlives_its_end_is_refused_with_the_reason(
    command: str, why: str
) -> None:
    with pytest.raises(BadKindError, match=why):
        RedisKind(commands=(command,), reads=("*",), writes=("*",), channels=("*",))


@pytest.mark.parametrize(
    "command",
    ["json.get", "ft.search", "GET", "+get", "get ", "@all", "-@all", "~*", "select|00", "a|b|c", "", "on"],
)
def test_what_is_not_known_to_keep_to_patterns_is_refused(command: str) -> None:
    with pytest.raises(BadKindError, match="command"):
        RedisKind(commands=(command,), reads=("*",))


@pytest.mark.parametrize("command", sorted(SHOWING_KEYS))
def test_a214_what_tells_of_every_key_is_for_kinds_that_read_every_key(command: str) -> None:
    RedisKind(commands=(command,), reads=("*",))
    for reads in ((), ("a:*",), ("**",)):
        with pytest.raises(BadKindError, match="tells of every key"):
            RedisKind(commands=(command,), reads=reads, writes=("*",))


@pytest.mark.parametrize("command", sorted(SHOWING_CHANNELS))
def test_what_tells_of_every_channel_is_for_kinds_that_have_every_channel(command: str) -> None:
    RedisKind(commands=(command,), reads=("*",), channels=("*",))
    with pytest.raises(BadKindError, match="tells of every channel"):
        RedisKind(commands=(command,), reads=("*",), channels=("a:*",))


def test_nothing_is_refused_and_known_at_once() -> None:
    for one in ("get", "select|0", "select|15", "xgroup", "object|encoding", "client|id", "hello"):
        assert refusal_of(one) == ""
        RedisKind(commands=(one,))
