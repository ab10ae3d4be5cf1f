from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from taskbound.adapters.targets.redis import RedisTarget
from taskbound.adapters.targets.redis import user as users
from taskbound.core.clock import Instant
from taskbound.core.target import RedisAccess, RedisKind, RedisPlace
from taskbound.ports.target import Gone, Minted, MintOrder, Shown, TargetUnavailableError
from tests.peers.minter import PATIENCE, PREFIX, fresh_name
from tests.peers.redis import ADMIN_PASSWORD, ADMIN_USER, Node, following, running
from tests.peers.resp import Line, LostError, SaidNoError
from tests.wiring.running import until

ENDS = Instant(4_102_444_800_000_000)
READS = RedisKind(commands=("get", "ping"), reads=("orders:*",))
_WIDE = """
append bitcount bitfield bitop blmove blmpop blpop brpop client|getname client|id client|info
client|no-touch client|reply client|setname command decr del dump echo exec exists expire get getdel
getrange getset hgetall hset incr incrby lcs lmove lmpop lpos lpush lrange memory|usage mget mset multi
object persist pfcount pfmerge ping psubscribe publish rename renamenx rpoplpush rpush sadd sdiffstore
set setrange sinter sintercard smembers smove spop spublish ssubscribe strlen subscribe substr
sunionstore touch ttl type unlink wait watch xadd xread xreadgroup zadd zrangestore zunion zunionstore
"""
WIDE = RedisKind(
    commands=tuple(_WIDE.split()),
    reads=("mine:*",),
    writes=("mine:*",),
    channels=("mine:*",),
)


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    settings = {"enable-debug-command": "yes", "busy-reply-threshold": "50", "maxclients": "64"}
    with running(settings=settings) as (one,):
        yield one


def target(*nodes: Node, user: str = ADMIN_USER, password: str = ADMIN_PASSWORD) -> RedisTarget:
    place = RedisPlace(nodes=tuple(one.address for one in nodes), tls=False)
    return RedisTarget(place, RedisAccess(user=user, password=password))


def minted(node: Node, kind: RedisKind = READS, *, by: RedisTarget | None = None, **context: str) -> Minted:
    order = MintOrder(name=fresh_name(), ends=ENDS, context=context)
    return (by or target(node)).mint(order, kind, patience=PATIENCE)


def name_of(one: Minted) -> str:
    return one.open["REDIS_USERNAME"]


def line(node: Node, one: Minted, *, protocol: int = 2) -> Line:
    return node.line(name_of(one), one.secret["REDISCLI_AUTH"], protocol=protocol)


def end(node: Node, one: Minted, *, by: RedisTarget | None = None, patience: float = PATIENCE) -> int:
    """End it, and require of the server what that means; how many sessions were ended."""
    found = (by or target(node)).revoke(name_of(one), ends=ENDS, patience=patience)
    assert isinstance(found, Gone)
    require_gone(node, one)
    return found.cut


def require_gone(node: Node, one: Minted) -> None:
    assert (node.user(name_of(one)), node.kept(name_of(one))) == (None, "")
    until(lambda: node.sessions(name_of(one)) == 0, "no session of it is open")
    with pytest.raises(SaidNoError, match="WRONGPASS"):
        line(node, one)


def over(session: Line) -> bool:
    """Whether a session is, once all that was answered to it is read."""
    try:
        for _ in range(2_000):
            session.ask("PING")
    except LostError:
        return True
    return False


def answered(session: Line, *words: str) -> str:
    """The code of what this is refused with; what is answered, where it is not."""
    try:
        return f"answers {session.ask(*words)!r}"
    except SaidNoError as no:
        return str(no).split()[0]


@contextmanager
def held(node: Node, kind: RedisKind = READS, **context: str) -> Iterator[tuple[Minted, Line]]:
    """A credential with a session; ended afterwards."""
    one = minted(node, kind, by=None, **context)
    with line(node, one) as session:
        yield one, session
    target(node).revoke(name_of(one), ends=ENDS, patience=PATIENCE)


