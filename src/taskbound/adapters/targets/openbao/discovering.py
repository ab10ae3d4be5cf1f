"""Discovers standing access to an OpenBao, as far as the admin's token may look; changes nothing.

1. A token is identified by its accessor, a lease by role and number, never by itself or its id.
2. What the token may not read is reported with the policy line that it lacks. What the look did not reach
   in its time is reported by number.
3. Policies determine the reach (`reach_of`); an unreadable policy counts as beyond data.
"""

from __future__ import annotations

import re
from dataclasses import field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.adapters.targets.openbao.link import reach_of
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import MINTED, pattern_of
from taskbound.core.dataclass import dataclass
from taskbound.core.target.kind import Entry, ExistingAccess, LoginOwner, Reach, worst_first
from taskbound.core.tool.name import shown
from taskbound.ports.target import Discovery, TargetRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from taskbound.adapters.targets.openbao.link import Link
    from taskbound.core.action import JsonValue


T = TypeVar("T")

_RESERVE: Final = 0.7
"""Seconds of the call in which nothing more is begun."""
_DEEPEST: Final = 5
"""Parts of a lease's path below its mount."""
_NAMED: Final = 10
_LATEST: Final = 1 << 33
"""Seconds since 1970: what is later is never."""
_ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "approle": ("role",),
    "cert": ("certs",),
    "jwt": ("role",),
    "kubernetes": ("role",),
    "ldap": ("users", "groups"),
    "oidc": ("role",),
    "radius": ("users",),
    "token": ("roles",),
    "userpass": ("users",),
}
"""By type of a way in: where its roles or users are."""
_LINE: Final = re.compile(r"`path \"([\w./+*-]+)\" (\{[^`]*\})`")
"""A line of a policy, in what an error advises."""
_NAME: Final = re.compile(r"(?!\.{1,2}/?$)[^/\x00-\x1f\x7f]{1,512}/?")
_ROOT: Final = "root"
_SELF: Final = "auth/token/lookup-self"
_ACCESSORS: Final = "auth/token/accessors"
_BEHIND: Final = "auth/token/lookup-accessor"
_LEASES: Final = "sys/leases/lookup"
_POLICIES: Final = "what policies permit"


