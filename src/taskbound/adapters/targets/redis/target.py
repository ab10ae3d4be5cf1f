"""Redis or Valkey as a target: each credential is a user on every node; discovery of other users.

Of `target`:

1. A mint connects to all nodes, asks all of them whether the name is free and which servers exist
   (`knowing`), and only then creates users. What a node created while another failed is left to the
   revocation that follows.
2. An end goes to all reachable nodes at once, and is complete when all have shown it.
3. Nothing expires there (I-03): only revocations and sweeps end a user. A renewal changes nothing, and
   succeeds if the user is on every node.
4. A restarted server may have loaded deleted users: `starts` identifies each start.
5. `starts`, which is called often, also keeps the connection for ends ready.

Of `discovering`:

1. Nothing changes: all commands are lookups or `ACL DRYRUN`.
2. A user's reach is what the server says of the commands in `_ALL` and `_BEYOND`; anything else is data.
3. Users that exist on some nodes only, or with other rights there, are reported as such.
4. Users that can't log in are only counted, unless one has an open session.
5. Passwords are counted; neither they nor their digests are kept.
6. The server doesn't record creation or last use. Names and patterns are bytes; non-text is escaped.
   Patterns stand between backticks, which they cannot close.
"""

from __future__ import annotations

import re
import secrets
import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Final

