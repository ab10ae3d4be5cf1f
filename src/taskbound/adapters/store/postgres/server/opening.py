"""Checks a PostgreSQL database before use, manages its roles, and creates the schema.

Of `opening`:

1. A server that is too old, read-only, or may lose acknowledged commits is refused, and so is a database
   whose encoding is not UTF-8.
2. A foreign schema under our name is refused and left unchanged.
3. The daemon's role cannot create tables. A missing schema is refused with the command that a person
   runs; another version is refused with what can be done.
4. A database loaded from another server is refused until its numbers are shifted (`number`, rule 4).

Of `upgrade`:

1. Only a person's command upgrades, as a role that owns the database.
2. Concurrent upgrades take turns. The schema is created in one transaction, and every step is idempotent.
3. A database loaded from another server continues with numbers above its last.

Of `roles`:

1. Rights are granted to fixed NOLOGIN group roles; the processes' roles are members.
2. The daemon may append to the log but never change or delete records. It may change an action's state
   but not what was decided, except that a held action may be permitted (a trigger enforces it). Answers,
   stored bundles and activations stay. It creates no tables.
3. The signer reads the log and what tokens rest on; the broker reads that, targets, credentials and
   signed answers. Neither writes.
4. `PUBLIC` has no rights in the schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg
from sqlalchemy.dialects.postgresql.base import PGDialect

from taskbound.adapters.store.postgres.server.link import (
    SCHEMA,
    ReadOnlyDatabaseError,
    connect,
    place,
    translate,
    unopened,
)
from taskbound.adapters.store.postgres.server.presence import MADE, NEXT, WIDTH
from taskbound.adapters.store.sql.schema import LIFTED
from taskbound.adapters.store.sql.schema.initial import READ_REVISION, initial_schema, require_revision
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.ports.store import ForeignDatabaseError, OlderDatabaseError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.adapters.store.postgres.server.link import Connection


MARK: Final = "Taskbound's store (TBnd)"
"""What the comment of our schema says."""
OLDEST: Final = 150_000
"""The oldest tested server: 15, which grants no rights in `public`."""


class OldDatabaseServerError(StoreUnavailableError):
    """The database server is older than the oldest tested version."""

    code = "old-database-server"
    remedy = "upgrade it to PostgreSQL 15 or newer"


class UnsafeDatabaseError(StoreUnavailableError):
    """The server may lose acknowledged commits or alter texts."""

    code = "unsafe-database"
    remedy = "set `fsync` and `full_page_writes` to on, and use a database with encoding UTF8"


class RestoredDatabaseError(StoreUnavailableError):
    """The database was loaded from another server, so its record order would be lost."""

    code = "restored-database"
    remedy = "run `taskbound db upgrade` as the role that owns the database: it lets the numbers go on"


_SERVER: Final = """
    SELECT current_setting('server_version_num')::int, pg_is_in_recovery(),
        current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on',
        current_setting('server_encoding'), current_setting('transaction_read_only') = 'on'
"""
_OURS: Final = f"""
    SELECT obj_description(n.oid, 'pg_namespace'),
        (SELECT count(*) FROM pg_class c WHERE c.relnamespace = n.oid)
    FROM pg_namespace n WHERE n.nspname = '{SCHEMA}'
