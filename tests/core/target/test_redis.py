from __future__ import annotations

import json
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.target import (
    REDIS,
    BadAdminAccessError,
    BadKindError,
    BadParameterError,
    BadTargetError,
    RedisAccess,
    RedisKind,
    RedisNode,
    RedisPlace,
    TargetFileError,
    kind_definition,
    parse_admin_access,
    parse_target_file,
    require_parameters,
)

WHOLE: dict[str, Any] = {
    "target": "cache",
    "kind": "redis",
    "where": {
        "nodes": ["cache-1.example:6379", "cache-2.example:6380"],
        "roots": "/etc/taskbound/redis.pem",
    },
    "owner": "ann",
    "approvers": ["bob"],
    "credentials": {
        "orders": {
            "for": "Reads the orders of a tenant.",
            "commands": ["get", "mget", "client|getname", "publish"],
            "reads": ["orders:{tenant}:*", "{{tenant}}:carts"],
            "writes": ["orders:{tenant}:*", "seen:{tenant}"],
            "channels": ["orders:{tenant}"],
            "parameters": ["tenant"],
            "seconds": 600,
            "effect": "read",
            "renewable": True,
        },
    },
}
ORDERS = ("credentials", "orders")


def changed(*steps: Any, to: Any) -> dict[str, Any]:
    whole = deepcopy(WHOLE)
    place: Any = whole
    for one in steps[:-1]:
        place = place[one]
    place[steps[-1]] = to
    return whole


def kind(**members: Any) -> RedisKind:
    return RedisKind(**{"commands": ("get",), **members})


def test_a_file_says_which_nodes_there_are_and_what_a_user_may_do() -> None:
    found = parse_target_file(json.dumps(WHOLE).encode())
    place = found.place
    assert found.kind == REDIS
    assert place == RedisPlace(
        nodes=("cache-1.example:6379", "cache-2.example:6380"), tls=True, roots="/etc/taskbound/redis.pem"
    )
    assert (place.host, place.port, place.revocable) == ("cache-1.example", 6379, True)
    (orders,) = found.credentials
    assert orders.grants == RedisKind(
        commands=("get", "mget", "client|getname", "publish"),
        reads=("orders:{tenant}:*", "{{tenant}}:carts"),
        writes=("orders:{tenant}:*", "seen:{tenant}"),
        channels=("orders:{tenant}",),
        parameters=("tenant",),
    )
    assert (orders.parameters, orders.renewable) == (("tenant",), True)


def test_approvers_read_what_a_user_may_do() -> None:
    (orders,) = parse_target_file(WHOLE).credentials
    assert kind_definition(orders).value["description"] == (
        "Reads the orders of a tenant. [read: runs get, mget, client|getname, publish; reads"
        " `orders:{tenant}:*`, `{{tenant}}:carts`; writes `orders:{tenant}:*`, `seen:{tenant}`; on the"
        " channels `orders:{tenant}`]"
    )
    assert kind(commands=("ping",)).words == "runs ping; with no key"


# --- where it is -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "port", "near"),
    [
        ("cache.example", "cache.example", 6379, False),
        ("Cache.Example:1", "cache.example", 1, False),
        ("[2001:db8::1]:65535", "2001:db8::1", 65535, False),
        ("127.0.0.1:7000", "127.0.0.1", 7000, True),
        ("[::1]", "::1", 6379, True),
        ("localhost:6379", "localhost", 6379, False),
        ("/run/redis.sock", "/run/redis.sock", 0, True),
    ],
)
def test_a_node_is_a_host_and_a_port_or_a_socket(text: str, host: str, port: int, *, near: bool) -> None:
    node = RedisNode(text=text)
    assert (node.host, node.port, node.is_near, node.is_socket) == (host, port, near, port == 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":6379",
        "cache.example:0",
        "cache.example:65536",
        "cache.example:6379:1",
        "redis://cache.example",
        "ann@cache.example",
        "cache.example\r\nAUTH",
        "cache .example",
        "[::1",
        "[cache]:1",
        "[1:2]:1",
        "-oProxy",
        "run/redis.sock",
        "/run/\n",
        "/" + 107 * "a",
    ],
)
def test_what_is_no_node_is_refused(text: str) -> None:
    with pytest.raises(BadTargetError, match="is no node"):
        RedisNode(text=text)


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"nodes": ()}, "1 to 32 nodes"),
        ({"nodes": tuple(f"a{number}.example" for number in range(33))}, "1 to 32 nodes"),
        ({"nodes": ("a.example", "A.example:6379")}, "each said once"),
        ({"nodes": ("a.example",), "tls": False}, "can be read by others"),
        ({"nodes": ("127.0.0.1", "localhost"), "tls": False}, "can be read by others"),
        ({"nodes": ("/run/a",)}, "no TLS on a socket"),
        ({"nodes": ("a.example",), "roots": "roots.pem"}, "absolute path"),
        ({"nodes": ("127.0.0.1",), "tls": False, "roots": "/roots.pem"}, "without TLS"),
    ],
)
def test_a_place_that_rules_1_and_2_do_not_allow_is_refused(members: dict[str, Any], why: str) -> None:
    with pytest.raises(BadTargetError, match=why):
        RedisPlace(**members)


