from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

import pytest

from taskbound.adapters.targets.redis import RedisTarget
from taskbound.adapters.targets.redis import target as discovering
from taskbound.core.clock import Instant
from taskbound.core.credential import name_of
from taskbound.core.target import RedisAccess, RedisKind, RedisPlace
from taskbound.core.target.kind import Entry, ExistingAccess, LoginOwner, Reach
from taskbound.ports.target import Discovers, Discovery, MintOrder, TargetRefusedError
from tests.peers.minter import MARK, PATIENCE, fresh_name
from tests.peers.redis import ADMIN_PASSWORD, ADMIN_USER, Node, Sort, running

OTHER = name_of("zzzzzzz2", "crd_" + "a" * 35)
ENDS = Instant(4_102_444_800_000_000)
READS = RedisKind(commands=("get",), reads=("orders:*",))


@contextmanager
def looked_at(count: int, sort: Sort = "redis") -> Iterator[tuple[Node, ...]]:
    """Nodes whose admin has the one right more that looking needs."""
    with running(count, sort) as nodes:
        for one in nodes:
            one.ask("ACL", "SETUSER", ADMIN_USER, "+acl|dryrun")
        yield tuple(nodes)


@pytest.fixture(scope="module", params=["redis", "valkey"])
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    with looked_at(1, request.param) as (one,):
        yield one


def target(*nodes: Node, user: str = ADMIN_USER, password: str = ADMIN_PASSWORD) -> RedisTarget:
    place = RedisPlace(nodes=tuple(one.address for one in nodes), tls=False)
    return RedisTarget(place, RedisAccess(user=user, password=password))


def seen(*nodes: Node, most: int = 500, marks: tuple[str, ...] = (MARK,)) -> Discovery:
    looking = target(*nodes)
    assert isinstance(looking, Discovers)
    return looking.discover(marks, most=most, patience=PATIENCE)


def named(name: str, *nodes: Node) -> ExistingAccess | None:
    return next((one for one in seen(*nodes).found if one.name == name), None)


@contextmanager
def user(node: Node, name: str | bytes, *rules: str) -> Iterator[None]:
    """A user that somebody made; gone afterwards."""
    node.ask("ACL", "SETUSER", name, "reset", *rules)
    try:
        yield
    finally:
        node.ask("ACL", "DELUSER", name)


def test_who_stands_there_is_the_owner_and_the_admin_and_nobody_who_is_switched_off(node: Node) -> None:
    found = seen(node)
    assert [(one.name, one.reach, one.whose, one.entry) for one in found.found] == [
        ("minter", Reach.ALL, LoginOwner.ADMIN, Entry.ASKED),
        ("owner", Reach.ALL, LoginOwner.OTHERS, Entry.ASKED),
    ]
    assert found.count == 2
    assert found.found[0].rights[0] == "makes and changes users (acl|setuser)"
    assert {"reads and writes every key", "every channel", "every command"} <= set(found.found[1].rights)
    assert all((one.since, one.used, one.ends) == (None, None, None) for one in found.found)
    assert found.notes == (
        "when a user was made and when it was used last is kept by no Redis",
        "one user is switched off or without a password, and none has an open session",
    )


def test_what_is_minted_here_is_left_out_and_what_only_looks_like_it_is_not(node: Node) -> None:
    ours, looks = fresh_name(), f"{fresh_name()}x"
    target(node).mint(MintOrder(name=ours, ends=ENDS), READS, patience=PATIENCE)
    with user(node, looks, "on", ">a"), user(node, OTHER, "on", ">a"):
        found = {one.name: one.whose for one in seen(node).found}
        assert ours in {one.name for one in seen(node, marks=()).found}
    assert ours not in found
    assert (found[looks], found[OTHER]) == (LoginOwner.OTHERS, LoginOwner.INSTALLATION)
    target(node).revoke(ours, ends=ENDS, patience=PATIENCE)


def test_a_default_that_needs_no_password_is_open_to_everybody(node: Node) -> None:
    node.ask("ACL", "SETUSER", "default", "on", "nopass", "~*", "&*", "+@all")
    try:
        found = named("default", node)
    finally:
        node.ask("ACL", "SETUSER", "default", "reset", "off")
    assert found is not None
    assert (found.reach, found.entry) == (Reach.ALL, Entry.OPEN)


@pytest.mark.parametrize(
    ("rules", "reach", "says"),
    [
        (["+acl|setuser"], Reach.ALL, "makes and changes users (acl|setuser)"),
        (["+@all", "-@dangerous", "+config|set"], Reach.ALL, "changes the server's settings (config|set)"),
        (["+get", "(+module ~*)"], Reach.ALL, "loads programs into the server (module|load)"),
        (["+@admin", "-acl", "-config", "-module"], Reach.BEYOND, "sees what everybody asks (monitor)"),
        (["+@all", "-@admin"], Reach.BEYOND, "empties the server (flushall)"),
        (["+acl|list"], Reach.BEYOND, "reads digests of passwords (acl|list)"),
        (["+@all", "-@admin", "-@dangerous", "-@scripting"], Reach.DATA, "no key"),
        (["+@all", "-@all", "+get"], Reach.DATA, "commands +get"),
    ],
)
def test_how_far_a_user_reaches_is_what_the_server_says_that_it_could_do(
    node: Node, rules: list[str], reach: Reach, says: str
) -> None:
    with user(node, "app", "on", ">a", *rules):
        found = named("app", node)
    assert found is not None
    assert (found.reach, says in found.rights) == (reach, True), found.rights


