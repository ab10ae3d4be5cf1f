"""Making logins: in one transaction, in one group, with an end of its own.

1. A login has a password that was made here, in 256 bits, and is sent as its SCRAM verifier: neither the
   statement nor the server's log has it.
2. It has none of the attributes that reach beyond rights on objects, and neither has its group, nor any role
   that the group is in: membership alone would pass them on to whoever may `SET ROLE`. None of them owns a
   database: its owner is who says what counts there (`schema`).
3. Where the server knows how (16 and later), a login can't become its group: what it makes is its own, and
   is seen.
4. The admin can enter each database that a login can: what a login made where nobody takes it over, runs with
   its rights for as long as its role is there, also once it can't log in any more.
5. What another target had made here (`seen_in`) is held to rules 2 and 4 when it is used for a test.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from psycopg import sql

from taskbound.adapters.targets.postgres.link import linked, named
from taskbound.adapters.targets.postgres.schema import HAS_CONTEXTS
from taskbound.adapters.targets.postgres.scram import SALT, verifier_of
from taskbound.core.credential import SECRET_BYTES, spell_secret
from taskbound.core.tool.name import shown
from taskbound.ports.target import Minted, TargetRefusedError, TargetUnavailableError

if TYPE_CHECKING:
    from taskbound.adapters.targets.postgres.link import Link
    from taskbound.core.clock import Instant
    from taskbound.core.target import PostgresKind, PostgresPlace
    from taskbound.ports.target import MintOrder


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SET_FALSE: Final = 160_000
"""The server's version that knows rule 3."""
_ABOVE: Final = """
WITH RECURSIVE above(oid) AS (
    SELECT oid FROM pg_roles WHERE rolname = %s
    UNION SELECT m.roleid FROM pg_auth_members m JOIN above a ON a.oid = m.member
)
SELECT r.rolname, r.rolsuper OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls OR r.rolname = ANY(%s)
        OR EXISTS (SELECT FROM pg_database WHERE datdba = r.oid),
    (SELECT min(d.datname) FROM pg_database d WHERE d.datallowconn
        AND has_database_privilege(r.oid, d.oid, 'CONNECT') AND NOT has_database_privilege(d.oid, 'CONNECT'))
FROM above a JOIN pg_roles r USING (oid)
"""
"""With the first database that the role can enter and the admin can't (rule 4)."""
_HAS_CONTEXTS: Final = f"SELECT {HAS_CONTEXTS}"
_ROLES_BEYOND: Final = (
    "pg_checkpoint",
    "pg_create_subscription",
    "pg_execute_server_program",
    "pg_maintain",
    "pg_read_server_files",
    "pg_signal_backend",
    "pg_write_server_files",
)
"""The server's own roles that are no rights on the data of a database."""
_CREATE: Final = sql.SQL(
    "CREATE ROLE {name} LOGIN PASSWORD {verifier} VALID UNTIL {ends} CONNECTION LIMIT {most}"
    " NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT"
)


def make_login(link: Link, place: PostgresPlace, order: MintOrder, kind: PostgresKind) -> Minted:
    """A login and its password; raises as `link.linked`."""
    if not require_bounded(link, kind.group):
        raise TargetRefusedError(f"the database has no role `{shown(kind.group)}`")
    if kind.context and link.run(_HAS_CONTEXTS) != [(True,)]:
        raise TargetRefusedError(
            "the database has no table `taskbound.contexts` of its owner's",
            remedy="have the database's owner run what the guide says of rows that a task may see",
        )
    password = spell_secret(secrets.token_bytes(SECRET_BYTES))
    verifier = verifier_of(password, secrets.token_bytes(SALT))  # 1
    with link.connection.transaction():
        link.run(
            _CREATE.format(
                name=named(order.name),
                verifier=sql.Literal(verifier),
                ends=sql.Literal(_written(order.ends)),
                most=sql.Literal(kind.connections),
            )
        )
        bounded = link.connection.info.server_version >= _SET_FALSE
        link.run(
            sql.SQL("GRANT {group} TO {name}" + (" WITH INHERIT TRUE, SET FALSE" if bounded else "")).format(
                group=named(kind.group), name=named(order.name)
            )
        )  # 3
        for key in kind.context:
            link.run(
                "INSERT INTO taskbound.contexts (login, key, value) VALUES (%s, %s, %s)",
                (order.name, key, order.context[key]),
            )
    return Minted(open=_way(place) | {"PGUSER": order.name}, secret={"PGPASSWORD": password})


def require_bounded(link: Link, role: str) -> bool:
    """Go on only where a role has nothing of rules 2 and 4; whether there is one. Raises as `link.linked`."""
    above = link.run(_ABOVE, (role, list(_ROLES_BEYOND)), planned=True)
    beyond = [name for name, reaches, _ in above if reaches]
    if beyond:
        raise TargetRefusedError(
            f"the role `{shown(beyond[0])}` reaches beyond what a login may have",
            remedy="put logins in a group that has rights on objects and nothing else",
        )  # 2
    shut = [database for _, _, database in above if database is not None]
    if shut:
        raise TargetRefusedError(
            f"a login could enter the database `{shown(shut[0])}`, and the admin access can't",
            remedy="grant the admin access CONNECT on it, or take that from the group and from PUBLIC",
        )  # 4
    return bool(above)


def _way(place: PostgresPlace) -> dict[str, str]:
    """How programs come to the database: as the broker does, so that the server proves itself to them too."""
    way = {"PGHOST": place.host, "PGPORT": str(place.port), "PGDATABASE": place.database}
    return way | ({"PGSSLMODE": "verify-full", "PGSSLROOTCERT": place.roots} if place.roots else {})


def use_login(place: PostgresPlace, minted: Minted, *, patience: float) -> None:
    """Log in as who asked would; raises as `link.linked`."""
    user, password = minted.open["PGUSER"], minted.secret["PGPASSWORD"]
    with linked(place, user, password, patience=patience) as link:
        if link.run("SELECT session_user") != [(user,)]:
            raise TargetUnavailableError("the database took the login for somebody else")


def prolong_login(link: Link, name: str, ends: Instant) -> None:
    """Let it live until then; raises as `link.linked`."""
    link.run(
        sql.SQL("ALTER ROLE {name} VALID UNTIL {ends}").format(
            name=named(name), ends=sql.Literal(_written(ends))
        )
    )


def _written(instant: Instant) -> str:
    return (_EPOCH + timedelta(microseconds=instant)).isoformat()
