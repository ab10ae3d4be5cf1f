"""The broker's admin access to a target, read from and written to its sealed form.

1. The form is canonical JSON with exactly the members of the target's kind. A `postgres` password and an
   `openssh` helper key may be empty; a `redis` password may not, as an empty one admits everybody.
2. Admin access never appears in an error or a repr.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Final, Protocol

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_object
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.target.errors import BadAdminAccessError
from taskbound.core.target.systems import GITHUB, OAUTH, OPENBAO, OPENSSH, POSTGRES, REDIS, STS

if TYPE_CHECKING:
    from collections.abc import Callable


_MOST_NAME: Final = 63
"""Bytes of the name of a role."""
_MOST_PASSWORD: Final = 4_096
_MOST_USER: Final = 256
"""Characters of the name of a user of a Redis."""
_MOST_KEY: Final = 6_144
"""Characters: a key of RSA with 8,192 bits has that room."""
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{1,4096}")
"""What a header carries as it is."""
_KEY_ID: Final = re.compile(r"[A-Z0-9]{16,128}")
_SECRET_KEY: Final = re.compile(r"[A-Za-z0-9/+=]{16,128}")
_KEY: Final = re.compile(
    r"-----BEGIN OPENSSH PRIVATE KEY-----\n([A-Za-z0-9+/=]{1,76}\n)+-----END OPENSSH PRIVATE KEY-----\n"
)

_LINE: Final = re.compile(r"[!-~][ -~]{6,6142}[!-~]")
_PEM: Final = re.compile(
    r"-----BEGIN (RSA )?PRIVATE KEY-----\n([A-Za-z0-9+/=]{1,76}\n)+-----END (RSA )?PRIVATE KEY-----\n?"
)


class AdminAccess(Protocol):
    """The admin access of one kind of target."""

    @property
    def text(self) -> str:
        """The form that is sealed (rule 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresAccess:
    """User and password of a database admin. Raises BadAdminAccessError if no server could take them."""

    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        size = len(self.user.encode("utf-8", "replace"))
        if not 1 <= size <= _MOST_NAME or not self.user.isprintable():
            raise BadAdminAccessError("the admin's user can't name a role of PostgreSQL")
        if len(self.password) > _MOST_PASSWORD or "\0" in self.password:
            raise BadAdminAccessError("the admin's password is longer than any, or holds what is no text")

    @property
    def text(self) -> str:
        return _sealed({"password": self.password, "user": self.user})


@dataclass(frozen=True, slots=True, kw_only=True)
class OpensshAccess:
    """A CA key and a helper key as OpenSSH writes them. Raises BadAdminAccessError for another form."""

    ca: str = field(repr=False)
    """Of the CA."""
    key: str = field(repr=False)
    """The private key that reaches the helper; empty without a helper."""

    def __post_init__(self) -> None:
        for one in (self.ca, self.key or self.ca):
            if len(one) > _MOST_KEY or _KEY.fullmatch(one) is None:
                raise BadAdminAccessError("the admin access of a host is private keys as OpenSSH writes them")
        if self.ca == self.key:
            raise BadAdminAccessError("the CA's key reaches no helper: give that a key of its own")

    @property
    def text(self) -> str:
        return _sealed({"ca": self.ca, "key": self.key})


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenbaoAccess:
    """An OpenBao token. Raises BadAdminAccessError if a header cannot carry it."""

    token: str = field(repr=False)

    def __post_init__(self) -> None:
        if _TOKEN.fullmatch(self.token) is None:
            raise BadAdminAccessError("that is no token of an OpenBao")

    @property
    def text(self) -> str:
        return _sealed({"token": self.token})


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAccess:
    """User and password of the admin on every node. Raises BadAdminAccessError if not usable."""

    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        if (
            not 1 <= len(self.user) <= _MOST_USER
            or not self.user.isprintable()
            or any(one.isspace() for one in self.user)
        ):
            raise BadAdminAccessError("the admin's user can't name a user of a Redis")
        if not 1 <= len(self.password) <= _MOST_PASSWORD:
            raise BadAdminAccessError("the admin of a Redis has a password, no longer than any")

    @property
    def text(self) -> str:
        return _sealed({"password": self.password, "user": self.user})


@dataclass(frozen=True, slots=True, kw_only=True)
class OauthAccess:
    """A client secret, or a private JWK on one line. Raises BadAdminAccessError for anything else."""

    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        if _LINE.fullmatch(self.secret) is None:
            raise BadAdminAccessError("that is no secret of a client: printable ASCII on one line")

    @property
    def text(self) -> str:
        return _sealed({"secret": self.secret})


@dataclass(frozen=True, slots=True, kw_only=True)
class GithubAccess:
    """The private key of a GitHub App. Raises BadAdminAccessError for another form."""

    key: str = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) > _MOST_KEY or _PEM.fullmatch(self.key) is None:
            raise BadAdminAccessError("the admin access of an App is its private key, as GitHub gives it")

    @property
    def text(self) -> str:
        return _sealed({"key": self.key})


