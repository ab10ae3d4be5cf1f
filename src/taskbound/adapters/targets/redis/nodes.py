"""All nodes of a Redis target in one call, and detection of undeclared nodes.

Of `nodes`:

1. A hanging node costs the call's patience at most; meanwhile the others have done their part.
2. Before anything is created, all nodes are connected before any is sent anything.
3. At most `KEPT` connections per node are kept: a new one costs a login, and an attacker who exhausts the
   server's connections does not lock us out. A shut connection, one with unexpected bytes, and one that a
   late thread uses are dropped. All end with their target.
4. One more connection per node is reserved for ends, sent without hearing answers. An attacker who keeps
   a server busy past the calls' patience makes us drop the others and may take all its connections; an end
   that gets no connection goes by this one, and frees them.
5. Errors of nodes combine: unreached only if no node was sent anything; a refusal precedes what may pass.

Of `knowing`:

1. In a cluster a server is identified by its id; otherwise by an address that another node reports: its
   declared host or our peer address, with the declared or the reported port.
2. A reported loopback address belongs to the reporting node's machine only.
3. Two declared nodes that are one server are refused: behind a shared address it is unknown which answers.
4. A `default` user without a password is refused: it would let revoked users in.
"""

from __future__ import annotations

import re
import threading
import time
import weakref
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.adapters.targets.redis.link import GUIDE, connect
from taskbound.adapters.targets.redis.user import flags_of, shown_by
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.tool.name import shown
from taskbound.ports.target import TargetRefusedError, TargetUnavailableError, TargetUnreachedError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from taskbound.adapters.targets.redis.link import Link
    from taskbound.adapters.targets.redis.protocol import Answer
    from taskbound.core.target import RedisNode, RedisPlace


T = TypeVar("T")
U = TypeVar("U")
KEPT: Final = 2
"""Connections that are kept for each node (rule 3)."""
_TOLD: Final = 0.25
"""Seconds that an end may take to be sent by the one that is kept for it (rule 4)."""
_LATER: Final = 0.25
"""Seconds that a thread may be late with saying that its time is over."""