def test_keys_and_channels_are_said_in_words_those_of_selectors_too(node: Node) -> None:
    rules = ["+get", "+set", "~carts:*", "%R~orders:*", "%W~log:*", "&news:*", "(+del ~old:* &gone)"]
    with user(node, "app", "on", ">a", ">b", *rules):
        found = named("app", node)
    assert found is not None
    assert found.rights == (
        "reads and writes keys `carts:*`",
        "reads keys `orders:*`",
        "writes keys `log:*`",
        "channels `news:*`",
        "commands +get +set",
        "has 2 passwords",
        "or else: reads and writes keys `old:*`; channels `gone`; commands +del",
    )


def test_sessions_that_are_open_are_counted_also_of_who_was_switched_off(node: Node) -> None:
    with (
        user(node, "busy", "on", ">word", "~*", "+get"),
        node.line("busy", "word"),
        node.line("busy", "word"),
    ):
        node.ask("ACL", "SETUSER", "busy", "off")
        found = named("busy", node)
        assert found is not None
        assert (found.open, found.rights[0]) == (2, "is switched off: what is open goes on")


def test_no_session_is_another_users_by_what_it_calls_itself(node: Node) -> None:
    with user(node, "app", "on", ">a"), node.line() as line:
        line.ask("CLIENT", "SETNAME", "user=app")
        found = named("app", node)
    assert found is not None
    assert found.open == 0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (b"\xff\xfe", "\\xff\\xfe"),
        (b'x"y', 'x"y'),
        ("a=b\u202e".encode(), "a=b\u202e"),
        (b"", ""),
        (b"(x", "(x"),
    ],
)
def test_a_name_of_any_bytes_hides_nobody(node: Node, name: bytes, told: str) -> None:
    with user(node, name, "on", "nopass", "+@all", "~*"):
        found = {one.name: one for one in seen(node).found}
    assert (found[told].reach, found[told].entry) == (Reach.ALL, Entry.OPEN)
    assert {"owner", "minter"} <= found.keys()


def test_of_many_the_worst_are_told_and_how_many_there_are(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [f"many{number}" for number in range(300)]
    node.asked(*(("ACL", "SETUSER", one, "on", ">a", "+get", "~a") for one in many))
    try:
        with user(node, "zz", "on", ">a", "+acl"):
            found = seen(node, most=20)
        monkeypatch.setattr(discovering, "_LOOKED", 50)
        some = seen(node)
    finally:
        node.asked(*(("ACL", "DELUSER", one) for one in many))
    assert (len(found.found), found.count) == (20, 303)
    assert {"owner", "minter", "zz"} <= {one.name for one in found.found}
    assert (some.count, some.notes[-1]) == (302, "253 users of a node were not looked at")


def test_users_of_one_node_alone_and_rights_that_differ_are_said() -> None:
    with looked_at(2) as (one, two):
        one.ask("ACL", "SETUSER", "alone", "on", ">a", "+get", "~a")
        one.ask("ACL", "SETUSER", "other", "on", ">a", "+get", "~a")
        two.ask("ACL", "SETUSER", "other", "on", ">a", "+acl", "~a")
        with one.line("other", "a"), two.line("other", "a"):
            found = {each.name: each for each in seen(one, two).found}
    assert found["alone"].rights[0] == "is on 1 of 2 nodes alone"
    assert (found["other"].reach, found["other"].open) == (Reach.ALL, 2)
    assert found["other"].rights[0] == "has other rights on other nodes"
    assert found["owner"].rights[0] == "makes and changes users (acl|setuser)"


def test_looking_changes_nothing_and_is_in_nobodys_way(node: Node) -> None:
    before = (node.ask("ACL", "LIST"), node.saved, node.ask("ACL", "LOG"))
    seen(node)
    assert (node.ask("ACL", "LIST"), node.saved, node.ask("ACL", "LOG")) == before


def test_no_password_and_no_digest_is_in_what_is_told(node: Node) -> None:
    digest = sha256(b"canary-of-a-password").hexdigest()
    with user(node, "kept", "on", ">canary-of-a-password", "+get", "~a"):
        assert digest in str(node.ask("ACL", "LIST"))
        told = repr(seen(node))
    assert "canary-of-a-password" not in told
    assert digest[:12] not in told
    assert sha256(ADMIN_PASSWORD.encode()).hexdigest()[:12] not in told


@pytest.mark.parametrize(
    ("rights", "lacks"),
    [
        ("+ping", "acl|users"),
        ("+acl|users", "client|list"),
        ("+acl|users +client|list +acl|getuser", "acl|dryrun"),
        ("+acl|users +client|list +acl|dryrun", "acl|getuser"),
    ],
)
def test_an_admin_that_may_not_look_is_told_which_right_is_missing(
    node: Node, rights: str, lacks: str
) -> None:
    with (
        user(node, "weak", "on", ">word", *rights.split()),
        pytest.raises(TargetRefusedError) as no,
    ):
        target(node, user="weak", password="word").discover((MARK,), most=5, patience=PATIENCE)
    assert f"lacks `+{lacks}`" in no.value.message


def test_a_pattern_of_any_bytes_is_told_with_escapes_and_ends_no_sentence_of_ours(node: Node) -> None:
    rules = (b"~\xff", b"~\xfe", "~x`;\x1b[2J\u202e`".encode(), b"&`c", b"+get")
    node.ask("ACL", "SETUSER", "odd", "reset", "on", ">a", *rules)
    try:
        found = named("odd", node)
    finally:
        node.ask("ACL", "DELUSER", "odd")
    assert found is not None
    keys, channels, _ = found.rights
    told = "`\\\\xff`, `\\\\xfe`, `x\\u{60};\\u{1B}[2J\\u{202E}\\u{60}`"
    assert (keys, channels) == (f"reads and writes keys {told}", "channels `\\u{60}c`")
