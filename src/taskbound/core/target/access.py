"""What the broker comes to a target with: read from what was sealed, and written to be sealed.

1. It is canonical JSON with exactly the members that the target's kind has: for `postgres` a user and a
   password, which is empty where the server asks for none.
2. No error says anything of it, and it is in no repr.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_object
from taskbound.core.errors import MalformedError
from taskbound.core.target.errors import BadAdminAccessError

__all__ = ["PostgresAccess", "parse_admin_access"]

_POSTGRES: Final = "postgres"
_MOST_NAME: Final = 63
"""Bytes of the name of a role."""
_MOST_PASSWORD: Final = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresAccess:
    """Whom a database knows as its admin.

    Raises:
        BadAdminAccessError: On making one that no server could take.
    """

    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        """Require what can be sent."""
        size = len(self.user.encode("utf-8", "replace"))
        if not 1 <= size <= _MOST_NAME or not self.user.isprintable():
            raise BadAdminAccessError("the admin's user can't name a role of PostgreSQL")
        if len(self.password) > _MOST_PASSWORD or "\0" in self.password:
            raise BadAdminAccessError("the admin's password is longer than any, or holds what is no text")

    @property
    def text(self) -> str:
        """As it is sealed (rule 1)."""
        try:
            return canonical({"password": self.password, "user": self.user}).decode()
        except MalformedError:
            raise BadAdminAccessError("the admin access holds what is no text") from None


def parse_admin_access(kind: str, text: str) -> PostgresAccess:
    """The admin access of a target of this kind.

    Raises:
        BadAdminAccessError: It is none; the text is in no error (rule 2).
    """
    if kind != _POSTGRES:
        raise BadAdminAccessError("there is no admin access to targets of that kind")
    try:
        value = parse_object(text.encode())
        again = canonical(value).decode()
    except (MalformedError, UnicodeEncodeError):
        raise BadAdminAccessError("the admin access can't be read") from None
    user, password = value.get("user"), value.get("password")
    if value.keys() != {"password", "user"} or not isinstance(user, str) or not isinstance(password, str):
        raise BadAdminAccessError("the admin access of a database is a user and a password")
    if again != text:
        raise BadAdminAccessError("the admin access is not written as it is sealed")
    return PostgresAccess(user=user, password=password)
