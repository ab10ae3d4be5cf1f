from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.targets.redis import RedisTarget
from taskbound.adapters.targets.redis.nodes import Nodes, at_all
from taskbound.core.clock import Instant, seconds
from taskbound.core.target import RedisAccess, RedisKind, RedisPlace
from taskbound.core.target import redis as commands
from taskbound.ports.target import (
    Gone,
    Minted,
    MintOrder,
    NameTakenError,
    Shown,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)
from tests.peers.cutting import Cutting
from tests.peers.minter import PREFIX, fresh_name
from tests.peers.redis import ADMIN_PASSWORD, ADMIN_USER, Node, clustered, following, running
from tests.peers.resp import LostError, SaidNoError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.adapters.targets.redis.link import Link
    from tests.peers.resp import Line

PATIENCE = 10.0
ENDS = Instant(seconds(2**31))
ORDERS = RedisKind(
    commands=("get", "set", "blpop", "multi", "exec", "subscribe", "publish", "client|id", "select|1"),
    reads=("orders:{tenant}:*", "queue:{tenant}"),
    writes=("orders:{tenant}:*", "queue:{tenant}"),
    channels=("news:{tenant}",),
    parameters=("tenant",),
)


def placed(nodes: Sequence[Node]) -> RedisPlace:
    roots = nodes[0].roots
    return RedisPlace(
        nodes=tuple(one.address for one in nodes), tls=roots is not None, roots=str(roots) if roots else ""
    )


def aimed(*nodes: Node, user: str = ADMIN_USER, password: str = ADMIN_PASSWORD) -> RedisTarget:
    return RedisTarget(placed(nodes), RedisAccess(user=user, password=password))


def minted(target: RedisTarget, name: str, *, kind: RedisKind = ORDERS, tenant: str = "a") -> Minted:
    order = MintOrder(name=name, ends=ENDS, context={"tenant": tenant} if kind.parameters else {})
    return target.mint(order, kind, patience=PATIENCE)


def entered(node: Node, handed: Minted) -> Line:
    return node.line(handed.open["REDIS_USERNAME"], handed.secret["REDISCLI_AUTH"])


def ended(target: RedisTarget, name: str) -> Gone:
    return target.revoke(name, ends=ENDS, patience=PATIENCE)


def require_cut(line: Line, *, answers: int = 0) -> None:
    """What was asked before may have been answered; then the connection is over."""
    for _ in range(answers):
        line.hear()
    with line, pytest.raises(LostError):
        line.hear()


@pytest.fixture(scope="module", params=["redis", "valkey"])
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    with running(1, request.param) as (one,):
        yield one


@pytest.fixture(scope="module")
def pair() -> Iterator[list[Node]]:
    with running(2, "redis") as nodes:
        yield nodes


def test_a_user_has_what_its_kind_says_and_nothing_besides(node: Node) -> None:
    target, name = aimed(node), fresh_name()
    handed = minted(target, name, tenant="a*")
    assert handed.open == {"REDIS_USERNAME": name, "REDIS_NODES": node.address, "REDIS_SOCKET": node.address}
    with entered(node, handed) as line:
        assert line.ask("SET", "orders:a*:1", "x") == "OK"
        assert line.ask("GET", "orders:a*:1") == "x"
        assert line.ask("SELECT", "1") == "OK"
        for refused in (
            ("GET", "orders:ab:1"),
            ("SET", "queue:ab", "x"),
            ("PUBLISH", "news:b", "x"),
            ("SELECT", "2"),
            ("DBSIZE",),
            ("KEYS", "*"),
            ("EVAL", "return 1", "0"),
            ("ACL", "WHOAMI"),
            ("ACL", "SETUSER", name, "+@all"),
            ("CLIENT", "LIST"),
            ("CONFIG", "GET", "*"),
            ("MONITOR",),
        ):
            with pytest.raises(SaidNoError, match=r"NOPERM"):
                line.ask(*refused)
    assert target.look(name, patience=PATIENCE).exists
    assert ended(target, name) == Gone(cut=0)
    assert node.user(name) is None
    assert node.kept(name) == ""


