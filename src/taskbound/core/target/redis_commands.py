"""Which commands of a Redis or Valkey a kind of credential can name, and why it can't name the others.

1. What a kind can name is known here: a command that looks at the patterns of its user for all that it
   touches, or touches its own session alone. What is not known is refused, commands of modules among it:
   whether they look is each module's affair.
2. What governs the server, its users, other sessions or other people's keys is refused with the reason: with
   it a credential would be more than it says, or outlive its end.
3. What shows names of keys or channels without looking at patterns is for kinds that read everything.
4. A command that has subcommands is named whole where all of them may be, and by each of them where not:
   `client|getname`. `select` is named with the one database that it goes to: `select|1`.
5. Some servers look at other keys than a command touches, where its arguments are said so that they take one
   for another (Valkey does): what writes then is refused, and what reads is for kinds for which it opens
   nothing more (`CONSUMING`).
6. What is answered with what a key holds, though the server asks of its user only whether it may write there,
   is for kinds that read there too (`ANSWERING`); what changes it though the server asks only whether it may
   be read, for kinds that write there too (`CONSUMING`).

Measured with Redis 8.0.2 and Valkey 8.1.1, of which a test compares all commands with what stands here.
"""

from __future__ import annotations

import re
from typing import Final

from taskbound.core.action.escape import escape_text
from taskbound.core.target.errors import BadKindError
from taskbound.core.target.redis_patterns import may_be

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
"""What every kind can name (rule 1)."""

SHOWING_KEYS: Final = frozenset(
    {
        "client|tracking",  # what is told of prefixes (BCAST) is told of everybody's keys
        "cluster|countkeysinslot",
        "cluster|getkeysinslot",
        "cluster|slot-stats",
        "dbsize",
        "keys",
        "randomkey",
        "scan",
    }
)
"""They tell of keys without looking at patterns: for kinds that read `*` (rule 3)."""
SHOWING_CHANNELS: Final = frozenset(
    {"pubsub|channels", "pubsub|numpat", "pubsub|numsub", "pubsub|shardchannels", "pubsub|shardnumsub"}
)
"""They tell of channels without looking at patterns: for kinds whose channels are `*` (rule 3)."""

CONSUMING: Final = "xreadgroup"
"""Where its consumer is called `streams`, Valkey looks for its keys one word too early: at `STREAMS` itself,
and at all but the last of them (rule 5). It moves what its group has read, and that the key may be read is
all that servers ask of its user (rule 6)."""
ANSWERING: Final = frozenset({"xautoclaim", "xclaim", "zadd"})
"""Entries of a stream, and by `ZADD key INCR 0 member` a score (rule 6)."""

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
    "it makes values of bytes that nobody looks at, or sends them to another server": (
        "migrate",
        "restore",
        "restore-asking",
    ),
    "it reaches another database": ("copy", "move", "swapdb"),
    "a program of it runs for as long as it likes, and the server answers nobody meanwhile": (
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
"""They have subcommands of both kinds (rule 4); with one that can be named."""


def refusal_of(name: str) -> str:
    """Why no kind can name it, in words of ours; empty where one can, or nothing is known of it (rule 2).

    Args:
        name: Of a command in lower case, or `COMMAND|SUBCOMMAND`.
    """
    if name in KNOWN or _SELECT.fullmatch(name):
        return ""
    if name == "select":
        return "it reaches every database: name one, as in `select|1`"
    if name in _WHOLE:
        return f"not all of it may be done: name what is needed, as in `{_WHOLE[name]}`"
    return _REFUSED.get(name) or _REFUSED.get(name.partition("|")[0], "")


def require_command(name: str, *, keys: bool, channels: bool) -> None:
    """Go on with a command that a kind can name.

    Args:
        name: As the target's file has it.
        keys: Whether the kind reads every key.
        channels: Whether every channel is open to it.

    Raises:
        BadKindError: It can't name this one.
    """
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
        )  # 1


def require_keys(
    commands: tuple[str, ...], reads: tuple[str, ...], writes: tuple[str, ...], parameters: tuple[str, ...]
) -> None:
    """Go on with patterns that mean for these commands what they say (rules 5 and 6).

    Raises:
        BadKindError: They don't.
    """
    if CONSUMING in commands:
        for one in reads if _ALL not in reads else ():
            if may_be(one, parameters, _STREAMS):
                raise BadKindError(
                    f"`{escape_text(one)}` takes in the word `{_STREAMS}`, which some servers take for the"
                    f" key of `{CONSUMING}`, so that it reads every stream",
                    remedy="name the keys by more, as in `stream:*`, or leave the command out",
                )  # 5
        for one in _beyond(reads, writes):
            raise BadKindError(
                f"`{CONSUMING}` takes entries away from others: it is for kinds that write what they read,"
                f" and `{escape_text(one)}` is not in `writes`"
            )  # 6
    for command in sorted(ANSWERING.intersection(commands)):
        for one in _beyond(writes, reads):
            raise BadKindError(
                f"`{command}` answers with what a key holds: it is for kinds that read what they write, and"
                f" `{escape_text(one)}` is not in `reads`"
            )  # 6


def _beyond(some: tuple[str, ...], others: tuple[str, ...]) -> list[str]:
    """Those that are not among the others."""
    return [] if _ALL in others else [one for one in some if one not in others]
