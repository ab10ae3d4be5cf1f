"""Redis or Valkey as a target: its nodes, and what a user may do there (ACL).

1. All nodes are named, because each has users of its own; a credential is written to every node.
2. Credentials are sent over TLS, a Unix socket or the loopback only.
3. A user may run the commands of its kind, on keys and channels by patterns, and nothing else.
4. A pattern may contain the kind's parameters (`redis_patterns`); each parameter is in some pattern.
5. The pattern `*` is the only one of its list; the server accepts no other beside it.
6. Channels that begin with `__` report keys (`__keyspace@0__:…`); they require a kind that reads `*`.
7. A message to `__sentinel__:hello` tells Sentinels which servers exist and which is the primary. No kind
   that publishes may have this channel, also not by `*`.
8. Where a server mistakes one argument for another (`CONSUMING`), a pattern that matches the word `streams`
   opens all streams; it requires a kind that reads `*`.
9. A command of `ANSWERING` returns a key's value with only the write right, so its kind must also read the
   key. A command of `CONSUMING` changes a key with only the read right, so its kind must also write it.

Only known commands that check the user's patterns for all keys, or touch only their own session, can be
named; commands of modules are unknown. Commands that govern the server, its users or other sessions are
refused with a reason. Commands that show names without checking patterns require a kind that reads
everything. A command with subcommands is named whole or as `client|getname`; `select` names its database,
`select|1`.

Measured with Redis 8.0.2 and Valkey 8.1.1; a test compares all commands of both with these tables.
"""

from __future__ import annotations

import re
from dataclasses import field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from taskbound.core.action.text import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.target.errors import BadKindError, BadTargetError
from taskbound.core.target.redis_patterns import filled, may_be, may_begin, places_of, require_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping


_SHOWN: Final = 80
_ALL: Final = "*"
_STREAMS: Final = "streams"
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}(\|[a-z0-9][a-z0-9_-]{0,39})?")
_SELECT: Final = re.compile(r"select\|(0|[1-9][0-9]{0,4})")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


KNOWN: Final = _words(
    """
    append asking auth bitcount bitfield bitfield_ro bitop bitpos blmove blmpop blpop brpop
    brpoplpush bzmpop bzpopmax bzpopmin decr decrby del discard dump echo exec exists expire
    expireat expiretime geoadd geodist geohash geopos georadius_ro georadiusbymember_ro geosearch
    geosearchstore get getbit getdel getex getrange getset hdel hello
    hexists hexpire hexpireat hexpiretime hget hgetall hgetdel hgetex hincrby hincrbyfloat hkeys
    hlen hmget hmset hpersist hpexpire hpexpireat hpexpiretime hpttl hrandfield hscan hset hsetex
    hsetnx hstrlen httl hvals incr incrby incrbyfloat lcs lindex linsert llen lmove lmpop lolwut
    lpop lpos lpush lpushx lrange lrem lset ltrim mget mset msetnx multi persist pexpire pexpireat
    pexpiretime pfadd pfcount pfmerge ping psetex psubscribe pttl publish punsubscribe quit readonly
    readwrite rename renamenx reset rpop rpoplpush rpush rpushx sadd scard sdiff sdiffstore set
    setbit setex setnx setrange sinter sintercard sinterstore sismember smembers smismember smove
    spop spublish srandmember srem sscan ssubscribe strlen subscribe substr sunion sunionstore
    sunsubscribe time touch ttl type unlink unsubscribe unwatch vadd vcard vdim vemb vgetattr vinfo
    vismember vlinks vrandmember vrem vsetattr vsim wait waitaof watch xack xadd xautoclaim xclaim
    xdel xlen xpending xrange xread xreadgroup xrevrange xsetid xtrim zadd zcard zcount zdiff
    zdiffstore zincrby zinter zintercard zinterstore zlexcount zmpop zmscore zpopmax zpopmin
    zrandmember zrange zrangebylex zrangebyscore zrangestore zrank zrem zremrangebylex
    zremrangebyrank zremrangebyscore zrevrange zrevrangebylex zrevrangebyscore zrevrank zscan zscore
    zunion zunionstore

    command command|count command|docs command|getkeys command|getkeysandflags command|help
    command|info command|list object object|encoding object|freq object|help object|idletime
    object|refcount xgroup xgroup|create xgroup|createconsumer xgroup|delconsumer xgroup|destroy
    xgroup|help xgroup|setid xinfo xinfo|consumers xinfo|groups xinfo|help xinfo|stream

    acl|whoami client|caching client|getname client|getredir client|help client|id client|info
    client|no-touch client|reply client|setinfo client|setname client|trackinginfo cluster|help
    cluster|info cluster|keyslot cluster|myid cluster|myshardid cluster|nodes cluster|shards
    cluster|slots memory|help memory|usage pubsub|help
    """
)
"""What every kind can name."""