def test_each_command_that_a_kind_can_name_is_shown_as_it_was_ordered(node: Node) -> None:
    known = set(node.ask("COMMAND", "LIST")) | {
        one for category in node.ask("ACL", "CAT") for one in node.ask("ACL", "CAT", category)
    }
    can = sorted(
        {one for one in known if commands.refusal_of(one.lower()) == "" and one.lower() in commands.KNOWN}
        | (known & commands.SHOWING_KEYS)
        | (known & commands.SHOWING_CHANNELS)
    )
    tops = [one.lower() for one in can if "|" not in one]
    subs = [one.lower() for one in can if one.partition("|")[0] not in tops]
    target = aimed(node)
    for some in (tops[:120], tops[120:], subs):
        channels = ("a:*",) if "publish" in some else ("*",)
        kind = RedisKind(commands=tuple(some), reads=("*",), writes=("*",), channels=channels)
        name = fresh_name()
        minted(target, name, kind=kind)
        ended(target, name)
    assert len(tops) > 180


def test_a_new_command_of_a_server_is_noticed(node: Node) -> None:
    dangers = {one for word in ("dangerous", "admin", "scripting") for one in node.ask("ACL", "CAT", word)}
    for one in sorted(one.lower() for one in dangers):
        assert one in commands.SHOWING_KEYS or commands.refusal_of(one), one
    known = {one for category in node.ask("ACL", "CAT") for one in node.ask("ACL", "CAT", category)}
    for one in sorted(one.lower() for one in known | set(node.ask("COMMAND", "LIST"))):
        ours = one in commands.KNOWN | commands.SHOWING_KEYS | commands.SHOWING_CHANNELS
        assert ours or commands.refusal_of(one), f"nobody has looked at `{one}`"


def test_where_a_server_finds_keys_by_a_word_somebody_has_looked_what_else_it_takes_for_it(
    node: Node,
) -> None:
    known = told_of_commands(node)
    assert {name for name, (_, keys) in known.items() if "keyword" in keys} == {"xread", commands.CONSUMING}


def test_one_command_changes_what_it_may_read_alone_and_is_for_who_writes_there(node: Node) -> None:
    changes = ("insert", "update", "delete")
    assert {
        name
        for name, (flags, keys) in told_of_commands(node).items()
        if "write" in flags and not any(one in keys for one in changes)
    } == {commands.CONSUMING}


def told_of_commands(node: Node) -> dict[str, tuple[list[str], str]]:
    """By name of what a kind can name whole: its flags, and how its keys are found."""
    named = sorted(one for one in commands.KNOWN if "|" not in one)
    return {one[0]: (one[2], repr(one[8]).lower()) for one in node.ask("COMMAND", "INFO", *named) if one}


@pytest.mark.parametrize(
    "opens",
    [
        (),
        (("BLPOP", "queue:a", "0"),),
        (("MULTI",), ("SET", "orders:a:1", "x")),
        (("SUBSCRIBE", "news:a"),),
    ],
)
def test_i04_a214_what_is_open_is_cut_whatever_it_does(
    node: Node, opens: tuple[tuple[str, ...], ...]
) -> None:
    target, name = aimed(node), fresh_name()
    handed, other = minted(target, name), minted(target, fresh_name())
    with entered(node, other) as beside, entered(node, handed) as line:
        for words in opens:
            line.say(*words)
        assert target.look(name, patience=PATIENCE) == Shown(exists=True, open=1)
        assert ended(target, name) == Gone(cut=1)
        require_cut(line, answers=0 if opens[:1] == (("BLPOP", "queue:a", "0"),) else len(opens))
        assert beside.ask("GET", "orders:a:1") != "x"
    with pytest.raises(SaidNoError, match="WRONGPASS"):
        entered(node, handed)
    ended(target, other.open["REDIS_USERNAME"])


def test_a_name_that_a_node_has_is_taken_and_nothing_changes(pair: list[Node]) -> None:
    target, name = aimed(*pair), fresh_name()
    pair[1].ask("ACL", "SETUSER", name, "on", ">theirs", "+get")
    before = pair[1].user(name)
    with pytest.raises(NameTakenError):
        minted(target, name)
    assert (pair[0].user(name), pair[1].user(name)) == (None, before)
    assert ended(target, name) == Gone(cut=0)
    assert [one.user(name) for one in pair] == [None, None]