"""  # noqa: S608  # our own constant
_HIGHEST: Final = f"SELECT coalesce((SELECT max(number) FROM records), 0) >= {NEXT}"  # noqa: S608  # our own constants


def require_server(connection: Connection) -> None:
    """Refuses a server that is too old, read-only, or may lose or change data."""
    version, standby, safe, encoding, reads = _row(connection, _SERVER)
    if not isinstance(version, int) or version < OLDEST:
        raise OldDatabaseServerError(f"the server's version is {version}")
    if standby or reads:
        raise ReadOnlyDatabaseError("the server only reads")
    if not safe:
        raise UnsafeDatabaseError("the server does not sync what it writes")
    if encoding != "UTF8":
        raise UnsafeDatabaseError(f"the encoding of the database is {encoding}")


def require_ours(connection: Connection) -> bool:
    """Returns whether our tables exist; raises ForeignDatabaseError if the schema holds others (rule 2)."""
    found = connection.execute(_OURS).fetchone()
    if found is None:
        return False
    mark, count = found
    if count == 0 and mark in {None, MARK}:
        return False
    if mark == MARK:
        return True
    raise ForeignDatabaseError(
        f"the schema `{SCHEMA}` of this database is not Taskbound's", remedy="name another database"
    )


def require_schema(connection: Connection) -> None:
    if not require_ours(connection):
        raise OlderDatabaseError("the database has no tables of Taskbound")
    (there,) = _row(connection, f"SELECT to_regclass('{SCHEMA}.schema_revision') IS NOT NULL")
    found = connection.execute(READ_REVISION.encode()).fetchone() if there else None
    require_revision(found[0] if found else None, "the database")


def require_numbers(connection: Connection) -> None:
    """Raises RestoredDatabaseError if a record's number is above this server's transaction ids (rule 4)."""
    (above,) = _row(connection, _HIGHEST)
    if above:
        raise RestoredDatabaseError("the database holds records of another server")


def _row(connection: Connection, text: str) -> tuple[object, ...]:
    found = connection.execute(text.encode()).fetchone()
    if found is None:
        raise StoreUnavailableError("the server answers nothing")
    return found


BROKER: Final = "taskbound_broker"
DAEMON: Final = "taskbound_daemon"
SIGNER: Final = "taskbound_signer"

_KEPT: Final = ("SELECT", "INSERT", "UPDATE")
_REMOVABLE: Final = (*_KEPT, "DELETE")
_APPENDED: Final = ("SELECT", "INSERT")
_READ: Final = ("SELECT",)
_OUTCOME: Final = ("state", "finished", "answer", "answer_digest", "released", "note", "record")
_STEP: Final = ("state", "connection", "request", "waits", "finished", "reason")
_END: Final = ("state", "finished", "reason")
_KEY_STEP: Final = ("state", "used", "retired", "revoked", "why")
_SIGN_IN: Final = ("namespace", "id", "person", "until")
"""What a signer sees of who is signed in: whether they still are."""
_CREDENTIAL_STEP: Final = (
    *("state", "ends", "due", "fence", "leased", "shown", "acknowledged", "ended", "why", "attempts"),
    *("trouble", "late", "renewal", "renewed", "renewal_record", "renewal_state", "renewal_attempts"),
    "kept",
    "version",
)
_PLAN_STEP: Final = ("state", "used", "finished", "reason")

_SIGNED: Final[dict[str, tuple[str, ...]]] = dict.fromkeys(
    (
        *("records", "places", "tiles", "checkpoints", "numbering", "schema_revision"),
        *("writers", "tokens", "token_keys", "kill_switches", "agents", "persons", "tasks", "actions"),
        *("approvals", "approval_plans", "approval_answers", "token_admissions"),
    ),
    _READ,
) | {"browser_sessions": tuple(f"SELECT ({one})" for one in _SIGN_IN)}
"""What a signer reads."""
_MINTED: Final = (
    *("targets", "installation", "credentials", "servers", "tools", "tool_approvers"),
    *(
        "person_keys",
        "person_groups",
        "namespaces",
        "issuers",
        "identity_issuers",
        "accounts",
        "task_accounts",
    ),
)
"""What a broker reads beside that: what it works on, and whose word counts about it."""

GROUPS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    DAEMON: {
        "persons": _KEPT,
        "person_groups": _KEPT,
        "person_keys": _KEPT,
        "namespaces": _KEPT,
        "issuers": _REMOVABLE,
        "selectors": _REMOVABLE,
        "identity_issuers": _REMOVABLE,
        "accounts": ("SELECT", "INSERT", "DELETE"),
        "sign_ins": ("SELECT", "INSERT", "DELETE"),
        "browser_sessions": ("SELECT", "INSERT", "DELETE"),
        "agent_keys": (*_APPENDED, "UPDATE (ended)"),
        "services": _REMOVABLE,
        "service_keys": (*_APPENDED, "UPDATE (removed)"),
        "trusts": _REMOVABLE,
        "agents": _KEPT,
        "kill_switches": _KEPT,
        "bundles": _APPENDED,
        "activations": _APPENDED,
        "bundles_in_force": _KEPT,
        "servers": _REMOVABLE,
        "tools": _REMOVABLE,
        "tool_approvers": _REMOVABLE,
        "upstream_secrets": _REMOVABLE,
        "tasks": _KEPT,
        "task_evidence": _APPENDED,
        "task_accounts": _APPENDED,
        "token_requests": _REMOVABLE,
        "token_admissions": _KEPT,
        "token_refreshes": ("SELECT", "INSERT", "DELETE"),
        "token_clients": ("SELECT", "INSERT", "DELETE"),
        "templates": _REMOVABLE,
        "tokens": (*_APPENDED, "DELETE", "UPDATE (revoked)", "UPDATE (why)", "UPDATE (unsigned)"),
        "token_keys": (*_APPENDED, *(f"UPDATE ({one})" for one in _KEY_STEP)),
        "claims": ("SELECT", "INSERT", "DELETE"),
        "claims_forgotten": ("SELECT", "INSERT", "UPDATE (until)"),
        "shared_claims": ("SELECT", "INSERT", "DELETE", "UPDATE (state)", "UPDATE (answer)"),
        "shared_tallies": _KEPT,
        "answered": ("SELECT", "INSERT", "DELETE", "UPDATE (answer)"),
        "remainders": _REMOVABLE,
        "heartbeats": _REMOVABLE,
        "unclaimed_tasks": ("SELECT", "INSERT", "DELETE"),
        "targets": _REMOVABLE,
        "installation": _APPENDED,
        "epochs": _APPENDED,
        "credentials": (*_APPENDED, *(f"UPDATE ({one})" for one in _CREDENTIAL_STEP)),
        "runs": _KEPT,
        "actions": (*_APPENDED, *(f"UPDATE ({one})" for one in (*_OUTCOME, *LIFTED))),
        "acts": _KEPT,
        "approvals": (*_APPENDED, *(f"UPDATE ({one})" for one in _STEP)),
        "approval_plans": (*_APPENDED, *(f"UPDATE ({one})" for one in _PLAN_STEP)),
        "approval_answers": _APPENDED,
        "approval_displays": _APPENDED,
        "approval_limits": _KEPT,
        "amendments": (*_APPENDED, *(f"UPDATE ({one})" for one in _END)),
        "amendment_answers": _APPENDED,
        "writers": _KEPT,
        "records": _APPENDED,
        "places": _APPENDED,
        "tiles": _KEPT,
        "checkpoints": _KEPT,
        "revocations": ("SELECT", "INSERT", "DELETE"),
        "numbering": _READ,
        "schema_revision": _READ,
    },
    SIGNER: _SIGNED | dict.fromkeys(("services", "service_keys"), _READ),
    BROKER: _SIGNED | dict.fromkeys(_MINTED, _READ),
}
"""By group and table: what it may do there (rules 2 and 3)."""

_SEQUENCE: Final = "actions_number_seq"
_ROLES_OURS: Final = ", ".join(f"'{one}'" for one in GROUPS)
_RIGHTS: Final = f"""
    SELECT g.rolname, c.relname, a.privilege_type FROM pg_class c
    CROSS JOIN LATERAL aclexplode(c.relacl) a JOIN pg_roles g ON g.oid = a.grantee
    WHERE c.relnamespace = '{SCHEMA}'::regnamespace AND c.relkind IN ('r', 'p')
        AND g.rolname IN ({_ROLES_OURS})
    UNION ALL
    SELECT g.rolname, c.relname, a.privilege_type || ' (' || k.attname || ')' FROM pg_class c
    JOIN pg_attribute k ON k.attrelid = c.oid
    CROSS JOIN LATERAL aclexplode(k.attacl) a JOIN pg_roles g ON g.oid = a.grantee
    WHERE c.relnamespace = '{SCHEMA}'::regnamespace AND g.rolname IN ({_ROLES_OURS})
