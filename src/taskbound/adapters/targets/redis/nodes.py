"""All nodes of a Redis target in one call, and whether it knows of others.

Of `nodes`:

1. A node that hangs has the call's patience and no more: what is asked of the others was done meanwhile.
2. Where anything is to be made, all of them are connected to before anything is sent to any.
3. A connection is kept for the calls that come, `KEPT` of them at most for each node: a new one costs a
   login, and where a server has as many as it takes, whoever holds them there does not keep out who is in.
   One that was shut, that says what nobody asked, or by which a thread is late, is of no use. They go with
   the target that they are kept for.
4. One more to each node is kept for ends alone, by which nothing is heard. Whoever keeps a server busy for
   longer than calls may take has the others given up, and may hold all connections that it takes from then
   on: so an end that nobody is let in with is told by this one, and frees them.
5. What one of them met is what the call met: that the target could not be reached only where no node was sent
   anything, and a refusal before what may pass by itself.

Of `knowing`:

1. In a cluster a server is known by its id; elsewhere by an address that another one says: its host as it was
   declared, or the address that we connected to, with the port that was declared, or that it says it has.
2. What is said to be on the loopback is on the machine of who says it, and is looked for there alone.
3. Two nodes that are one server are refused: where one address stands before several servers, nobody knows
   which of them was asked.
4. Whoever is let in without a password is let in after each end: a `default` that is so is refused.
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
        """Connect to these as this user."""
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
        """A connection to each of them (rule 2).

        Raises:
            TargetUnreachedError: Not all of them can be reached; nothing was sent.
        """
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
        """What is done at each node that can be reached, whatever comes of the others (rule 1).

        Args:
            first: Is sent before anything is waited for, with the login where there is one.
            do: What is done then, with what was answered to that.
            patience: Seconds for all of it.
            unheard: Is sent where nobody is let in, by the connection that is kept for that (rule 4).

        Raises:
            TargetUnreachedError: None of them was sent anything.
            TargetRefusedError: One of them refuses the admin something.
            TargetUnavailableError: One of them can't be reached, or didn't do it.
        """
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
        """Leave all of them."""
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
        """A connection that was kept, and is of use (rule 3)."""
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
        """Have of each node the connection that is kept for ends (rule 4), where that can be had."""
        deadline = time.monotonic() + patience
        with self._lock:
            lacking = [one for one, some in self._spare.items() if not (some and some[0].lives)]
        for new in _together(lacking, partial(self._connect, deadline=deadline), deadline):
            if isinstance(new, TaskboundError):
                continue  # whoever asks next tries again: what was asked before was answered
            with self._lock:
                some = self._spare[new.node]
                while some:
                    some.pop().close()
                some.append(new)

    def _told(self, node: RedisNode, commands: Sequence[Sequence[str]]) -> bool:
        """Whether these were sent by the connection that is kept for that (rule 4)."""
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
    """All of them; raises that nothing was sent."""
    trouble = next((one for one in found if isinstance(one, TaskboundError)), None)
    if trouble is None:
        return _whole(found)
    if isinstance(trouble, TargetUnreachedError):
        raise trouble
    raise TargetUnreachedError(trouble.message) from None


def at_all(links: Sequence[Link], do: Callable[[Link], T]) -> list[T]:
    """What is done at each of these, at once, in their order.

    Raises:
        TargetRefusedError: As `Nodes.each`.
        TargetUnavailableError: As `Nodes.each`, and never that nothing was sent.
    """
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
    """What all of them answered; raises as `at_all`."""
    try:
        return _whole(found)
    except TargetUnreachedError as error:
        raise TargetUnavailableError(error.message) from None


def _together(each: Sequence[U], do: Callable[[U], T], deadline: float) -> list[T | TaskboundError]:
    """What is done with each, or what it raised; what isn't over at the deadline is too late (rule 1)."""
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
    """What all of them answered; raises the first error of the worst kind (rule 5)."""
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
class Looked:
    """What one node answered to the look before a mint; nothing of it is judged yet."""

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
        """Whether it is of a cluster."""
        return self.said.get("cluster_enabled") == "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What one node says of itself and of others."""

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
    """What tells this start of the server from each other one; raises as `Link.ask`."""
    return _said(link.ask(*_SECTIONS)).get("run_id", "")


def ask_before(link: Link, name: str) -> None:
    """Ask by one message what is to be known of a node before a mint; `look_before` is next.

    Raises:
        TargetUnavailableError: As `Link.raw`.
    """
    link.say(*_asked(link, name))


def look_before(link: Link, name: str) -> Looked:
    """What a node answers to that; in a cluster, where it was not known to be one, it is asked once more.

    Raises:
        TargetRefusedError: The admin lacks a right.
        TargetUnavailableError: It doesn't say it.
    """
    asked = _asked(link, name)
    answers = link.hear(*asked, steady=_DEFAULT)
    user, default, said = map(link.granted, asked[:_LOOKS], answers)
    looked = Looked(link=link, taken=user is not None, default=flags_of(link, default), said=_said(said))
    link.clusters = looked.clusters
    if not looked.clusters:
        return looked
    if len(answers) == _LOOKS:
        return replace(looked, members=link.ask(*_MEMBERS))
    return replace(looked, members=link.granted(_MEMBERS, answers[-1]))


def _asked(link: Link, name: str) -> tuple[Sequence[str], ...]:
    looks = (shown_by(name), _DEFAULT, _SECTIONS)
    return (*looks, _MEMBERS) if link.clusters else looks


def know(looked: Looked) -> Known:
    """What a node says.

    Raises:
        TargetRefusedError: It lets everybody in (rule 4).
        TargetUnavailableError: It doesn't say it.
    """
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
    return Known(
        node=link.node,
        run=run,
        own=frozenset((host, port) for host in link.addresses for port in ports),
        others=frozenset((host.lower(), port) for host, port in others),
        id=own,
        members=members,
    )


def require_declared(known: Sequence[Known]) -> None:
    """Go on where these nodes are all that they know of (rules 1 to 3).

    Raises:
        TargetRefusedError: One is not declared, or two are one.
    """
    by_run: dict[str, Known] = {}
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


def _undeclared(one: Known, host: str, port: str) -> TargetRefusedError:
    where = shown(f"{host}:{port}"[:_SHOWN])
    return TargetRefusedError(
        f"`{shown(one.node.text)}` knows of `{where}`, which the target's file does not name: what is"
        " minted or ended would not be so there",
        remedy="name it in `nodes` (or have it announce the address that is named,"
        f" `replica-announce-ip`); take away what is no more of it, as `CLUSTER FORGET` does; {GUIDE}",
    )


def _said(answer: Answer) -> Mapping[str, str]:
    """What it says of itself by name, of what is asked after here."""
    text = f"\n{_text(answer)}\n"
    names = [*_NAMED, *(_REPLICA.findall(text) if "\nslave" in text else ())]
    found = ((name, text.partition(f"\n{name}:")[2].partition("\n")[0]) for name in names)
    return {name: value.strip() for name, value in found if value}


def _replica(value: str) -> tuple[str, str]:
    """The address in what is said of a replica: `ip=…,port=…,state=…`."""
    said = dict(one.partition("=")[::2] for one in value.split(","))
    return said.get("ip", ""), said.get("port", "")


def _members(text: str) -> tuple[str, dict[str, tuple[str, str]]]:
    """The node's own id, and address by id, of what it shows: `id host:port@bus,name flags …`."""
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
