"""PostgreSQL as a bench: a server on a socket of its own, and an admin that is no superuser."""

from __future__ import annotations

import secrets
import socket
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql

from taskbound.adapters.targets.postgres import PostgresAdmin
from taskbound.core.clock import Instant, seconds
from tests.contracts.target.bench import Foreign, Session, ShutError, Told
from tests.peers.cutting import Cutting
from tests.peers.impostor import posing
from tests.peers.minter import ADMIN, MARK, PREFIX, READERS, Orders, minting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from taskbound.adapters.targets.postgres import PostgresTarget
    from taskbound.core.target import PostgresKind
    from taskbound.ports.target import Minted
    from tests.peers.cutting import How
    from tests.peers.impostor import Does


# No session waits for another one: several of each shape are open at once.
_OPENS: Final = {
    "plain": "SELECT 1",
    "another's rights": "SET ROLE readers",
    "a transaction": "BEGIN; DO $$ BEGIN EXECUTE 'CREATE TABLE t' || pg_backend_pid() || ' (id int)'; END $$",
    "a cursor": "BEGIN; DECLARE mine CURSOR FOR SELECT * FROM orders; FETCH mine",
    "news": "LISTEN news",
    "a lock": "SELECT pg_advisory_lock_shared(42), * FROM orders FOR SHARE",
    "another name": "SELECT set_config('application_name', 'psql', false)",
    "what it made": "SET ROLE readers; CREATE TEMP TABLE mine (id int); RESET ROLE; SELECT lo_create(0)",
}
SHAPES: Final = tuple(_OPENS)
_STATE: Final = """
SELECT a.rolname, a.oid, a.rolpassword, a.rolvaliduntil, a.rolcanlogin, a.rolconnlimit,
    (SELECT array_agg(m.roleid ORDER BY m.roleid) FROM pg_auth_members m WHERE m.member = a.oid)
FROM pg_authid a WHERE a.rolname = ANY(%s) ORDER BY a.rolname
"""
_CONTEXTS: Final = "SELECT login, key, value FROM taskbound.contexts WHERE login = ANY(%s) ORDER BY 1, 2"
_PREPARED: Final = "SELECT gid FROM pg_prepared_xacts WHERE owner = ANY(%s)"
_MUCH_LIKE: Final = (
    "tb_abcdefgx_" + "a" * 35,
    "TB_abcdefgh_" + "a" * 35,
    "tbxabcdefghx" + "a" * 35,
    "tb_",
    "tb_abcdefgh",
    f"x{PREFIX}other",
    f'{PREFIX[:-1]}"; --',
    f"taskbound_kept_{MARK}",
)


@dataclass(frozen=True, slots=True)
class _Login:
    """One connection of whoever was handed a login."""

    connection: psycopg.Connection[tuple[object, ...]]

    def acts(self) -> bool:
        """Read a table."""
        try:
            return self.connection.execute("SELECT count(*) FROM orders").fetchone() is not None
        except psycopg.OperationalError:
            return False

    def close(self) -> None:
        """Leave."""
        self.connection.close()


@dataclass(frozen=True, slots=True)
class _Way:
    """Messages of the admin's, cut off by a proxy on the socket."""

    orders: Orders
    cutting: Cutting

    def target(self) -> PostgresTarget:
        """By way of the proxy."""
        return self.orders.target(self.cutting.folder)

    def after(self, messages: int, how: How) -> None:
        """Cut once."""
        self.cutting.after(messages, how)