def test_i11_no_server_is_told_a_secret_and_none_shows_one(node: Node) -> None:
    target, name = aimed(node), fresh_name()
    handed = minted(target, name)
    target.use(handed, patience=PATIENCE)
    secret = handed.secret["REDISCLI_AUTH"]
    ended(target, name)
    told = node.tells() + node.saved
    assert "ACL" in told
    assert secret not in told
    assert ADMIN_PASSWORD not in told
    assert "tbs_" in secret


def test_a_renewal_needs_the_user_on_every_node_and_changes_nothing(pair: list[Node]) -> None:
    target, name = aimed(*pair), fresh_name()
    minted(target, name)
    before = [one.user(name) for one in pair]
    target.renew(name, ENDS, patience=PATIENCE)
    assert [one.user(name) for one in pair] == before
    pair[1].ask("ACL", "DELUSER", name)
    with pytest.raises(TargetRefusedError, match="not every node"):
        target.renew(name, ENDS, patience=PATIENCE)
    assert pair[1].user(name) is None
    ended(target, name)


def test_f10_a_node_that_is_dead_keeps_nothing_open_on_the_others(pair: list[Node]) -> None:
    target, name = aimed(*pair), fresh_name()
    line = entered(pair[0], minted(target, name))
    pair[1].kill()
    with pytest.raises(TargetUnavailableError) as lost:
        target.revoke(name, ends=ENDS, patience=PATIENCE)
    assert not isinstance(lost.value, TargetUnreachedError)
    assert pair[0].user(name) is None
    require_cut(line)
    for call in (
        lambda: minted(target, fresh_name()),
        lambda: target.look(name, patience=PATIENCE),
        lambda: list(target.sweep(PREFIX, patience=PATIENCE)),
        lambda: target.renew(name, ENDS, patience=PATIENCE),
    ):
        with pytest.raises(TargetUnreachedError):
            call()
    pair[1].start_again()
    assert name in pair[1].users()
    assert set(target.sweep(PREFIX, patience=PATIENCE)) == {name}
    assert ended(target, name) == Gone(cut=0)
    assert pair[1].users() == set()


def test_k17_what_was_taken_away_and_not_written_down_is_written_by_the_next_call(pair: list[Node]) -> None:
    target, name = aimed(*pair), fresh_name()
    minted(target, name)
    for one in pair:
        one.ask("ACL", "DELUSER", name)
        assert one.kept(name)
    assert ended(target, name) == Gone(cut=0)
    for one in pair:
        assert one.kept(name) == ""


def test_f15_a_node_that_was_started_anew_is_told_from_before(pair: list[Node]) -> None:
    target = aimed(*pair)
    before = target.starts(patience=PATIENCE)
    assert target.starts(patience=PATIENCE) == before == tuple(one.run_id for one in pair)
    pair[1].kill()
    pair[1].start_again()
    after = target.starts(patience=PATIENCE)
    assert (after[0], after[1] != before[1]) == (before[0], True)


def test_names_are_those_that_begin_so_of_every_node(pair: list[Node]) -> None:
    target, name, other = aimed(*pair), fresh_name(), fresh_name()
    minted(target, name)
    pair[1].ask("ACL", "SETUSER", other)
    pair[0].ask("ACL", "SETUSER", "tb_" + "z" * 8)
    assert set(target.sweep(PREFIX, patience=PATIENCE)) == {name, other}
    ended(target, name)
    ended(target, other)
    assert pair[0].users() == {"tb_" + "z" * 8}