SHOWING_KEYS: Final = frozenset(
    {
        "client|tracking",  # broadcast mode (BCAST) reports keys of all users
        "cluster|countkeysinslot",
        "cluster|getkeysinslot",
        "cluster|slot-stats",
        "dbsize",
        "keys",
        "randomkey",
        "scan",
    }
)
"""They tell of keys without looking at patterns: for kinds that read `*`."""
SHOWING_CHANNELS: Final = frozenset(
    {"pubsub|channels", "pubsub|numpat", "pubsub|numsub", "pubsub|shardchannels", "pubsub|shardnumsub"}
)
"""They tell of channels without looking at patterns: for kinds whose channels are `*`."""

CONSUMING: Final = "xreadgroup"
"""Where its consumer is called `streams`, Valkey looks for its keys one word too early: at `STREAMS` itself,
and at all but the last of them (rule 8). It moves what its group has read, and that the key may be read is
all that servers ask of its user (rule 9)."""
ANSWERING: Final = frozenset({"xautoclaim", "xclaim", "zadd"})
"""Entries of a stream, and by `ZADD key INCR 0 member` a score (rule 9)."""

_REASONS: Final[dict[str, tuple[str, ...]]] = {
    "it says who may do what": ("acl",),
    "it reaches other sessions": (
        "client|kill",
        "client|list",
        "client|pause",
        "client|unblock",
        "client|unpause",
        "monitor",
    ),
    "it changes how the server treats a session": ("client|capa", "client|import-source", "client|no-evict"),
    "it governs the server": (
        "bgrewriteaof",
        "bgsave",
        "commandlog",
        "config",
        "debug",
        "info",
        "lastsave",
        "latency",
        "memory|doctor",
        "memory|malloc-stats",
        "memory|purge",
        "memory|stats",
        "module",
        "pfdebug",
        "pfselftest",
        "save",
        "shutdown",
        "slowlog",
    ),
    "it governs which nodes there are, or takes what they tell each other": (
        "cluster|addslots",
        "cluster|addslotsrange",
        "cluster|bumpepoch",
        "cluster|count-failure-reports",
        "cluster|delslots",
        "cluster|delslotsrange",
        "cluster|failover",
        "cluster|flushslots",
        "cluster|forget",
        "cluster|links",
        "cluster|meet",
        "cluster|replicas",
        "cluster|replicate",
        "cluster|reset",
        "cluster|saveconfig",
        "cluster|set-config-epoch",
        "cluster|setslot",
        "cluster|slaves",
        "failover",
        "psync",
        "replconf",
        "replicaof",
        "role",
        "slaveof",
        "sync",
    ),
    "it takes other people's keys": ("flushall", "flushdb"),
    "it reads keys that no pattern allows": ("sort", "sort_ro"),
    "it writes keys that no pattern allows, where `STORE` is said twice; `geosearchstore` does not": (
        "georadius",
        "georadiusbymember",
    ),
    "it stores bytes that the server does not check, or sends them to another server": (
        "migrate",
        "restore",
        "restore-asking",
    ),
    "it reaches another database": ("copy", "move", "swapdb"),
    "its script has no time limit, and the server answers no other client meanwhile": (
        "eval",
        "eval_ro",
        "evalsha",
        "evalsha_ro",
        "fcall",
        "fcall_ro",
        "function",
        "script",
    ),
}
_REFUSED: Final = {name: reason for reason, names in _REASONS.items() for name in names}
_WHOLE: Final = {
    "acl": "acl|whoami",
    "client": "client|getname",
    "cluster": "cluster|slots",
    "memory": "memory|usage",
    "pubsub": "pubsub|numsub",
}
"""They have subcommands of both kinds; with one that can be named."""