BEYOND = """
GET theirs:1
SET theirs:1 x
MGET mine:1 theirs:1
MSET mine:1 x theirs:1 x
DEL mine:1 theirs:1
UNLINK theirs:1
APPEND theirs:1 x
GETDEL theirs:1
GETRANGE theirs:1 0 9
SETRANGE theirs:1 0 x
STRLEN theirs:1
SUBSTR theirs:1 0 9
LCS mine:1 theirs:1
EXISTS theirs:1
TYPE theirs:1
TTL theirs:1
EXPIRE theirs:1 0
PERSIST theirs:1
TOUCH theirs:1
DUMP theirs:1
OBJECT ENCODING theirs:1
OBJECT FREQ theirs:1
MEMORY USAGE theirs:1
RENAME theirs:1 mine:2
RENAME mine:1 theirs:1
RENAMENX mine:1 theirs:2
BITOP NOT mine:2 theirs:1
BITOP NOT theirs:1 mine:1
BITFIELD theirs:1 SET u8 0 1
SMOVE theirs:set mine:set one
SUNIONSTORE mine:set theirs:set
SUNIONSTORE theirs:set mine:set
SINTERCARD 2 mine:set theirs:set
SMEMBERS theirs:set
LMOVE theirs:list mine:list LEFT LEFT
LMPOP 2 mine:list theirs:list LEFT
BLMPOP 0 2 mine:list theirs:list LEFT
BLPOP mine:none theirs:list 0
RPOPLPUSH theirs:list mine:list
ZUNION 2 mine:zset theirs:zset
ZUNIONSTORE mine:zset 1 theirs:zset
ZRANGESTORE mine:zset theirs:zset 0 -1
PFMERGE mine:hll theirs:hll
XREAD STREAMS mine:stream theirs:stream 0 0
XREADGROUP GROUP one two STREAMS theirs:stream >
WATCH theirs:1
PUBLISH theirs:1 x
SPUBLISH theirs:1 x
SUBSCRIBE mine:1 theirs:1
SSUBSCRIBE theirs:1
PSUBSCRIBE *
PSUBSCRIBE mine:?
PSUBSCRIBE mine:* theirs:*
SORT mine:list BY theirs:* GET theirs:*
SORT_RO mine:list GET theirs:*
COPY mine:1 theirs:2
COPY theirs:1 mine:2
MOVE mine:1 1
SELECT 1
SWAPDB 0 1
MIGRATE 127.0.0.1 1 theirs:1 0 100
RESTORE theirs:3 0 x
KEYS *
SCAN 0
RANDOMKEY
DBSIZE
FLUSHALL
EVAL return(1) 0
EVALSHA x 0
FCALL x 0
FUNCTION LIST
SCRIPT FLUSH
ACL WHOAMI
ACL LIST
ACL SETUSER default on nopass
CONFIG GET *
CONFIG SET requirepass x
CLIENT LIST
CLIENT KILL ID 1
CLIENT PAUSE 1000
CLIENT UNPAUSE
CLIENT NO-EVICT ON
CLIENT TRACKING ON BCAST
CLIENT TRACKING ON REDIRECT 1
CLIENT UNBLOCK 1
MONITOR
INFO
DEBUG SLEEP 0
MODULE LIST
REPLICAOF NO ONE
PSYNC ? -1
SHUTDOWN NOSAVE
SLOWLOG GET
LATENCY HISTOGRAM
MEMORY STATS
PUBSUB CHANNELS
CLUSTER NODES
FAILOVER
AUTH owner wrong
AUTH minter
HELLO 3 AUTH owner wrong
""".strip().splitlines()
"""What a credential whose keys and channels are `mine:*` must not get by."""