def test_a_mint_at_once_by_two_makes_one(pair: list[Node]) -> None:
    target, name = aimed(*pair), fresh_name()
    found: list[object] = []

    def mint() -> None:
        try:
            found.append(minted(target, name))
        except NameTakenError as error:
            found.append(error)

    threads = [threading.Thread(target=mint) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(PATIENCE)
    (handed,) = [one for one in found if isinstance(one, Minted)]
    target.use(handed, patience=PATIENCE)
    ended(target, name)


def test_i10_no_call_goes_by_a_connection_that_a_late_thread_may_still_ask_by(pair: list[Node]) -> None:
    nodes = Nodes(placed(pair), None, ADMIN_USER, ADMIN_PASSWORD)
    over = threading.Event()

    def late(link: Link) -> None:
        if link.node.text == pair[1].address:
            over.wait(PATIENCE)

    with pytest.raises(TargetUnavailableError, match="longer than"), nodes.linked(0.3) as first:
        at_all(first, late)
    with nodes.linked(PATIENCE) as second:
        assert (second[0] is first[0], second[1] is first[1]) == (True, False)
    over.set()
    with nodes.linked(PATIENCE) as third:
        assert third == second
    nodes.close()


# --- what other servers there are ------------------------------------------------------------


def test_a_replica_that_is_not_declared_is_refused_and_named() -> None:
    with following("valkey") as (primary, replica):
        for declared, missing in ((primary, replica), (replica, primary)):
            name = fresh_name()
            with pytest.raises(TargetRefusedError, match=f"knows of `{missing.address}`"):
                minted(aimed(declared), name)
            assert declared.user(name) is None
        target, name = aimed(primary, replica), fresh_name()
        handed = minted(target, name)
        target.use(handed, patience=PATIENCE)
        line = entered(replica, handed)
        assert ended(target, name) == Gone(cut=1)
        require_cut(line)


def test_a_member_of_a_cluster_that_is_not_declared_is_refused_and_named() -> None:
    with clustered(3, "redis") as nodes:
        some = aimed(*nodes[:2])
        for _ in range(2):  # the second goes by connections that are known to be to a cluster
            with pytest.raises(TargetRefusedError, match=f"knows of `{nodes[2].address}`"):
                minted(some, fresh_name())
        target, name = aimed(*nodes), fresh_name()
        target.use(minted(target, name), patience=PATIENCE)
        assert ended(target, name) == Gone(cut=0)


def test_two_names_of_one_server_are_refused(pair: list[Node]) -> None:
    link = pair[0].folder / "again.sock"
    link.symlink_to(pair[0].address)
    place = RedisPlace(nodes=(pair[0].address, str(link)), tls=False)
    target = RedisTarget(place, RedisAccess(user=ADMIN_USER, password=ADMIN_PASSWORD))
    with pytest.raises(TargetRefusedError, match="are one server"):
        minted(target, fresh_name())


@pytest.mark.parametrize(("address", "several"), [("127.0.0.2", True), ("::1", False)])
def test_i07_a_name_that_leads_to_two_servers_shows_no_end_of_what_either_has(
    monkeypatch: pytest.MonkeyPatch, address: str, *, several: bool
) -> None:
    with running(1, reached="port") as (node,):
        port = node.port
        family = socket.AF_INET if several else socket.AF_INET6
        both = [(socket.AF_INET, "127.0.0.1"), (family, address)]
        led = [(each, socket.SOCK_STREAM, 6, "", (at, port)) for each, at in both]
        target, name = aimed(node), fresh_name()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: led)
        if several:
            with pytest.raises(TargetUnreachedError, match="several addresses"):
                ended(target, name)
        else:
            assert ended(target, name) == Gone(cut=0)


def test_a_server_that_lets_everybody_in_is_refused(pair: list[Node]) -> None:
    name, target = fresh_name(), aimed(*pair)
    for _ in range(2):  # each time it is looked at, also by a connection that looked before
        minted(target, fresh_name())
        pair[1].ask("ACL", "SETUSER", "default", "on", "nopass")
        with pytest.raises(TargetRefusedError, match="lets everybody in"):
            minted(target, name)
        pair[1].ask("ACL", "SETUSER", "default", "off", "resetpass")
        assert [one.user(name) for one in pair] == [None, None]
    for one in target.sweep(PREFIX, patience=PATIENCE):
        ended(target, one)