@dataclass(slots=True)
class PostgresBench:
    """See `bench.Bench`."""

    orders: Orders
    begun: int
    """How long the server's log was before the first test."""
    told: Told = field(default_factory=lambda: Told({ADMIN.password}))
    context: Mapping[str, str] = field(default_factory=lambda: {"tenant": "red"})
    renews: bool = True
    ends_by_itself: bool = True
    shapes: tuple[str, ...] = SHAPES
    pieces: tuple[int, ...] = ()
    cuts: tuple[int, int] = (8, 12)
    slower: int = 1

    @property
    def kind(self) -> PostgresKind:
        """Readers of a tenant's rows."""
        return replace(READERS, connections=20, context=("tenant",))

    @property
    def ends(self) -> Instant:
        """A day from when the server was started."""
        return self.orders.ends

    def now(self) -> Instant:
        """The server's."""
        with self.orders.owner() as owner:
            found = owner.execute("SELECT extract(epoch FROM clock_timestamp())::bigint").fetchone()
        return Instant(seconds(int(str(found[0])) if found else 0))

    def target(self) -> PostgresTarget:
        """The minter's."""
        return self.orders.target()

    def wrong(self) -> PostgresTarget:
        """One with another password."""
        word = secrets.token_urlsafe(16)
        self.told.words.add(word)
        return self.orders.target(admin=replace(ADMIN, password=word))

    @contextmanager
    def weak(self) -> Iterator[PostgresTarget | None]:
        """A login that may make no logins."""
        word = secrets.token_urlsafe(16)
        self.told.words.add(word)
        with self.orders.owner() as owner:
            owner.execute("SET log_statement = 'none'")  # what is said here is the test's own
            owner.execute(f"CREATE ROLE weak LOGIN PASSWORD '{word}'".encode())
            try:
                yield self.orders.target(admin=PostgresAdmin(user="weak", password=word))
            finally:
                owner.execute("DROP ROLE weak")

    def nobody(self, folder: Path) -> PostgresTarget:
        """A folder without a socket."""
        return self.orders.target(folder)

    @contextmanager
    def impostor(self, folder: Path, does: Does) -> Iterator[PostgresTarget]:
        """Another program's socket in a folder."""
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(folder / ".s.PGSQL.5432"))
        listening.listen()
        with posing(listening, does):
            yield self.orders.target(folder)

    @contextmanager
    def cutting(self, folder: Path) -> Iterator[_Way]:
        """By a proxy on the socket."""
        with Cutting(folder, self.orders.server.folder) as way:
            yield _Way(self.orders, way)

    def open(self, minted: Minted, shape: str = "") -> Session:
        """A connection, and what makes its shape."""
        try:
            connection = self.orders.login(minted)
        except psycopg.OperationalError as error:
            if any(one in str(error) for one in ("authentication failed", "does not exist", "not permitted")):
                raise ShutError from None
            raise
        opens = _OPENS[shape or self.shapes[0]]
        try:
            if "SET ROLE" in opens and self.orders.apart:
                with self.orders.owner() as owner:  # as it is before 16, where each may become its group
                    owner.execute(f"GRANT readers TO {minted.open['PGUSER']} WITH SET TRUE".encode())
            connection.execute(opens.encode())
        except psycopg.Error:  # its end overtook it, and the connection may not know yet
            connection.close()
            raise
        return _Login(connection)

    def there(self) -> frozenset[str]:
        """Roles of our prefix."""
        return frozenset(self.orders.roles())

    def shows(self, name: str) -> object:
        """The role, what it is in, its context, and what it prepared."""
        found = self._state([name])
        return found if any(found) else None

    def open_of(self, name: str) -> int:
        """Sessions of the login, or of nobody any more."""
        return self.orders.sessions(name)

    @contextmanager
    def foreign(self, count: int) -> Iterator[Foreign]:
        """Roles of others, of which one is logged in."""
        names = [*_MUCH_LIKE, *(f"tb_abcdefgx_{number:035d}" for number in range(count - len(_MUCH_LIKE)))]
        each = [sql.SQL("CREATE ROLE {} IN ROLE readers").format(sql.Identifier(one)) for one in names]
        with self.orders.owner() as owner:
            owner.execute(sql.SQL(";").join(each))
            owner.execute(sql.SQL("ALTER ROLE {} LOGIN").format(sql.Identifier(names[0])))
            session = self.orders.server.connect("orders")
            session.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(names[0])))
            try:
                yield Foreign(
                    names=frozenset(names), state=lambda: self._state(names), session=_Login(session)
                )
            finally:
                session.close()
                owner.execute(sql.SQL("DROP ROLE {}").format(sql.SQL(", ").join(map(sql.Identifier, names))))

    def log(self) -> str:
        """The server's, with every statement since the admin was made."""
        return (self.orders.server.folder / "log").read_text(encoding="utf-8", errors="replace")[self.begun :]

    def _state(self, names: list[str]) -> tuple[list[tuple[object, ...]], ...]:
        with self.orders.owner() as owner:
            return tuple(owner.execute(one, (names,)).fetchall() for one in (_STATE, _CONTEXTS, _PREPARED))


@contextmanager
def benched() -> Iterator[PostgresBench]:
    """Such a bench, for the length of the context."""
    with minting() as orders:
        log = (orders.server.folder / "log").read_text(encoding="utf-8", errors="replace")
        yield PostgresBench(orders, len(log))