class Nodes:
    """The nodes of a place, for one user."""

    def __init__(self, place: RedisPlace, tls: ssl.SSLContext | None, user: str, password: str) -> None:
        self._place = place
        self._tls = tls
        self._user, self._password = user, password
        self._kept: dict[RedisNode, list[Link]] = {one: [] for one in place.at}
        self._spare: dict[RedisNode, list[Link]] = {one: [] for one in place.at}
        """Of each node the one that is kept for ends, or none (rule 4)."""
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._kept, self._spare)

    @contextmanager
    def linked(self, patience: float) -> Iterator[tuple[Link, ...]]:
        """Yields a connection to each node (rule 2); raises TargetUnreachedError if one fails."""
        deadline = time.monotonic() + patience
        found = [self._next(one, deadline) for one in self._place.at]
        with ExitStack() as open_:  # what a thread that is late connects to is closed with it
            links = [one for one in found if one is not None]
            for one in links:
                open_.callback(self._keep, one)
            if len(links) < len(found):
                some = [at for at, one in zip(self._place.at, found, strict=True) if one is None]
                more = _together(some, partial(self._connect, deadline=deadline), deadline)
                for new in more:
                    if not isinstance(new, TaskboundError):
                        open_.callback(self._keep, new)
                new_ones = iter(_all_linked(more))
                links = [one or next(new_ones) for one in found]
            yield tuple(links)

    def each(
        self,
        first: Sequence[Sequence[str]],
        do: Callable[[Link, list[Answer]], T],
        patience: float,
        *,
        unheard: Sequence[Sequence[str]],
    ) -> list[T]:
        """Runs `do` at each reachable node; `unheard` goes to nodes whose login fails (rule 4)."""
        deadline = time.monotonic() + patience

        def run(node: RedisNode) -> T:
            link = self._next(node, deadline)
            if link is not None:
                with self._keeping(link):
                    return do(link, link.raw(*first))
            try:
                link, answers = self._connected(node, deadline, first)
            except TargetUnavailableError as error:
                if not self._told(node, unheard):
                    raise
                raise TargetUnavailableError(error.message, remedy=error.advice) from None
            with self._keeping(link):
                return do(link, answers)

        return _whole(_together(self._place.at, run, deadline))

    def close(self) -> None:
        with self._lock:
            _close(self._kept, self._spare)

    def _connect(self, node: RedisNode, *, deadline: float) -> Link:
        return self._connected(node, deadline, ())[0]

    def _connected(
        self, node: RedisNode, deadline: float, first: Sequence[Sequence[str]]
    ) -> tuple[Link, list[Answer]]:
        return connect(node, self._tls, self._user, self._password, deadline=deadline, first=first)

    @contextmanager
    def _keeping(self, link: Link) -> Iterator[None]:
        try:
            yield
        finally:
            self._keep(link)

    def _next(self, node: RedisNode, deadline: float) -> Link | None:
        while True:
            with self._lock:
                link = self._kept[node].pop() if self._kept[node] else None
            if link is None or link.again(deadline):
                return link
            link.close()

    def _keep(self, link: Link) -> None:
        with self._lock:
            kept = self._kept[link.node]
            if len(kept) < KEPT and link.is_kept:
                kept.append(link)
                return
        link.close()

    def spare(self, patience: float) -> None:
        """Establishes each node's connection for ends (rule 4), where possible."""
        deadline = time.monotonic() + patience
        with self._lock:
            lacking = [one for one, some in self._spare.items() if not (some and some[0].lives)]
        for new in _together(lacking, partial(self._connect, deadline=deadline), deadline):
            if isinstance(new, TaskboundError):
                continue  # the next caller tries again: the answers of this one are in
            with self._lock:
                some = self._spare[new.node]
                while some:
                    some.pop().close()
                some.append(new)

    def _told(self, node: RedisNode, commands: Sequence[Sequence[str]]) -> bool:
        with self._lock:
            spare = self._spare[node]
            if not spare:
                return False
            try:
                spare[0].tell(commands, time.monotonic() + _TOLD)
            except TaskboundError:
                spare.pop().close()
                return False
        return True


def _close(*kept: dict[RedisNode, list[Link]]) -> None:
    for some in (links for each in kept for links in each.values()):
        while some:
            some.pop().close()


def _all_linked(found: Sequence[Link | TaskboundError]) -> list[Link]:
    trouble = next((one for one in found if isinstance(one, TaskboundError)), None)
    if trouble is None:
        return _whole(found)
    if isinstance(trouble, TargetUnreachedError):
        raise trouble
    raise TargetUnreachedError(trouble.message) from None


def at_all(links: Sequence[Link], do: Callable[[Link], T]) -> list[T]:
    """Runs `do` at all links concurrently, results in order; raises as `Nodes.each`, never unreached."""
    if len(links) == 1:
        return _sent(_together(links, do, 0.0))
    deadline = time.monotonic() + min(one.left for one in links)
    busy = set(links)

    def run(link: Link) -> T:
        try:
            return do(link)
        finally:
            busy.discard(link)

    found = _together(links, run, deadline)
    for one in tuple(busy):
        one.spoil()  # 3
    return _sent(found)


def _sent(found: Sequence[T | TaskboundError]) -> list[T]:
    try:
        return _whole(found)
    except TargetUnreachedError as error:
        raise TargetUnavailableError(error.message) from None


