"""Discovers standing access to a host, as its helper sees it.

1. The helper's answer is untrusted: it must have exactly the known members and types.
2. The account wrote the text of a key line: it is escaped and stands between backticks, which it can't close.
3. An account that can become root reaches everything; a key bound to one program reaches beyond data; a
   trusted CA admits everyone.
4. A host doesn't record when a key was made; the age of its file is reported as such.
5. Connections are attributed to an account's only entry, otherwise to the account.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from taskbound.adapters.targets.openssh.link import is_count
from taskbound.core.action.text import escape_text
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import MINTED, pattern_of, prefix_of
from taskbound.core.target.kind import Entry, ExistingAccess, LoginOwner, Reach, worst_first
from taskbound.ports.target import Discovery, TargetUnavailableError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from taskbound.adapters.targets.openssh.link import Link


_VERSION: Final = 2
"""Of helpers that can."""
_LEFT: Final = 1.5
"""Seconds of the call that the helper doesn't get: its answer has to be made and to come."""
_LATEST: Final = 1 << 33
"""Seconds since 1970: what is later is never."""
_SHOWN: Final = 240
_TEXTS: Final = ("how", "account", "mark", "type", "comment", "program", "source", "file")
_COUNTS: Final = ("reach", "open", "made", "used", "ends", "line", "changed")
_FLAGS: Final = ("runs", "empty", "ours", "root")
_LISTS: Final = ("groups", "bound")
_HOW: Final = frozenset({"key", "authority", "password", "name"})
_NO_ANSWER: Final = "what the host's helper answers is no answer"
_MISSED: Final[Mapping[str, str]] = {
    "accounts": "the host has {} more, which were not looked at in time",
    "directory": "whether they have a password is kept elsewhere than on the host (LDAP, SSSD): {}",
    "gssapi": "who may be let in by a ticket (GSSAPI, Kerberos): so may {}",
    "hostbased": "who may be let in by another host's word (HostbasedAuthentication): so may {}",
    "journal": "when a key was used last: the host has no journal that says so in time",
    "keys": "more keys in one file than are read: {}",
    "long": "what stands behind the first MiB of a file, or in a line of 64 KiB: {}",
    "methods": "what has to be shown together (AuthenticationMethods) is asked of {}",
    "refused": "what would let them in if sshd did not keep them out by name (AllowUsers and its kin): {}",
    "settings": "what sshd says of each by itself; what it says of all was taken for {}",
    "shadow": "which accounts have a password: the helper can't read that",
    "slow": "what lies in their files, which were not read in time: {}",
    "unread": "what can't be read, or is no regular file: {}",
}
_COUNTED: Final[Mapping[str, str]] = {"keys": "key", "long": "file", "unread": "file"}
"""What is counted, where it is no account."""
_HIDES: Final = frozenset({"accounts", "directory", "keys", "long", "settings", "shadow", "slow", "unread"})
"""What may hide a way in."""


def discover_ways(link: Link, marks: Collection[str], ours: Collection[str], *, most: int) -> Discovery:
    """Returns at most `most` entries, highest risk first; `ours`: fingerprints of the broker's keys."""
    link.require(_VERSION, "looking at what else lets anybody in")
    patience = max(1, int(link.deadline - time.monotonic() - _LEFT))
    prefixes = sorted(prefix_of(one) for one in marks)
    answer = link.ask("discover", most=most, prefixes=prefixes, seconds=patience)
    rows, count, missed, programs = _answered(answer, most)
    minted = re.compile(pattern_of(marks))
    told = [one for one in rows if not (one["how"] == "name" and minted.fullmatch(one["comment"]))]
    ways = Counter(one["account"] for one in told if one["how"] != "name")
    found = [_standing(one, ours, alone=ways[one["account"]] == 1) for one in told]
    return Discovery(
        found=worst_first(found),
        count=count - len(rows) + len(told),
        notes=tuple(_notes(missed, programs)),
        whole=not programs and not any(missed[one] for one in _HIDES),
    )


def _answered(
    answer: Mapping[str, Any], most: int
) -> tuple[list[dict[str, Any]], int, dict[str, int], list[str]]:
    """Returns rows, their total, omissions by word, and programs that know more keys (rule 1)."""
    found = answer.get("ok")
    if not isinstance(found, dict) or found.keys() != {"rows", "count", "missed", "programs"}:
        raise TargetUnavailableError(_NO_ANSWER)
    rows, count, missed, programs = (found[one] for one in ("rows", "count", "missed", "programs"))
    if (
        not isinstance(rows, list)
        or not all(_is_row(one) for one in rows)
        or not is_count(count)
        or not len(rows) <= min(count, most)
        or not isinstance(missed, dict)
        or missed.keys() != _MISSED.keys()
        or not all(is_count(one) for one in missed.values())
        or not _is_texts(programs)
    ):
        raise TargetUnavailableError(_NO_ANSWER)
    return rows, count, missed, programs


