"""Users of one node: creation, display, and end.

1. One atomic `ACL SETUSER` creates a user: `reset`, the kind's rules, and last `on`. The password goes as
   its SHA-256, so no log, `MONITOR` or file of the server has it.
2. The node must then show exactly that, or the user is refused: servers interpret rules differently.
3. With an ACL file, each change is saved into it, or a restart would undo it (K17).
4. An end is one message, sent with the login if there is one and without waiting: a server too busy for
   the call still executes it later.
5. A user is gone once the node shows no such user, no session under its name, and no closing session
   without a user: sessions of a deleted user count as `default`'s until they close.
"""

from __future__ import annotations

import time
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.adapters.targets.redis.link import GUIDE
from taskbound.adapters.targets.redis.protocol import LISTED, Refusal
from taskbound.ports.target import TargetRefusedError, TargetUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.adapters.targets.redis.link import Link
    from taskbound.adapters.targets.redis.protocol import Answer
    from taskbound.core.target import RedisKind


_NO_FILE: Final = "not configured to use an acl file"
"""What stands in the refusal of a server without one, in lower case: Redis' and Valkey's alike."""
_SAID: Final = {b"flags", b"id", b"user"}
"""What is said of each session."""
_CLOSING: Final = b"A"
"""The flag of a session that the server is about to close; it does nothing more for it."""
_SAVE: Final = ("ACL", "SAVE")
_LIST: Final = ("CLIENT", "LIST")
_BETWEEN: Final = 0.02
"""Seconds between two looks at what is open."""


def digest_of(password: str) -> str:
    return sha256(password.encode()).hexdigest()


def rules_of(kind: RedisKind, values: Mapping[str, str], digest: str) -> tuple[str, ...]:
    """Returns a new user's ACL rules (rule 1); raises BadParameterError if a value can't be in a pattern."""
    return (
        "reset",
        "resetchannels",  # the server's default may be all of them
        *(f"+{one}" for one in kind.commands),
        *kind.keys(values),
        *kind.channel_patterns(values),
        f"#{digest}",
        "on",
    )


def shown_by(name: str) -> tuple[str, ...]:
    return ("ACL", "GETUSER", name)


def has_user(link: Link, name: str) -> bool:
    """Returns whether the node has this user; raises as `Link.ask`."""
    return link.ask(*shown_by(name)) is not None


def make_user(link: Link, name: str, rules: tuple[str, ...]) -> None:
    """Creates, saves and verifies the user in one message; on TargetUnavailableError the user may exist."""
    words, show = ("ACL", "SETUSER", name, *rules), shown_by(name)
    link.say(words, _SAVE, show)
    ordered = _ordered(rules)  # while the node is at it
    made, saved, shows = link.hear(words, _SAVE, show)
    if isinstance(made, Refusal) and "error in acl setuser" in made.text:
        raise TargetRefusedError(
            f"{link.name} takes no user of this kind: it doesn't know one of the commands, or is older than"
            " Redis 7",
            remedy="correct `commands` in the target's file",
        )
    link.granted(words, made)
    _require_saved(link, saved)
    if read_user(link, link.granted(show, shows)) != ordered:
        raise TargetRefusedError(f"{link.name} made of a user what was not ordered", remedy=GUIDE)  # 2


def end_of(name: str) -> tuple[tuple[str, ...], ...]:
    """Returns the commands that end a user and its sessions, to be sent at once (rule 4)."""
    return (("CLIENT", "KILL", "USER", name), ("ACL", "DELUSER", name))


def whole_end_of(name: str) -> tuple[tuple[str, ...], ...]:
    """Returns `end_of` with saving (rule 3), for a connection whose answers are not heard."""
    return (*end_of(name), _SAVE)


def see_gone(link: Link, name: str, answers: Sequence[Answer]) -> int:
    """Waits until the node shows the end (rule 5); returns how many sessions were open."""
    kill, drop = end_of(name)
    killed, dropped = answers
    link.granted(drop, dropped)
    if not isinstance(killed, Refusal) or "no such user" not in killed.text:
        killed = link.granted(kill, killed)
    show = shown_by(name)
    saved, user, sessions = link.raw(_SAVE, show, _LIST, most=LISTED)
    _require_saved(link, saved)  # 3, also where nothing was there: who took it away may have come no further
    while True:
        if link.granted(show, user) is not None:
            raise TargetUnavailableError(f"{link.name} still shows the user")
        left = _left(_sessions(link, sessions), name)
        if not left:
            return killed if isinstance(killed, int) else 0
        if link.left < 2 * _BETWEEN:
            raise TargetUnavailableError(f"{link.name} still shows {left} of its sessions")
        time.sleep(_BETWEEN)
        user, sessions = link.raw(show, _LIST, most=LISTED)


