"""Redis and Valkey as a bench: two nodes on sockets of their own, on both of which each user is.

Whoever was handed a credential goes to one of the nodes, always the same one.
"""

from __future__ import annotations

import secrets
import socket
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count as numbers
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, seconds
from tests.contracts.target.bench import Foreign, ShutError, Told
from tests.peers.caching import ADMIN, KIND, Cache, caching, name_in
from tests.peers.cutting import Cutting
from tests.peers.impostor import posing
from tests.peers.minter import PREFIX
from tests.peers.resp import LostError, Push, SaidNoError, commands_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from taskbound.adapters.targets.redis import RedisTarget
    from taskbound.core.target import RedisKind
    from taskbound.ports.target import Minted
    from tests.contracts.target.bench import Session
    from tests.peers.cutting import How
    from tests.peers.impostor import Does
    from tests.peers.redis import Node, Sort
    from tests.peers.resp import Line


_NODES: Final = 2
_HEARD: Final = 10.0
"""Seconds in which a session that is open hears what others do."""
_SOON: Final = 0.05
_SOCKET: Final = "redis.sock"
_numbers = numbers()
_MUCH_LIKE: Final = (
    "tb_abcdefgx_" + "a" * 35,
    "TB_abcdefgh_" + "a" * 35,
    "tbxabcdefghx" + "a" * 35,
    "tb_",
    "tb_abcdefgh",
    f"x{PREFIX}other",
    f'{PREFIX[:-1]}";--',
    "tb_*",
)


@dataclass(frozen=True, slots=True)
class _Open:
    """One connection of whoever was handed a user."""

    line: Line
    does: Callable[[], bool]

    def acts(self) -> bool:
        """Do what its shape does."""
        try:
            return self.does()
        except LostError:
            return False

    def close(self) -> None:
        """Leave."""
        self.line.close()


def _plain(line: Line, node: Node) -> Callable[[], bool]:  # noqa: ARG001 - each shape is made of both
    return lambda: line.ask("GET", "orders:red:1") is not None


def _another_version(line: Line, node: Node) -> Callable[[], bool]:  # noqa: ARG001 - as above
    def does() -> bool:
        return bool(line.ask("MULTI") == "OK" and line.ask("PING") == "QUEUED") and bool(line.ask("EXEC"))

    return does


def _named(line: Line, node: Node) -> Callable[[], bool]:
    line.ask("CLIENT", "SETNAME", "redis-cli")
    return _plain(line, node)


def _waits(line: Line, node: Node) -> Callable[[], bool]:
    key = f"orders:red:queue{next(_numbers)}"
    line.say("BLPOP", key, "0")

    def does() -> bool:
        node.ask("RPUSH", key, "one")
        heard = line.hear(_HEARD)
        line.say("BLPOP", key, "0")
        return bool(heard == [key, "one"])

    return does


def _subscribed(line: Line, node: Node) -> Callable[[], bool]:
    line.ask("SUBSCRIBE", "news:red")

    def does() -> bool:
        node.ask("PUBLISH", "news:red", "it is so")
        return bool(line.hear(_HEARD)[2] == "it is so")

    return does


