"""A PostgreSQL server in which logins are minted: by passwords, and by an admin that is no superuser."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

import psycopg

from taskbound.adapters.targets.postgres import CONTEXT, PostgresAdmin, PostgresTarget
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import name_of, prefix_of
from taskbound.core.target import PostgresKind, PostgresPlace
from taskbound.ports.target import Minted, MintOrder
from tests.postgres import Server, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


MARK = "abcdefgh"
PREFIX = prefix_of(MARK)
PATIENCE = 10.0
ADMIN = PostgresAdmin(user="minter", password="minters-own-word")
READERS = PostgresKind(group="readers")
_HBA = "local all owner trust\nlocal all all scram-sha-256\n"
_APART = 160_000
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_numbers = count()
_ADMIN = "CREATE ROLE minter LOGIN CREATEROLE PASSWORD 'minters-own-word' IN ROLE pg_signal_backend"
_BEFORE = """
CREATE ROLE readers;
CREATE TABLE orders (id int PRIMARY KEY, tenant text NOT NULL);
INSERT INTO orders VALUES (1, 'red'), (2, 'blue');
GRANT SELECT, UPDATE ON orders TO readers;
GRANT CREATE ON SCHEMA public TO readers;
CREATE TABLE parcels (id int PRIMARY KEY, tenant text NOT NULL);
INSERT INTO parcels VALUES (1, 'red'), (2, 'blue'), (3, 'blue');
GRANT SELECT ON parcels TO readers;
ALTER TABLE parcels ENABLE ROW LEVEL SECURITY;
"""
_AFTER = """
GRANT USAGE ON SCHEMA taskbound TO minter;
GRANT SELECT, INSERT, DELETE ON taskbound.contexts TO minter;
CREATE POLICY of_the_task ON parcels USING (tenant = taskbound.context('tenant'));
"""


def fresh_name() -> str:
    """A name that no other test has."""
    number, text = next(_numbers), ""
    for _ in range(35):
        text = _LETTERS[number % 32] + text
        number //= 32
    return name_of(MARK, f"crd_{text}")


@dataclass(frozen=True, slots=True)
class Orders:
    """The database `orders`, and its admin."""

    server: Server
    ends: Instant
    """A day from when the server was made."""

    def target(self, folder: Path | None = None, admin: PostgresAdmin = ADMIN) -> PostgresTarget:
        """As the admin sees it; by way of another folder's socket where one is named."""
        return PostgresTarget(self.place(folder), admin)

    @property
    def apart(self) -> bool:
        """Whether the server can keep a login from becoming its group: from 16 on."""
        with self.owner() as owner:
            return owner.info.server_version >= _APART

    def place(self, folder: Path | None = None) -> PostgresPlace:
        """Where it is."""
        return PostgresPlace(host=str(folder or self.server.folder), database="orders")

    def mint(self, kind: PostgresKind = READERS, **context: str) -> Minted:
        """A login."""
        order = MintOrder(name=fresh_name(), ends=self.ends, context=context)
        return self.target().mint(order, kind, patience=PATIENCE)

    def owner(self, database: str = "orders") -> psycopg.Connection[tuple[object, ...]]:
        """The owner's connection, in autocommit."""
        return self.server.connect(database)

    def login(self, minted: Minted, database: str = "") -> psycopg.Connection[tuple[object, ...]]:
        """A connection of whoever was handed this."""
        return psycopg.connect(
            host=minted.open["PGHOST"],
            dbname=database or minted.open["PGDATABASE"],
            user=minted.open["PGUSER"],
            password=minted.secret["PGPASSWORD"],
            connect_timeout=10,
            autocommit=True,
        )

    def with_password(self, minted: Minted, password: str) -> Minted:
        """The same with another password."""
        return replace(minted, secret={"PGPASSWORD": password})

    def roles(self) -> set[str]:
        """The logins of ours that are there."""
        with self.owner() as owner:
            found = owner.execute("SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)", (PREFIX,))
            return {str(name) for (name,) in found}

    def sessions(self, name: str) -> int:
        """How many sessions are open of who logged in by this name, or of nobody any more."""
        with self.owner() as owner:
            found = owner.execute(
                "SELECT count(*) FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid"
                " WHERE a.backend_type = 'client backend' AND a.usesysid IS NOT NULL"
                " AND (r.rolname = %s OR r.oid IS NULL)",
                (name,),
            ).fetchone()
            return int(str(found[0])) if found else 0


@contextmanager
def minting(*settings: str, of: Path | None = None) -> Iterator[Orders]:
    """Such a server, for the length of the context, by the programs of a folder (`tests.postgres`)."""
    with running("max_prepared_transactions=20", "log_statement=all", *settings, of=of) as server:
        with server.connect("postgres") as owner:
            owner.execute("CREATE DATABASE orders")
            owner.execute("CREATE DATABASE beside")
            found = owner.execute("SELECT extract(epoch FROM now())::bigint").fetchone()
        with server.connect("orders") as owner:
            for statements in (_ADMIN, _BEFORE, CONTEXT, _AFTER):
                owner.execute(statements.encode())
        with server.connect("orders") as owner:
            if owner.info.server_version >= _APART:
                owner.execute("GRANT readers TO minter WITH ADMIN TRUE, INHERIT FALSE, SET FALSE")
        with server.connect("beside") as owner:
            owner.execute("GRANT CREATE ON SCHEMA public TO readers")
        (server.folder / "data" / "pg_hba.conf").write_text(_HBA, encoding="utf-8")
        with server.connect("postgres") as owner:
            owner.execute("SELECT pg_reload_conf()")
        now = int(str(found[0])) if found else 0
        yield Orders(server, Instant(seconds(now + 86_400)))