@dataclass(frozen=True, slots=True, kw_only=True)
class StsAccess:
    """An access key of an AWS user. Raises BadAdminAccessError for another form."""

    key: str
    """Its id, which AWS shows."""
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        if _KEY_ID.fullmatch(self.key) is None or _SECRET_KEY.fullmatch(self.secret) is None:
            raise BadAdminAccessError("that is no access key of AWS")

    @property
    def text(self) -> str:
        return _sealed({"key": self.key, "secret": self.secret})


def parse_admin_access(kind: str, text: str) -> AdminAccess:
    """Reads the admin access of this kind of target; raises BadAdminAccessError without the text (rule 2)."""
    if kind not in _KINDS:
        raise BadAdminAccessError("there is no admin access to targets of that kind")
    names, what, make = _KINDS[kind]
    members = ", ".join(f'"{name}": "…"' for name in names)
    form = f"give it as one JSON object: {{{members}}}"
    try:
        value = parse_object(text.encode())
        again = canonical(value).decode()
    except (MalformedError, UnicodeEncodeError):
        raise BadAdminAccessError(
            f"the admin access {what}, and that is no JSON with it", remedy=form
        ) from None
    texts = [one for name in names if isinstance(one := value.get(name), str)]
    if value.keys() != set(names) or len(texts) != len(names):
        raise BadAdminAccessError(f"the admin access {what}, and nothing else", remedy=form)
    if again != text:
        raise BadAdminAccessError("the admin access is not written as it is sealed")
    return make(*texts)


def _sealed(members: dict[str, str]) -> str:
    try:
        return canonical({**members}).decode()
    except MalformedError:
        raise BadAdminAccessError("the admin access holds what is no text") from None


_KINDS: Final[dict[str, tuple[tuple[str, ...], str, Callable[..., AdminAccess]]]] = {
    GITHUB: (("key",), "of an App is its private key (`key`)", lambda key: GithubAccess(key=key)),
    OAUTH: (
        ("secret",),
        "of a client is its secret or its private JWK (`secret`)",
        lambda secret: OauthAccess(secret=secret),
    ),
    OPENBAO: (("token",), "of an OpenBao is a token (`token`)", lambda token: OpenbaoAccess(token=token)),
    OPENSSH: (
        ("ca", "key"),
        "of a host is the private key of a CA (`ca`), and that of the helper's account (`key`)",
        lambda ca, key: OpensshAccess(ca=ca, key=key),
    ),
    POSTGRES: (
        ("user", "password"),
        "of a database is a user and a password",
        lambda user, password: PostgresAccess(user=user, password=password),
    ),
    REDIS: (
        ("user", "password"),
        "of a Redis is a user and a password",
        lambda user, password: RedisAccess(user=user, password=password),
    ),
    STS: (
        ("key", "secret"),
        "of an account of AWS is the id of an access key (`key`), and that key (`secret`)",
        lambda key, secret: StsAccess(key=key, secret=secret),
    ),
}
"""By kind: its members, what they are, and what is made of them."""