def test_tls_is_left_out_where_it_is_meant_and_where_all_nodes_are_sockets() -> None:
    def tls(where: dict[str, Any]) -> bool:
        place = parse_target_file(changed("where", to=where)).place
        assert isinstance(place, RedisPlace)
        return place.tls

    assert tls({"nodes": ["127.0.0.1"]})
    assert not tls({"nodes": ["127.0.0.1", "/run/redis.sock"], "tls": False})
    assert not tls({"nodes": ["/run/redis.sock"]})
    with pytest.raises(TargetFileError, match="no TLS on a socket"):
        tls({"nodes": ["/run/redis.sock", "a.example"]})


@pytest.mark.parametrize(
    ("steps", "to", "where"),
    [
        (("where",), {}, "where.nodes"),
        (("where", "nodes"), "cache.example", "where.nodes"),
        (("where", "nodes"), [], "where"),
        (("where", "tls"), "yes", "where.tls"),
        (("where", "port"), 6379, "where.port"),
        ((*ORDERS, "commands"), [], "credentials.orders"),
        ((*ORDERS, "commands"), "get", "credentials.orders.commands"),
        ((*ORDERS, "commands"), ["get", "get"], "credentials.orders"),
        ((*ORDERS, "keys"), ["a"], "credentials.orders.keys"),
        ((*ORDERS, "parameters"), ["seconds"], "credentials.orders"),
    ],
)
def test_a_file_that_says_otherwise_is_refused_at_its_place(
    steps: tuple[str, ...], to: Any, where: str
) -> None:
    with pytest.raises(TargetFileError) as refused:
        parse_target_file(changed(*steps, to=to))
    assert refused.value.where == where


# --- patterns --------------------------------------------------------------------------------


def test_what_is_both_read_and_written_is_one_pattern_as_the_server_shows_it() -> None:
    (orders,) = parse_target_file(WHOLE).credentials
    assert isinstance(orders.grants, RedisKind)
    values = {"tenant": "a1"}
    assert orders.grants.keys(values) == ("~orders:a1:*", "%R~{a1}:carts", "%W~seen:a1")
    assert orders.grants.channel_patterns(values) == ("&orders:a1",)
    assert kind(reads=("*",), writes=("*",)).keys({}) == ("~*",)
    assert kind(reads=("*",), writes=("a",)).keys({}) == ("%R~*", "%W~a")
    assert kind(reads=("{a}", "{b}"), writes=("{b}",), parameters=("a", "b")).keys({"a": "x", "b": "x"}) == (
        "~x",
    )


def test_braces_that_are_no_parameter_s_are_themselves() -> None:
    assert kind(reads=("{user}:{id}",), parameters=("id",)).keys({"id": "7"}) == ("%R~{user}:7",)


@pytest.mark.parametrize(
    "value", ["*", "?", "[a-z]", "a*", "\\", "\\*", "]", "[", "^", "a\\?b", "[*]", "[^a]"]
)
def test_a218_a_value_stands_for_itself_alone(value: str) -> None:
    (shown,) = kind(reads=("k:{v}:*",), parameters=("v",)).keys({"v": value})
    quoted = "".join(f"\\{one}" if one in "*?[]\\" else one for one in value)
    assert shown == f"%R~k:{quoted}:*"


