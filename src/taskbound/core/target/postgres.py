"""A PostgreSQL database as a target: its address, and which logins are minted in it.

1. A login only becomes a member of one group role, whose rights the database's owner sets. Rights of each
   login would fill the catalog until no login can be made (measured: at 2,441).
2. Rows are limited by a *context* of names and values, which a table's policy reads by the login's name
   (`taskbound.context`). A session setting would not do, as the session can change it.
3. Names are 1 to 63 bytes, so that none is cut off. A group is not one of the server's own (`pg_…`), which
   reach beyond a database.
"""

from __future__ import annotations

import re
from typing import Final

from taskbound.core.action.text import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.target.errors import BadKindError, BadTargetError

MOST_CONNECTIONS: Final = 100
MOST_CONTEXT: Final = 64
"""Names of a context."""
_MOST_NAME: Final = 63
_MOST_PATH: Final = 4_096
_PORTS: Final = range(1, 65_536)
_KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_SHOWN: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresPlace:
    """The database's address. Raises BadTargetError if not valid."""

    host: str
    """A name, an address, or the absolute path of the folder of a socket."""
    database: str
    port: int = 5432
    roots: str = ""
    """Absolute path of a PEM file: the authorities of the server's certificate, whose name has to be `host`
    (`verify-full`). Without it the host has to be a path or this machine."""

    def __post_init__(self) -> None:
        """Refuses what libpq would read as something else than a host, port or database name."""
        if not self.host or "," in self.host or not _is_plain(self.host, _MOST_PATH):
            raise BadTargetError(f"`{escape_text(self.host[:_SHOWN])}` is no host of a PostgreSQL server")
        if not _is_name(self.database):
            raise BadTargetError(f"`{escape_text(self.database[:_SHOWN])}` can't name a database")
        if self.port not in _PORTS:
            raise BadTargetError(f"{self.port} is no port")
        if self.roots and not (self.roots.startswith("/") and _is_plain(self.roots, _MOST_PATH)):
            raise BadTargetError("the authorities are a file with an absolute path")
        if not self.roots and not self.is_near:
            raise BadTargetError(
                f"no certificate authorities are named to verify `{escape_text(self.host[:_SHOWN])}`",
                remedy="name the file of its authorities as `roots`: credentials go there",
            )

    @property
    def revocable(self) -> bool:
        return True

    @property
    def is_near(self) -> bool:
        return self.host.startswith("/") or self.host in {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresKind:
    """The group and context of a login. Raises BadKindError by rules 1 to 3."""

    group: str
    """The role that it is a member of."""
    connections: int = 5
    """How many it may have at once."""
    context: tuple[str, ...] = ()
    """The names that its context has (rule 2), sorted; their values come with what is asked for."""

    def __post_init__(self) -> None:
        if not _is_name(self.group) or self.group.startswith("pg_"):
            raise BadKindError(f"`{escape_text(self.group[:_SHOWN])}` is no group that a login can be put in")
        if not 1 <= self.connections <= MOST_CONNECTIONS:
            raise BadKindError(f"a login has 1 to {MOST_CONNECTIONS} connections")
        if any(_KEY.fullmatch(one) is None for one in self.context):
            raise BadKindError("a name of a context is a-z, 0-9 and `_`, and begins with a letter")
        if list(self.context) != sorted(set(self.context)):
            raise BadKindError("the names of a context are sorted, and each is there once")

    @property
    def parameters(self) -> tuple[str, ...]:
        return self.context

    @property
    def words(self) -> str:
        own = ", with rows of its own context" if self.context else ""
        return f"a member of `{escape_text(self.group)}`, {self.connections} connections at once{own}"


def _is_name(text: str) -> bool:
    return 0 < len(text.encode("utf-8", "replace")) <= _MOST_NAME and _is_plain(text, _MOST_NAME)


def _is_plain(text: str, most: int) -> bool:
    return len(text) <= most and text.isprintable()