@dataclass(slots=True, kw_only=True)
class _Look:
    link: Link
    ours: re.Pattern[str]
    found: list[ExistingAccess] = field(default_factory=list)
    denied: dict[str, str] = field(default_factory=dict)
    """By what could not be seen: what would let it be."""
    left: dict[str, int] = field(default_factory=dict)
    """By what was not looked at in time, how many."""
    reaches: dict[str, Reach | None] = field(default_factory=dict)
    """Of policies."""

    @property
    def is_over(self) -> bool:
        return self.link.left < _RESERVE

    def permitted(self, what: str, call: Callable[[], T], name: str = "") -> T | None:
        """Returns the call's answer, None if refused (rule 2). One policy line stands for all names."""
        try:
            return call()
        except TargetRefusedError as error:
            line = _LINE.search(error.advice)
            if line is None:
                self.denied.setdefault(what, "its policy lacks a line for that")
            else:
                path = f"{line[1]}/"
                if name:
                    path = path.replace(f"/{name}/", "/*/" if line[1].endswith(f"/{name}") else "/+/")
                # Of what is listed, `+` fits with the last `/` alone.
                told = path if "/+/" in path else path[:-1]
                self.denied.setdefault(what, f'give its policy `path "{told}" {line[2]}`')
            return None

    def within(self, what: str, some: Iterable[T]) -> Iterator[T]:
        known = list(some)
        todo = [one for one in known if not isinstance(one, str) or _NAME.fullmatch(one)]
        if len(todo) < len(known):
            self.left[f"{what} of odd names"] = len(known) - len(todo)
        for number, one in enumerate(todo):
            if self.is_over:
                self.left[what] = self.left.get(what, 0) + len(todo) - number
                return
            yield one

    # --- tokens ---------------------------------------------------------------------------------

    def tokens(self) -> None:
        own = self.permitted("which token is the broker's own", partial(self.link.read, _SELF))
        accessors = self.permitted("tokens", partial(self.link.names, _ACCESSORS, sudo=True))
        for accessor in self.within("tokens", accessors or ()):
            body: dict[str, JsonValue] = {"accessor": accessor}
            data = self.permitted("what tokens are", partial(self.link.look_up, _BEHIND, body))
            if data is not None:
                self._token(accessor, data, own=accessor == _text((own or {}).get("accessor")))
        if self.found:
            self.denied.pop(
                "what tokens are", None
            )  # one that is over meanwhile is refused in the same words

    def _token(self, accessor: str, data: Mapping[str, JsonValue], *, own: bool) -> None:
        policies = [*_texts(data.get("policies")), *_texts(data.get("identity_policies"))]
        reach, rights = self._permits(policies)
        if data.get("orphan") is True:
            rights.append("an orphan: it ends with no other token")
        if _count(data.get("period")):
            rights.append("periodic: it lives for as long as it is renewed")
        if _count(data.get("num_uses")):
            rights.append(f"for {_count(data.get('num_uses'))} more uses")
        if _text(data.get("path")):
            rights.append(f"made at {_quoted(_text(data.get('path')))}")
        self.found.append(
            ExistingAccess(
                name=f"token {_text(data.get('display_name'))} (accessor {accessor})",
                what="key",
                whose=LoginOwner.ADMIN if own else LoginOwner.OTHERS,
                reach=reach,
                rights=tuple(rights),
                since=_instant(_count(data.get("creation_time"))),
                ends=_end(data.get("expire_time")),
                entry=Entry.ASKED,
            )
        )

    def _permits(self, policies: Collection[str]) -> tuple[Reach, list[str]]:
        names = sorted(set(policies))
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        rights = [f"policies: {_quoted(*names[:_NAMED])}{more}" if names else "no policies"]
        reaches = [self._reach(one) for one in names]
        if any(one is None for one in reaches):
            rights.append("what they permit can't be read here")
        known = [one or Reach.BEYOND for one in reaches]
        return min(known, key=tuple(Reach).index, default=Reach.DATA), rights

    def _reach(self, policy: str) -> Reach | None:
        if policy == _ROOT:
            return Reach.ALL
        if policy not in self.reaches:
            data = None
            if not self.is_over and _POLICIES not in self.denied:
                asked = partial(self.link.read, f"sys/policies/acl/{policy}")
                data = self.permitted(_POLICIES, asked, policy) if _NAME.fullmatch(policy) else None
            self.reaches[policy] = reach_of(_text(data.get("policy"))) if data is not None else None
        return self.reaches[policy]

    # --- ways in --------------------------------------------------------------------------------

    def methods(self) -> None:
        mounts = self.permitted("ways in", partial(self.link.read, "sys/auth"))
        for mount, told in self.within("ways in", sorted((mounts or {}).items())):
            kind = _text(told.get("type")) if isinstance(told, dict) else ""
            for place in _ROLES.get(kind, ()):
                self._logins(f"auth/{mount.removesuffix('/')}/{place}", kind)
            if kind not in _ROLES and kind:
                self.left[f"who is let in by {_quoted(mount)} ({_quoted(kind)})"] = 0

    def _logins(self, path: str, kind: str) -> None:
        where = _quoted(path)
        names = self.permitted(f"who is let in at {where}", partial(self.link.names, path))
        for name in self.within(f"who is let in at {where}", names or ()):
            what = f"what is let in at {where}"
            data = None
            if what not in self.denied:
                data = self.permitted(what, partial(self.link.read, f"{path}/{name}"), name)
            self._login(f"{path}/{name}", kind, data or {}, known=data is not None)

    def _login(self, path: str, kind: str, data: Mapping[str, JsonValue], *, known: bool) -> None:
        policies = [*_texts(data.get("token_policies")), *_texts(data.get("policies"))]
        policies += _texts(data.get("allowed_policies"))
        reach, rights = (
            self._permits(policies) if known else (Reach.BEYOND, ["what it is can't be read here"])
        )
        is_open = kind == "approle" and data.get("bind_secret_id") is False
        if kind == "approle" and known and not is_open:
            asked = partial(self.link.names, f"{path}/secret-id")
            held = self.permitted("secret ids of roles", asked, path.rpartition("/")[2])
            if held is not None:
                lasting = ", which end by themselves" if _count(data.get("secret_id_ttl")) else ""
                rights.append(f"{len(held)} secret {'id' if len(held) == 1 else 'ids'}{lasting}")
        self.found.append(
            ExistingAccess(
                name=path,
                what="login",
                whose=LoginOwner.OTHERS,
                reach=reach,
                rights=tuple(rights),
                entry=Entry.OPEN if is_open else Entry.ASKED if known else Entry.UNKNOWN,
            )
        )

    # --- what engines gave ------------------------------------------------------------------------

    def engines(self, known: Collection[tuple[str, str]]) -> None:
        mounts = self.permitted("engines", partial(self.link.read, "sys/mounts"))
        databases = {mount for mount, _ in known}
        for mount, told in (mounts or {}).items():
            if isinstance(told, dict) and told.get("type") == "database":
                databases.add(mount.removesuffix("/"))
        for mount in self.within("static roles", sorted(databases)):
            self._static(mount)
        tops = self.permitted("leases", partial(self.link.names, _LEASES, sudo=True, marked=True))
        if tops is None:
            paths = sorted(f"{mount}/{creds}/" for mount, creds in known)
        else:
            paths = [one for one in tops if one != "auth/"]
        for path in self.within("leases", paths):
            self._leases(path, _DEEPEST)

    def _static(self, mount: str) -> None:
        path = f"{mount}/static-roles"
        what = f"static roles of {_quoted(mount)}"
        names = self.permitted(what, partial(self.link.names, path))
        for name in self.within("static roles", names or ()):
            data = self.permitted(what, partial(self.link.read, f"{path}/{name}"), name) or {}
            login = _text(data.get("username"))
            rights = [f"the login {_quoted(login) if login else 'of the role'}, which stays"]
            period = _count(data.get("rotation_period"))
            if period:
                rights.append(f"its password is changed every {period} seconds")
            self.found.append(
                ExistingAccess(
                    name=f"{path}/{name}",
                    what="login",
                    whose=LoginOwner.OTHERS,
                    reach=Reach.DATA,
                    rights=tuple(rights),
                )
            )

    def _leases(self, path: str, deep: int) -> None:
        name = path.removesuffix("/")
        asked = partial(self.link.names, f"{_LEASES}/{name}", sudo=True, marked=True)
        below = self.permitted(f"leases below {_quoted(path)}", asked) or ()
        count = sum(not one.endswith("/") for one in below)
        last = name.rpartition("/")[2]
        if count and not self.ours.fullmatch(last):
            self.found.append(
                ExistingAccess(
                    name=name,
                    what="key",
                    whose=LoginOwner.INSTALLATION if re.fullmatch(MINTED, last) else LoginOwner.OTHERS,
                    reach=Reach.DATA,
                    rights=("one lease" if count == 1 else f"{count} leases",),
                    open=count,
                )
            )
        inner = [one for one in below if one.endswith("/") and not self.ours.fullmatch(one[:-1])]
        if deep == 0 and inner:
            self.left["leases"] = self.left.get("leases", 0) + len(inner)
            return
        for one in self.within("leases", inner):
            self._leases(f"{path}{one}", deep - 1)

    def notes(self) -> Iterator[str]:
        for what, count in self.left.items():
            yield f"{what}: {count} were not looked at in time" if count else what
        for what, advice in self.denied.items():
            yield f"{what}: {advice}"
        yield "when a token was used last, and batch tokens, are kept by no OpenBao"


def discover_access(
    link: Link, marks: Collection[str], known: Collection[tuple[str, str, str]], *, most: int
) -> Discovery:
    """Returns at most `most` entries, highest risk first; `known`: (mount, role, credential) of the kinds."""
    for mount, roles, _ in known:
        link.names(f"{mount}/{roles}")  # 2
    look = _Look(link=link, ours=re.compile(pattern_of(marks)))
    look.tokens()
    look.methods()
    look.engines([(mount, creds) for mount, _, creds in known])
    found = worst_first(look.found)
    return Discovery(
        found=found[:most],
        count=len(found) + sum(look.left.values()),
        notes=tuple(look.notes()),
        whole=not look.left and not look.denied,
    )


def _quoted(*texts: str) -> str:
    return ", ".join(f"`{shown(one)}`" for one in texts)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _instant(count: int) -> Instant | None:
    return Instant(seconds(count)) if 0 < count < _LATEST else None


def _end(value: object) -> Instant | None:
    try:
        return _instant(int(datetime.fromisoformat(_text(value)).timestamp()))
    except (ValueError, OverflowError):
        return None
