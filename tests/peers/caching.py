"""A Redis or Valkey as a target: its broker's side, and what is done with a user that was minted."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from taskbound.adapters.targets.redis import RedisTarget
from taskbound.core.clock import Instant, seconds
from taskbound.core.target import RedisAccess, RedisKind, RedisPlace
from taskbound.ports.target import MintOrder
from tests.peers.minter import PATIENCE, PREFIX, fresh_name
from tests.peers.redis import ADMIN_PASSWORD, ADMIN_USER, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.ports.target import Minted
    from tests.peers.redis import Node, Reached, Sort
    from tests.peers.resp import Line


ADMIN = RedisAccess(user=ADMIN_USER, password=ADMIN_PASSWORD)
KIND = RedisKind(
    commands=(
        "blpop",
        "client|id",
        "client|reply",
        "client|setname",
        "client|tracking",
        "discard",
        "exec",
        "get",
        "multi",
        "ping",
        "publish",
        "rpush",
        "set",
        "subscribe",
        "unwatch",
        "watch",
    ),
    reads=("*",),
    writes=("*",),
    channels=("news:{tenant}",),
    parameters=("tenant",),
)
"""Every key, and a tenant's channel: so all that can be open can be opened."""


@dataclass
class Cache:
    """Its nodes, and their admin."""

    nodes: list[Node]
    ends: Instant = field(default_factory=lambda: Instant(seconds(int(time.time()) + 86_400)))
    """A day from when it was made."""
    told: set[str] = field(default_factory=lambda: {ADMIN_PASSWORD})
    """Secrets that were handed out, or that the broker has."""

    def place(self, *addresses: str) -> RedisPlace:
        """Where it is; by way of other addresses where some are named."""
        roots = next((one.roots for one in self.nodes if one.roots is not None), None)
        return RedisPlace(
            nodes=addresses or tuple(one.address for one in self.nodes),
            tls=roots is not None,
            roots=str(roots or ""),
        )

    def target(self, *addresses: str, admin: RedisAccess = ADMIN) -> RedisTarget:
        """As the admin sees it."""
        return RedisTarget(self.place(*addresses), admin)

    def mint(self, kind: RedisKind = KIND, target: RedisTarget | None = None, **context: str) -> Minted:
        """A user."""
        order = MintOrder(name=fresh_name(), ends=self.ends, context=context or {"tenant": "red"})
        minted = (target or self.target()).mint(order, kind, patience=PATIENCE)
        self.told |= set(minted.secret.values())
        return minted

    def login(self, minted: Minted, node: Node | None = None, *, protocol: int = 2) -> Line:
        """A connection of whoever was handed this; to the first node where none is named."""
        user, password = name_in(minted), minted.secret["REDISCLI_AUTH"]
        return (node or self.nodes[0]).line(user, password, protocol=protocol)

    def users(self, prefix: str = PREFIX) -> set[str]:
        """Names of ours that any node shows."""
        return set().union(*(one.users(prefix) for one in self.nodes))

    def sessions(self, name: str) -> int:
        """How many sessions all nodes show of this user."""
        return sum(one.sessions(name) for one in self.nodes)

    def shows(self, name: str) -> object:
        """All that nodes and their files show under a name, to be compared; None for nothing."""
        found = [(one.user(name), one.kept(name)) for one in self.nodes]
        return found if any(any(one) for one in found) else None


def name_in(minted: Minted) -> str:
    """The name of what was minted."""
    return minted.open["REDIS_USERNAME"]


@contextmanager
def caching(
    count: int = 1, sort: Sort = "redis", reached: Reached = "socket", *, aclfile: bool = True
) -> Iterator[Cache]:
    """So many nodes that know nothing of each other, for the length of the context."""
    with running(count, sort, reached, aclfile=aclfile) as nodes:
        yield Cache(nodes)