def test_what_is_beyond_its_patterns_and_commands_is_refused_and_nothing_of_it_happened(node: Node) -> None:
    node.asked(("SET", "theirs:1", "secret"), ("SADD", "theirs:set", "one"), ("RPUSH", "theirs:list", "one"))
    node.asked(("ZADD", "theirs:zset", "1", "one"), ("PFADD", "theirs:hll", "one"))
    node.asked(("XADD", "theirs:stream", "*", "a", "b"), ("XGROUP", "CREATE", "theirs:stream", "one", "0"))
    with held(node, WIDE) as (one, session):
        session.ask("SET", "mine:1", "own")
        before = (node.ask("DEBUG", "DIGEST"), node.ask("ACL", "LIST"))
        answers = {words: answered(session, *words.split()) for words in BEYOND}
        assert {words: said for words, said in answers.items() if said not in {"NOPERM", "WRONGPASS"}} == {}
        assert (node.ask("DEBUG", "DIGEST"), node.ask("ACL", "LIST")) == before
        assert (session.ask("GET", "mine:1"), node.sessions(name_of(one))) == ("own", 1)


def test_in_a_transaction_what_is_refused_takes_all_of_it_away(node: Node) -> None:
    with held(node, WIDE) as (_, session):
        session.ask("MULTI")
        session.ask("SET", "mine:3", "x")
        with pytest.raises(SaidNoError, match="NOPERM"):
            session.ask("GET", "theirs:1")
        with pytest.raises(SaidNoError, match="EXECABORT"):
            session.ask("EXEC")
        assert session.ask("GET", "mine:3") is None


def test_a_session_that_resets_itself_or_says_hello_again_is_nobodys_or_its_own(node: Node) -> None:
    one = minted(node)
    with line(node, one) as reset, line(node, one) as hello:
        assert reset.ask("RESET") == "RESET"
        with pytest.raises(SaidNoError, match="NOAUTH"):
            reset.ask("GET", "orders:1")
        hello.ask("HELLO", "3", "SETNAME", "user=owner")
        assert node.sessions(name_of(one)) == 1
        assert end(node, one) == 1
        with pytest.raises(LostError):
            hello.ask("GET", "orders:1")
        with pytest.raises(SaidNoError, match="WRONGPASS"):
            reset.ask("AUTH", name_of(one), one.secret["REDISCLI_AUTH"])


@pytest.mark.parametrize(
    "value",
    [
        "*",
        "?",
        "[a-z]",
        "[^x]",
        "a*",
        "\\",
        "\\*",
        "a\\",
        "red:*",
        "[",
        "]",
        "{x}",
        "é*",
        "~*",
        "%R~*",
        "(~*)",
    ],
)
def test_no_glob_in_a_parameter_opens_more_than_itself(node: Node, value: str) -> None:
    kind = RedisKind(commands=("get",), reads=("orders:{tenant}:*",), parameters=("tenant",))
    with held(node, kind, tenant=value) as (_, session):
        assert session.ask("GET", f"orders:{value}:1") is None
        for other in ("red", "a", "x", "", "\\", "red:blue", value + "x", "x" + value):
            if f"orders:{other}:1".startswith(f"orders:{value}:"):
                continue
            with pytest.raises(SaidNoError, match="NOPERM"):
                session.ask("GET", f"orders:{other}:1")


def test_keys_of_any_bytes_are_judged_as_bytes(node: Node) -> None:
    with held(node) as (_, session):
        for key in (b"orders:\x00\xff\r\n", b"orders:" + bytes(range(256))):
            assert session.ask("GET", key) is None
        for key in (b"\x00orders:1", b"order\xff", b"orders\x00:1", b"ORDERS:1"):
            with pytest.raises(SaidNoError, match="NOPERM"):
                session.ask("GET", key)


def test_a_thousand_commands_that_were_sent_before_the_end_are_over_with_it(node: Node) -> None:
    one = minted(node, WIDE)
    with ExitStack() as lines:
        some = [lines.enter_context(line(node, one)) for _ in range(8)]
        for each in some:
            each.ask("CLIENT", "REPLY", "ON")
            for _ in range(1_000):
                each.say("INCR", "mine:counter")
        end(node, one)
        counted = node.ask("GET", "mine:counter")
        for each in some:
            assert over(each)
        assert node.ask("GET", "mine:counter") == counted


