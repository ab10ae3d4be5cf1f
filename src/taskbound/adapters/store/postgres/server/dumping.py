"""Backs up a PostgreSQL database with `pg_dump`.

1. `pg_dump` copies the exported snapshot in which the log is verified.
2. It must be as new as the server.
3. It gets no password (libpq finds it) and only libpq's environment variables.
4. It copies our schema alone; `taskbound db upgrade` recreates ownership and rights after loading.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from taskbound.adapters.store.postgres.audit import Chains
from taskbound.adapters.store.postgres.server.link import SCHEMA, PostgresLink, connect, place, translate
from taskbound.adapters.store.postgres.server.opening import require_schema
from taskbound.adapters.store.postgres.server.transaction import PostgresTransaction
from taskbound.ports.store import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.ports.audit import AuditReads


_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_EXPORT: Final = "SELECT pg_export_snapshot()"
_LONG: Final = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0"
_PLACES: Final = "/usr/lib/postgresql"
"""Where Debian has the tools of each version."""
_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")
_KEPT: Final = re.compile(r"PG[A-Z_]+|HOME|PATH|KRB5[A-Z_]*|LC_ALL|LANG|USER|LOGNAME")


class NoDumpToolError(StoreUnavailableError):
    """No `pg_dump` on this machine is new enough for the server."""

    code = "no-pg-dump"
    remedy = "install PostgreSQL's client programs of the server's version, or a newer one"


def dump_database(url: str, to: Path, environ: Mapping[str, str], look: Callable[[AuditReads], None]) -> None:
    """Copies the database durably into `to`, which must not exist, after `look` accepted its log."""
    try:
        with closing(connect(url, reads=True)) as connection:
            require_schema(connection)
            program = _program(connection.info.server_version // 10_000, url)
            connection.execute(_LONG, prepare=False)
            link = PostgresLink(connection, _SNAPSHOT, writes=False)
            name = link.one(str, _EXPORT)
            look(PostgresTransaction(link, Chains({}, {})).audit)
            _run(program, url, name or "", to, environ)  # 1
    except psycopg.Error as error:
        raise translate(error) from error


def _program(server: int, url: str) -> Path:
    found = [Path(one) for one in (shutil.which("pg_dump"),) if one is not None]
    found += sorted(Path(_PLACES).glob("*/bin/pg_dump"), reverse=True)
    for one in found:
        said = subprocess.run(  # noqa: S603 -- a program of the system's, with one word of ours
            [one, "--version"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        ).stdout
        version = _VERSION.search(said)
        if version is not None and int(version[1]) >= server:
            return one
    raise NoDumpToolError(
        f"there is no `pg_dump` of version {server} or newer here for the {place(url)}",
        remedy=f"install PostgreSQL's client programs of version {server}, or run there"
        f" `pg_dump --format=custom --schema={SCHEMA} --file=FILE`, and keep FILE",
    )


def _run(program: Path, url: str, snapshot: str, to: Path, environ: Mapping[str, str]) -> None:
    os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    words = ["--format=custom", f"--schema={SCHEMA}", f"--snapshot={snapshot}", f"--file={to}"]
    done = subprocess.run(  # noqa: S603 -- as above; the address holds no password (`require_store`)
        [program, *words, "--no-owner", "--no-privileges", "--no-password", f"--dbname={url}"],
        env={name: text for name, text in environ.items() if _KEPT.fullmatch(name)},  # 3
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [one for one in done.stderr.splitlines() if one.strip()]
        why = lines[-1].encode("unicode_escape").decode("ascii")[:300] if lines else "it says nothing"
        raise StoreUnavailableError(f"`pg_dump` failed: {why}")
    handle = os.open(to, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