@given(
    st.text(alphabet="ab*?[]\\^-!{}:", min_size=1, max_size=8), st.text(alphabet="ab*?[]\\^-:", max_size=8)
)
def test_no_value_matches_what_another_value_names(value: str, other: str) -> None:
    (shown,) = kind(reads=("{v}",), parameters=("v",)).keys({"v": value})
    pattern, plain = shown.removeprefix("%R~"), ""
    while pattern:
        assert pattern[0] not in "*?[]"  # each glob has its backslash
        step = 2 if pattern[0] == "\\" else 1
        plain, pattern = plain + pattern[step - 1 : step], pattern[step:]
    assert (plain == value, plain == other) == (True, value == other)


@pytest.mark.parametrize("value", ["", "a b", "a\tb", "a\nb", "a\0b", "a\u00a0b", "\ud800", "a\u2028b"])
def test_a_value_that_no_pattern_can_hold_is_refused(value: str) -> None:
    with pytest.raises(BadParameterError, match="`v` is a text without spaces"):
        kind(reads=("{v}",), parameters=("v",)).keys({"v": value})
    with pytest.raises(BadParameterError, match="`v` is a text"):
        kind(reads=("{v}",), parameters=("v",)).keys({})


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"reads": ("a b",)}, "is no pattern"),
        ({"reads": ("",)}, "is no pattern"),
        ({"reads": (257 * "a",)}, "is no pattern"),
        ({"reads": ("a\\*",)}, "backslash"),
        ({"reads": ("a\\{v}",), "parameters": ("v",)}, "backslash"),
        ({"reads": ("a[b",)}, "backslash"),
        ({"reads": ("a]b",)}, "backslash"),
        ({"reads": ("[]",)}, "backslash"),
        ({"reads": ("[^]",)}, "backslash"),
        ({"reads": ("k[a-]{v}",), "parameters": ("v",)}, "stands first"),
        ({"reads": ("k[a-z_-]:*",)}, "stands first"),
        ({"reads": ("k[^-]-[--]",)}, "stands first"),
        ({"reads": ("k[é]",)}, "stands first"),
        ({"reads": ("[{v}]", "{v}"), "parameters": ("v",)}, "within"),
        ({"writes": ("*", "a")}, "stands alone"),
        ({"channels": ("*", "a"), "reads": ("*",)}, "stands alone"),
        ({"reads": ("a",), "parameters": ("v",)}, "no pattern has a place for `v`"),
        ({"reads": ("{b}{a}",), "parameters": ("b", "a")}, "sorted"),
        ({"reads": ("{a}",), "parameters": ("a", "a")}, "said once"),
        ({"reads": ("{A}",), "parameters": ("A",)}, "a-z"),
        ({"reads": ("a", "a")}, "said once"),
        ({"reads": tuple(f"a{one}" for one in range(33))}, "32 at most"),
        ({"commands": ()}, "can do nothing"),
        ({"commands": ("xinfo", "xinfo|stream")}, "a part of"),
        ({"channels": ("*",)}, "tell of every key"),
        ({"channels": ("__keyspace@0__:*",)}, "tell of every key"),
        ({"channels": ("_?keyevent*",)}, "tell of every key"),
        ({"channels": ("{v}",), "parameters": ("v",)}, "tell of every key"),
        ({"channels": ("[_]_a",)}, "tell of every key"),
    ],
)
def test_a_kind_that_the_rules_do_not_allow_is_refused(members: dict[str, Any], why: str) -> None:
    with pytest.raises(BadKindError, match=why):
        kind(**members)


def test_channels_of_the_server_are_for_kinds_that_read_everything() -> None:
    kind(channels=("__keyspace@0__:*",), reads=("*",))
    kind(channels=("*",), reads=("*",))
    kind(channels=("_a", "a__", "a:*"))


@pytest.mark.parametrize(
    "channel",
    ["__sentinel__:hello", "__sentinel__:*", "*", "_*", "?_sentinel__:hello", "[_]_sentinel*", "__{v}"],
)
def test_nobody_publishes_to_where_sentinels_tell_each_other_who_is_the_primary(channel: str) -> None:
    parameters = ("v",) if "{v}" in channel else ()
    kind(channels=(channel,), reads=("*",), parameters=parameters, commands=("subscribe", "spublish"))
    with pytest.raises(BadKindError, match="which server is the primary"):
        kind(channels=(channel,), reads=("*",), parameters=parameters, commands=("get", "publish"))