def refusal_of(name: str) -> str:
    """Returns why no kind can name `command` or `command|subcommand`; empty if allowed or unknown."""
    if name in KNOWN or _SELECT.fullmatch(name):
        return ""
    if name == "select":
        return "it reaches every database: name one, as in `select|1`"
    if name in _WHOLE:
        return f"not all of it may be done: name what is needed, as in `{_WHOLE[name]}`"
    return _REFUSED.get(name) or _REFUSED.get(name.partition("|")[0], "")


def require_command(name: str, *, keys: bool, channels: bool) -> None:
    """Raises BadKindError if a kind cannot name this command; `keys`, `channels`: it reads all of them."""
    shown = escape_text(name[:_SHOWN])
    if _NAME.fullmatch(name) is None:
        raise BadKindError(
            f"`{shown}` can't be a command: it is written in lower case, a subcommand as `client|getname`"
        )
    if name in SHOWING_KEYS:
        if not keys:
            raise BadKindError(f"`{shown}` tells of every key: it is for kinds that read `*`")
        return
    if name in SHOWING_CHANNELS:
        if not channels:
            raise BadKindError(f"`{shown}` tells of every channel: it is for kinds whose channels are `*`")
        return
    reason = refusal_of(name)
    if reason:
        raise BadKindError(f"`{shown}` can't be given to a credential: {reason}")
    if name not in KNOWN and _SELECT.fullmatch(name) is None:
        raise BadKindError(
            f"`{shown}` is no command that is known here to keep to its user's patterns",
            remedy="correct it; commands of modules can't be given to credentials",
        )


def require_keys(
    commands: tuple[str, ...], reads: tuple[str, ...], writes: tuple[str, ...], parameters: tuple[str, ...]
) -> None:
    """Raises BadKindError if the server would read these patterns differently (rules 8 and 9)."""
    if CONSUMING in commands:
        for one in reads if _ALL not in reads else ():
            if may_be(one, parameters, _STREAMS):
                raise BadKindError(
                    f"`{escape_text(one)}` takes in the word `{_STREAMS}`, which some servers take for the"
                    f" key of `{CONSUMING}`, so that it reads every stream",
                    remedy="name the keys by more, as in `stream:*`, or leave the command out",
                )  # 8
        for one in _beyond(reads, writes):
            raise BadKindError(
                f"`{CONSUMING}` takes entries away from others: it is for kinds that write what they read,"
                f" and `{escape_text(one)}` is not in `writes`"
            )  # 9
    for command in sorted(ANSWERING.intersection(commands)):
        for one in _beyond(writes, reads):
            raise BadKindError(
                f"`{command}` answers with what a key holds: it is for kinds that read what they write, and"
                f" `{escape_text(one)}` is not in `reads`"
            )  # 9


def _beyond(some: tuple[str, ...], others: tuple[str, ...]) -> list[str]:
    return [] if _ALL in others else [one for one in some if one not in others]


