"""Where a row is that an argument names: a database, a table, the column that finds it, and its version.

1. `sqlite:/FILE?table=T&key=K`, `postgresql:SERVICE?schema=S&table=T&key=K`, or a socket's folder,
   `postgresql:/FOLDER?database=D&schema=S&table=T&key=K`, with `port=` before and `user=` behind the
   database; each with `&version=V` at its end, or without.
2. What is no letter, digit, `_`, `.`, `~` or `-` is written as `%` and the hexadecimal of its bytes (a path
   keeps its slashes), so a name may hold anything that can be printed. There is one way to write a place.
3. A place holds no secret: libpq reads a password, where one is needed, from files of the account that asks.
4. Names of tables and columns come from the declaration alone, never from a call. They have 63 bytes at most:
   PostgreSQL would cut off the rest, and take another table.
5. Without a version column the version is the hash of the whole row.
"""

from __future__ import annotations

import re
from typing import Final

from taskbound.core.approval.errors import BadProbeError
from taskbound.core.approval.folder import is_folder
from taskbound.core.dataclass import dataclass

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
_PARTS: Final = ("port", "database", "user", "schema", "table", "key", "version")
"""In the order in which they are written (rule 2)."""
_ALWAYS: Final = frozenset({"table", "key"})
_WANTED: Final = {
    "sqlite": (_ALWAYS, frozenset({"version"})),
    "service": (_ALWAYS | {"schema"}, frozenset({"version"})),
    "socket": (_ALWAYS | {"schema", "database"}, frozenset({"port", "user", "version"})),
}
"""By the kind of place: what has to be said, and what may be."""
_SERVICE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_LONGEST_NAME: Final = 63
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]")
_WRITTEN: Final = re.compile(r"(?:[A-Za-z0-9_.~/-]|%[0-9A-F]{2})+")
_ESCAPE: Final = re.compile(rb"%([0-9A-F]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPlace:
    """A table, and how a row of it is found."""

    engine: str
    """`sqlite` or `postgresql`."""
    path: str = ""
    """SQLite's file, or the folder of PostgreSQL's socket."""
    service: str = ""
    """The name of a service of libpq's, where no socket is said."""
    port: str = ""
    """Empty: libpq's own."""
    database: str = ""
    user: str = ""
    """Empty: the account's own name."""
    schema: str = ""
    table: str
    key: str
    """The column that holds what the argument says."""
    version: str = ""
    """The column that changes with the row; empty: the whole row."""

    @property
    def text(self) -> str:
        """As a person writes it (rule 2)."""
        said = [f"{name}={_escape(value)}" for name in _PARTS if (value := getattr(self, name))]
        where = "/".join(map(_escape, self.path.split("/"))) if self.path else self.service
        return f"{self.engine}:{where}?{'&'.join(said)}"


def parse_row(text: str) -> RowPlace:
    """The place that a person wrote.

    Raises:
        BadProbeError: It is none (rules 1, 2 and 4).
    """
    engine, _, rest = text.partition(":")
    where, _, query = rest.partition("?")
    if engine not in {SQLITE, POSTGRESQL}:
        raise BadProbeError(f"a row is in `{SQLITE}` or in `{POSTGRESQL}`")
    said: dict[str, str] = {}
    for one in query.split("&"):
        name, _, value = one.partition("=")
        if name in said or name not in _PARTS:
            raise BadProbeError(f"a row's place says nothing named `{name}`, or says it twice")
        said[name] = _read(value)
    path = _read(where) if where.startswith("/") else ""
    kind = SQLITE if engine == SQLITE else "socket" if path else "service"
    must, may = _WANTED[kind]
    if not must <= said.keys() <= must | may:
        listed = ", ".join(f"`{name}`" for name in _PARTS if name in must)
        raise BadProbeError(f"a row's place of this kind says {listed}, and no more than may be said")
    if path and not is_folder(path):
        raise BadProbeError("a path is absolute, and without `.`, `..` or `//`")
    if not path and (kind == SQLITE or _SERVICE.fullmatch(where) is None):
        raise BadProbeError("a row is in a file that is named by its path, or in a service of libpq's")
    if "port" in said and _PORT.fullmatch(said["port"]) is None:
        raise BadProbeError("a port is a number")
    found = RowPlace(engine=engine, path=path, service="" if path else where, **said)
    if found.text != text:
        raise BadProbeError(f"there is one way to write a row's place: `{found.text}`")
    return found


def _read(text: str) -> str:
    """What a part says, unescaped."""
    if _WRITTEN.fullmatch(text) is None:
        raise BadProbeError(
            "a row's place says nothing, or holds what has to be written as `%` and two digits"
        )
    try:
        found = _ESCAPE.sub(lambda one: bytes.fromhex(one[1].decode()), text.encode()).decode()
    except UnicodeDecodeError as error:
        raise BadProbeError("a row's place holds an escape that is no UTF-8") from error
    if not found.isprintable():
        raise BadProbeError("a row's place holds what can't be printed")
    if "/" not in text and len(found.encode()) > _LONGEST_NAME:
        raise BadProbeError(f"a name has {_LONGEST_NAME} bytes at most")  # 4
    return found


def _escape(text: str) -> str:
    return "".join(
        one if _PLAIN.fullmatch(one) else "".join(f"%{byte:02X}" for byte in one.encode()) for one in text
    )