def unread(node: Node, name: str) -> bool:
    listed = str(node.ask("CLIENT", "LIST")).splitlines()
    return any(f"user={name}" in each.split() and "omem=0" not in each.split() for each in listed)


def test_a_session_that_never_reads_what_it_asked_for_is_over(node: Node) -> None:
    one = minted(node, WIDE)
    with line(node, one) as session:
        session.ask("SET", "mine:big", "x" * 1_000_000)
        for _ in range(50):
            session.say("GET", "mine:big")
        until(lambda: unread(node, name_of(one)), "it is not read")
        assert end(node, one) == 1
    node.ask("DEL", "mine:big")


def test_i04_a_name_of_any_length_that_it_gives_its_sessions_keeps_its_end_away_from_nobody(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "LISTED", 100_000)
    one, much = minted(node), "x" * 100_000
    with line(node, one) as first, line(node, one) as second:
        for each in (first, second):
            each.ask("HELLO", "2", "SETNAME", much)  # which no kind has to name
        assert end(node, one) == 2


@contextmanager
def full(node: Node, one: Minted) -> Iterator[list[Line]]:
    """All connections that the server takes are this credential's, and come again when they are ended."""
    held_: list[Line] = []
    try:
        with suppress(LostError, SaidNoError):
            while True:
                held_.append(line(node, one))
        yield held_
    finally:
        for each in held_:
            each.close()


def test_a_credential_that_holds_every_connection_of_the_server_is_ended_all_the_same(node: Node) -> None:
    keeps = target(node)
    one = minted(node, by=keeps)
    with full(node, one) as lines:
        with pytest.raises(TargetUnavailableError):
            target(node).look(name_of(one), patience=PATIENCE)
        found = keeps.revoke(name_of(one), ends=ENDS, patience=PATIENCE)
        assert isinstance(found, Gone)
        assert found.cut == len(lines) > 20
    require_gone(node, one)


def test_i04_a_credential_that_had_the_brokers_connections_given_up_and_holds_all_is_ended(
    node: Node,
) -> None:
    keeps = target(node)
    one = minted(node, by=keeps)
    keeps.starts(patience=PATIENCE)  # as the broker does
    with node.line() as busy:
        busy.say("DEBUG", "SLEEP", "0.7")
        until(lambda: busy_now(node), "it hears nobody")
        for _ in range(2):
            with pytest.raises(TargetUnavailableError):
                keeps.starts(patience=0.1)
        assert busy.hear() == "OK"
    with full(node, one) as lines:
        assert len(lines) > 20
        with pytest.raises(TargetUnavailableError, match="as many connections as it takes"):
            keeps.revoke(name_of(one), ends=ENDS, patience=PATIENCE)
        until(lambda: node.kept(name_of(one)) == "", "it is written down")
        until(
            lambda: keeps.look(name_of(one), patience=PATIENCE) == Shown(exists=False, open=0), "it is told"
        )
        assert keeps.revoke(name_of(one), ends=ENDS, patience=PATIENCE) == Gone(cut=0)
    require_gone(node, one)


def test_an_end_is_done_by_a_server_that_was_too_busy_to_answer_in_time(node: Node) -> None:
    for by in (target(node), None):
        one = minted(node, by=by)
        name = name_of(one)
        with node.line() as busy:
            busy.say("DEBUG", "SLEEP", "0.6")
            until(lambda: busy_now(node), "it hears nobody")
            with pytest.raises(TargetUnavailableError, match=r"took longer|in time"):
                (by or target(node)).revoke(name, ends=ENDS, patience=0.2)
            assert busy.hear() == "OK"
        assert node.user(name) is None
        end(node, one)


def busy_now(node: Node) -> bool:
    with socket.socket(socket.AF_UNIX) as way:
        way.settimeout(0.05)
        way.connect(node.address)
        way.sendall(b"PING\r\n")
        try:
            way.recv(64)
        except TimeoutError:
            return True
    return False