"""  # noqa: S608  # our own constants
_ROLE: Final = f"""
    SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls,
        has_schema_privilege(current_user, '{SCHEMA}', 'CREATE'),
        pg_has_role(current_user, (SELECT nspowner FROM pg_namespace WHERE nspname = '{SCHEMA}'), 'MEMBER')
    FROM pg_roles WHERE rolname = current_user
"""  # noqa: S608  # our own constant
_EXCESS: Final = (
    "is a superuser",
    "can make roles",
    "can make databases",
    "passes over row security",
    "can make tables among ours",
    "owns the tables",
)


def grant_rights(connection: Connection, members: Mapping[str, str]) -> None:
    """Sets exactly the groups' rights, as the schema's owner; `members`: login role by group."""
    for group, tables in GROUPS.items():
        if not _exists(connection, group):
            connection.execute(_text(f"CREATE ROLE {group} NOLOGIN"))
        connection.execute(_text(f"REVOKE ALL ON ALL TABLES IN SCHEMA {SCHEMA} FROM PUBLIC, {group}"))
        connection.execute(_text(f"REVOKE ALL ON SCHEMA {SCHEMA} FROM PUBLIC, {group}"))  # 4
        connection.execute(_text(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {group}"))
        for table, rights in tables.items():
            connection.execute(_text(f"GRANT {', '.join(rights)} ON {SCHEMA}.{table} TO {group}"))
    connection.execute(_text(f"GRANT USAGE ON SEQUENCE {SCHEMA}.{_SEQUENCE} TO {DAEMON}"))
    for group, member in members.items():
        if not member:
            continue
        if not _exists(connection, member):
            connection.execute(_text(f"CREATE ROLE {_quoted(member)} LOGIN"))
        connection.execute(_text(f"GRANT {group} TO {_quoted(member)}"))


def wanted_rights() -> frozenset[tuple[str, str, str]]:
    """Returns (group, table, right) for all rights that must be granted."""
    return frozenset(
        (group, table, right)
        for group, tables in GROUPS.items()
        for table, rights in tables.items()
        for right in rights
    )


def actual_rights(connection: Connection) -> frozenset[tuple[str, str, str]]:
    return frozenset(
        (str(group), str(table), str(right)) for group, table, right in connection.execute(_text(_RIGHTS))
    )


def excess_of(connection: Connection) -> tuple[str, ...]:
    """Returns, as sentences, rights of the current role that a daemon must not have."""
    found = connection.execute(_text(_ROLE)).fetchone()
    return tuple(words for words, has in zip(_EXCESS, found or (), strict=bool(found)) if has)


def _exists(connection: Connection, role: str) -> bool:
    found = connection.execute(b"SELECT 1 FROM pg_roles WHERE rolname = $1", (role,)).fetchone()
    return found is not None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(statement: str) -> bytes:
    return statement.encode()


_TURN: Final = 0x5442_6E64_0002
_SHIFT: Final = f"""
    UPDATE numbering SET shift = greatest(shift, (SELECT coalesce(max(number), 0) >> {WIDTH} FROM records)
        - pg_current_xact_id()::text::bigint + 1)
    WHERE (SELECT coalesce(max(number), 0) >> {WIDTH} FROM records)
        >= pg_current_xact_id()::text::bigint + shift
