"""A Redis or Valkey as a target: which nodes it has, and what a user of it may do (ACL).

1. Every node is named: users are each node's own, and what is minted is written to all of them.
2. Credentials go over TLS; without it over a socket, or this machine's own loopback, alone.
3. A user may do the commands that its kind names (`redis_commands`), with keys and channels by patterns,
   and nothing besides. What is not declared is none.
4. A pattern has places for the kind's parameters (`redis_patterns`), and each parameter has a place.
5. A pattern that is `*` stands alone: the server takes no other one beside it.
6. Channels that begin with `__` tell of keys (`__keyspace@0__:…`): they are for kinds that read `*`.
7. What is published to `__sentinel__:hello` tells each Sentinel which servers there are, and which is the
   primary: no kind that publishes has it, also not by `*`.
8. Where a server takes one argument for another (`redis_commands.CONSUMING`), a pattern that takes in the
   word `streams` opens all streams: it is for kinds that read `*`.
9. Who is answered with what a key holds (`redis_commands.ANSWERING`) reads what it writes; who takes entries
   away from others by the right to read alone (`CONSUMING`) writes what it reads.
"""

from __future__ import annotations

import re
from dataclasses import field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from taskbound.core.action.escape import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.target.errors import BadKindError, BadTargetError
from taskbound.core.target.redis_commands import require_command, require_keys
from taskbound.core.target.redis_patterns import filled, may_begin, places_of, require_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping


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
_SHOWN: Final = 80
_NODE: Final = re.compile(
    r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)(?::([0-9]{1,5}))?"
)
_PARAMETER: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_ALL: Final = "*"
_SERVERS: Final = "__"
"""How the names begin of channels that the server itself publishes to (rule 6)."""
_SENTINELS: Final = "__sentinel__:"
"""How the names begin of channels by which Sentinels find each other (rule 7)."""
_PUBLISHING: Final = "publish"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisNode:
    """One server.

    Raises:
        BadTargetError: On making one that names none.
    """

    text: str
    """`HOST:PORT` as it was declared, or the absolute path of a socket."""
    host: str = field(init=False)
    """A name or an address without brackets, or the path."""
    port: int = field(init=False)
    """0 of a socket."""

    def __post_init__(self) -> None:
        """Require one address."""
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
        """Whether it is reached by a path."""
        return self.port == 0

    @property
    def is_near(self) -> bool:
        """Whether what goes there stays on this machine (rule 2)."""
        return self.is_socket or (_is_address(self.host) and ip_address(self.host).is_loopback)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisPlace:
    """Which nodes there are.

    Raises:
        BadTargetError: On making one that rules 1 and 2 don't allow.
    """

    nodes: tuple[str, ...]
    """Each `HOST:PORT` or the absolute path of a socket; 1 to `MOST_NODES`."""
    tls: bool = True
    roots: str = ""
    """Absolute path of a PEM file: whose certificates count; the system's authorities where it is empty."""
    at: tuple[RedisNode, ...] = field(init=False)
    """The nodes, in their order."""

    def __post_init__(self) -> None:
        """Require nodes, and a way to them."""
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
        """Of the first node."""
        return self.at[0].host

    @property
    def port(self) -> int:
        """Of the first node; 0 of a socket."""
        return self.at[0].port

    @property
    def revocable(self) -> bool:
        """A Redis always ends users."""
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisKind:
    """What a user of this kind may do.

    Raises:
        BadKindError: On making one that rules 3 to 9 don't allow.
    """

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
        """Require the rules."""
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
        """Require rules 6 and 7."""
        for one in self.channels:
            if _ALL not in self.reads and may_begin(one, self.parameters, _SERVERS):
                raise BadKindError(
                    f"`{escape_text(one)}` takes in channels that tell of every key (`{_SERVERS}…`): it is"
                    " for kinds that read `*`"
                )  # 6
            if _PUBLISHING in self.commands and may_begin(one, self.parameters, _SENTINELS):
                raise BadKindError(
                    f"`{escape_text(one)}` takes in `{_SENTINELS}hello`: whoever publishes there tells the"
                    " Sentinels which server is the primary",
                    remedy="name the channels, as in `news:*`, or leave out `publish`",
                )  # 7

    def _require_commands(self) -> None:
        """Require rule 3."""
        if not self.commands:
            raise BadKindError("a user without commands can do nothing")
        for one in self.commands:
            require_command(one, keys=_ALL in self.reads, channels=_ALL in self.channels)
            if "|" in one and one.partition("|")[0] in self.commands:
                raise BadKindError(f"`{one}` is a part of what is named beside it")

    def _require_parameters(self) -> None:
        """Require rules 4 and 5."""
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
        """What a user may do, in one line for people, with visible escapes."""
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
        """The server's words for the patterns of keys, as it shows them: `~p`, `%R~p` and `%W~p`.

        Args:
            values: A text for each of `parameters`.

        Raises:
            BadParameterError: A text is missing, or holds what no pattern can: a space or a character of
                control.
        """
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
        """The server's words for the channels, as it shows them: `&p`. Raises as `keys`."""
        return tuple(
            f"&{one}" for one in dict.fromkeys(filled(one, self.parameters, values) for one in self.channels)
        )


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