def test_somebodys_program_keeps_the_end_away_for_as_long_as_it_runs_and_no_longer(node: Node) -> None:
    one = minted(node)
    with node.line() as runs:
        runs.say("EVAL", "while true do end", "0")
        with pytest.raises(TargetUnavailableError, match="busy running a script"):
            target(node).revoke(name_of(one), ends=ENDS, patience=PATIENCE)
        node.ask("SCRIPT", "KILL")
        with pytest.raises(SaidNoError):
            runs.hear()
    end(node, one)


def test_a_server_that_somebody_paused_ends_it_when_it_goes_on(node: Node) -> None:
    one = minted(node)
    node.ask("CLIENT", "PAUSE", "400", "ALL")
    with pytest.raises(TargetUnavailableError, match=r"took longer|in time"):
        target(node).revoke(name_of(one), ends=ENDS, patience=0.1)
    end(node, one)


def test_a_server_without_memory_ends_it(node: Node) -> None:
    one = minted(node)
    node.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        end(node, one)
    finally:
        node.ask("CONFIG", "SET", "maxmemory", "0")


def test_refused_commands_without_end_fill_no_log_that_keeps_its_end_away(node: Node) -> None:
    one = minted(node)
    with line(node, one) as session:
        for number in range(2_000):
            session.say("GET", f"theirs:{number}")
        for _ in range(2_000):
            with pytest.raises(SaidNoError, match="NOPERM"):
                session.hear()
        assert end(node, one) == 1


def test_a_user_that_an_admin_makes_again_under_its_name_is_found_and_ended(node: Node) -> None:
    one = minted(node)
    end(node, one)
    node.ask("ACL", "SETUSER", name_of(one), "on", "nopass", "~*", "+@all")
    with node.line(name_of(one), "any") as session:
        assert session.ask("PING") == "PONG"
        assert list(target(node).sweep(PREFIX, patience=PATIENCE)) == [name_of(one)]
        assert end(node, one) == 1


def test_a_name_that_is_no_text_is_in_no_sweeps_way(node: Node) -> None:
    names = (b"\xff\xfe", PREFIX.encode() + b"\xff", b"")
    one = minted(node)
    for name in names:
        node.ask("ACL", "SETUSER", name, "on", "nopass")
    try:
        assert name_of(one) in set(target(node).sweep(PREFIX, patience=PATIENCE))
        target(node).revoke(name_of(one), ends=ENDS, patience=PATIENCE)
        assert node.user(name_of(one)) is None
    finally:
        for name in names:
            node.ask("ACL", "DELUSER", name)


def test_f15_what_somebody_wrote_into_a_servers_settings_is_back_after_a_start_and_is_found() -> None:
    with running(aclfile=False) as (node,):
        one, by = minted(node), target(node)
        node.ask("CONFIG", "REWRITE")
        by.revoke(name_of(one), ends=ENDS, patience=PATIENCE)
        before = by.starts(patience=PATIENCE)
        node.kill()
        written = (node.folder / "server.conf").read_text(encoding="utf-8").splitlines()
        node.settings["user"] = next(each for each in written if name_of(one) in each).removeprefix("user ")
        node.start_again()
        with line(node, one) as session:
            assert session.ask("GET", "orders:1") is None
            assert by.starts(patience=PATIENCE) != before
            assert list(by.sweep(PREFIX, patience=PATIENCE)) == [name_of(one)]
            assert end(node, one, by=by) == 1


def test_each_replica_that_is_reached_by_itself_ends_it_too() -> None:
    with following() as (primary, replica):
        both = target(primary, replica)
        one = minted(primary, by=both)
        with line(replica, one) as session:
            assert session.ask("GET", "orders:1") is None
            assert end(primary, one, by=both) == 1
            with pytest.raises(LostError):
                session.ask("PING")
        require_gone(replica, one)
