"""Which servers the nodes of a target know of: where one is not declared, nothing is minted.

1. In a cluster a server is known by its id; elsewhere by an address that another one says: its host as it was
   declared, or the address that we connected to, with the port that was declared, or that it says it has.
2. What is said to be on the loopback is on the machine of who says it, and is looked for there alone.
3. Two nodes that are one server are refused: where one address stands before several servers, nobody knows
   which of them was asked.
4. Whoever is let in without a password is let in after each end: a `default` that is so is refused.
"""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from taskbound.adapters.targets.redis.link import GUIDE
from taskbound.adapters.targets.redis.user import flags_of, shown_by
from taskbound.core.dataclass import dataclass
from taskbound.core.tool.name import shown
from taskbound.ports.target import TargetRefusedError, TargetUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.adapters.targets.redis.link import Link
    from taskbound.adapters.targets.redis.protocol import Answer
    from taskbound.core.target import RedisNode


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