MOST_NODES: Final = 32
MOST_COMMANDS: Final = 128
MOST_PATTERNS: Final = 32
"""Of keys to read, of keys to write, of channels."""
MOST_PARAMETERS: Final = 16
_MOST_TEXT: Final = 4_096
_MOST_SOCKET: Final = 107
"""Bytes of a socket's path."""
_PORTS: Final = range(1, 65_536)
_PORT: Final = 6_379
_NODE: Final = re.compile(
    r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)(?::([0-9]{1,5}))?"
)
_PARAMETER: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_SERVERS: Final = "__"
"""How the names begin of channels that the server itself publishes to (rule 6)."""
_SENTINELS: Final = "__sentinel__:"
"""How the names begin of channels by which Sentinels find each other (rule 7)."""
_PUBLISHING: Final = "publish"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisNode:
    """One server. Raises BadTargetError if the address is not valid."""

    text: str
    """`HOST:PORT` as it was declared, or the absolute path of a socket."""
    host: str = field(init=False)
    """A name or an address without brackets, or the path."""
    port: int = field(init=False)
    """0 of a socket."""

    def __post_init__(self) -> None:
        host, port = self.text, 0
        if self.text.startswith("/"):
            size = len(self.text.encode("utf-8", "replace"))
            named = size <= _MOST_SOCKET and self.text.isprintable()
        else:
            found = _NODE.fullmatch(self.text)
            host = found[1].strip("[]").lower() if found else ""
            port = int(found[2] or _PORT) if found else 0
            named = bool(host) and port in _PORTS and (":" not in host or _is_address(host))
        if not named:
            raise BadTargetError(
                f"`{escape_text(self.text[:_SHOWN])}` is no node: it is `HOST:PORT`, or a socket's path"
            )
        object.__setattr__(self, "host", host)
        object.__setattr__(self, "port", port)

    @property
    def is_socket(self) -> bool:
        return self.port == 0

    @property
    def is_near(self) -> bool:
        """Whether traffic stays on this machine (rule 2)."""
        return self.is_socket or (_is_address(self.host) and ip_address(self.host).is_loopback)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisPlace:
    """The nodes. Raises BadTargetError by rules 1 and 2."""

    nodes: tuple[str, ...]
    """Each `HOST:PORT` or the absolute path of a socket; 1 to `MOST_NODES`."""
    tls: bool = True
    roots: str = ""
    """Absolute path of a PEM file: whose certificates count; the system's authorities where it is empty."""
    at: tuple[RedisNode, ...] = field(init=False)
    """The nodes, in their order."""

    def __post_init__(self) -> None:
        at = tuple(RedisNode(text=one) for one in self.nodes)
        if not 1 <= len(at) <= MOST_NODES or len({(one.host, one.port) for one in at}) != len(at):
            raise BadTargetError(f"a Redis has 1 to {MOST_NODES} nodes, each said once")
        if self.tls and any(one.is_socket for one in at):
            raise BadTargetError(
                "there is no TLS on a socket",
                remedy="name all nodes by socket or loopback, with `tls: false`",
            )
        far = [one for one in at if not one.is_near]
        if not self.tls and far:
            raise BadTargetError(
                f"what goes to `{escape_text(far[0].text[:_SHOWN])}` without TLS can be read by others",
                remedy="leave out `tls`; false is for sockets and this machine's own loopback alone",
            )  # 2
        if self.roots and not (
            self.roots.startswith("/") and len(self.roots) <= _MOST_TEXT and self.roots.isprintable()
        ):
            raise BadTargetError("the authorities are a file with an absolute path")
        if self.roots and not self.tls:
            raise BadTargetError("without TLS there is no certificate that authorities could vouch for")
        object.__setattr__(self, "at", at)

    @property
    def host(self) -> str:
        return self.at[0].host

    @property
    def port(self) -> int:
        """The port of the first node; 0 for a socket."""
        return self.at[0].port

    @property
    def revocable(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisKind:
    """What a user of this kind may do. Raises BadKindError by rules 3 to 9."""

    commands: tuple[str, ...]
    """In lower case, a subcommand as `client|getname`; 1 to `MOST_COMMANDS`, each said once."""
    reads: tuple[str, ...] = ()
    """Patterns of the keys that it reads."""
    writes: tuple[str, ...] = ()
    """Patterns of the keys that it writes."""
    channels: tuple[str, ...] = ()
    """Patterns of the channels that it publishes and subscribes to."""
    parameters: tuple[str, ...] = ()
    """What is left to who asks, by name and sorted; each stands in a pattern."""

    def __post_init__(self) -> None:
        for what, most, found in (
            ("commands", MOST_COMMANDS, self.commands),
            ("patterns", MOST_PATTERNS, self.reads),
            ("patterns", MOST_PATTERNS, self.writes),
            ("patterns", MOST_PATTERNS, self.channels),
            ("parameters", MOST_PARAMETERS, self.parameters),
        ):
            if len(found) > most or len(set(found)) != len(found):
                raise BadKindError(f"{what} are {most} at most, and each is said once")
        self._require_commands()
        self._require_parameters()
        self._require_channels()
        require_keys(self.commands, self.reads, self.writes, self.parameters)

    def _require_channels(self) -> None:
        for one in self.channels:
            if _ALL not in self.reads and may_begin(one, self.parameters, _SERVERS):
                raise BadKindError(
                    f"`{escape_text(one)}` takes in channels that tell of every key (`{_SERVERS}…`): it is"
                    " for kinds that read `*`"
                )  # 6
            if _PUBLISHING in self.commands and may_begin(one, self.parameters, _SENTINELS):
                raise BadKindError(
                    f"`{escape_text(one)}` matches `{_SENTINELS}hello`: a message there tells the"
                    " Sentinels which server is the primary",
                    remedy="name the channels, as in `news:*`, or leave out `publish`",
                )  # 7

    def _require_commands(self) -> None:
        if not self.commands:
            raise BadKindError("a user without commands can do nothing")
        for one in self.commands:
            require_command(one, keys=_ALL in self.reads, channels=_ALL in self.channels)
            if "|" in one and one.partition("|")[0] in self.commands:
                raise BadKindError(f"`{one}` is a part of what is named beside it")

    def _require_parameters(self) -> None:
        if list(self.parameters) != sorted(self.parameters) or any(
            _PARAMETER.fullmatch(one) is None for one in self.parameters
        ):
            raise BadKindError(
                "parameters are sorted, and each is a-z, 0-9 and `_`, and begins with a letter"
            )
        missing = set(self.parameters)
        for patterns in (self.reads, self.writes, self.channels):
            for one in patterns:
                require_pattern(one, self.parameters)
                missing -= places_of(one)
            if _ALL in patterns and len(patterns) > 1:
                raise BadKindError("`*` stands alone: it is all there is")  # 5
        if missing:
            raise BadKindError(f"no pattern has a place for `{min(missing)}`: `{{{min(missing)}}}`")

    @property
    def words(self) -> str:
        parts = [f"runs {', '.join(self.commands)}"]
        for what, patterns in (
            ("reads", self.reads),
            ("writes", self.writes),
            ("on the channels", self.channels),
        ):
            if patterns:
                parts.append(f"{what} {', '.join(f'`{escape_text(one)}`' for one in patterns)}")
        if not self.reads and not self.writes:
            parts.append("with no key")
        return "; ".join(parts)

    def keys(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """Returns the patterns as the server shows them (`~p`, `%R~p`, `%W~p`); raises BadParameterError."""
        reads, writes = (
            dict.fromkeys(filled(one, self.parameters, values) for one in some)
            for some in (self.reads, self.writes)
        )
        both = [f"~{one}" for one in reads if one in writes]
        return (
            *both,
            *(f"%R~{one}" for one in reads if one not in writes),
            *(f"%W~{one}" for one in writes if one not in reads),
        )

    def channel_patterns(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """Returns the channel patterns as the server shows them, `&p`; raises like `keys`."""
        return tuple(
            f"&{one}" for one in dict.fromkeys(filled(one, self.parameters, values) for one in self.channels)
        )


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