def sessions_of(link: Link, name: str) -> frozenset[bytes]:
    """Returns the ids of the user's sessions; raises as `Link.ask`."""
    return frozenset(one for one, user in sessions_by_user(link).items() if user == name.encode())


def names_of(link: Link) -> frozenset[str]:
    """Returns the names of all users; raises as `Link.ask`."""
    answer = link.ask("ACL", "USERS", most=LISTED)
    if not isinstance(answer, list):
        raise TargetUnavailableError(f"{link.name} lists no users")
    return frozenset(one.decode("utf-8", "replace") for one in answer if isinstance(one, bytes))


def flags_of(link: Link, answer: Answer) -> frozenset[str]:
    """Returns a user's flags, such as `on` and `nopass`; none without such a user. Raises as `read_user`."""
    return frozenset(_texts(_fields(link, answer).get(b"flags")))


def read_user(link: Link, answer: Answer) -> frozenset[str]:
    """Returns a user as ACL rules, empty without one; raises TargetUnavailableError for an invalid answer."""
    found = _fields(link, answer)
    return frozenset(
        [
            *(one for one in _texts(found.get(b"flags")) if one != "sanitize-payload"),
            *(f"#{one}" for one in _texts(found.get(b"passwords"))),
            *(one.lower() for one in _texts(found.get(b"commands"))),
            *_texts(found.get(b"keys")),
            *_texts(found.get(b"channels")),
            *(["a selector"] if found.get(b"selectors") else []),
        ]
    )


def _fields(link: Link, answer: Answer) -> Mapping[bytes, Answer]:
    if answer is None:
        return {}
    if not isinstance(answer, list) or len(answer) % 2:
        raise TargetUnavailableError(f"{link.name} shows what is no user")
    pairs = zip(answer[::2], answer[1::2], strict=True)
    return {key: value for key, value in pairs if isinstance(key, bytes)}


def _require_saved(link: Link, answer: Answer) -> None:
    if isinstance(answer, Refusal) and answer.code == "ERR":
        if _NO_FILE in answer.text:
            return
        if "trying to save" in answer.text:
            raise TargetUnavailableError(
                f"{link.name} can't write its ACL file",
                remedy="its account has to own the file and its folder",
            )
    link.granted(_SAVE, answer)


def _ordered(rules: tuple[str, ...]) -> frozenset[str]:
    return frozenset(one for one in rules if one not in {"reset", "resetchannels"}) | {"-@all"}


def _texts(value: Answer) -> list[str]:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").split()
    if not isinstance(value, list):
        return []
    return [one.decode("utf-8", "replace") for one in value if isinstance(one, bytes)]


def sessions_by_user(link: Link) -> Mapping[bytes, bytes]:
    """Returns the user of each session, by session id; raises as `Link.ask`."""
    found = _sessions(link, link.ask(*_LIST, most=LISTED))
    return {number: user for number, user, _ in found}


def _left(sessions: Sequence[tuple[bytes, bytes, bytes]], name: str) -> int:
    known, gone = name.encode(), b"default"
    return sum(user == known or (user == gone and _CLOSING in flags) for _, user, flags in sessions)


def _sessions(link: Link, answer: Answer) -> list[tuple[bytes, bytes, bytes]]:
    """Returns id, user and flags of each session; raises as `Link.ask`, or if the answer is invalid."""
    answer = link.granted(_LIST, answer)
    if not isinstance(answer, bytes):
        raise TargetUnavailableError(f"{link.name} lists no sessions")
    found = []
    for line in answer.splitlines():
        words = dict(one.partition(b"=")[::2] for one in line.split(b" "))
        if not words.keys() >= _SAID or not words[b"id"].isdigit():
            raise TargetUnavailableError(f"{link.name} lists what are no sessions")
        found.append((words[b"id"], words[b"user"], words[b"flags"]))
    return found
