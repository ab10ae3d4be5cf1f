"""The admin access that the broker comes to a target with: typed, read from standard input, or made here.

1. It stands in no argument and no variable of a command: other programs read those. It is typed unseen, or
   read from standard input where that is said.
2. Where it is keys of OpenSSH, they can be made in this process: their private halves are sealed like what is
   typed, and are shown and written nowhere. Keys that are given are looked at first: whether they are such as
   the broker can use, and whether the target's file has a use for them.
3. What can't be asked of a kind of target is refused before anything is read.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_document
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.target import (
    BadAdminAccessError,
    OpensshAccess,
    OpensshPlace,
    PostgresAccess,
    RedisAccess,
    parse_admin_access,
)
from taskbound.core.target.systems import GITHUB, OAUTH, OPENBAO, OPENSSH, REDIS
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import shown

if TYPE_CHECKING:
    from taskbound.core.target import AdminAccess, TargetFile
    from taskbound.surfaces.cli.session import Session


_LARGEST: Final = 16_384
"""Bytes of an admin access, as it is read from standard input."""
_PIPED: Final = {
    GITHUB: ("an App proves itself by its private key", "key"),
    OAUTH: ("a client proves itself by a secret or a private JWK", "secret"),
    OPENBAO: ("an OpenBao is reached by a token", "token"),
}
"""By kind of target that has no user: how it is reached, and the member that this is given as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the admin access comes."""

    user: str = ""
    """Whom the target knows as its admin, where that is said apart from the password."""
    piped: bool = False
    """Read from standard input."""
    fresh: bool = False
    """Made here (rule 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicHalves:
    """What a host is told of keys: type and base64, as in `authorized_keys`."""

    ca: str
    key: str
    """Of who reaches the helper; empty where there is none."""


def require_way(kind: str, way: Way) -> None:
    """Go on with a way that there is for this kind of target (rule 3).

    Raises:
        BadInputError: There is none like this.
    """
    if kind in _PIPED:
        if way.fresh or way.user or not way.piped:
            what, member = _PIPED[kind]
            raise BadInputError(
                f"{what}, which is read from standard input",
                remedy=f'say `--admin-stdin`, and give it `{{"{member}": "…"}}`',
            )
        return
    if kind != OPENSSH:
        if way.fresh:
            raise BadInputError(
                f"`--new-keys` is for hosts with OpenSSH, and this target is of the kind `{shown(kind)}`",
                remedy="say `--admin-user USER`, or `--admin-stdin`",
            )
        if not way.piped and not way.user:
            raise BadInputError("it is not said who the admin is", remedy="say `--admin-user USER`")
        return
    keys = "say `--new-keys`, or `--admin-stdin` to give keys that are there"
    if way.user:
        raise BadInputError("a host is reached by keys, and has no admin's user and password", remedy=keys)
    if way.fresh and way.piped:
        raise BadInputError(
            "keys are either made or read", remedy="say one of `--new-keys` and `--admin-stdin`"
        )
    if not way.fresh and not way.piped:
        raise BadInputError("it is not said which keys the broker gets", remedy=keys)


def read_access(session: Session, target: TargetFile, way: Way) -> AdminAccess:
    """The admin access of this target, as the way that was required says; nothing of it is in an error.

    Raises:
        BadInputError: Nobody can type, or what was piped is no text.
        BadAdminAccessError: It is none.
    """
    if way.fresh:
        return _made(session, target)
    if not way.piped:
        if not sys.stdin.isatty():
            raise BadInputError(
                "nobody is there to type the admin's password",
                remedy="say `--admin-stdin` to read it from standard input",
            )
        password = session.plugs.read_secret(f"password of {shown(way.user)}: ")
        return _named(target.kind, way.user, password)
    raw = sys.stdin.buffer.read(_LARGEST + 1)
    if len(raw) > _LARGEST:
        raise BadInputError("the admin access is longer than any")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise BadInputError("the admin access is not UTF-8") from None
    if way.user:
        return _named(target.kind, way.user, _one_line(text))
    return parse_admin_access(target.kind, _as_sealed(text))


def public_halves(session: Session, target: TargetFile, access: AdminAccess) -> PublicHalves | None:
    """What the host is told of the keys (rule 2); None where an admin access is no keys.

    Raises:
        BadAdminAccessError: They are none that the broker can use, or not those that the file speaks of.
    """
    if not isinstance(access, OpensshAccess) or not isinstance(target.place, OpensshPlace):
        return None
    if target.place.helped and not access.key:
        raise BadAdminAccessError(
            f"the helper on the host of `{shown(target.name)}` is reached by a key, and none is given",
            remedy="give `key` beside `ca`; where the host has no helper, its file says `helper: none`",
        )
    if access.key and not target.place.helped:
        raise BadAdminAccessError(
            f"`{shown(target.name)}` has no helper, and a key is given that would reach one",
            remedy="leave `key` empty",
        )
    half = session.plugs.public_half
    halves = PublicHalves(ca=half(access.ca), key=half(access.key) if access.key else "")
    if halves.ca == halves.key:  # the same key, written in two ways
        raise BadAdminAccessError("the CA's key reaches no helper: give that a key of its own")
    return halves


def _made(session: Session, target: TargetFile) -> AdminAccess:
    make = session.plugs.make_key
    helped = isinstance(target.place, OpensshPlace) and target.place.helped
    return OpensshAccess(ca=make(), key=make() if helped else "")


def _named(kind: str, user: str, password: str) -> AdminAccess:
    """A user and a password, as this kind of target has them."""
    if kind == REDIS:
        return RedisAccess(user=user, password=password)
    return PostgresAccess(user=user, password=password)


def _one_line(text: str) -> str:
    line, _, more = text.partition("\n")
    if more.strip():
        raise BadInputError("the admin's password is more than one line")
    return line.removesuffix("\r")


def _as_sealed(text: str) -> str:
    """JSON as people write it, as it is sealed; what can't be read is refused where it is parsed."""
    try:
        return canonical(parse_document(text.encode())).decode()
    except MalformedError:
        return text