def _is_row(one: object) -> bool:
    return (
        isinstance(one, dict)
        and one.keys() == {*_TEXTS, *_COUNTS, *_FLAGS, *_LISTS}
        and _is_texts([one[name] for name in _TEXTS])
        and all(is_count(one[name]) for name in _COUNTS)
        and all(isinstance(one[name], bool) for name in _FLAGS)
        and all(_is_texts(one[name]) for name in _LISTS)
        and one["how"] in _HOW
        and one["reach"] < len(Reach)
    )


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _standing(one: Mapping[str, Any], ours: Collection[str], *, alone: bool) -> ExistingAccess:
    how = one["how"]
    what, mark = _shown(one["account"]) if one["account"] else "any account", _shown(one["mark"])
    names = {"password": what, "name": _shown(one["comment"]), "authority": f"{what}: certificates of {mark}"}
    return ExistingAccess(
        name=names.get(how, f"{what}: {mark}"),
        what="login" if how == "password" else "key",
        whose=_whose(one, ours),
        reach=tuple(Reach)[one["reach"]],
        rights=tuple(_rights(one, alone=alone)),
        since=_instant(one["made"]),
        used=_instant(one["used"]),
        open=one["open"] if alone else 0,  # 5
        ends=_instant(one["ends"]),
        entry=Entry.OPEN if one["empty"] else Entry.ASKED,
    )


def _whose(one: Mapping[str, Any], ours: Collection[str]) -> LoginOwner:
    if one["mark"] in ours:
        return LoginOwner.ADMIN
    if one["ours"] or (one["how"] == "name" and re.fullmatch(MINTED, one["comment"])):
        return LoginOwner.INSTALLATION
    return LoginOwner.OTHERS


def _rights(one: Mapping[str, Any], *, alone: bool) -> Iterator[str]:
    how = one["how"]
    if how == "password":
        yield "logs in with a password"
    elif how == "name":
        yield f"a certificate that is admitted to {_quoted(one['account'])}"
    else:
        called = f", called {_quoted(one['comment'])}" if one["comment"] else ", called nothing"
        yield f"{_shown(one['type'])}{called}"
    if how == "authority":
        yield "signs certificates that are taken" + (" for it" if one["account"] else ", whosever they are")
    if one["root"]:
        yield "is root"
    if one["program"]:
        yield f"runs {_quoted(one['program'])} alone"
    if not one["runs"]:
        yield "its shell runs nothing: it forwards at most"
    if one["source"]:
        yield f"from {_quoted(one['source'])} alone"
    if one["bound"]:
        yield f"bound by {', '.join(map(_quoted, one['bound']))}"
    if one["groups"]:
        yield f"is in {', '.join(map(_quoted, one['groups']))}"
    if one["open"] and not alone:
        count = "a connection" if one["open"] == 1 else f"{one['open']} connections"
        yield f"its account has {count} open, by whatever"
    if one["file"]:
        changed = _instant(one["changed"])
        since = f", unchanged since {_day(changed)}" if changed else ""
        yield f"in {_quoted(one['file'])}, line {one['line']}{since}"  # 4


def _notes(missed: Mapping[str, int], programs: Collection[str]) -> Iterator[str]:
    if programs:
        yield f"keys that sshd asks a program for: {', '.join(map(_quoted, programs))}"
    for word, text in _MISSED.items():
        count = missed[word]
        if count:
            noun = _COUNTED.get(word, "account")
            yield text.format(f"one {noun}" if count == 1 else f"{count} {noun}s")
    yield (
        "when a key was made, what `sudoers` gives to single accounts, and what `Match` says of others than"
        " who comes from the broker's address"
    )


def _instant(count: int) -> Instant | None:
    return Instant(seconds(count)) if 0 < count < _LATEST else None


def _day(when: Instant) -> str:
    return datetime.fromtimestamp(when / seconds(1), UTC).date().isoformat()


def _shown(text: str) -> str:
    return escape_text(text[:_SHOWN])


def _quoted(text: str) -> str:
    return f"`{_shown(text).replace('`', chr(39))}`"  # 2