def _told_of_changes(line: Line, node: Node) -> Callable[[], bool]:
    line.ask("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "orders:blue:")

    def does() -> bool:
        node.ask("SET", "orders:blue:1", "new")
        return isinstance(line.hear(_HEARD), Push)

    return does


def _silent(line: Line, node: Node) -> Callable[[], bool]:
    key = f"orders:red:silent{next(_numbers)}"
    line.say("CLIENT", "REPLY", "OFF")

    def does() -> bool:
        word, end = secrets.token_hex(8), time.monotonic() + _HEARD
        line.say("SET", key, word)
        while time.monotonic() < end:
            if node.ask("GET", key) == word:
                return True
            try:
                line.hear(_SOON)
            except TimeoutError:
                line.forget()
        raise AssertionError("it is open, and nothing of it arrives")

    return does


def _transaction(line: Line, node: Node) -> Callable[[], bool]:  # noqa: ARG001 - as above
    def begin() -> None:
        for words in (("WATCH", "orders:red:1"), ("MULTI",), ("RPUSH", "orders:red:list", "one")):
            line.ask(*words)

    def does() -> bool:
        done = line.ask("EXEC")
        begin()
        return bool(done)

    begin()
    return does


_OPENS: Final = {
    "plain": (_plain, 2),
    "another version": (_another_version, 3),
    "another name": (_named, 2),
    "it waits": (_waits, 2),
    "subscribed": (_subscribed, 2),
    "told of changes": (_told_of_changes, 3),
    "no answers": (_silent, 2),
    "a transaction": (_transaction, 2),
}
SHAPES: Final = tuple(_OPENS)


@dataclass(frozen=True, slots=True)
class _Way:
    """Messages to both nodes, cut off by proxies before their sockets."""

    cache: Cache
    doors: tuple[Cutting, ...]

    def target(self) -> RedisTarget:
        """By way of the proxies."""
        return self.cache.target(*(str(one.path) for one in self.doors))

    def after(self, messages: int, how: How) -> None:
        """Cut once."""
        self.doors[0].after(messages, how)


@dataclass(slots=True)
class RedisBench:
    """See `bench.Bench`."""

    cache: Cache
    told: Told = field(default_factory=lambda: Told({ADMIN.password}))
    context: Mapping[str, str] = field(default_factory=lambda: {"tenant": "red"})
    renews: bool = True
    ends_by_itself: bool = False
    shapes: tuple[str, ...] = SHAPES
    pieces: tuple[int, ...] = ()
    cuts: tuple[int, int] = (12, 8)
    slower: int = 1

    @property
    def kind(self) -> RedisKind:
        """Every key, and a tenant's channel."""
        return KIND

    @property
    def ends(self) -> Instant:
        """A day from when the servers were started."""
        return self.cache.ends

    def now(self) -> Instant:
        """The first node's."""
        return Instant(seconds(int(self.cache.nodes[0].ask("TIME")[0])))

    def target(self) -> RedisTarget:
        """The minter's."""
        return self.cache.target()

    def wrong(self) -> RedisTarget:
        """One with another password."""
        word = secrets.token_urlsafe(16)
        self.told.add(word)
        return self.cache.target(admin=replace(ADMIN, password=word))

    @contextmanager
    def weak(self) -> Iterator[RedisTarget | None]:
        """A user that may do nothing."""
        word = secrets.token_urlsafe(16)
        self.told.add(word)
        for node in self.cache.nodes:
            node.ask("ACL", "SETUSER", "weak", "reset", "on", f">{word}")
        try:
            yield self.cache.target(admin=replace(ADMIN, user="weak", password=word))
        finally:
            for node in self.cache.nodes:
                node.ask("ACL", "DELUSER", "weak")

    def nobody(self, folder: Path) -> RedisTarget:
        """Sockets that are not there."""
        return self.cache.target(str(folder / "one.sock"), str(folder / "two.sock"))

    @contextmanager
    def impostor(self, folder: Path, does: Does) -> Iterator[RedisTarget]:
        """Another program's socket in the place of one node's."""
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(folder / _SOCKET))
        listening.listen()
        with posing(listening, does):
            yield self.cache.target(self.cache.nodes[0].address, str(folder / _SOCKET))

    @contextmanager
    def cutting(self, folder: Path) -> Iterator[_Way]:
        """By proxies on the sockets, whose messages are counted together."""
        with ExitStack() as over:
            doors: list[Cutting] = []
            for number, node in enumerate(self.cache.nodes):
                (folder / str(number)).mkdir()
                where = (folder / str(number), node.folder, _SOCKET)
                first = doors[0] if doors else None
                doors.append(over.enter_context(Cutting(*where, with_=first, apart=commands_in)))
            yield _Way(self.cache, tuple(doors))

    def open(self, minted: Minted, shape: str = "") -> Session:
        """A connection to its node, and what makes its shape."""
        node = self.cache.nodes[ord(name_in(minted)[-1]) % _NODES]
        opens, protocol = _OPENS[shape or self.shapes[0]]
        try:
            line = self.cache.login(minted, node, protocol=protocol)
        except SaidNoError as error:
            if str(error).startswith("WRONGPASS"):
                raise ShutError from None
            raise
        try:
            return _Open(line, opens(line, node))
        except LostError:  # its end came between
            line.close()
            raise

    def there(self) -> frozenset[str]:
        """Users of our prefix."""
        return frozenset(self.cache.users())

    def shows(self, name: str) -> object:
        """The user on each node, and in each file."""
        return self.cache.shows(name)

    def open_of(self, name: str) -> int:
        """Sessions of the user."""
        return self.cache.sessions(name)

    @contextmanager
    def foreign(self, count: int) -> Iterator[Foreign]:
        """Users of others, of which one is logged in."""
        more = (f"tb_abcdefgx_{number:035d}" for number in range(count - len(_MUCH_LIKE)))
        names = [*_MUCH_LIKE, *more]
        for node in self.cache.nodes:
            node.asked(*(("ACL", "SETUSER", one, "on", ">theirs", "+get", "~*") for one in names))
        node = self.cache.nodes[0]
        line = node.line(names[0], "theirs")
        try:
            yield Foreign(
                names=frozenset(names),
                state=partial(self._state, names),
                session=_Open(line, _plain(line, node)),
            )
        finally:
            line.close()
            for node in self.cache.nodes:
                node.ask("ACL", "DELUSER", *names)
                node.ask("ACL", "SAVE")

    def log(self) -> str:
        """What both nodes tell."""
        return "\n".join(one.tells() for one in self.cache.nodes)

    def _state(self, names: list[str]) -> list[list[object]]:
        return [one.asked(*(("ACL", "GETUSER", name) for name in names)) for one in self.cache.nodes]


@contextmanager
def benched(sort: Sort = "redis") -> Iterator[RedisBench]:
    """Such a bench, for the length of the context."""
    with caching(_NODES, sort) as cache:
        for one in cache.nodes:
            one.ask("SET", "orders:red:1", "an order")
        yield RedisBench(cache)