from taskbound.adapters.targets.alone import NameLocks
from taskbound.adapters.targets.redis.nodes import (
    Nodes,
    ask_before,
    at_all,
    know,
    look_before,
    require_declared,
    run_of,
)
from taskbound.adapters.targets.redis.protocol import LISTED, Refusal
from taskbound.adapters.targets.redis.user import (
    digest_of,
    end_of,
    has_user,
    make_user,
    names_of,
    rules_of,
    see_gone,
    sessions_by_user,
    sessions_of,
    whole_end_of,
)
from taskbound.adapters.targets.tls import require_tls
from taskbound.core.action.text import escape_text
from taskbound.core.credential import MINTED, SECRET_BYTES, pattern_of, spell_secret
from taskbound.core.dataclass import dataclass
from taskbound.core.target.kind import Entry, ExistingAccess, LoginOwner, Reach, worst_first
from taskbound.core.tool.name import shown
from taskbound.ports.target import (
    Discovery,
    Gone,
    Minted,
    NameTakenError,
    Shown,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from taskbound.adapters.targets.redis.link import Link
    from taskbound.adapters.targets.redis.protocol import Answer
    from taskbound.core.clock import Instant
    from taskbound.core.target import RedisAccess, RedisKind, RedisPlace
    from taskbound.ports.target import MintOrder


_LOOKED: Final = 5_000
"""Users of a node that are looked at."""
_TOGETHER: Final = 100
"""Users that are asked about at once."""
_NAMED: Final = 10
"""Patterns that are named in one line of rights."""
_COMMANDS: Final = 300
"""Characters of what is said of commands."""
_ALL: Final = (
    ("makes and changes users (acl|setuser)", ("ACL", "SETUSER", "x")),
    ("changes the server's settings (config|set)", ("CONFIG", "SET", "x", "y")),
    ("loads programs into the server (module|load)", ("MODULE", "LOAD", "x")),
)
"""Who may do one of these may have everything (rule 2)."""
_BEYOND: Final = (
    ("sees what everybody asks (monitor)", ("MONITOR",)),
    ("reads the whole server (psync)", ("PSYNC", "x", "1")),
    ("makes it the copy of another server (replicaof)", ("REPLICAOF", "x", "1")),
    ("looks into the server (debug)", ("DEBUG", "OBJECT", "x")),
    ("reads digests of passwords (acl|list)", ("ACL", "LIST")),
    ("reads the server's settings (config|get)", ("CONFIG", "GET", "x")),
    ("changes functions that others call (function|load)", ("FUNCTION", "LOAD", "x")),
    ("ends other sessions (client|kill)", ("CLIENT", "KILL", "x")),
    ("empties the server (flushall)", ("FLUSHALL",)),
    ("shuts it down (shutdown)", ("SHUTDOWN",)),
)
"""Who may do one of these reaches beyond the keys that its patterns name (rule 2)."""
_PROBES: Final = (*_ALL, *_BEYOND)
_KINDS: Final = (("~", "reads and writes"), ("%R~", "reads"), ("%W~", "writes"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    reach: Reach
    rights: tuple[str, ...]
    open: int
    nopass: bool
    may_enter: bool
    """Whether it is on, and has a password or needs none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenNode:
    """The users that one node shows."""

    admin: bytes
    users: Mapping[bytes, _Seen]
    count: int
    """How many there are, those that were not looked at too."""


def look_through(link: Link, marks: Collection[str], admin: str) -> SeenNode:
    """Returns the node's users not minted by installations with these marks; raises as `Link.ask`."""
    ours = re.compile(pattern_of(marks))
    listed = link.ask("ACL", "USERS", most=LISTED)
    if not isinstance(listed, list):
        raise TargetUnavailableError(f"{link.name} does not say who its users are")
    names = [one for one in listed if isinstance(one, bytes) and ours.fullmatch(_named(one)) is None]
    open_ = Counter(sessions_by_user(link).values())
    found: dict[bytes, _Seen] = {}
    for start in range(0, min(len(names), _LOOKED), _TOGETHER):
        some = names[start : min(start + _TOGETHER, _LOOKED)]
        answers = link.raw(
            *(words for name in some for words in _asked(name.decode(errors="surrogateescape")))
        )
        each = len(_PROBES) + 1
        for number, name in enumerate(some):
            shown, *could = answers[number * each : (number + 1) * each]
            for one in could:
                if isinstance(one, Refusal) and one.code == "NOPERM":
                    link.granted(("ACL", "DRYRUN"), one)  # what it could do is not known then
            if isinstance(shown, list):  # or it was taken away meanwhile
                found[name] = _seen(_members(shown), [one == b"OK" for one in could], open_[name])
            elif shown is not None:
                link.granted(("ACL", "GETUSER"), shown)
                raise TargetUnavailableError(f"{link.name} shows what is no user")
    return SeenNode(admin=admin.encode(), users=found, count=len(names))


def told_of(nodes: Sequence[SeenNode], *, most: int) -> Discovery:
    """Combines what all nodes show, highest risk first."""
    names = sorted(frozenset[bytes]().union(*(one.users for one in nodes)))
    listed, out = [], 0
    for name in names:
        seen = [one.users[name] for one in nodes if name in one.users]
        if not any(one.may_enter or one.open for one in seen):
            out += 1  # 4
            continue
        listed.append(_standing(name, seen, nodes))
    missed = max((one.count - len(one.users) for one in nodes), default=0)
    return Discovery(
        found=worst_first(listed)[:most],
        count=len(listed) + missed,
        notes=tuple(_notes(out, missed)),
        whole=not missed,
    )


def _asked(name: str) -> Iterator[tuple[str, ...]]:
    yield ("ACL", "GETUSER", name)
    yield from (("ACL", "DRYRUN", name, *words) for _, words in _PROBES)


def _seen(shown: Mapping[str, Answer], could: Sequence[bool], open_: int) -> _Seen:
    flags, passwords = _words(shown.get("flags")), len(_words(shown.get("passwords")))
    on, nopass = "on" in flags, "nopass" in flags
    reach = Reach.DATA
    if any(could):
        reach = Reach.ALL if any(could[: len(_ALL)]) else Reach.BEYOND
    rights = [
        *([] if on else ["is switched off: what is open goes on"]),
        *(words for (words, _), may in zip(_PROBES, could, strict=True) if may),
        *_patterns(shown),
        *([f"has {passwords} passwords"] if passwords > 1 else []),
    ]
    selectors = shown.get("selectors")
    for one in selectors if isinstance(selectors, list) else []:
        lines = _patterns(_members(one)) if isinstance(one, list) else ()
        rights.append(f"or else: {'; '.join(lines)}")
    return _Seen(
        reach=reach,
        rights=tuple(rights),
        open=open_,
        nopass=on and nopass,
        may_enter=on and (nopass or passwords > 0),
    )


def _patterns(shown: Mapping[str, Answer]) -> Iterator[str]:
    keys = _words(shown.get("keys"))
    for prefix, verb in _KINDS:
        some = [one.removeprefix(prefix) for one in keys if one.startswith(prefix)]
        if some:
            yield f"{verb} {'every key' if '*' in some else f'keys {_some(some)}'}"
    if not keys:
        yield "no key"
    channels = [one.removeprefix("&") for one in _words(shown.get("channels"))]
    if channels:
        yield "every channel" if "*" in channels else f"channels {_some(channels)}"
    commands = " ".join(_words(shown.get("commands")))
    if commands == "-@all":
        yield "no command"
    elif commands == "+@all":
        yield "every command"
    else:
        more = "…" if len(commands) > _COMMANDS else ""
        yield f"commands {escape_text(commands.removeprefix('-@all ')[:_COMMANDS])}{more}"


def _some(patterns: Sequence[str]) -> str:
    more = f" and {len(patterns) - _NAMED} more" if len(patterns) > _NAMED else ""
    return ", ".join(f"`{shown(one)}`" for one in patterns[:_NAMED]) + more


def _standing(name: bytes, seen: Sequence[_Seen], nodes: Sequence[SeenNode]) -> ExistingAccess:
    worst = min(seen, key=lambda one: tuple(Reach).index(one.reach))
    rights = [*worst.rights]
    if len(seen) < len(nodes):
        rights.insert(0, f"is on {len(seen)} of {len(nodes)} nodes alone")
    if len({one.rights for one in seen}) > 1:
        rights.insert(0, "has other rights on other nodes")
    return ExistingAccess(
        name=_named(name),
        what="login",
        whose=_whose(name, {one.admin for one in nodes}),
        reach=worst.reach,
        rights=tuple(rights),
        open=sum(one.open for one in seen),
        entry=Entry.OPEN if any(one.nopass for one in seen) else Entry.ASKED,
    )


def _whose(name: bytes, admins: Collection[bytes]) -> LoginOwner:
    if name in admins:
        return LoginOwner.ADMIN
    return LoginOwner.INSTALLATION if re.fullmatch(MINTED, _named(name)) else LoginOwner.OTHERS


def _notes(out: int, missed: int) -> Iterator[str]:
    yield "when a user was made and when it was used last is kept by no Redis"
    if out:
        who = "one user is" if out == 1 else f"{out} users are"
        yield f"{who} switched off or without a password, and none has an open session"
    if missed:
        yield f"{missed:,} users of a node were not looked at"


def _named(name: bytes) -> str:
    return name.decode(errors="backslashreplace")


def _members(shown: list[Answer]) -> Mapping[str, Answer]:
    return {
        _named(key): value
        for key, value in zip(shown[::2], shown[1::2], strict=False)
        if isinstance(key, bytes)
    }


def _words(value: Answer) -> list[str]:
    some = value if isinstance(value, list) else [value]
    return [word for one in some if isinstance(one, bytes) for word in _named(one).split()]


class RedisTarget:
    """The nodes of one Redis with its admin access (`ports.target.Target`)."""

    def __init__(self, place: RedisPlace, access: RedisAccess) -> None:
        """Raises BadTargetError if the authorities can't be read."""
        self._place = place
        self._tls = require_tls(place, "the Redis'")
        self._user = access.user
        self._nodes = Nodes(place, self._tls, access.user, access.password)
        self._under_way = NameLocks()

    def mint(self, order: MintOrder, kind: RedisKind, *, patience: float) -> Minted:
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
        with self._nodes.linked(patience) as links:
            if not all(at_all(links, lambda link: has_user(link, name))):
                raise TargetRefusedError(
                    "not every node has its user any more",
                    remedy="ask for another credential; a node without an ACL file forgets users when it is"
                    " started anew",
                )

    def use(self, minted: Minted, *, patience: float) -> None:
        user, password = minted.open["REDIS_USERNAME"], minted.secret["REDISCLI_AUTH"]
        try:
            with closing(Nodes(self._place, self._tls, user, password)) as nodes, nodes.linked(patience):
                pass
        except TargetUnreachedError as error:
            raise TargetUnavailableError(error.message) from None  # the mint before was sent

    def revoke(self, name: str, *, ends: Instant, patience: float) -> Gone:  # noqa: ARG002 - of no use here
        """Deletes the user on every reachable node (rule 2)."""
        found = self._nodes.each(
            end_of(name),
            lambda link, answers: see_gone(link, name, answers),
            patience,
            unheard=whole_end_of(name),
        )
        return Gone(cut=sum(found))

    def look(self, name: str, *, patience: float) -> Shown:
        with self._nodes.linked(patience) as links:
            found = at_all(links, lambda link: (has_user(link, name), len(sessions_of(link, name))))
        return Shown(exists=any(there for there, _ in found), open=sum(count for _, count in found))

    def sweep(self, prefix: str, *, patience: float) -> Iterator[str]:
        with self._nodes.linked(patience) as links:
            found = frozenset[str]().union(*at_all(links, names_of))
        yield from (one for one in found if one.startswith(prefix))

    def discover(self, marks: Collection[str], *, most: int, patience: float) -> Discovery:
        with self._nodes.linked(patience) as links:
            return told_of(at_all(links, lambda link: look_through(link, marks, self._user)), most=most)

    def starts(self, *, patience: float) -> tuple[str, ...]:
        """Returns each node's run id (rule 4)."""
        deadline = time.monotonic() + patience
        with self._nodes.linked(patience) as links:
            found = tuple(at_all(links, run_of))
        self._nodes.spare(deadline - time.monotonic())  # 5
        return found

    def _way(self) -> dict[str, str]:
        at, place = self._place.at, self._place
        way = {"REDIS_NODES": ",".join(one.text for one in at)}
        if len(at) == 1 and at[0].is_socket:
            way["REDIS_SOCKET"] = at[0].host
        elif len(at) == 1:
            way |= {"REDIS_HOST": at[0].host, "REDIS_PORT": str(at[0].port)}
        if place.tls:
            way["REDIS_TLS"] = "true"
        return way | ({"REDIS_CACERT": place.roots} if place.roots else {})