def test_a_mint_is_two_messages_and_so_is_an_end(node: Node, tmp_path: Path) -> None:
    with Cutting(tmp_path, node.folder, "redis.sock") as way:
        place = RedisPlace(nodes=(str(way.path),), tls=False)
        target = RedisTarget(place, RedisAccess(user=ADMIN_USER, password=ADMIN_PASSWORD))
        target.starts(patience=PATIENCE)  # a connection that is kept
        before, name = way.messages, fresh_name()
        minted(target, name)
        assert way.messages == before + 2
        ended(target, name)
        assert way.messages == before + 4


# --- by TLS ----------------------------------------------------------------------------------


def test_by_tls_a_server_proves_itself_or_nothing_is_sent() -> None:
    with running(1, "valkey", "tls") as (there,):
        target, name = aimed(there), fresh_name()
        handed = minted(target, name)
        assert handed.open["REDIS_TLS"] == "true"
        assert (handed.open["REDIS_HOST"], handed.open["REDIS_PORT"]) == ("127.0.0.1", str(there.port))
        assert handed.open["REDIS_CACERT"] == str(there.roots)
        target.use(handed, patience=PATIENCE)
        assert ended(target, name) == Gone(cut=0)
        stranger = RedisPlace(nodes=(there.address,))
        with pytest.raises(TargetUnreachedError, match="does not prove"):
            minted(RedisTarget(stranger, RedisAccess(user=ADMIN_USER, password=ADMIN_PASSWORD)), name)
        other = RedisPlace(nodes=(f"localhost:{there.port}",), roots=str(there.roots))
        plain = RedisPlace(nodes=(there.address,), tls=False)
        with pytest.raises(TargetUnreachedError):
            minted(RedisTarget(plain, RedisAccess(user=ADMIN_USER, password=ADMIN_PASSWORD)), name)
        assert other.tls


# --- who is the admin ------------------------------------------------------------------------


def test_f13_another_password_or_user_reaches_nothing(node: Node) -> None:
    for target in (aimed(node, password="wrong"), aimed(node, user="nobody")):
        with pytest.raises(TargetUnreachedError, match="refuses this user and password"):
            minted(target, fresh_name())


def test_the_rights_that_are_written_down_are_all_that_the_admin_needs(node: Node) -> None:
    page = (Path(__file__).parents[3] / "docs/guides/redis.md").read_text(encoding="utf-8")
    given = page.partition("ACL SETUSER minter reset on '>minters-own-word' ")[2].partition("\n")[0].split()
    rights = [right for right in given if right != "+acl|dryrun"]  # which the guide gives to discovery alone
    assert rights[0] == "+acl|setuser"
    node.ask("ACL", "SETUSER", "least", "reset", "on", ">least", *rights)
    target, name = aimed(node, user="least", password="least"), fresh_name()
    target.use(minted(target, name), patience=PATIENCE)
    target.renew(name, ENDS, patience=PATIENCE)
    assert target.look(name, patience=PATIENCE).exists
    assert set(target.sweep(PREFIX, patience=PATIENCE)) == {name}
    assert target.starts(patience=PATIENCE) == (node.run_id,)
    assert ended(target, name) == Gone(cut=0)


@pytest.mark.parametrize(
    ("rights", "lacks"),
    [
        ("+ping", "acl|getuser"),
        ("+acl|getuser", "info"),
        ("+acl|getuser +info", "acl|setuser"),
        ("+acl|getuser +info +acl|setuser", "acl|save"),
    ],
)
def test_the_right_that_the_admin_lacks_is_named(node: Node, rights: str, lacks: str) -> None:
    node.ask("ACL", "SETUSER", "weak", "reset", "on", ">weak", *rights.split())
    name = fresh_name()
    with pytest.raises(TargetRefusedError) as refused:
        minted(aimed(node, user="weak", password="weak"), name)
    assert f"lacks `+{lacks}`" in refused.value.message
    assert f"`ACL SETUSER ADMIN +{lacks}`" in refused.value.advice
    with pytest.raises(TargetRefusedError, match=r"lacks `\+"):
        ended(aimed(node, user="weak", password="weak"), name)
    ended(aimed(node), name)
