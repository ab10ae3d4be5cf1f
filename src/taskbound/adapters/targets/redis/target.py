"""A Redis or Valkey as `ports.target.Target`: each credential is a user of its own, on every node.

1. A mint connects to all nodes before it sends anything. It asks all of them whether the name is free, and
   which servers there are (`knowing`), before it makes anything. What a node made where another failed is
   left to the revocation that follows, by name.
2. An end is each node's own: all that can be reached have it at once, and it is one when all have shown it.
3. Nothing there ends by itself (I-03): who revokes and who sweeps are all that ends it. A renewal changes
   nothing there, and is one where the user is on every node.
4. A server that was started anew may have read users that were taken away: `starts` tells it from before.
5. Whoever asks for that, which is often, sees to it that an end can be told by a connection of its own.
"""

from __future__ import annotations

import secrets
import time
from contextlib import closing
from typing import TYPE_CHECKING

from taskbound.adapters.targets.alone import UnderWay
from taskbound.adapters.targets.redis.discovering import look_through, told_of
from taskbound.adapters.targets.redis.knowing import ask_before, know, look_before, require_declared, run_of
from taskbound.adapters.targets.redis.nodes import Nodes, at_all
from taskbound.adapters.targets.redis.user import (
    digest_of,
    end_of,
    has_user,
    make_user,
    names_of,
    rules_of,
    see_gone,
    sessions_of,
    whole_end_of,
)
from taskbound.adapters.targets.tls import require_tls
from taskbound.core.credential import SECRET_BYTES, spell_secret
from taskbound.ports.target import (
    Gone,
    Minted,
    NameTakenError,
    Shown,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from taskbound.core.clock import Instant
    from taskbound.core.target import RedisAccess, RedisKind, RedisPlace
    from taskbound.ports.target import Discovery, MintOrder


class RedisTarget:
    """The nodes of one Redis with its admin access (`ports.target.Target`)."""

    def __init__(self, place: RedisPlace, access: RedisAccess) -> None:
        """Speak to the nodes of this place as this admin.

        Raises:
            BadTargetError: The authorities can't be read.
        """
        self._place = place
        self._tls = require_tls(place, "the Redis'")
        self._user = access.user
        self._nodes = Nodes(place, self._tls, access.user, access.password)
        self._under_way = UnderWay()

    def mint(self, order: MintOrder, kind: RedisKind, *, patience: float) -> Minted:
        """A user on every node (rule 1)."""
        name = order.name
        with self._under_way.alone(name), self._nodes.linked(patience) as links:
            for link in links:
                ask_before(link, name)
            password = spell_secret(secrets.token_bytes(SECRET_BYTES))  # while they are at it
            rules = rules_of(kind, order.context, digest_of(password))
            looked = at_all(links, lambda link: look_before(link, name))
            if any(one.taken for one in looked):
                raise NameTakenError("a node has a user of that name")
            require_declared([know(one) for one in looked])
            at_all(links, lambda link: make_user(link, name, rules))
        return Minted(open=self._way() | {"REDIS_USERNAME": name}, secret={"REDISCLI_AUTH": password})

    def renew(self, name: str, ends: Instant, *, patience: float) -> None:  # noqa: ARG002 - the row has the end
        """See that it is there (rule 3)."""
        with self._nodes.linked(patience) as links:
            if not all(at_all(links, lambda link: has_user(link, name))):
                raise TargetRefusedError(
                    "not every node has its user any more",
                    remedy="ask for another credential; a node without an ACL file forgets users when it is"
                    " started anew",
                )

    def use(self, minted: Minted, *, patience: float) -> None:
        """Log in with it on every node, and do nothing: its kind may allow nothing that is harmless."""
        user, password = minted.open["REDIS_USERNAME"], minted.secret["REDISCLI_AUTH"]
        try:
            with closing(Nodes(self._place, self._tls, user, password)) as nodes, nodes.linked(patience):
                pass
        except TargetUnreachedError as error:
            raise TargetUnavailableError(error.message) from None  # the mint before was sent

    def revoke(self, name: str, *, ends: Instant, patience: float) -> Gone:  # noqa: ARG002 - of no use here
        """Take it away wherever a node can be reached (rule 2)."""
        found = self._nodes.each(
            end_of(name),
            lambda link, answers: see_gone(link, name, answers),
            patience,
            unheard=whole_end_of(name),
        )
        return Gone(cut=sum(found))

    def look(self, name: str, *, patience: float) -> Shown:
        """Whether any node has it, and what is open of it on all of them."""
        with self._nodes.linked(patience) as links:
            found = at_all(links, lambda link: (has_user(link, name), len(sessions_of(link, name))))
        return Shown(exists=any(there for there, _ in found), open=sum(count for _, count in found))

    def sweep(self, prefix: str, *, patience: float) -> Iterator[str]:
        """Users of every node whose names begin so."""
        with self._nodes.linked(patience) as links:
            found = frozenset[str]().union(*at_all(links, names_of))
        yield from (one for one in found if one.startswith(prefix))

    def discover(self, marks: Collection[str], *, most: int, patience: float) -> Discovery:
        """Users of every node that are not minted here (`ports.target.Discovers`)."""
        with self._nodes.linked(patience) as links:
            return told_of(at_all(links, lambda link: look_through(link, marks, self._user)), most=most)

    def starts(self, *, patience: float) -> tuple[str, ...]:
        """Of each node what tells this start of it from each other one (rule 4)."""
        deadline = time.monotonic() + patience
        with self._nodes.linked(patience) as links:
            found = tuple(at_all(links, run_of))
        self._nodes.spare(deadline - time.monotonic())  # 5
        return found

    def _way(self) -> dict[str, str]:
        """How programs come to the nodes: as the broker does, so that they prove themselves to them too."""
        at, place = self._place.at, self._place
        way = {"REDIS_NODES": ",".join(one.text for one in at)}
        if len(at) == 1 and at[0].is_socket:
            way["REDIS_SOCKET"] = at[0].host
        elif len(at) == 1:
            way |= {"REDIS_HOST": at[0].host, "REDIS_PORT": str(at[0].port)}
        if place.tls:
            way["REDIS_TLS"] = "true"
        return way | ({"REDIS_CACERT": place.roots} if place.roots else {})