"""  # noqa: S608  # our own constant


_NAMES: Final = ", ".join(f"`{one}`" for one in GROUPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One result of the examination."""

    well: bool
    text: str


def upgrade_database(url: str, *, daemon: str = "", signer: str = "", broker: str = "") -> None:
    """Creates the schema if absent and grants the processes' login roles what they need; '' grants none."""
    try:
        connection = connect(url, application="taskbound db upgrade")
    except psycopg.Error as error:
        raise unopened(error) from error
    try:
        connection.execute("SET statement_timeout = 0")
        connection.execute("SET lock_timeout = '60s'")
        connection.execute("SELECT pg_advisory_lock($1::bigint)", (_TURN,))  # 2
        require_server(connection)
        if not require_ours(connection):
            _make(connection)
        require_schema(connection)
        with connection.transaction():
            grant_rights(connection, {DAEMON: daemon, SIGNER: signer, BROKER: broker})
            connection.execute(_SHIFT)  # 3
        require_numbers(connection)
    except psycopg.Error as error:
        raise translate(error) from error
    finally:
        connection.close()


def examine_database(url: str) -> tuple[Finding, ...]:
    """Returns every deviation of the database and of the current role from what they must be."""
    try:
        connection = connect(url, application="taskbound db check")
    except psycopg.Error as error:
        return (Finding(well=False, text=f"{place(url)}: {unopened(error).message}"),)
    try:
        return tuple(_look(connection, url))
    except psycopg.Error as error:
        return (Finding(well=False, text=f"{place(url)}: {translate(error).message}"),)
    finally:
        connection.close()


def _look(connection: Connection, url: str) -> list[Finding]:
    version = connection.info.server_version
    found = [
        Finding(well=True, text=f"PostgreSQL {version // 10_000}.{version % 10_000}, {place(url)}"),
    ]
    for require, well in (
        (require_server, "the server keeps what it acknowledges"),
        (require_schema, "the schema is the newest"),
        (require_numbers, "the records are numbered by this server"),
    ):
        try:
            require(connection)
        except TaskboundError as error:
            found.append(Finding(well=False, text=f"{error.message}: {error.advice}"))
            return found
        found.append(Finding(well=True, text=well))
    wanted, actual = wanted_rights(), actual_rights(connection)
    found += [
        Finding(well=False, text=f"`{group}` lacks {right} on `{table}`")
        for group, table, right in sorted(wanted - actual)
    ]
    found += [
        Finding(well=False, text=f"`{group}` has {right} on `{table}`, which it does not need")
        for group, table, right in sorted(actual - wanted)
    ]
    if wanted == actual:
        found.append(Finding(well=True, text=f"{_NAMES} have exactly what they need"))
    excess = excess_of(connection)
    role = connection.info.user
    if excess:
        found.append(
            Finding(well=False, text=f"as a daemon's role `{role}` has too much: it {', '.join(excess)}")
        )
    else:
        found.append(Finding(well=True, text=f"role `{role}` can do no more than it needs"))
    return found


def _make(connection: Connection) -> None:
    mark = MARK.replace("'", "''")
    with connection.transaction():
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}".encode())
        connection.execute(f"COMMENT ON SCHEMA {SCHEMA} IS '{mark}'".encode())
        for statement in (*initial_schema(PGDialect()), *MADE):  # type: ignore[no-untyped-call]  # SQLAlchemy gives it no types
            connection.execute(statement.encode())
