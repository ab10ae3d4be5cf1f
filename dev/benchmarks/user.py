"""Minting and ending a user of Redis: bare statements, `redis-py`'s, and ours, by turns in one run.

*Bare* is what our own client takes for the same statements as the same admin: `ACL SETUSER` with the same
words and `ACL SAVE`; `CLIENT KILL USER` with `ACL DELUSER`, and `ACL SAVE`. *Kept* is on a connection that is
open before, *fresh* on one that is opened for it, with its login. *redis-py* is `ACL SETUSER` or `ACL
DELUSER`, and `ACL SAVE`, on a connection that it keeps. *Ours* is what the broker calls: a kept connection
that is looked at; for a mint whether the name is free, whether `default` is shut, which servers there are,
a password of 256 bits, and whether the server made what was ordered; for an end that it shows no user and
no session. *Two nodes* is the same on two servers. The servers have ACL files, in memory. Each user is
minted and ended once; servers and clients share the machine.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import redis

from dev.benchmarks.page import Aim, Section, Table
from dev.benchmarks.sampling import by_turns, micro
from taskbound.adapters.targets.redis import RedisTarget
from taskbound.adapters.targets.redis.link import Link, connect
from taskbound.adapters.targets.redis.user import digest_of, end_of, rules_of
from taskbound.core.clock import Instant
from taskbound.core.target import RedisAccess, RedisKind, RedisNode, RedisPlace
from taskbound.ports.target import MintOrder
from tests.peers.minter import PATIENCE, fresh_name
from tests.peers.redis import ADMIN_PASSWORD, ADMIN_USER, Node, running

if TYPE_CHECKING:
    from collections.abc import Callable

    from dev.benchmarks.sampling import Timed


_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_MOST: Final = 2.0
"""Times bare: the aim."""
_ENDS: Final = Instant(4_102_444_800_000_000)
_KIND: Final = RedisKind(
    commands=("get", "mget", "hgetall"), reads=("orders:{tenant}:*",), parameters=("tenant",)
)
_VALUES: Final = {"tenant": "red"}


def measure_user(*, quick: bool) -> Section:
    """The section."""
    turns, pieces = (3, 10) if quick else (11, 40)
    with running(2, watched=False) as nodes, ExitStack() as over:
        timed = by_turns(_works(nodes, over), turns=turns, pieces=pieces)
    rows = tuple(
        (name, *map(micro, (one.median, one.p99, one.cpu)), f"{one.median / timed[_bare(name)].median:.2f}")
        for name, one in timed.items()
    )
    return Section(
        name="user",
        title="Minting and ending a user of Redis",
        method=_METHOD,
        tables=(Table(head=("work", "p50 µs", "p99 µs", "CPU µs", "times bare"), rows=rows),),
        aims=tuple(_aims(timed)),
        numbers={name: one.median for name, one in timed.items()},
    )


def _works(nodes: list[Node], over: ExitStack) -> dict[str, Callable[[], object]]:
    node = RedisNode(text=nodes[0].address)
    kept, one, both = _connect(node), _target(nodes[0]), _target(*nodes)
    over.callback(kept.close)
    theirs = over.enter_context(
        redis.Redis(unix_socket_path=node.host, username=ADMIN_USER, password=ADMIN_PASSWORD)
    )
    names: dict[str, deque[str]] = {name: deque() for name in ("kept", "fresh", "theirs", "ours", "both")}

    def fresh(do: Callable[[Link], object]) -> None:
        link = _connect(node)
        do(link)
        link.close()

    def mint(target: RedisTarget, to: str) -> None:
        order = MintOrder(name=fresh_name(), ends=_ENDS, context=_VALUES)
        target.mint(order, _KIND, patience=PATIENCE)
        names[to].append(order.name)

    def mint_theirs() -> None:
        name = fresh_name()
        theirs.execute_command("ACL SETUSER", name, *_rules())
        theirs.execute_command("ACL SAVE")
        names["theirs"].append(name)

    def end_theirs() -> None:
        theirs.execute_command("ACL DELUSER", names["theirs"].popleft())
        theirs.execute_command("ACL SAVE")

    return {
        "mint, bare, kept": lambda: names["kept"].append(_mint(kept)),
        "mint, bare, fresh": lambda: fresh(lambda link: names["fresh"].append(_mint(link))),
        "mint, redis-py": mint_theirs,
        "mint, ours": lambda: mint(one, "ours"),
        "mint, ours, two nodes": lambda: mint(both, "both"),
        "end, bare, kept": lambda: _end(kept, names["kept"].popleft()),
        "end, bare, fresh": lambda: fresh(lambda link: _end(link, names["fresh"].popleft())),
        "end, redis-py": end_theirs,
        "end, ours": lambda: one.revoke(names["ours"].popleft(), ends=_ENDS, patience=PATIENCE),
        "end, ours, two nodes": lambda: both.revoke(names["both"].popleft(), ends=_ENDS, patience=PATIENCE),
    }


def _target(*nodes: Node) -> RedisTarget:
    place = RedisPlace(nodes=tuple(one.address for one in nodes), tls=False)
    return RedisTarget(place, RedisAccess(user=ADMIN_USER, password=ADMIN_PASSWORD))


def _connect(node: RedisNode) -> Link:
    return connect(node, None, ADMIN_USER, ADMIN_PASSWORD, deadline=time.monotonic() + 3_600)[0]


def _rules() -> tuple[str, ...]:
    return rules_of(_KIND, _VALUES, digest_of("p" * 43))


def _mint(link: Link) -> str:
    name = fresh_name()
    link.ask("ACL", "SETUSER", name, *_rules())
    link.ask("ACL", "SAVE")
    return name


def _end(link: Link, name: str) -> None:
    link.raw(*end_of(name))
    link.ask("ACL", "SAVE")


def _bare(name: str) -> str:
    return f"{name.partition(',')[0]}, bare, kept"


def _aims(timed: dict[str, Timed]) -> list[Aim]:
    found = []
    for what, reason in (
        ("mint", "more is looked at: the name, `default`, other servers, and what was made"),
        ("end", "it is looked for afterwards: the user, and every session"),
    ):
        ours, bare = timed[f"{what}, ours"].median, timed[f"{what}, bare, kept"].median
        fresh = timed[f"{what}, bare, fresh"].median
        found.append(
            Aim(
                words=f"{what} in at most twice the bare statements",
                measured=f"{ours / bare:.2f} of a kept connection, {ours / fresh:.2f} of a fresh one",
                reached=ours / bare <= _MOST,
                reason=reason,
            )
        )
    return found