def _together(each: Sequence[U], do: Callable[[U], T], deadline: float) -> list[T | TaskboundError]:
    if len(each) == 1:
        return [_done(do, each[0])]
    found: list[T | TaskboundError] = [
        TargetUnavailableError("a node took longer than the call may take") for _ in each
    ]

    def run(number: int, one: U) -> None:
        found[number] = _done(do, one)

    threads = [threading.Thread(target=run, args=one, daemon=True) for one in enumerate(each)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(max(0.0, deadline + _LATER - time.monotonic()))
    return list(found)


def _done(do: Callable[[U], T], one: U) -> T | TaskboundError:
    try:
        return do(one)
    except TaskboundError as error:
        return error


def _whole(found: Sequence[T | TaskboundError]) -> list[T]:
    done = [one for one in found if not isinstance(one, TaskboundError)]
    if len(done) == len(found):
        return done
    errors = [one for one in found if isinstance(one, TaskboundError)]
    refused = [one for one in errors if isinstance(one, TargetRefusedError)]
    lost = [one for one in errors if not isinstance(one, TargetRefusedError | TargetUnreachedError)]
    if refused:
        raise refused[0]
    if lost:
        raise lost[0]
    if len(errors) < len(found):  # others were sent something
        raise TargetUnavailableError(errors[0].message) from None
    raise errors[0]


_SHOWN: Final = 80
_MOST: Final = 10_000
"""Servers that one can know of: more are no cluster's."""
_WORDS: Final = 3
"""Of a line that shows a server, at least."""
_SECTIONS: Final = ("INFO", "server", "replication", "cluster")
_NAMED: Final = ("run_id", "tcp_port", "cluster_enabled", "master_host", "master_port")
_REPLICA: Final = re.compile(r"\n(slave[0-9]+):")
"""What is asked after of what a node says of itself: a line for each."""
_MEMBERS: Final = ("CLUSTER", "NODES")
_LOOKS: Final = 3
"""How many there are before a mint, where it is not known to be of a cluster."""
_DEFAULT: Final = shown_by("default")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSurvey:
    """One node's answers to the look before a mint, not yet judged."""

    link: Link
    taken: bool
    """Whether it has a user of the name."""
    default: frozenset[str]
    """The flags of `default`."""
    said: Mapping[str, str]
    """What it says of itself by name."""
    members: Answer = None
    """What it shows of its cluster, where it is of one."""

    @property
    def clusters(self) -> bool:
        """Returns whether the node is in cluster mode."""
        return self.said.get("cluster_enabled") == "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTopology:
    """One node's statements about itself and others."""

    node: RedisNode
    run: str
    """Another one at each start."""
    own: frozenset[tuple[str, str]]
    """The addresses, host and port, that it may be known by."""
    others: frozenset[tuple[str, str]]
    """Its replicas and its primary, by address."""
    id: str
    """Its id in its cluster; empty outside of one."""
    members: Mapping[str, tuple[str, str]]
    """Address by id, of all of its cluster."""


def run_of(link: Link) -> str:
    """Returns the server's run id; raises as `Link.ask`."""
    return _said(link.ask(*_SECTIONS)).get("run_id", "")


def ask_before(link: Link, name: str) -> None:
    """Sends the questions before a mint in one message; `look_before` must follow. Raises as `Link.raw`."""
    link.say(*_asked(link, name))


def look_before(link: Link, name: str) -> NodeSurvey:
    """Reads the answers to `ask_before`; asks once more if the node turns out to be in a cluster."""
    asked = _asked(link, name)
    answers = link.hear(*asked, steady=_DEFAULT)
    user, default, said = map(link.granted, asked[:_LOOKS], answers)
    looked = NodeSurvey(link=link, taken=user is not None, default=flags_of(link, default), said=_said(said))
    link.clusters = looked.clusters
    if not looked.clusters:
        return looked
    if len(answers) == _LOOKS:
        return replace(looked, members=link.ask(*_MEMBERS))
    return replace(looked, members=link.granted(_MEMBERS, answers[-1]))


def _asked(link: Link, name: str) -> tuple[Sequence[str], ...]:
    looks = (shown_by(name), _DEFAULT, _SECTIONS)
    return (*looks, _MEMBERS) if link.clusters else looks


def know(looked: NodeSurvey) -> NodeTopology:
    """Parses a node's answers; raises TargetRefusedError for an open `default` user (rule 4)."""
    link, said = looked.link, looked.said
    if {"on", "nopass"} <= looked.default:
        raise TargetRefusedError(
            f"{link.name} lets everybody in as `default`, without a password, whatever ends here",
            remedy=f"`ACL SETUSER default off` on each node, and `ACL SAVE`; {GUIDE}",
        )
    run = said.get("run_id", "")
    if not run:
        raise TargetUnavailableError(f"{link.name} does not say which server it is")
    ports = {str(link.node.port), said.get("tcp_port", "")} - {"", "0"}
    others = {(said["master_host"], said.get("master_port", ""))} if said.get("master_host") else set()
    others |= {_replica(value) for name, value in said.items() if name.startswith("slave") and "ip=" in value}
    own = ""
    members: Mapping[str, tuple[str, str]] = {}
    if looked.clusters:
        own, members = _members(_text(looked.members))
        if own not in members:
            raise TargetUnavailableError(f"{link.name} does not say who is in its cluster")
    return NodeTopology(
        node=link.node,
        run=run,
        own=frozenset((host, port) for host in link.addresses for port in ports),
        others=frozenset((host.lower(), port) for host, port in others),
        id=own,
        members=members,
    )


def require_declared(known: Sequence[NodeTopology]) -> None:
    """Raises TargetRefusedError if a known server is undeclared, or two nodes are one (rules 1 to 3)."""
    by_run: dict[str, NodeTopology] = {}
    for one in known:
        before = by_run.setdefault(one.run, one)
        if before is not one:
            raise TargetRefusedError(
                f"`{shown(before.node.text)}` and `{shown(one.node.text)}` are one server",
                remedy="name each server once, by an address that is its own alone",
            )  # 3
    ids = {one.id for one in known if one.id}
    for one in known:
        for other in sorted(one.members.keys() - ids):
            raise _undeclared(one, *one.members[other])
    addresses = frozenset().union(*(one.own for one in known), *(one.members.values() for one in known))
    near = frozenset(port for one in known if one.node.is_near for _, port in one.own)
    for one in known:
        for host, port in sorted(one.others):
            if _is_loopback(host):
                if one.node.is_near and port in near:
                    continue
            elif (host, port) in addresses:
                continue
            raise _undeclared(one, host, port)


def _undeclared(one: NodeTopology, host: str, port: str) -> TargetRefusedError:
    where = shown(f"{host}:{port}"[:_SHOWN])
    return TargetRefusedError(
        f"`{shown(one.node.text)}` knows of `{where}`, which the target's file does not name: what is"
        " minted or ended would not be so there",
        remedy="name it in `nodes` (or have it announce the address that is named,"
        f" `replica-announce-ip`); take away what is no more of it, as `CLUSTER FORGET` does; {GUIDE}",
    )


def _said(answer: Answer) -> Mapping[str, str]:
    text = f"\n{_text(answer)}\n"
    names = [*_NAMED, *(_REPLICA.findall(text) if "\nslave" in text else ())]
    found = ((name, text.partition(f"\n{name}:")[2].partition("\n")[0]) for name in names)
    return {name: value.strip() for name, value in found if value}


def _replica(value: str) -> tuple[str, str]:
    said = dict(one.partition("=")[::2] for one in value.split(","))
    return said.get("ip", ""), said.get("port", "")


def _members(text: str) -> tuple[str, dict[str, tuple[str, str]]]:
    own = ""
    found: dict[str, tuple[str, str]] = {}
    for line in text.splitlines()[:_MOST]:
        words = line.split(" ")
        if len(words) < _WORDS:
            continue
        host, _, port = words[1].partition(",")[0].partition("@")[0].rpartition(":")
        found[words[0]] = (host.lower(), port)
        own = words[0] if "myself" in words[2].split(",") else own
    return own, found


def _text(answer: Answer) -> str:
    if not isinstance(answer, bytes):
        raise TargetUnavailableError("a node says nothing of itself")
    return answer.decode("utf-8", "replace")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