@pytest.mark.parametrize(
    "pattern", ["streams", "STREAMS", "s*", "*s", "st?[e]ams", "{v}", "{v}s", "[^a]treams"]
)
def test_who_consumes_names_no_pattern_that_some_servers_take_for_the_word_before_the_keys(
    pattern: str,
) -> None:
    parameters = ("v",) if "{v}" in pattern else ()
    kind(reads=(pattern,), parameters=parameters, commands=("xread",))
    kind(reads=("*",), writes=("*",), commands=("xreadgroup",))
    keys = ("streams:{v}", "a*s", "stream", "?s")
    kind(reads=keys, writes=keys, parameters=("v",), commands=("xreadgroup",))
    with pytest.raises(BadKindError, match="reads every stream"):
        kind(reads=(pattern,), parameters=parameters, commands=("xread", "xreadgroup"))


def test_who_takes_entries_away_from_others_writes_what_it_reads() -> None:
    kind(reads=("a:*",), writes=("a:*", "b:*"), commands=("xreadgroup", "xack"))
    kind(reads=("a:*",), writes=("*",), commands=("xreadgroup",))
    with pytest.raises(BadKindError, match="`b:\\*` is not in `writes`"):
        kind(reads=("a:*", "b:*"), writes=("a:*",), commands=("xreadgroup",))


@pytest.mark.parametrize("command", ["xautoclaim", "xclaim", "zadd"])
def test_who_is_answered_with_what_a_key_holds_reads_what_it_writes(command: str) -> None:
    kind(reads=("a:*", "b:*"), writes=("a:*",), commands=(command,))
    kind(reads=("*",), writes=("a:*",), commands=(command,))
    kind(writes=("a:*",), commands=("xadd",))
    with pytest.raises(BadKindError, match="`a:\\*` is not in `reads`"):
        kind(reads=("b:*",), writes=("b:*", "a:*"), commands=(command,))


@pytest.mark.parametrize("pattern", ["k[-a]", "k[a-z-9]", "k[a-c-e]", "k[^-a]", "k[+--]", "k[{}]"])
def test_a_class_is_read_as_servers_read_it(pattern: str) -> None:
    assert kind(reads=(pattern,)).keys({}) == (f"%R~{pattern}",)


def test_who_publishes_elsewhere_may_read_everything() -> None:
    kind(channels=("news:*", "__sentine", "_a"), reads=("*",), commands=("publish",))
    kind(channels=("__keyspace@0__:*",), reads=("*",), commands=("publish",))


@pytest.mark.parametrize("value", ["a b", "a\t", " ", "\u2003", "a\x00", "\x7f", "a\n"])
def test_a_value_with_a_space_is_refused_where_it_is_asked_for(value: str) -> None:
    definition = kind_definition(parse_target_file(WHOLE).credentials[0])
    require_parameters(definition, {"tenant": "r*d"})
    with pytest.raises(BadParameterError, match="`tenant` is a text without spaces"):
        require_parameters(definition, {"tenant": value})


def test_a_place_is_where_the_pattern_says_and_nowhere_else() -> None:
    (shown,) = kind(reads=("o:{v}:[ab]?*",), parameters=("v",)).keys({"v": "t"})
    assert shown == "%R~o:t:[ab]?*"
    assert fnmatchcase("o:t:ax1", shown.removeprefix("%R~"))


# --- the admin -------------------------------------------------------------------------------


def test_an_admin_access_is_a_user_and_a_password_and_its_repr_has_no_password() -> None:
    access = RedisAccess(user="minter", password="word")
    assert access.text == '{"password":"word","user":"minter"}'
    assert parse_admin_access(REDIS, access.text) == access
    assert "word" not in repr(access)


@pytest.mark.parametrize(
    ("user", "password"),
    [("", "a"), ("a b", "a"), ("a\n", "a"), (257 * "a", "a"), ("a", ""), ("a", 4097 * "a")],
)
def test_an_admin_access_that_no_server_takes_is_refused_and_not_told(user: str, password: str) -> None:
    with pytest.raises(BadAdminAccessError) as refused:
        RedisAccess(user=user, password=password)
    assert len(refused.value.message) < 100
    with pytest.raises(BadAdminAccessError, match="of a Redis is a user and a password"):
        parse_admin_access(REDIS, '{"user":"a"}')
